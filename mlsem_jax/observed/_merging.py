"""Statistics that add up, also where the rows of a cluster lie in several data sets: one mean a cluster, pooled cross-products.

The likelihood needs cross-products of single clusters nowhere but in scores; without them a million clusters of twelve variables
take 0.1 GB instead of 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax.observed._complete import ClusterStatistics, CompleteStatistics, reduce_means


@dataclass(frozen=True, eq=False)
class ClusterMeans:
    """Per cluster: group (J,) code, size n_j (J,) and mean (J, p) of its rows. Per group: within (G, p, p), the centred
    cross-products pooled over clusters (a sum). Between-only variables have their value as mean and zero cross-products.
    """

    group: np.ndarray
    size: np.ndarray
    mean: np.ndarray
    within: np.ndarray


def row_means(values: np.ndarray, cluster: np.ndarray, group: np.ndarray, groups: int) -> ClusterMeans:
    """One pass over complete rows. values (N, p) without NaN; cluster (N,) codes 0..J-1, each present; group (J,) codes."""
    rows, p = values.shape
    if not rows:
        return ClusterMeans(np.zeros(0, int), np.zeros(0), np.zeros((0, p)), np.zeros((groups, p, p)))
    size = np.bincount(cluster, minlength=len(group)).astype(float)
    mean, within = np.empty((len(group), p)), np.zeros((groups, p, p))
    centred = np.array(values, order="F")
    for i in range(p):
        # twice: exact to the last digits for variables whose mean is far from zero
        mean[:, i] = np.bincount(cluster, centred[:, i], len(group)) / size
        centred[:, i] -= mean[cluster, i]
        rest = np.bincount(cluster, centred[:, i], len(group)) / size
        mean[:, i] += rest
        centred[:, i] -= rest[cluster]
    of_row = group[cluster] if groups > 1 else None
    for g in range(groups):
        here = centred if of_row is None else centred[of_row == g]
        within[g] = here.T @ here
    return ClusterMeans(group, size, mean, within)


def mergeable(clusters: ClusterStatistics, groups: int) -> ClusterMeans:
    """What is needed of statistics by cluster for adding them to others."""
    group, cross = np.asarray(clusters.group), np.asarray(clusters.cross)
    within = np.stack([cross[group == g].sum(0) for g in range(groups)])
    return ClusterMeans(group, np.asarray(clusters.size), np.asarray(clusters.mean), within)


def merge(a: ClusterMeans, b: ClusterMeans, places: np.ndarray, constant: np.ndarray) -> ClusterMeans:
    """Statistics of both sets of rows. places (J_b,): the cluster of `a` that each cluster of `b` continues, or J_a, J_a + 1, ...
    for new ones. constant (p,): between-only variables, which have the value of `a` where both hold the cluster.

    Means and cross-products combine by the update of Chan, Golub & LeVeque (1983).
    """
    old, total = len(a.size), max(len(a.size), int(places.max(initial=-1)) + 1)
    group, size, mean = np.empty(total, int), np.zeros(total), np.empty((total, a.mean.shape[1]))
    group[:old], size[:old], mean[:old] = a.group, a.size, a.mean
    new = places >= old
    group[places[new]], size[places[new]], mean[places[new]] = b.group[new], b.size[new], b.mean[new]
    at, continued = places[~new], ~new
    difference = b.mean[continued] - a.mean[at]
    difference[:, constant] = 0.0
    size_a, size_b = a.size[at], b.size[continued]
    size[at] = size_a + size_b
    mean[at] += difference * (size_b / size[at])[:, None]
    within = a.within + b.within
    harmonic = size_a * size_b / size[at]
    for g in range(len(within)):
        here = a.group[at] == g
        within[g] += (difference[here] * harmonic[here, None]).T @ difference[here]
    return ClusterMeans(group, size, mean, within)


def reduce_merged(clusters: ClusterMeans) -> CompleteStatistics:
    """Sums by group and distinct cluster size."""
    weights = np.ones(len(clusters.size))
    return reduce_means(clusters.group, clusters.size, clusters.mean, clusters.within, weights)


def stack_complete(parts: Sequence[CompleteStatistics]) -> CompleteStatistics:
    """Statistics of data sets one below the other, a cluster of one being no cluster of another; all of the same groups (G,)."""
    count = np.concatenate([np.asarray(part.count) for part in parts], axis=1)
    size, mean, cov = (
        np.concatenate([np.asarray(getattr(s, f)) for s in parts], axis=1) for f in ("size", "mean", "cov")
    )
    group, at = np.nonzero(count > 0)
    within = np.sum([np.asarray(part.within) for part in parts], axis=0)
    weight = count[group, at]
    # the sets of clusters as single ones that count more than once; what varies inside of each is added after
    out = reduce_means(group, size[group, at], mean[group, at], within, weight)
    inside = np.zeros_like(out.cov)
    for g, s in zip(group, at, strict=True):
        place = int(np.searchsorted(out.size[g], size[g, s]))
        inside[g, place] += count[g, s] * cov[g, s]
    safe = np.where(out.count > 0, out.count, 1.0)[:, :, None, None]
    rows, clusters = (np.sum([np.asarray(getattr(part, f)) for part in parts], axis=0) for f in ("rows", "clusters"))
    return CompleteStatistics(rows, clusters, out.within, out.size, out.count, out.mean, out.cov + inside / safe)
