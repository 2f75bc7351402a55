"""Moment estimates by analysis of variance: close to the saturated maximum and available before any optimisation."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType

import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.observed._complete import CompleteStatistics


def sample_moments(
    statistics: CompleteStatistics, between_only: np.ndarray, within_only: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within covariance (G, p, p), between covariance (G, p, p) and mean (G, p) by group.

    within_only: (p,), or (G, p) where groups differ. Within: pooled cross-products over N - J; for pairs of within-only variables
    their maximum-likelihood covariance over the N rows. Between: (MSB - within) / n0, n0 the usual effective cluster size; for
    between-only variables the maximum-likelihood covariance over the J clusters. Blocks of a level that a variable does not have
    are zero. The between matrix may be indefinite.
    """
    groups, p = statistics.mean.shape[0], statistics.mean.shape[-1]
    within, between, mean = np.zeros((groups, p, p)), np.zeros((groups, p, p)), np.zeros((groups, p))
    z, x = np.asarray(between_only, bool), np.broadcast_to(np.asarray(within_only, bool), (groups, p))
    for g in range(groups):
        one = CompleteStatistics(*(getattr(statistics, field.name)[g] for field in fields(statistics)))
        within[g], between[g], mean[g] = moments_of_group(np, one, z, x[g])
    return within, between, mean


def moments_of_group(
    xp: ModuleType, s: CompleteStatistics, between_only: Array, within_only: Array
) -> tuple[Float[Array, "p p"], Float[Array, "p p"], Float[Array, " p"]]:
    """The same of one group, whose statistics have no axis of groups, in NumPy or traced; the roles (p,) are booleans."""
    z, x = between_only, within_only
    either_z, both_x, either_x = z[:, None] | z[None, :], x[:, None] & x[None, :], x[:, None] | x[None, :]
    by_row = s.count * s.size
    mean = xp.where(z, s.count @ s.mean / s.clusters, by_row @ s.mean / s.rows)
    deviation = s.mean - mean
    scatter = s.cov + deviation[:, :, None] * deviation[:, None, :]
    rows_scatter, cluster_scatter = xp.tensordot(by_row, scatter, 1), xp.tensordot(s.count, scatter, 1)
    pooled = s.within / xp.maximum(s.rows - s.clusters, 1.0)
    within = xp.where(both_x, (s.within + rows_scatter) / s.rows, pooled)
    free = xp.maximum(s.clusters - 1.0, 1.0)
    n0 = xp.maximum((s.rows - s.count @ s.size**2 / s.rows) / free, 1.0)
    split = (rows_scatter / free - pooled) / n0
    between = xp.where(either_z, cluster_scatter / s.clusters, split)
    return xp.where(either_z, 0.0, within), xp.where(either_x, 0.0, between), mean


def make_definite(matrix: np.ndarray, scale: np.ndarray, floor: float = 0.02) -> np.ndarray:
    """The nearest matrix whose eigenvalues, after division by `scale` (standard deviations), are at least `floor`.

    Rows and columns that are zero stay zero.
    """
    keep = np.flatnonzero(np.abs(matrix).sum(0) > 0)
    out = np.array(matrix, float)
    if not len(keep):
        return out
    sd = np.where(scale[keep] > 0, scale[keep], 1.0)
    values, vectors = np.linalg.eigh(matrix[np.ix_(keep, keep)] / np.outer(sd, sd))
    repaired = (vectors * np.maximum(values, floor)) @ vectors.T * np.outer(sd, sd)
    out[np.ix_(keep, keep)] = repaired
    return out
