"""What ordered variables cost: a binary random-intercept model against lme4's glmer, and a two-level ordinal factor model.

    python benchmarks/ordinal.py --out benchmarks/results/ordinal.json

Medians of warm calls; the first call of each, which compiles, is given apart. Processor seconds stand beside the clock's. lme4 is
run by Rscript where that is installed, on the same data, warm too; the log-likelihoods stand beside each other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from surveys import timed

import mlsem_jax as ml

INTERCEPT = "level: 1\n u ~ x\nlevel: 2\n u ~ w"
ITEMS = [f"u{i}" for i in range(1, 7)]
FREE = f"level: 1\n fw =~ {' + '.join(ITEMS)}\nlevel: 2\n fb =~ {' + '.join(ITEMS)}"
ZERO = FREE + "".join(f"\n {u} ~~ 0*{u}" for u in ITEMS)
LME4 = """
suppressMessages(library(lme4))
data <- read.csv("{data}")
times <- replicate({repeats} + 1, {{ gc(); system.time(fit <<- glmer(u ~ x + w + (1 | school), data, binomial("probit"),
  nAGQ = 15))[c("elapsed", "user.self")] }})
cat(sprintf('{{"version": "%s", "wall_s": %.6f, "processor_s": %.6f, "logl": %.8f}}', as.character(packageVersion("lme4")),
  median(times[1, -1]), median(times[2, -1]), as.numeric(logLik(fit))))
"""


def binary(clusters: int = 100, rows: int = 20, seed: int = 1) -> pd.DataFrame:
    """A binary outcome with a covariate of each level and a random intercept."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(clusters), rows)
    x, w, b = rng.normal(size=len(school)), rng.normal(size=clusters), 0.8 * rng.normal(size=clusters)
    u = 0.4 * x + (0.5 * w + b)[school] + rng.normal(size=len(school)) > 0.3
    return pd.DataFrame({"school": school, "u": u.astype(int), "x": x, "w": w[school]})


def answers(clusters: int = 200, rows: int = 20, seed: int = 2) -> pd.DataFrame:
    """Six items of four categories, one factor within and one between clusters."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(clusters), rows)
    common = rng.normal(size=len(school)) + 0.6 * rng.normal(size=clusters)[school]
    responses = common[:, None] * rng.uniform(0.7, 1.3, 6) + rng.normal(size=(len(school), 6))
    return pd.DataFrame(np.searchsorted([-1.0, 0.0, 1.0], responses), columns=ITEMS).assign(school=school)


def against_lme4(repeats: int) -> dict[str, object]:
    data = binary()
    fitted = lambda: ml.sem(INTERCEPT, data, "school", ordered="u", estimator="ML")  # noqa: E731
    out: dict[str, object] = {"mlsem_jax": timed(lambda: fitted().parameter_estimates(), repeats)}
    if shutil.which("Rscript") is None:
        return out | {"lme4": "not installed"}
    with tempfile.TemporaryDirectory() as folder:
        csv, path = Path(folder) / "data.csv", Path(folder) / "lme4.R"
        data.to_csv(csv, index=False, float_format="%.17g")
        path.write_text(LME4.format(data=csv.as_posix(), repeats=repeats))
        done = subprocess.run(["Rscript", path], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        return out | {"lme4": done.stderr[-300:]}
    theirs = json.loads(done.stdout)
    mine = out["mlsem_jax"]
    return out | {
        "lme4": theirs,
        "logl": fitted().loglik,
        "times_faster": round(theirs["wall_s"] / mine["wall_s"], 1),  # type: ignore[index]
        "times_faster_processor": round(theirs["processor_s"] / mine["processor_s"], 1),  # type: ignore[index]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    data = answers()
    ordered = {"ordered": ITEMS}
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "random_intercept": against_lme4(options.repeats),
        "factors_ml": timed(lambda: ml.sem(ZERO, data, "school", estimator="ML", **ordered), min(options.repeats, 3)),
        "factors_wlsmv": timed(lambda: ml.sem(FREE, data, "school", **ordered).fit_measures(), options.repeats),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
