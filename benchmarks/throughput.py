"""Fits per second of `ml.estimate_batch`: statistics in, estimates, standard errors and statuses out; compile time apart. Then the
cluster bootstrap of one data set. Processor seconds are given beside the clock's, for machines that others use too.

    python benchmarks/throughput.py --lanes 10000 --out results.json

The model is of the size of a tutorial: a factor with three indicators at each level, three covariates within and two between,
200 clusters of four distinct sizes.
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
  fw =~ y1 + y2 + y3
  fw ~ x1 + x2 + x3
level: 2
  fb =~ y1 + y2 + y3
  fb ~ w1 + w2
"""
SIZES = np.repeat([5, 10, 15, 20], 50)
NAMES = ["y1", "y2", "y3", "x1", "x2", "x3", "w1", "w2"]


def population() -> tuple[object, np.ndarray]:
    """The model and the values of its parameters."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(len(SIZES)), SIZES)
    frame = pd.DataFrame(rng.normal(size=(len(cluster), len(NAMES))), columns=NAMES).assign(g=cluster)
    for name in ("w1", "w2"):
        frame[name] = rng.normal(size=len(SIZES))[cluster]
    model = ml.model(MODEL, frame, cluster="g")
    values = {
        "fw=~y2": 0.8,
        "fw=~y3": 1.2,
        "fw~x1": 0.5,
        "fw~x2": 0.3,
        "fw~x3": 0.2,
        "y1~~y1": 0.5,
        "y2~~y2": 0.6,
        "y3~~y3": 0.5,
        "fw~~fw": 0.8,
        "fb=~y2.l2": 0.9,
        "fb=~y3.l2": 1.1,
        "fb~w1.l2": 0.3,
        "fb~w2.l2": 0.2,
        "y1~~y1.l2": 0.1,
        "y2~~y2.l2": 0.1,
        "y3~~y3.l2": 0.1,
        "fb~~fb.l2": 0.3,
    }
    return model, np.array([values.get(name, 0.0) for name in model.names])


def timed(function, repeats: int = 3) -> dict[str, float]:
    """Seconds of the first call, and of the best of the calls after it: by the clock and of processors."""
    start = time.perf_counter()
    function()
    out = {"first call, s": time.perf_counter() - start}
    clock, used = [], []
    for _ in range(repeats):
        start, begun = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - start)
        used.append(time.process_time() - begun)
    return {**out, "best, s": min(clock), "processor, s": min(used)}


def bootstrap(draws: int, repeats: int) -> dict[str, float]:
    """The bootstrap of one data set of the model, drawn as rows."""
    model, theta = population()
    with jax.enable_x64(True):
        frame = ml.simulate(model, theta, 2, SIZES, 1, rows=True).frame(0)
    fit = ml.sem(MODEL, frame, cluster="g")
    times = timed(lambda: fit.bootstrap(draws, key=1).table("perc"), repeats)
    return {"draws": draws, **times}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lanes", type=int, default=10_000)
    parser.add_argument("--chunk", type=int, nargs="*", default=[None])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-chisq", action="store_true")
    parser.add_argument("--bootstrap", type=int, default=10_000, metavar="DRAWS")
    args = parser.parse_args()
    model, theta = population()
    stats = ml.simulate(model, theta, 1, SIZES, args.lanes)
    results = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": str(jax.devices()[0].device_kind),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "mlsem_jax": ml.__version__,
        "lanes": args.lanes,
        "parameters": len(model.names),
        "cluster sizes": sorted(set(SIZES.tolist())),
        "runs": [],
    }
    drawing = timed(lambda: jax.block_until_ready(ml.simulate(model, theta, 1, SIZES, args.lanes)), args.repeats)
    results["simulate: draws per second"] = args.lanes / drawing["best, s"]
    for chunk in args.chunk:
        for chisq in (False,) if args.no_chisq else (False, True):
            kept = {}

            def run(chunk=chunk, chisq=chisq, kept=kept):
                kept["estimate"] = ml.estimate_batch(model, stats, chunk=chunk, chisq=chisq)

            times = timed(run, args.repeats)
            status = kept["estimate"].status
            entry = {
                "chunk": chunk,
                "chisq": chisq,
                **times,
                "fits per second": args.lanes / times["best, s"],
                "fits per processor second": args.lanes / times["processor, s"],
                "converged": float(np.mean((status == 0) | (status == 2))),
                "iterations": np.percentile(kept["estimate"].iterations, [0, 50, 90, 99, 100]).tolist(),
            }
            results["runs"].append(entry)
            print(json.dumps(entry), flush=True)
    if args.bootstrap:
        results["bootstrap"] = bootstrap(args.bootstrap, args.repeats)
    if hasattr(os, "getloadavg"):
        results["load at the end"] = os.getloadavg()[0]
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({k: v for k, v in results.items() if k != "runs"}))


if __name__ == "__main__":
    main()
