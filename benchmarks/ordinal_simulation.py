"""Bias and coverage with ordered items: full information (ML), limited information (WLSMV) and categories taken as numbers.

    python benchmarks/ordinal_simulation.py --sets 500 --blocks /tmp/blocks --out benchmarks/results/ordinal_simulation.json

4 items of 3 categories with uneven thresholds, 100 clusters of 15, one factor with the same loadings at both levels. What is
compared has the same meaning whatever the scale of the items: standardized loadings within clusters and the factor's intraclass
correlation; of ML and WLSMV also the thresholds. Data set i depends on the seed and i alone; every block of data sets is a file in
the folder --blocks, and a run that was stopped goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import mlsem_jax as ml

ITEMS = ("u1", "u2", "u3", "u4")
LOADINGS = np.array([1.0, 0.8, 1.2, 0.9])
THRESHOLDS = np.array([[-0.5, 0.8], [0.3, 1.4], [-1.2, 0.4], [0.8, 1.8]])
WITHIN, BETWEEN = 1.0, 0.35
MODEL = """
level: 1
  fw =~ u1 + a*u2 + b*u3 + c*u4
  fw ~~ vw*fw
level: 2
  fb =~ u1 + a*u2 + b*u3 + c*u4
  fb ~~ vb*fb
  u1 ~~ 0*u1
  u2 ~~ 0*u2
  u3 ~~ 0*u3
  u4 ~~ 0*u4
icc := vb/(vb + vw)
"""
WAYS = {
    "ML": {"ordered": list(ITEMS), "estimator": "ML"},
    "WLSMV": {"ordered": list(ITEMS), "estimator": "WLSMV"},
    "continuous, MLR": {"estimator": "MLR"},
}


def truth() -> dict[str, float]:
    """Of every quantity that is compared."""
    standardized = LOADINGS * np.sqrt(WITHIN) / np.sqrt(LOADINGS**2 * WITHIN + 1)
    cuts = {f"{u}|t{t + 1}": float(THRESHOLDS[k, t]) for k, u in enumerate(ITEMS) for t in range(2)}
    loadings = {f"loading {u}": float(standardized[k]) for k, u in enumerate(ITEMS)}
    return loadings | {"icc": BETWEEN / (BETWEEN + WITHIN)} | cuts


def drawn(seed: int, number: int, clusters: int, rows: int) -> pd.DataFrame:
    """Data set `number`."""
    rng = np.random.default_rng([seed, number])
    school = np.repeat(np.arange(clusters), rows)
    factor = np.sqrt(WITHIN) * rng.normal(size=len(school)) + (np.sqrt(BETWEEN) * rng.normal(size=clusters))[school]
    responses = factor[:, None] * LOADINGS + rng.normal(size=(len(school), 4))
    items = {u: np.searchsorted(THRESHOLDS[k], responses[:, k]) for k, u in enumerate(ITEMS)}
    return pd.DataFrame(items | {"school": school})


def measured(data: pd.DataFrame, options: dict) -> dict[str, list[float]]:
    """Estimate and standard error of every quantity; {} where no maximum was found."""
    try:
        fit = ml.sem(MODEL, data, cluster="school", **options)
    except ValueError:  # what a user would be told in words
        return {}
    if not fit.converged:
        return {}
    table, standardized = fit.parameter_estimates(), fit.standardized_solution()
    loadings = standardized[(standardized.op == "=~") & (standardized.level == 1)]
    found = {f"loading {r.rhs}": [r["est.std"], r.se] for _, r in loadings.iterrows()}
    found |= {"icc": table.loc[table.lhs == "icc", ["est", "se"]].to_numpy()[0].tolist()}
    cuts = table[table.op == "|"]
    found |= {f"{r.lhs}|{r.rhs}": [r.est, r.se] for _, r in cuts.iterrows()}
    return {name: [float(x) for x in pair] for name, pair in found.items()}


def block(folder: Path, arguments: argparse.Namespace, first: int, last: int) -> list[dict]:
    """Data sets first, ..., last - 1, from the folder or fitted now."""
    design = (arguments.seed, arguments.clusters, arguments.rows)
    path = folder / f"{'-'.join(map(str, design))}-{first}-{last}.json"
    if path.is_file():
        return json.loads(path.read_text())
    if arguments.gather:
        return []
    found = []
    for i in range(first, last):
        data, one = drawn(arguments.seed, i, arguments.clusters, arguments.rows), {}
        for name, options in WAYS.items():
            begun = time.perf_counter()
            one[name] = {"found": measured(data, options), "seconds": time.perf_counter() - begun}
        found.append(one)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(found))
    temporary.replace(path)
    return found


def summary(sets: list[dict]) -> dict[str, dict]:
    """By way of estimation and quantity: bias, sd of the estimates, mean standard error to sd, coverage of estimate +- 1.96 se."""
    out: dict[str, dict] = {}
    for name in WAYS:
        known = [one[name]["found"] for one in sets if one[name]["found"]]
        rows = {}
        for quantity, value in truth().items():
            pairs = np.array([found[quantity] for found in known if quantity in found])
            if not len(pairs):
                continue
            est, se = pairs.T
            covered = float(np.mean(np.abs(est - value) <= 1.959964 * se))
            rows[quantity] = {
                "true": round(value, 4),
                "bias": round(float(est.mean() - value), 4),
                "mcse": round(float(est.std(ddof=1) / np.sqrt(len(est))), 4),
                "relative bias %": round(100 * float(est.mean() / value - 1), 2),
                "sd": round(float(est.std(ddof=1)), 4),
                "se/sd": round(float(np.sqrt(np.mean(se**2)) / est.std(ddof=1)), 3),
                "coverage": round(covered, 3),
            }
        seconds = float(np.median([one[name]["seconds"] for one in sets]))
        out[name] = {"fitted": len(known), "median seconds": round(seconds, 3), "quantities": rows}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first data set, for several processes on one folder"
    )
    parser.add_argument("--block", type=int, default=25)
    parser.add_argument("--gather", action="store_true", help="summarise the blocks that are there, and fit nothing")
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--rows", type=int, default=15)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--blocks", type=Path, default=Path("ordinal-simulation-blocks"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.blocks.mkdir(parents=True, exist_ok=True)
    sets: list[dict] = []
    for first in range(arguments.first, arguments.sets, arguments.block):
        sets += block(arguments.blocks, arguments, first, min(first + arguments.block, arguments.sets))
        result = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            "python": platform.python_version(),
            "jax": jax.__version__,
            "data sets": len(sets),
            "clusters": arguments.clusters,
            "rows in a cluster": arguments.rows,
            "ways": summary(sets),
        }
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{len(sets)} data sets", flush=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
