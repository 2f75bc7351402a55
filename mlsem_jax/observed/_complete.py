"""Sufficient statistics of complete two-level data, in two layers.

By cluster (size, mean, cross-products): mergeable, the source of scores, robust standard errors, bootstrap weights and
influence. Reduced by distinct cluster size: all that the likelihood needs (McDonald & Goldstein 1989; Muthen 1990).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int


class ClusterStatistics(Record):
    """Per cluster: group (J,) code, size n_j (J,), mean (J, p) and centred cross-products (J, p, p) of its rows. Weights of rows
    make them sums of weights, weighted means and weighted cross-products about them.

    Between-only variables have their value as mean and zero cross-products.
    """

    group: Int[Array, " J"]
    size: Float[Array, " J"]
    mean: Float[Array, "J p"]
    cross: Float[Array, "J p p"]


class CompleteStatistics(Record):
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
WHOLE = 1e-9  # a sum of weights this near to a whole number, relative, is one
BLOCK = 2**14  # clusters whose outer products are in memory at once


def bucket(count: int) -> int:
    """The next of a few lengths that arrays are padded to, so that data of similar shape share one compiled program."""
    return next((b for b in BUCKETS if b >= count), -(-count // 128) * 128)


def cluster_statistics(
    values: np.ndarray, cluster: np.ndarray, group: np.ndarray, weights: np.ndarray | None = None
) -> ClusterStatistics:
    """One pass over complete rows. values (N, p) without NaN; cluster (N,) codes 0..J-1, each present; group (J,) codes; weights
    (N,): how often a row counts, positive.
    """
    rows, p = values.shape
    count = len(group)
    if rows and np.any(cluster[1:] < cluster[:-1]):
        order = np.argsort(cluster, kind="stable")
        values, cluster = values[order], cluster[order]
        weights = None if weights is None else weights[order]
    number = np.bincount(cluster, minlength=count)
    size = number.astype(float) if weights is None else whole(np.bincount(cluster, weights, count))
    starts = np.concatenate([[0], np.cumsum(number)[:-1]])

    def added(x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(x if weights is None else weights[:, None] * x, starts, axis=0)

    mean = added(values) / size[:, None]
    centred = values - np.repeat(mean, number, axis=0)
    # once more about the rounded mean: exact to the last digits for variables whose mean is far from zero
    mean = mean + added(centred) / size[:, None]
    centred = values - np.repeat(mean, number, axis=0)
    cross = np.empty((count, p, p))
    for i in range(p):
        products = added(centred[:, i : i + 1] * centred[:, i:])
        cross[:, i, i:] = products
        cross[:, i:, i] = products
    return ClusterStatistics(group=np.asarray(group), size=size, mean=mean, cross=cross)


def whole(size: Any) -> np.ndarray:
    """Sums of weights, whole where they are so but for rounding: else every cluster had a size of its own."""
    near = np.rint(size)
    return np.where(np.abs(size - near) <= WHOLE * size, near, size)


def row_statistics(values: np.ndarray, group: np.ndarray, weights: np.ndarray | None = None) -> ClusterStatistics:
    """Every row a cluster of its own: values (N, p) without NaN, group (N,) codes, weights (N,) of the rows. The cross-products
    take no memory.
    """
    rows, p = values.shape
    nothing = np.broadcast_to(0.0, (rows, p, p))
    size = np.ones(rows) if weights is None else np.asarray(weights, float)
    return ClusterStatistics(np.asarray(group), size, np.ascontiguousarray(values), nothing)


def reduce_rows(clusters: ClusterStatistics, groups: int) -> CompleteStatistics:
    """The rows of clusters whose variables have no between part, by group: number, mean and covariance, as clusters of size 1."""
    p = clusters.mean.shape[1]
    group, size, mean = (np.asarray(x) for x in (clusters.group, clusters.size, clusters.mean))
    rows, by_group, cov = np.zeros(groups), np.zeros((groups, p)), np.zeros((groups, p, p))
    for g in range(groups):
        here = np.flatnonzero(group == g)
        rows[g] = size[here].sum()
        if not len(here):
            continue
        by_group[g] = size[here] @ mean[here] / rows[g]
        # once more about the rounded mean: exact to the last digits for variables whose mean is far from zero
        by_group[g] += size[here] @ (mean[here] - by_group[g]) / rows[g]
        deviation = mean[here] - by_group[g]
        cov[g] = (size[here, None] * deviation).T @ deviation / rows[g]
        if np.asarray(clusters.cross).strides[0]:  # rows have none: a zero that is broadcast
            cov[g] += np.asarray(clusters.cross)[here].sum(axis=0) / rows[g]
    return CompleteStatistics(
        rows=rows,
        clusters=rows,
        within=np.zeros((groups, p, p)),
        size=np.ones((groups, 1)),
        count=rows[:, None],
        mean=by_group[:, None],
        cov=cov[:, None],
    )


def reduce(clusters: ClusterStatistics, groups: int, weights: np.ndarray | None = None) -> CompleteStatistics:
    """Sum the cluster layer by group and distinct size; weights (J,) count a cluster more than once or not at all."""
    group, cross = np.asarray(clusters.group), np.asarray(clusters.cross)
    weights = np.ones(len(group)) if weights is None else np.asarray(weights, float)
    within = np.zeros((groups, *cross.shape[1:]))
    for g in range(groups):
        here = np.flatnonzero(group == g)
        within[g] = np.tensordot(weights[here], cross[here], 1)
    return reduce_means(group, np.asarray(clusters.size), np.asarray(clusters.mean), within, weights)


def reduce_means(
    group: np.ndarray, size: np.ndarray, mean: np.ndarray, within: np.ndarray, weights: np.ndarray
) -> CompleteStatistics:
    """Sum clusters with group (J,), size (J,), mean (J, p) and weights (J,) by group and distinct size.

    within (G, p, p): their pooled cross-products, weighted already.
    """
    groups, p = within.shape[:2]
    distinct = [np.unique(size[group == g]) for g in range(groups)]
    length = bucket(max((len(d) for d in distinct), default=1))
    out = CompleteStatistics(
        rows=np.zeros(groups),
        clusters=np.zeros(groups),
        within=within,
        size=np.ones((groups, length)),
        count=np.zeros((groups, length)),
        mean=np.zeros((groups, length, p)),
        cov=np.zeros((groups, length, p, p)),
    )
    for g, sizes in enumerate(distinct):
        here = np.flatnonzero(group == g)
        if not len(here):
            continue
        which = np.searchsorted(sizes, size[here])
        out.rows[g], out.clusters[g] = weights[here] @ size[here], weights[here].sum()
        # padding repeats the largest size: its matrix is positive definite whenever the others are
        out.size[g] = np.concatenate([sizes, np.full(length - len(sizes), sizes[-1])])
        for some, _, hot in _blocks(here, which, weights, length):
            out.count[g] += hot.sum(1)
            out.mean[g] += hot @ mean[some]
        safe = np.where(out.count[g] > 0, out.count[g], 1.0)
        out.mean[g] /= safe[:, None]
        for some, at, hot in _blocks(here, which, weights, length):
            centred = mean[some] - out.mean[g][at]
            products = (centred[:, :, None] * centred[:, None, :]).reshape(len(some), p * p)
            out.cov[g] += (hot @ products).reshape(length, p, p)
        out.cov[g] /= safe[:, None, None]
    return out


def _blocks(
    here: np.ndarray, which: np.ndarray, weights: np.ndarray, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Clusters `here` in blocks: their numbers, the place of their sizes, and weights (length, block) that sum by size."""
    for start in range(0, len(here), BLOCK):
        some, at = here[start : start + BLOCK], which[start : start + BLOCK]
        hot = np.zeros((length, len(some)))
        hot[at, np.arange(len(some))] = weights[some]
        yield some, at, hot
