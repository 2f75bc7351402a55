"""Whether a batch gives, lane by lane, what `ml.sem` gives for the rows of each data set: estimates, standard errors, status.

    python benchmarks/agreement.py --datasets 1000 --out benchmarks/results/agreement.json

60 clusters and a residual variance near zero, so that many solutions are improper. One lane more is spoiled on purpose.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import time
import warnings
from pathlib import Path

import jax
import numpy as np
from throughput import MODEL, population

import mlsem_jax as ml

SIZES = np.repeat([5, 10, 15, 20], 15)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    model, theta = population()
    theta = np.where([name == "y3~~y3.l2" for name in model.names], 0.02, theta)
    with jax.enable_x64(True):
        rows = ml.simulate(model, theta, 4, SIZES, arguments.datasets, rows=True)
    frames = [rows.frame(i) for i in range(arguments.datasets)]
    stats = [ml.statistics(model, frame).reduced for frame in frames]
    spoiled = jax.tree.map(lambda x: np.full_like(x, np.nan) if np.ndim(x) == 3 else x, stats[0])
    together = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *stats, spoiled)
    start = time.perf_counter()
    batch = ml.estimate_batch(model, together)
    seconds = time.perf_counter() - start
    theta_off, se_off, pairs = [], [], collections.Counter()
    start = time.perf_counter()
    for i, frame in enumerate(frames):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.sem(MODEL, frame, cluster="cluster" if "cluster" in frame else "g", h1=False, baseline=False)
        own = ml.Status(int(batch.status[i]))
        pairs[f"batch {own.name}, single {fit.status.name}"] += 1
        if own.converged and fit.converged:
            se = np.sqrt(np.diag(fit.vcov()))
            theta_off.append(np.max(np.abs(batch.theta[i] - fit.coef()) / se))
            se_off.append(np.max(np.abs(batch.se[i] / se - 1)))
    result = {
        "machine": platform.processor() or platform.machine(),
        "jax": jax.__version__,
        "mlsem_jax": ml.__version__,
        "data sets": arguments.datasets,
        "status": dict(pairs),
        "status of the spoiled lane": ml.Status(int(batch.status[-1])).name,
        "largest difference of an estimate, in standard errors": float(np.max(theta_off)),
        "largest relative difference of a standard error": float(np.max(se_off)),
        "seconds of the batch, compilation included": round(seconds, 2),
        "seconds of the single fits": round(time.perf_counter() - start, 2),
    }
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
