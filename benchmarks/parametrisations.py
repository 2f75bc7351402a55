"""All 625 ways to write the four covariance matrices of a two-level latent variable model, fitted to one data set.

They are one model, so they must have one log-likelihood; the script says how far apart they are and fails above 1e-8. Since the
kind of a matrix is data, the first fit compiles for all.

    python benchmarks/parametrisations.py
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np
import pandas as pd

import mlsem_jax as ml

KINDS = ("cov", "chol", "prec", "ggm", "cor")
PLACES = ("within_latent", "within_residual", "between_latent", "between_residual")
LOADINGS = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]


def simulate(clusters: int = 80, size: int = 10, seed: int = 1) -> pd.DataFrame:
    """Two correlated factors at both levels, three indicators each."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    mix = np.linalg.cholesky([[1, 0.4], [0.4, 1]])
    between, within = rng.normal(size=(clusters, 2)) @ mix.T * 0.8, rng.normal(size=(len(cluster), 2)) @ mix.T
    y = (between[cluster] + within) @ np.array(LOADINGS).T + 0.6 * rng.normal(size=(len(cluster), 6))
    y += 0.4 * rng.normal(size=(clusters, 6))[cluster]
    return pd.DataFrame(y, columns=[f"y{i}" for i in range(1, 7)]).assign(cluster=cluster)


def main() -> int:
    data, logliks, failed = simulate(), [], []
    start = time.perf_counter()
    for combination in itertools.product(KINDS, repeat=4):
        kinds = dict(zip(PLACES, combination, strict=True))
        fit = ml.ml_lvm(data, LOADINGS, clusters="cluster", h1=False, **kinds).fit()
        logliks.append(fit.loglik)
        if not fit.converged:
            failed.append(combination)
    spread = float(np.ptp(logliks))
    seconds = time.perf_counter() - start
    print(f"{len(logliks)} parametrisations in {seconds:.1f} s: log-likelihood {logliks[0]:.8f}, spread {spread:.2e}")
    print(f"not converged: {failed or 'none'}")
    return int(spread > 1e-8 or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
