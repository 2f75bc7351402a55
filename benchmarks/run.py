"""Time mlsem_jax, beside R's lavaan where Rscript is there: `python benchmarks/run.py [--only TEXT] [--json FILE] [--table]`.

Warm times: the whole call from the data frame on (parse, statistics, fit, standard errors, h1, baseline, fit measures), median of
several after two calls that compile; nothing but compiled programs and specified models (of text and options) is kept between
calls. First call: the same, compilation included, without a cache on disk. Cold process: import, fit and print the tutorial summary
in a new process, in turns with Rscript. lavaan runs in the same minutes on the same data, its library loaded beforehand. What there
are aims for is shown beside them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from cases import Case, cases
from stages import million, stages

MARK = "<!-- results -->"
HERE = Path(__file__).resolve().parent

COLD = """
import sys, pandas as pd, mlsem_jax as ml
if sys.argv[3] != "none": ml.enable_compilation_cache(sys.argv[3])
fit = ml.sem(open(sys.argv[2]).read(), pd.read_csv(sys.argv[1]), cluster="cluster")
print(fit.summary(fit_measures=True, standardized=True))
"""

IMPORT = "import time; t = time.perf_counter(); import mlsem_jax as ml; ml.sem; print(time.perf_counter() - t)"

R_WARM = """
suppressWarnings(suppressMessages(library(lavaan)))
a <- commandArgs(TRUE); d <- read.csv(a[1]); m <- paste(readLines(a[2]), collapse = "\\n"); n <- as.integer(a[5])
one <- function() suppressWarnings({{ f <- sem(m, d, cluster = a[3]{options}); {extra} }})
if (n > 1) invisible(one())
cat(sapply(seq_len(n), function(i) system.time(one())[["elapsed"]]))
"""

R_COLD = """
suppressMessages(library(lavaan)); a <- commandArgs(TRUE)
f <- sem(paste(readLines(a[2]), collapse = "\\n"), read.csv(a[1]), cluster = "cluster")
print(summary(f, fit.measures = TRUE, standardized = TRUE))
"""


def ask(fit, extra: str) -> None:
    """What a case wants of its fit."""
    fit.parameter_estimates(standardized=extra == "summary")
    fit.fit_measures()
    if extra == "modindices":
        fit.modification_indices()


def time_python(case: Case, repeats: int) -> dict[str, float]:
    """Seconds of the first call and the median of warm ones."""
    import mlsem_jax as ml

    def once() -> float:
        start = time.perf_counter()
        if case.extra == "modindices":  # of a fit that exists
            fit.modification_indices()
        else:
            ask(ml.sem(case.model, case.data, cluster=case.cluster, **case.options), case.extra)
        return time.perf_counter() - start

    if case.extra == "modindices":
        fit = ml.sem(case.model, case.data, cluster=case.cluster, **case.options)
    first = once()
    once()
    times = [once() for _ in range(repeats)]
    return {"first": first, "warm": statistics.median(times), "best": min(times)}


def r_options(case: Case) -> str:
    return "".join(f', {name} = "{value}"' for name, value in case.options.items())


def time_r(case: Case, folder: Path) -> float | None:
    """Median seconds of lavaan in one R process."""
    if not case.repeats_r or shutil.which("Rscript") is None:
        return None
    case.data.to_csv(folder / "data.csv", index=False)
    (folder / "model.txt").write_text(case.model)
    asked = {
        "measures": "parameterEstimates(f); fitMeasures(f)",
        "summary": "parameterEstimates(f, standardized = TRUE); fitMeasures(f)",
        "modindices": "modindices(f)",
    }[case.extra]
    script = R_WARM.format(options=r_options(case), extra=asked)
    if case.extra == "modindices":
        script = script.replace("one <- function() suppressWarnings({ f <- ", "f <- ").replace(
            "; modindices(f) })", "\none <- function() suppressWarnings(modindices(f))"
        )
    (folder / "run.R").write_text(script)
    args = [str(folder / "data.csv"), str(folder / "model.txt"), case.cluster, "x", str(case.repeats_r)]
    done = subprocess.run(["Rscript", str(folder / "run.R"), *args], capture_output=True, text=True, check=False)
    try:
        return statistics.median(map(float, done.stdout.split()))
    except (ValueError, statistics.StatisticsError):
        print(done.stderr[-500:], file=sys.stderr)
        return None


def time_cold(case: Case, folder: Path, repeats: int) -> dict[str, float | None]:
    """Whole processes that print the tutorial summary: with an empty cache, with a warm one, and Rscript."""
    case.data.to_csv(folder / "data.csv", index=False)
    (folder / "model.txt").write_text(case.model)
    (folder / "cold.py").write_text(COLD)
    (folder / "cold.R").write_text(R_COLD)
    env = fresh(folder)

    def run(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, env=env)
        return time.perf_counter() - start

    files = [str(folder / "data.csv"), str(folder / "model.txt")]
    python = [sys.executable, str(folder / "cold.py"), *files]
    commands = {"empty cache": [*python, "none"], "warm cache": [*python, str(folder / "cache")]}
    if shutil.which("Rscript"):
        commands["lavaan"] = ["Rscript", str(folder / "cold.R"), *files]
    run(*commands["warm cache"])
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):  # in turns, so that what else the machine does meets all alike
        for name, command in commands.items():
            times[name].append(run(*command))
    return {name: statistics.median(times[name]) if name in times else None for name in (*commands, "lavaan")}


def fresh(folder: Path) -> dict[str, str]:
    """The environment of a process without compiled programs of JAX, but with Python's bytecode, which installing writes."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_") and k != "PYTHONDONTWRITEBYTECODE"}
    return env | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def time_import(folder: Path, repeats: int) -> float:
    """Median seconds that `import mlsem_jax; ml.sem` takes in a fresh process, jax and pandas included."""

    def once() -> float:
        command = [sys.executable, "-c", IMPORT]
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=fresh(folder))
        return float(done.stdout)

    once()
    return statistics.median(once() for _ in range(repeats))


def time_stages(case: Case, folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Import, trace, compile and run apart, without a cache of compiled programs and with one."""
    case.data.to_csv(folder / "data.csv", index=False)
    (folder / "model.txt").write_text(case.model)
    files = [str(folder / "data.csv"), str(folder / "model.txt")]
    cache = str(folder / "stages")
    stages(files, cache, 1)
    return {"empty cache": stages(files, "none", max(repeats // 2, 1)), "warm cache": stages(files, cache, repeats)}


def aims(result: dict) -> list[tuple[str, float | None, str, bool]]:
    """What there are aims for: name, value, the aim in words, and whether larger is better."""
    warm, cold = result["warm"], result.get("cold") or {}

    def first(name: str) -> float | None:
        return warm[name]["first"] if name in warm else None

    def ratio(name: str) -> float | None:
        row = warm.get(name, {})
        return row["lavaan"] / row["warm"] if row.get("lavaan") else None

    def beside(name: str) -> float | None:
        return cold[name] / cold["lavaan"] if cold.get("lavaan") and name in cold else None

    return [
        ("import mlsem_jax, s", result.get("import"), "0.6", False),
        ("cold process, warm cache, times lavaan's", beside("warm cache"), "1.5", False),
        ("cold process, empty cache, times lavaan's", beside("empty cache"), "2.5", False),
        ("first fit, complete data, s", first("tutorial"), "1.0", False),
        ("first fit, 15 % missing, s", first("tutorial, 15 % missing"), "2.0", False),
        ("warm fit, lavaan's time / ours", ratio("tutorial"), "25", True),
        ("MLR, lavaan's time / ours", ratio("tutorial, MLR"), "50", True),
        ("modification indices, lavaan's time / ours", ratio("tutorial, modification indices"), "20", True),
        ("p = 20 saturated, lavaan's time / ours", ratio("p = 20 saturated at both levels"), "100", True),
    ]


def aims_table(result: dict) -> list[str]:
    """Lines of Markdown: what was measured of the aims, and which are missed."""
    lines = ["", "| aim | now | aim | |", "|:--|--:|--:|:--|"]
    for name, value, aim, larger in aims(result):
        if value is not None:
            met = value >= float(aim) if larger else value <= float(aim)
            lines.append(
                f"| {name} | {value:.2f} | {'at least' if larger else 'at most'} {aim} | {'' if met else 'missed'} |"
            )
    return lines if len(lines) > 3 else []


def table(result: dict) -> str:
    """The results as Markdown."""
    lines = ["| job | first call | warm | lavaan | lavaan / warm |", "|:--|--:|--:|--:|--:|"]
    for name, row in result["warm"].items():
        r = row.get("lavaan")
        ratio = f"{r / row['warm']:.0f}" if r else ""
        shown = f"{r:.2f} s" if r else ""
        lines.append(f"| {name} | {row['first']:.2f} s | {1000 * row['warm']:.1f} ms | {shown} | {ratio} |")
    lines += aims_table(result)
    cold = result.get("cold")
    if cold:
        lines += ["", "| cold process, tutorial summary | seconds |", "|:--|--:|"]
        lines += [f"| {name} | {value:.2f} |" for name, value in cold.items() if value]
    if "stages" in result:
        both = result["stages"]
        lines += ["", "| tutorial fit in a fresh process | empty cache | warm cache |", "|:--|--:|--:|"]
        for stage, value in both["empty cache"].items():
            unit, digits = ("", 0) if "MB" in stage else (" s", 2)
            lines.append(f"| {stage} | {value:.{digits}f}{unit} | {both['warm cache'][stage]:.{digits}f}{unit} |")
    if "million" in result:
        lines += ["", "| 1,000,000 rows, 100,000 clusters, 12 variables | seconds |", "|:--|--:|"]
        lines += [f"| {name} | {value:.2f} |" for name, value in result["million"].items()]
    return "\n".join(lines)


def main() -> None:
    """Run the cases and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="", help="cases whose name holds this text; also 'cold', 'import', 'stages', 'million'"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--table", action="store_true", help="rewrite the tables of benchmarks/README.md and of the site"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import jax

    import mlsem_jax

    result: dict = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {"mlsem_jax": mlsem_jax.__version__, "jax": jax.__version__, "python": platform.python_version()},
        "warm": {},
    }
    every = cases()
    with tempfile.TemporaryDirectory() as name:
        for case in every:
            if options.only in case.name:
                row: dict = dict(time_python(case, options.repeats))
                row["lavaan"] = time_r(case, Path(name))
                result["warm"][case.name] = row
                print(case.name, row, flush=True)
        if options.only in "cold":
            result["cold"] = time_cold(every[0], Path(name), 7)
            print(result["cold"], flush=True)
        if options.only in "import":
            result["import"] = time_import(Path(name), 7)
            print("import", result["import"], flush=True)
        if options.only in "stages":
            result["stages"] = time_stages(every[0], Path(name), 5)
            print(result["stages"], flush=True)
        if options.only in "million":
            result["million"] = million()
            print(result["million"], flush=True)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.table:
        versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        text = f"{result['date']}, {result['machine']}, {versions}\n\n{table(result)}\n"
        for page in (HERE / "README.md", HERE.parent / "docs" / "benchmarks.md"):
            page.write_text(f"{page.read_text().split(MARK)[0]}{MARK}\n\n{text}")


if __name__ == "__main__":
    main()
