"""Is this checkout slower than another one? First fit, warm fit and time a lane of both, in processes that take turns.

    git worktree add /tmp/before COMMIT
    python benchmarks/before_after.py /tmp/before --pairs 6 --json FILE

Every process imports the package of one checkout, fits the tutorial's model once, then again and again, and a batch of data sets.
Processor seconds count (of all threads, on machines that others use too), the least of a process, then the median over processes; a
first pair, which fills the compilation cache, is left out. Ratios above 1: this checkout takes longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[1]
CHILD = """
import json, sys, time, warnings
import jax, numpy as np
import mlsem_jax as ml
warnings.simplefilter("ignore")
sys.path.insert(0, "benchmarks")
import throughput

def clock(function, repeats):
    used = []
    for _ in range(repeats):
        wall, own = time.perf_counter(), time.process_time()
        function()
        used.append((time.process_time() - own, time.perf_counter() - wall))
    return np.min(used, axis=0).tolist()

model, theta = throughput.population()
with jax.enable_x64(True):
    frame = ml.simulate(model, theta, 2, throughput.SIZES, 1, rows=True).frame(0)
fit = lambda: ml.sem(throughput.MODEL, frame, cluster="g").fit_measures()
found = {"first fit": clock(fit, 1), "warm fit": clock(fit, 20)}
lanes = int(sys.argv[1])
stats = jax.tree.map(np.asarray, ml.simulate(model, theta, 1, throughput.SIZES, lanes))
batch = lambda: ml.estimate_batch(model, stats)
found["first batch"] = clock(batch, 1)
found["lane"] = [x / lanes for x in clock(batch, 3)]
print(json.dumps(found))
"""


def one(checkout: Path, lanes: int) -> dict[str, list[float]]:
    """(processor, clock) seconds of every part, in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(lanes)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(told.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--lanes", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs: list[list[dict]] = [[], []]
    for pair in range(given.pairs + 1):
        # who goes first changes too
        for which in (0, 1) if pair % 2 else (1, 0):
            found = one((given.before.resolve(), HERE)[which], given.lanes)
            if pair:
                runs[which].append(found)
            print(("before", "now")[which], pair, json.dumps(found), flush=True)
    result = {}
    for part in runs[0][0]:
        before, now = (np.array([run[part][0] for run in each]) for each in runs)
        result[part] = {
            "before, ms": round(1e3 * float(np.median(before)), 4),
            "now, ms": round(1e3 * float(np.median(now)), 4),
            "ratio": round(float(np.median(now) / np.median(before)), 3),
            "ratio of pairs": [round(x, 3) for x in np.percentile(now / before, [25, 50, 75]).tolist()],
        }
        print(part, json.dumps(result[part]))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
