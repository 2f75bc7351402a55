"""Sufficient statistics of complete two-level data, in two layers.

By cluster (size, mean, cross-products): mergeable, the source of scores, robust standard errors, bootstrap weights and
influence. Reduced by distinct cluster size: all that the likelihood needs (McDonald & Goldstein 1989; Muthen 1990).
"""

from __future__ import annotations

import equinox as eqx
import numpy as np

from mlsem_jax._typing import Array, Float, Int


class ClusterStatistics(eqx.Module):
    """Per cluster: group (J,) code, size n_j (J,), mean (J, p) and centred cross-products (J, p, p) of its rows.

    Between-only variables have their value as mean and zero cross-products.
    """

    group: Int[Array, " J"]
    size: Float[Array, " J"]
    mean: Float[Array, "J p"]
    cross: Float[Array, "J p p"]


class CompleteStatistics(eqx.Module):
    """Per group: rows N, clusters J, pooled within cross-products (p, p), and per distinct size n of S: how many clusters,
    the mean of their means (S, p) and the covariance of their means (S, p, p; divisor count).

    Weights that are not integers are fine everywhere. Sizes with count 0 are padding.
    """

    rows: Float[Array, " G"]
    clusters: Float[Array, " G"]
    within: Float[Array, "G p p"]
    size: Float[Array, "G S"]
    count: Float[Array, "G S"]
    mean: Float[Array, "G S p"]
    cov: Float[Array, "G S p p"]


BUCKETS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def bucket(count: int) -> int:
    """The next of a few lengths that arrays are padded to, so that data of similar shape share one compiled program."""
    return next((b for b in BUCKETS if b >= count), -(-count // 128) * 128)


def cluster_statistics(values: np.ndarray, cluster: np.ndarray, group: np.ndarray) -> ClusterStatistics:
    """One pass over complete rows. values (N, p) without NaN; cluster (N,) codes 0..J-1, each present; group (J,) codes."""
    rows, p = values.shape
    count = len(group)
    if rows and np.any(cluster[1:] < cluster[:-1]):
        order = np.argsort(cluster, kind="stable")
        values, cluster = values[order], cluster[order]
    size = np.bincount(cluster, minlength=count)
    starts = np.concatenate([[0], np.cumsum(size)[:-1]])
    mean = np.add.reduceat(values, starts, axis=0) / size[:, None]
    centred = values - np.repeat(mean, size, axis=0)
    # once more about the rounded mean: exact to the last digits for variables whose mean is far from zero
    mean = mean + np.add.reduceat(centred, starts, axis=0) / size[:, None]
    centred = values - np.repeat(mean, size, axis=0)
    cross = np.empty((count, p, p))
    for i in range(p):
        products = np.add.reduceat(centred[:, i : i + 1] * centred[:, i:], starts, axis=0)
        cross[:, i, i:] = products
        cross[:, i:, i] = products
    return ClusterStatistics(group=np.asarray(group), size=size.astype(float), mean=mean, cross=cross)


def reduce(clusters: ClusterStatistics, groups: int, weights: np.ndarray | None = None) -> CompleteStatistics:
    """Sum the cluster layer by group and distinct size; weights (J,) count a cluster more than once or not at all."""
    group, size = np.asarray(clusters.group), np.asarray(clusters.size)
    mean, cross = np.asarray(clusters.mean), np.asarray(clusters.cross)
    p = mean.shape[1]
    weights = np.ones(len(size)) if weights is None else np.asarray(weights, float)
    distinct = [np.unique(size[group == g]) for g in range(groups)]
    length = bucket(max((len(d) for d in distinct), default=1))
    out = CompleteStatistics(
        rows=np.zeros(groups),
        clusters=np.zeros(groups),
        within=np.zeros((groups, p, p)),
        size=np.ones((groups, length)),
        count=np.zeros((groups, length)),
        mean=np.zeros((groups, length, p)),
        cov=np.zeros((groups, length, p, p)),
    )
    for g, sizes in enumerate(distinct):
        here = np.flatnonzero(group == g)
        if not len(here):
            continue
        w, which = weights[here], np.searchsorted(sizes, size[here])
        out.rows[g], out.clusters[g] = w @ size[here], w.sum()
        out.within[g] = np.tensordot(w, cross[here], 1)
        # padding repeats the largest size: its matrix is positive definite whenever the others are
        out.size[g] = np.concatenate([sizes, np.full(length - len(sizes), sizes[-1])])
        hot = np.zeros((length, len(here)))
        hot[which, np.arange(len(here))] = w
        count = hot.sum(1)
        safe = np.where(count > 0, count, 1.0)
        out.count[g] = count
        out.mean[g] = hot @ mean[here] / safe[:, None]
        centred = mean[here] - out.mean[g][which]
        products = (centred[:, :, None] * centred[:, None, :]).reshape(len(here), p * p)
        out.cov[g] = (hot @ products).reshape(length, p, p) / safe[:, None, None]
    return out


def merge_clusters(a: ClusterStatistics, b: ClusterStatistics, places: np.ndarray) -> ClusterStatistics:
    """Statistics of both sets of rows. places (J_b,): the cluster of `a` that each cluster of `b` continues, or J_a, J_a + 1, ...
    for new ones. Means and cross-products combine by the update of Chan, Golub & LeVeque (1983).
    """
    total = max(len(a.size), int(places.max(initial=-1)) + 1)
    p = a.mean.shape[1]
    group = np.zeros(total, int)
    group[: len(a.size)], group[places] = a.group, b.group
    size_a, mean_a, cross_a = np.zeros(total), np.zeros((total, p)), np.zeros((total, p, p))
    size_b, mean_b, cross_b = np.zeros(total), np.zeros((total, p)), np.zeros((total, p, p))
    size_a[: len(a.size)], mean_a[: len(a.size)], cross_a[: len(a.size)] = a.size, a.mean, a.cross
    size_b[places], mean_b[places], cross_b[places] = b.size, b.mean, b.cross
    size = size_a + size_b
    difference = np.where(((size_a > 0) & (size_b > 0))[:, None], mean_b - mean_a, 0.0)
    mean = np.where((size_a > 0)[:, None], mean_a, mean_b) + difference * (size_b / size)[:, None]
    outer = difference[:, :, None] * difference[:, None, :]
    return ClusterStatistics(group, size, mean, cross_a + cross_b + outer * (size_a * size_b / size)[:, None, None])


def pool_sizes(statistics: CompleteStatistics, limit: int = 6) -> CompleteStatistics:
    """The same data with at most `limit` distinct sizes, each the weighted mean of its neighbours.

    Only sizes, counts and the within layer are meaningful in the result: it serves expected information, not likelihoods.
    """
    groups, length = statistics.size.shape
    if length <= limit:
        return statistics
    p = statistics.within.shape[-1]
    size, count = np.ones((groups, limit)), np.zeros((groups, limit))
    for g in range(groups):
        weight = np.asarray(statistics.count[g])
        edges = np.cumsum(weight) - weight / 2
        part = np.minimum((edges / max(weight.sum(), 1e-300) * limit).astype(int), limit - 1)
        count[g] = np.bincount(part, weight, limit)
        total = np.bincount(part, weight * np.asarray(statistics.size[g]), limit)
        size[g] = np.where(count[g] > 0, total / np.where(count[g] > 0, count[g], 1.0), np.max(statistics.size[g]))
    return CompleteStatistics(
        statistics.rows,
        statistics.clusters,
        statistics.within,
        size,
        count,
        np.zeros((groups, limit, p)),
        np.zeros((groups, limit, p, p)),
    )
