"""What survey designs cost: replicates of plausible values, weights against none, and a model of one level against lavaan's.

    python benchmarks/surveys.py --out benchmarks/results/surveys.json

Medians of warm calls; the first call of each, which compiles, is given apart. Processor seconds stand beside the clock's, for
machines that others use too. lavaan is run by Rscript where that is installed, on the same data and warm too.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import jax
import numpy as np
import pandas as pd

import mlsem_jax as ml

SCHOOLS, REPLICATES, VALUES = 300, 80, 10
TWO = """
level: 1
  f =~ y1 + y2 + y3 + y4 + y5 + math
level: 2
  g =~ y1 + y2 + y3 + y4 + y5 + math
"""
ONE = "\n".join(f"f{k} =~ " + " + ".join(f"x{i}" for i in range(4 * k + 1, 4 * k + 5)) for k in range(3))
LAVAAN = """
suppressMessages(library(lavaan))
data <- read.csv("{data}")
model <- '{model}'
times <- replicate({repeats} + 1, {{ gc(); system.time(fit <<- cfa(model, data))[c("elapsed", "user.self")] }})
cat(sprintf('{{"version": "%s", "wall_s": %.6f, "processor_s": %.6f, "logl": %.8f}}', as.character(packageVersion("lavaan")),
  median(times[1, -1]), median(times[2, -1]), as.numeric(logLik(fit))))
"""


def survey(seed: int = 1) -> pd.DataFrame:
    """Students in schools, weights of both levels, Fay replicates of the schools' weights and plausible values."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(SCHOOLS), rng.integers(15, 36, SCHOOLS))
    n = len(school)
    common = rng.normal(size=n) + 0.6 * rng.normal(size=SCHOOLS)[school]
    of_school = [0.3 * rng.normal(size=SCHOOLS)[school] for _ in range(6)]
    out = {"school": school} | {f"y{i}": common + rng.normal(size=n) + of_school[i - 1] for i in range(1, 6)}
    math = common + rng.normal(size=n) + of_school[5]
    out |= {f"PV{m}": math + 0.5 * rng.normal(size=n) for m in range(1, VALUES + 1)}
    v = rng.uniform(0.5, 2, SCHOOLS)
    out |= {"w": rng.uniform(0.5, 2, n), "v": v[school]}
    out |= {f"r{r}": (v * np.where(rng.random(SCHOOLS) < 0.5, 1.5, 0.5))[school] for r in range(REPLICATES)}
    return pd.DataFrame(out).assign(math=out["PV1"])


def one_level(rows: int, seed: int = 2) -> pd.DataFrame:
    """Twelve indicators of three correlated factors."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(rows, 1))
    factors = np.repeat(0.6 * shared + rng.normal(size=(rows, 3)), 4, axis=1)
    return pd.DataFrame(factors + rng.normal(size=(rows, 12)), columns=[f"x{i}" for i in range(1, 13)])


def timed(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Seconds of the first call, and medians of the calls after it."""
    found = []
    for _ in range(repeats + 1):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    first, *warm = found
    return {
        "first_s": round(first[0], 4),
        "wall_s": round(median(w for w, _ in warm), 5),
        "processor_s": round(median(p for _, p in warm), 5),
    }


def replicates(data: pd.DataFrame, repeats: int) -> dict[str, float]:
    """Every replicate of every plausible value, pooled."""
    options = {
        "sampling_weights": "w",
        "sampling_weights_between": "v",
        "replicate_weights": [f"r{r}" for r in range(REPLICATES)],
        "replicate_type": "Fay",
        "plausible_values": {"math": [f"PV{m}" for m in range(1, VALUES + 1)]},
    }
    table = data.drop(columns="math")
    return timed(lambda: ml.sem(TWO, table, "school", **options).parameter_estimates(), repeats)


def weights(data: pd.DataFrame, repeats: int) -> dict[str, object]:
    """A fit with its standard errors and scaled test, with weights of both levels and without, in turns."""
    out: dict[str, object] = {}
    for missing in ("listwise", "ml"):
        table = data.copy()
        if missing == "ml":
            table.loc[::10, "y2"] = np.nan
        with_weights = {"sampling_weights": "w", "sampling_weights_between": "v"}
        fit = functools.partial(ml.sem, TWO, table, "school", estimator="MLR", missing=missing)
        found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for _ in range(3):  # in turns: a machine that others use is not equally fast all the time
            for name, options in (("without", {}), ("with", with_weights)):
                made = functools.partial(fit, **options)
                found[name].append(timed(lambda made=made: made().fit_measures(), repeats))
        best = {name: min(f["processor_s"] for f in each) for name, each in found.items()}
        out[missing] = {
            "without": found["without"],
            "with": found["with"],
            "ratio": round(best["with"] / best["without"], 3),
        }
    return out


def against_lavaan(rows: int, repeats: int) -> dict[str, object]:
    """A confirmatory factor model of one level, here and by lavaan."""
    data = one_level(rows)
    model = ONE
    mine = timed(lambda: ml.cfa(model, data).parameter_estimates(), repeats)
    lanes = 500
    prepared = ml.model(model, data)
    with jax.enable_x64(True):
        draws = ml.simulate(prepared, ml.estimate(prepared, ml.statistics(prepared, data)).theta, 1, rows, lanes)
    batch = timed(lambda: ml.estimate_batch(prepared, draws), repeats)
    of_batch = {name: round(batch[name] / lanes, 6) for name in ("wall_s", "processor_s")}
    out: dict[str, object] = {"rows": rows, "mlsem_jax": mine, "mlsem_jax_lane_of_a_batch": of_batch}
    if shutil.which("Rscript") is None:
        return out | {"lavaan": "not installed"}
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "data.csv"
        data.to_csv(csv, index=False, float_format="%.17g")
        script = LAVAAN.format(data=csv.as_posix(), model=model, repeats=repeats)
        path = Path(folder) / "lavaan.R"
        path.write_text(script)
        done = subprocess.run(["Rscript", path], capture_output=True, text=True, timeout=600, check=True)
    theirs = json.loads(done.stdout)
    assert abs(theirs["logl"] - ml.cfa(model, data).loglik) < 1e-4, "the two fits are not of one model"
    return out | {
        "lavaan": theirs,
        "times_faster": round(theirs["wall_s"] / mine["wall_s"], 1),
        "times_faster_processor": round(theirs["processor_s"] / mine["processor_s"], 1),
        "times_faster_in_a_batch": round(theirs["wall_s"] / of_batch["wall_s"], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=1000, help="of the model of one level")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    data = survey()
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "mlsem_jax": ml.__version__,
        "one_level": against_lavaan(options.rows, options.repeats),
        "weights": weights(data, options.repeats),
        "replicates": {
            "schools": SCHOOLS,
            "rows": len(data),
            "replicates": REPLICATES,
            "plausible_values": VALUES,
            **replicates(data, options.repeats),
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
