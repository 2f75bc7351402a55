"""Reduction of the cluster layer inside JAX: weights on clusters, or cluster statistics that are themselves traced.

Which clusters have which size is fixed before tracing (a Plan); weights, means and cross-products may be tracers, so statistics
can be differentiated in them and a bootstrap draw costs a matrix product.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.observed._complete import ClusterStatistics, CompleteStatistics, bucket
from mlsem_jax.observed._patterns import PatternStatistics
from mlsem_jax.observed._pools import SizePools, in_pools, members, pool_of

# sizes within this factor share a pool in a batch: a metric from sizes so near takes no more steps
ALIKE = 2.5


class Plan(Record):
    """Where each cluster goes. size (G, S) distinct sizes, padded; slot (J,) = group * S + place of the cluster's size;
    pool (G, L, S): 1 where a size belongs to a pooled size of the scoring metric.
    """

    size: Float[Array, "G S"]
    slot: Int[Array, " J"]
    pool: Float[Array, "G L S"]


def plan_sizes(size: np.ndarray, group: np.ndarray, groups: int) -> Plan:
    """The plan for clusters of these sizes (J,) and group codes (J,)."""
    size, group = np.asarray(size, float), np.asarray(group, int)
    distinct = [np.unique(size[group == g]) for g in range(groups)]
    length = bucket(max(len(d) for d in distinct))
    slot = np.zeros(len(size), int)
    padded, part = np.ones((groups, length)), np.zeros((groups, length), int)
    for g, sizes in enumerate(distinct):
        here = np.flatnonzero(group == g)
        which = np.searchsorted(sizes, size[here])
        slot[here] = g * length + which
        padded[g] = np.concatenate([sizes, np.full(length - len(sizes), sizes[-1])])
        part[g] = pool_of(padded[g], ALIKE)
    return Plan(padded, slot, members(part, part.max() + 1))


def weighted_complete(clusters: ClusterStatistics, plan: Plan, weights: Float[Array, " J"]) -> CompleteStatistics:
    """The route of clusters without missing values."""
    groups, length = plan.size.shape
    p, slots = clusters.mean.shape[-1], groups * length
    # deviations from the unweighted mean of the size: sums of squares about a distant point would lose digits
    plain = jax.ops.segment_sum(jnp.ones_like(clusters.size), plan.slot, slots)
    centre = jax.lax.stop_gradient(
        jax.ops.segment_sum(clusters.mean, plan.slot, slots) / jnp.maximum(plain, 1.0)[:, None]
    )
    deviation = clusters.mean - centre[plan.slot]
    outer = deviation[:, :, None] * deviation[:, None, :]
    features = jnp.concatenate(
        [
            jnp.ones((len(deviation), 1), deviation.dtype),
            deviation,
            outer.reshape(-1, p * p),
            clusters.cross.reshape(-1, p * p),
        ],
        axis=1,
    )
    sums = jax.ops.segment_sum(weights[:, None] * features, plan.slot, slots).reshape(groups, length, -1)
    count, total, square, cross = jnp.split(sums, [1, 1 + p, 1 + p + p * p], axis=-1)
    count = count[..., 0]
    safe = jnp.where(count > 0, count, 1.0)
    shift = total / safe[..., None]
    cov = square.reshape(groups, length, p, p) / safe[..., None, None] - shift[..., :, None] * shift[..., None, :]
    return CompleteStatistics(
        rows=jnp.sum(count * plan.size, -1),
        clusters=jnp.sum(count, -1),
        within=jnp.sum(cross, axis=1).reshape(groups, p, p),
        size=jnp.asarray(plan.size, count.dtype),
        count=count,
        mean=centre.reshape(groups, length, p) + shift,
        cov=jnp.where((count > 0)[..., None, None], cov, 0.0),
    )


def weighted_rows(clusters: ClusterStatistics, groups: int, weights: Float[Array, " J"]) -> CompleteStatistics:
    """The rows of clusters whose variables have no between part, cluster j counting weights[j] times: see `reduce_rows`."""
    p = clusters.mean.shape[-1]
    inside = (jnp.asarray(clusters.group) == jnp.arange(groups)[:, None]).astype(clusters.mean.dtype)
    size = clusters.size[:, None]
    # deviations from the unweighted mean: sums of squares about a distant point would lose digits
    plain = inside @ (size * clusters.mean) / jnp.maximum(inside @ size, 1.0)
    centre = jax.lax.stop_gradient(plain)
    deviation = clusters.mean - centre[jnp.asarray(clusters.group)]
    products = size[:, :, None] * deviation[:, :, None] * deviation[:, None, :] + clusters.cross
    features = jnp.concatenate([size, size * deviation, products.reshape(-1, p * p)], axis=1)
    rows, first, second = jnp.split((inside * weights) @ features, [1, 1 + p], axis=-1)
    rows = rows[:, 0]
    safe = jnp.where(rows > 0, rows, 1.0)
    shift = first / safe[:, None]
    cov = second.reshape(groups, p, p) / safe[:, None, None] - shift[:, :, None] * shift[:, None, :]
    return CompleteStatistics(
        rows=rows,
        clusters=rows,
        within=jnp.zeros_like(cov),
        size=jnp.ones_like(rows)[:, None],
        count=rows[:, None],
        mean=(centre + shift)[:, None],
        cov=jnp.where(rows[:, None, None] > 0, cov, 0.0)[:, None],
    )


def weighted_patterns(patterns: PatternStatistics, weights: Float[Array, " L"]) -> PatternStatistics:
    """The route of the other clusters, in order; needs statistics by pair."""
    chunk = patterns.clusters
    padding = chunk.weight.size - len(weights)
    by_cluster = jnp.concatenate([weights, jnp.zeros(padding, weights.dtype)]).reshape(chunk.weight.shape)
    by_pair = jnp.take_along_axis(by_cluster, jnp.asarray(chunk.cluster), axis=1)
    kinds = len(patterns.rows)

    def add(x):
        weighted = by_pair.reshape(by_pair.shape + (1,) * (x.ndim - 2)) * x
        return jax.ops.segment_sum(weighted.reshape(-1, *x.shape[2:]), jnp.ravel(chunk.pattern), kinds)

    return replace(
        patterns,
        rows=add(chunk.products[:, :, 0, 0]),
        total=add(chunk.total[:, :, 0]),
        cross=add(chunk.cross),
        clusters=replace(chunk, weight=chunk.weight * by_cluster),
    )


def pooled(size: Float[Array, "G S"], count: Float[Array, "G S"], plan: Plan) -> SizePools:
    """Clusters of these sizes and numbers in the pools of the plan."""
    return in_pools(jnp, size, count, plan.pool)


def weighted_pools(plan: Plan, weights: Float[Array, " J"]) -> SizePools:
    """The pools of the plan's clusters, cluster j counting weights[j] times."""
    groups, length = plan.size.shape
    count = jax.ops.segment_sum(weights, plan.slot, groups * length).reshape(groups, length)
    return pooled(jnp.asarray(plan.size, weights.dtype), count, plan)


def traced_clusters(
    values: Float[Array, "N p"], cluster: Int[Array, " N"], group: Int[Array, " J"], size: Float[Array, " J"]
) -> ClusterStatistics:
    """Cluster statistics of rows that may be tracers. cluster (N,) codes 0..J-1; size (J,) rows of each cluster."""
    count, p = len(size), values.shape[1]
    rows = jnp.asarray(size, values.dtype)
    mean = jax.ops.segment_sum(values, cluster, count) / rows[:, None]
    centred = values - mean[cluster]
    products = (centred[:, :, None] * centred[:, None, :]).reshape(-1, p * p)
    cross = jax.ops.segment_sum(products, cluster, count).reshape(count, p, p)
    return ClusterStatistics(jnp.asarray(group), rows, mean, cross)
