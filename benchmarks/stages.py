"""Where the time of a fit goes: import, trace, lower, compile, run; its memory; and a million rows.

`stages(files, cache)` runs the tutorial fit in a fresh process. `million()` reduces a large table to its statistics and fits it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd
from cases import factor_model

FRESH = """
import json, resource, sys, time
start = time.perf_counter()
import pandas as pd
pandas = time.perf_counter()
import jax
before = time.perf_counter()
import mlsem_jax as ml
ml.sem  # names are imported when they are first used
imported = time.perf_counter()
if sys.argv[3] != "none": ml.enable_compilation_cache(sys.argv[3])
spent = {}
def add(event, seconds, **about):
    spent[event.rsplit("/", 1)[-1]] = spent.get(event.rsplit("/", 1)[-1], 0.0) + seconds
jax.monitoring.register_event_duration_secs_listener(add)
data, model = pd.read_csv(sys.argv[1]), open(sys.argv[2]).read()
def once():
    begin = time.perf_counter()
    fit = ml.sem(model, data, cluster="cluster")
    fit.parameter_estimates()
    fit.fit_measures()
    return time.perf_counter() - begin
first = once()
jax_spent = dict(spent)
warm = sorted(once() for _ in range(5))[2]
lower = jax_spent.get("jaxpr_to_mlir_module_duration", 0.0)
compile_ = jax_spent.get("backend_compile_duration", 0.0)
print(json.dumps({
    "import pandas": pandas - start, "import jax": before - pandas, "import mlsem_jax": imported - before,
    "trace": first - lower - compile_ - warm, "lower": lower, "compile or read": compile_, "run": warm,
    "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def stages(files: list[str], cache: str, repeats: int) -> dict[str, float]:
    """Medians over fresh processes, seconds (and MB). cache: a folder of compiled programs, or 'none'.

    'trace' is what remains of the first call after lowering, compiling (or reading from the cache) and running.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    command = [sys.executable, "-c", FRESH, *files, cache]
    rows = [
        json.loads(subprocess.run(command, capture_output=True, check=True, env=env, text=True).stdout.splitlines()[-1])
        for _ in range(repeats)
    ]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def million(clusters: int = 100_000, rows: int = 1_000_000, p: int = 12, repeats: int = 3) -> dict[str, float]:
    """Seconds: pandas' groupby mean of the same table, our statistics of it (checks included), the whole fit; rows shuffled."""
    import mlsem_jax as ml
    from mlsem_jax.data import prepare
    from mlsem_jax.observed import cluster_statistics, reduce

    rng = np.random.default_rng(7)
    cluster = np.concatenate([np.arange(clusters), rng.integers(0, clusters, rows - clusters)])
    rng.shuffle(cluster)
    factor, effect = rng.normal(size=(rows, 2)), 0.7 * rng.normal(size=(clusters, 2))
    which = np.arange(p) * 2 // p
    y = (
        factor[:, which]
        + effect[cluster][:, which]
        + rng.normal(size=(rows, p))
        + 0.3 * rng.normal(size=(clusters, p))[cluster]
    )
    names = [f"y{i + 1}" for i in range(p)]
    data = pd.DataFrame(y, columns=names).assign(g=cluster)
    ready = prepare(data, cluster="g", within=names, between=names)
    jobs = {
        "pandas groupby mean": lambda: data.groupby("g").mean(),
        "statistics": lambda: reduce(cluster_statistics(ready.values, ready.cluster, ready.group), 1),
        "checks and statistics": lambda: _from_table(prepare, cluster_statistics, reduce, data, names),
        "whole fit": lambda: ml.sem(factor_model(p, 2), data, cluster="g").fit_measures(),
    }
    return {name: _median(job, repeats) for name, job in jobs.items()}


def _from_table(prepare, cluster_statistics, reduce, data: pd.DataFrame, names: list[str]) -> None:
    made = prepare(data, cluster="g", within=names, between=names)
    reduce(cluster_statistics(made.values, made.cluster, made.group), 1)


def _median(job, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
