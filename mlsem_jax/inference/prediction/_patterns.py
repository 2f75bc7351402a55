"""Rows by pattern of observed variables, for predictions: what each pattern sees of a level."""

from __future__ import annotations

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.likelihood import EffectPrior, inverse_of_observed
from mlsem_jax.models import LevelMatrices


def weights_of(data: TwoLevelData, rows: np.ndarray) -> np.ndarray:
    """(n,) how many times these rows count within their clusters: their scaled weights, or 1."""
    return np.ones(len(rows)) if data.row_weights is None else data.row_weights[rows]


def precision_of(within: LevelMatrices, seen: np.ndarray) -> np.ndarray:
    """(p, p): inverse of the within covariance of the variables seen, 0 elsewhere."""
    return inverse_of_observed(np, within.cov, seen)[0]


def prior_of_level(between: LevelMatrices) -> EffectPrior:
    """Of v = (u, eta_B), mean (1, v): the effects u that rows of a cluster share, its between part of y and its slopes, and its
    latent variables.
    """
    through = between.lambda_ @ between.eta_cov
    cov = np.block([[between.cov, through], [through.T, between.eta_cov]])
    return EffectPrior(np.concatenate([between.mean, between.eta_mean])[None], cov)


def by_pattern(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The distinct patterns of observed variables (p,) with their rows."""
    seen = ~np.isnan(y)
    if len(y) and np.all(seen == seen[0]):
        return [(seen[0], np.arange(len(y)))]
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    return [(pattern, np.flatnonzero(which.ravel() == i)) for i, pattern in enumerate(patterns)]


def cluster_values(y: np.ndarray, code: np.ndarray, clusters: int, z: np.ndarray) -> np.ndarray:
    """The between-only variables of every cluster (J, p), NaN where unknown and for the other variables."""
    out = np.full((clusters, len(z)), np.nan)
    for i in np.flatnonzero(z):
        known = np.flatnonzero(~np.isnan(y[:, i]))
        out[code[known], i] = y[known, i]
    return out
