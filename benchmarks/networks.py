"""Warm times of network models: a fit, a search step over many candidates, prune and stepup. Prints wall and processor time.

python benchmarks/networks.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import mlsem_jax as ml
from mlsem_jax.networks._modelsearch import _try_all
from mlsem_jax.networks._search import candidates


def timed(what: str, function: Callable[[], object], repeats: int = 7) -> float:
    """Best of several wall times in seconds after a first call; processor time beside it, which a busy machine changes less."""
    function()
    wall, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        function()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    print(f"{what:60s} {1e3 * min(wall):8.1f} ms wall {1e3 * min(processor):8.1f} ms processor", flush=True)
    return min(wall)


def factors(clusters: int, size: int, seed: int) -> pd.DataFrame:
    """Two factors at both levels, three indicators each."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    loadings = np.kron(np.eye(2), [[1.0], [0.8], [0.6]])
    y = (rng.normal(size=(clusters, 2))[cluster] + rng.normal(size=(len(cluster), 2))) @ loadings.T
    y += 0.6 * rng.normal(size=y.shape) + 0.4 * rng.normal(size=(clusters, 6))[cluster]
    return pd.DataFrame(y, columns=[f"y{i}" for i in range(1, 7)]).assign(cluster=cluster)


def sparse(nodes: int, clusters: int, seed: int) -> pd.DataFrame:
    """A ring within and a few edges between, clusters of 5 to 11."""
    rng = np.random.default_rng(seed)
    ring = 0.3 * (np.eye(nodes, k=1) + np.eye(nodes, k=-1))
    few = np.zeros((nodes, nodes))
    few[0, 3] = few[3, 0] = few[1, 5] = few[5, 1] = 0.45
    cluster = np.repeat(np.arange(clusters), rng.integers(5, 12, clusters))
    within = rng.multivariate_normal(np.zeros(nodes), np.linalg.inv(np.eye(nodes) - ring), len(cluster))
    between = rng.multivariate_normal(np.zeros(nodes), 0.6 * np.linalg.inv(np.eye(nodes) - few), clusters)
    return pd.DataFrame(within + between[cluster], columns=[f"y{i}" for i in range(1, nodes + 1)]).assign(g=cluster)


def main() -> None:
    data, loadings = factors(60, 10, 1), np.kron(np.eye(2, dtype=int), np.ones((3, 1), int))
    timed(
        "ml_lvm, 60 x 10, 6 indicators: data to fit with h1, baseline",
        lambda: ml.ml_lvm(data, loadings, clusters="cluster").fit(),
    )
    network = sparse(8, 150, 2)
    model = ml.ml_ggm(network, clusters="g")
    full = model.fit()
    timed("ml_ggm, 8 nodes: fit with h1 and baseline", model.fit)
    timed("  prune(alpha=.05)", lambda: full.prune(alpha=0.05))
    timed("  prune(alpha=.05).stepup(alpha=.05)", lambda: full.prune(alpha=0.05).stepup(alpha=0.05))
    wide = sparse(11, 300, 3)
    start = ml.ml_ggm(wide, clusters="g", omega_within="zero", omega_between="zero").fit()
    found = candidates(start.network, ("omega_within", "omega_between"))[:100]
    one = timed("ml_ggm, 11 nodes, no edges: one refit with one edge", lambda: start.freepar("omega_within", 2, 1))
    step = timed(f"  {len(found)} candidates of a modelsearch step", lambda: _try_all(start, found, "bic"))
    print(f"  {len(found)} candidates cost {step / one:.1f} refits")


if __name__ == "__main__":
    main()
