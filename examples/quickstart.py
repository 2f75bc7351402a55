"""Quick start: a two-level structural equation model of pupils in schools, from the data to a table on the screen.

    python examples/quickstart.py [folder]

Results are saved in the folder, or in a temporary one. Takes some seconds, most of them for compiling; the second run is
quicker, because the compiled programs are kept.
"""

import sys
import tempfile
import time
from pathlib import Path

import mlsem_jax as ml

MODEL = """
level: 1                                   # pupils within schools
  math    =~ math1 + math2 + math3
  reading =~ reading1 + reading2 + reading3
  math    ~ ses + girl
  reading ~ ses + girl
level: 2                                   # schools
  achievement =~ math1 + math2 + math3 + reading1 + reading2 + reading3
  achievement ~ public + size
"""


def main(folder: Path) -> None:
    """Fit the model to the bundled data, print the summary, save the results in `folder`."""
    start = time.perf_counter()

    def say(what: str) -> None:
        print(f"[{time.perf_counter() - start:5.1f} s] {what}", flush=True)

    ml.enable_compilation_cache()
    data = ml.datasets.load_schools()
    say(f"{len(data)} pupils in {data.school.nunique()} schools. Fitting the model ...")
    fit = ml.sem(MODEL, data, cluster="school")
    say(f"{fit.status} ({fit.iterations} iterations)\n")
    print(fit.summary(fit_measures=True, standardized=True))

    folder.mkdir(parents=True, exist_ok=True)
    fit.save(folder / "fit.json")
    fit.parameter_estimates(standardized=True).to_csv(folder / "estimates.csv", index=False)
    fit.fit_measures().to_json(folder / "fit_measures.json", indent=1, double_precision=15)
    say(f"Saved in {folder}:")
    print("  fit.json           the whole fit: ml.load(...) gives it back")
    print("  estimates.csv      one row per parameter")
    print("  fit_measures.json  chi-square, CFI, RMSEA, SRMR, AIC, BIC, ...")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="mlsem_")))
