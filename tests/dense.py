"""The two-level likelihood the obvious way: every cluster's full multivariate normal, in plain NumPy.

What the fast kernels of the library are tested against, so nothing here is imported from them, and nothing is clever. Level-1
row i of cluster j and the between-only variables of the cluster are stacked into one vector, whose mean and covariance are
written out element by element; missing values are left out of the vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Population:
    """Moments of one group as NumPy arrays: within (p, p), between (p + r, p + r), mean (p,) of y, and with r random slopes
    their means (r,) and directions (r, p). Between-only variables are zero in `within`, within-only ones in `between`.
    """

    within: np.ndarray
    between: np.ndarray
    mean: np.ndarray
    slope_mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, within, between, mean, slope_mean=(), directions=None):
        p = len(mean)
        directions = np.zeros((0, p)) if directions is None else np.asarray(directions, float)
        return cls(np.asarray(within), np.asarray(between), np.asarray(mean), np.asarray(slope_mean, float), directions)


def cluster_normal(
    population: Population, rows: np.ndarray, between_only: np.ndarray, x: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is observed of one cluster, its mean and its covariance matrix.

    rows (n, p) with NaN where missing; a between-only variable counts once, wherever a row has it. x (n, r): the covariates
    with random slopes.
    """
    n, p = rows.shape
    x = np.zeros((n, 0)) if x is None else x
    places = [(i, v) for i in range(n) for v in range(p) if not between_only[v] and not np.isnan(rows[i, v])]
    for v in np.flatnonzero(between_only):
        seen = np.flatnonzero(~np.isnan(rows[:, v]))
        if len(seen):
            places.append((int(seen[0]), int(v)))

    if not places:  # nothing is known of this cluster
        return np.zeros(0), np.zeros(0), np.zeros((0, 0))

    def design(i: int, v: int) -> np.ndarray:
        """Row of Z_i: which element of (between part of y, slopes) reaches variable v of row i, and how strongly."""
        z = np.zeros(p + x.shape[1])
        z[v] = 1.0
        if not between_only[v]:
            z[p:] = population.directions[:, v] * x[i]
        return z

    z = np.array([design(i, v) for i, v in places])
    which = np.array([v for _, v in places])
    row = np.array([-1 if between_only[v] else i for i, v in places])
    same_row = (row[:, None] == row[None, :]) & (row[:, None] >= 0)
    cov = np.where(same_row, population.within[np.ix_(which, which)], 0.0) + z @ population.between @ z.T
    mean = population.mean[which] + z[:, p:] @ population.slope_mean
    observed = np.array([rows[i, v] for i, v in places])
    return observed, mean, cov


def normal_log_density(y: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    """Log-density of a multivariate normal; -inf where the covariance matrix is not positive definite."""
    if not len(y):
        return 0.0
    values = np.linalg.eigvalsh(cov)
    if values[0] <= 0:
        return -np.inf
    r = y - mean
    return float(-0.5 * (len(y) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + r @ np.linalg.solve(cov, r)))


def cluster_log_likelihoods(
    populations: list[Population],
    values: np.ndarray,
    cluster: np.ndarray,
    group: np.ndarray,
    between_only: np.ndarray,
    slope_columns: np.ndarray | None = None,
) -> np.ndarray:
    """Log-likelihood of every cluster (J,). values (N, p) with NaN, cluster (N,) codes, group (J,) codes."""
    out = []
    for j, g in enumerate(group):
        rows = values[cluster == j]
        x = None if slope_columns is None else rows[:, slope_columns]
        out.append(normal_log_density(*cluster_normal(populations[g], rows, between_only, x)))
    return np.array(out)


def populations(moments) -> list[Population]:
    """The moments of a `mlsem_jax.models.Moments`, group by group, as plain arrays."""
    within, between = np.asarray(moments.within_cov), np.asarray(moments.between_cov)
    within_mean, between_mean = np.asarray(moments.within_mean), np.asarray(moments.between_mean)
    p = within.shape[-1]
    directions = None if moments.directions is None else np.asarray(moments.directions)
    return [
        Population.of(
            within[g],
            between[g],
            within_mean[g] + between_mean[g, :p],
            between_mean[g, p:],
            None if directions is None else directions[g],
        )
        for g in range(len(within))
    ]


def gradient_by_differences(function, x: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Derivative of a scalar or vector function, last axis x, by central differences of the fourth order (error ~ step^4)."""
    columns = []
    for i in range(len(x)):
        h = np.zeros(len(x))
        h[i] = step * max(abs(x[i]), 1.0)
        near, far = function(x + h) - function(x - h), function(x + 2 * h) - function(x - 2 * h)
        columns.append((8 * near - far) / (12 * h[i]))
    return np.stack([np.asarray(c) for c in columns], axis=-1)
