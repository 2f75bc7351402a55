# lavaan's chi-square of the data sets that benchmarks/h1.py wrote, with its default H1 (standard errors and baseline left out).
# Rscript benchmarks/h1.R FOLDER [FIRST LAST]: a line of FOLDER/lavaan.csv is added after every data set.
suppressMessages(library(lavaan))
given <- commandArgs(TRUE)
folder <- given[1]
model <- "level: 1\n fw =~ y1 + y2 + y3 + y4 + y5 + y6\nlevel: 2\n fb =~ y1 + y2 + y3 + y4 + y5 + y6"
wanted <- c("chisq", "pvalue", "logl", "unrestricted.logl")
one <- function(file) {
  found <- try(suppressWarnings({
    fit <- sem(model, read.csv(file), cluster = "cluster", se = "none", baseline = FALSE)
    c(fitMeasures(fit, wanted), converged = lavInspect(fit, "converged"))
  }), silent = TRUE)
  if (inherits(found, "try-error")) c(NA, NA, NA, NA, 0) else found
}
files <- sort(list.files(folder, "^data_.*csv$", full.names = TRUE))
if (length(given) == 3) files <- files[as.integer(given[2]):as.integer(given[3])]
for (file in files) {
  number <- as.integer(sub("data_([0-9]+).csv", "\\1", basename(file)))
  line <- paste(c(number, format(one(file), digits = 12)), collapse = ",")
  cat(line, "\n", file = file.path(folder, "lavaan.csv"), append = TRUE)
}
