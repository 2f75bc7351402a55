"""Coverage of 95 % intervals and rejection by the chi-square test, for a model that holds: one simulation study.

    python benchmarks/coverage.py --datasets 10000 --out benchmarks/results/coverage.json

Two factors within and one between with six indicators, 200 clusters of four sizes. Two intervals are counted: estimate +- z
standard errors, and the profile-likelihood interval, which follows the skewness of variances between clusters.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import mlsem_jax as ml

MODEL = """
level: 1
  f1 =~ y1 + y2 + y3
  f2 =~ y4 + y5 + y6
level: 2
  fb =~ y1 + y2 + y3 + y4 + y5 + y6
"""
SIZES = np.repeat([5, 10, 15, 20], 50)
NAMES = [f"y{i}" for i in range(1, 7)]
LOADINGS = dict(zip(NAMES, [1.0, 0.8, 1.2, 1.0, 0.9, 1.1], strict=True))


def population() -> tuple[object, np.ndarray]:
    """The model and the values of its parameters."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(len(SIZES)), SIZES)
    frame = pd.DataFrame(rng.normal(size=(len(cluster), 6)), columns=NAMES).assign(g=cluster)
    frame[NAMES] += rng.normal(size=(len(SIZES), 6))[cluster]
    model = ml.model(MODEL, frame, cluster="g")
    values = {"f1~~f1": 1.0, "f2~~f2": 0.8, "f1~~f2": 0.4, "fb~~fb.l2": 0.5}
    for name in NAMES:
        values |= {f"f1=~{name}": LOADINGS[name], f"f2=~{name}": LOADINGS[name], f"fb=~{name}.l2": LOADINGS[name]}
        values |= {f"{name}~~{name}": 0.6, f"{name}~~{name}.l2": 0.2, f"{name}~1.l2": 2.0}
    return model, np.array([values[name] for name in model.names])


def run(datasets: int, clusters: int = len(SIZES), seed: int = 7) -> dict:
    """The study, as what goes to the file."""
    model, theta = population()
    sizes = np.resize(SIZES, clusters) if clusters != len(SIZES) else SIZES
    start = time.perf_counter()
    study = ml.montecarlo(model, theta, sizes, datasets, seed, profile=True)
    seconds = time.perf_counter() - start
    table, rates = study.table(), study.rates()
    error = np.sqrt(0.95 * 0.05 / datasets)
    return {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "jax": jax.__version__,
        "mlsem_jax": ml.__version__,
        "data sets": datasets,
        "clusters": len(sizes),
        "seconds, compilation included": round(seconds, 1),
        "converged": float(rates.loc["converged", "rate"]),
        "improper": float(rates.loc["improper", "rate"]),
        "chi-square": {
            "df": study.df,
            "mean": float(np.nanmean(study.chisq)),
            "rejected": float(rates.loc["chi-square rejects", "rate"]),
            "Monte-Carlo error": float(rates.loc["chi-square rejects", "mcse"]),
        },
        "coverage of profile-likelihood intervals": _rounded(table["coverage.profile"]),
        "distance from 0.95 in Monte-Carlo errors, profile": _rounded((table["coverage.profile"] - 0.95) / error),
        "coverage of estimate +- z SE": _rounded(table["coverage"]),
        "Monte-Carlo error of coverage": float(error),
        "distance from 0.95 in Monte-Carlo errors, z SE": _rounded((table["coverage"] - 0.95) / error),
        "se/sd": _rounded(table["se/sd"]),
        "bias in standard deviations": _rounded(table["bias"] / table["sd"]),
    }


def _rounded(column: pd.Series) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in column.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datasets", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=len(SIZES))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = run(arguments.datasets, arguments.clusters, arguments.seed)
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
