"""Moment estimates by analysis of variance: close to the saturated maximum and available before any optimisation."""

from __future__ import annotations

import numpy as np

from mlsem_jax.observed._complete import CompleteStatistics


def sample_moments(
    statistics: CompleteStatistics, between_only: np.ndarray, within_only: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within covariance (G, p, p), between covariance (G, p, p) and mean (G, p) by group.

    Within: pooled cross-products over N - J; for pairs of within-only variables their maximum-likelihood covariance over the
    N rows. Between: (MSB - within) / n0, n0 the usual effective cluster size; for between-only variables the
    maximum-likelihood covariance over the J clusters. Blocks of a level that a variable does not have are zero. The between
    matrix may be indefinite.
    """
    s, z, x = statistics, np.asarray(between_only, bool), np.asarray(within_only, bool)
    groups, p = s.mean.shape[0], s.mean.shape[-1]
    within, between, mean = np.zeros((groups, p, p)), np.zeros((groups, p, p)), np.zeros((groups, p))
    for g in range(groups):
        size, count, rows, clusters = s.size[g], s.count[g], s.rows[g], s.clusters[g]
        by_row, by_cluster = count * size, count
        row_mean = by_row @ s.mean[g] / rows
        cluster_mean = by_cluster @ s.mean[g] / clusters
        mean[g] = np.where(z, cluster_mean, row_mean)
        deviation = s.mean[g] - mean[g]
        scatter = s.cov[g] + deviation[:, :, None] * deviation[:, None, :]
        rows_scatter, cluster_scatter = np.tensordot(by_row, scatter, 1), np.tensordot(by_cluster, scatter, 1)
        pooled = s.within[g] / max(rows - clusters, 1.0)
        total = (s.within[g] + rows_scatter) / rows
        within[g] = np.where(x[:, None] & x[None, :], total, pooled)
        within[g][z, :] = within[g][:, z] = 0.0
        n0 = (rows - count @ size**2 / rows) / max(clusters - 1.0, 1.0)
        split = (rows_scatter / max(clusters - 1.0, 1.0) - pooled) / max(n0, 1.0)
        between[g] = np.where(z[:, None] | z[None, :], cluster_scatter / clusters, split)
        between[g][x, :] = between[g][:, x] = 0.0
    return within, between, mean


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
