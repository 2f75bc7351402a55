"""Reduction of the cluster layer inside JAX: weights on clusters, or cluster statistics that are themselves traced.

Which clusters have which size is fixed before tracing (a Plan); weights, means and cross-products may be tracers, so statistics
can be differentiated in them and a bootstrap draw costs a matrix product.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.statistics._complete import ClusterStatistics, CompleteStatistics, bucket
from mlsem_jax.statistics._statistics import Statistics


class Plan(eqx.Module):
    """Where each cluster goes. size (G, S) distinct sizes, padded; slot (J,) = group * S + place of the cluster's size;
    pool (G, L, S): 1 where a size belongs to a pooled size of the scoring metric.
    """

    size: Float[Array, "G S"]
    slot: Int[Array, " J"]
    pool: Float[Array, "G L S"]


def plan_sizes(size: np.ndarray, group: np.ndarray, groups: int, limit: int = 6) -> Plan:
    """The plan for clusters of these sizes (J,) and group codes (J,)."""
    size, group = np.asarray(size, float), np.asarray(group, int)
    distinct = [np.unique(size[group == g]) for g in range(groups)]
    length = bucket(max(len(d) for d in distinct))
    slot = np.zeros(len(size), int)
    padded, pool = np.ones((groups, length)), np.zeros((groups, min(limit, length), length))
    for g, sizes in enumerate(distinct):
        here = np.flatnonzero(group == g)
        which = np.searchsorted(sizes, size[here])
        slot[here] = g * length + which
        padded[g] = np.concatenate([sizes, np.full(length - len(sizes), sizes[-1])])
        count = np.bincount(which, minlength=length)
        middle = (np.cumsum(count) - count / 2) / count.sum()
        part = np.arange(length) if length <= limit else np.minimum((middle * limit).astype(int), limit - 1)
        pool[g, part, np.arange(length)] = 1.0
    return Plan(padded, slot, pool)


def weighted_statistics(clusters: ClusterStatistics, plan: Plan, weights: Float[Array, " J"]) -> Statistics:
    """Statistics in which cluster j counts weights[j] times; traceable in everything but the plan."""
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
    complete = CompleteStatistics(
        rows=jnp.sum(count * plan.size, -1),
        clusters=jnp.sum(count, -1),
        within=jnp.sum(cross, axis=1).reshape(groups, p, p),
        size=jnp.asarray(plan.size, count.dtype),
        count=count,
        mean=centre.reshape(groups, length, p) + shift,
        cov=jnp.where((count > 0)[..., None, None], cov, 0.0),
    )
    return Statistics(complete, pooled(complete, plan))


def pooled(complete: CompleteStatistics, plan: Plan) -> CompleteStatistics:
    """Sizes pooled into a few, for the scoring metric only: means and covariances of cluster means are left empty."""
    count = jnp.einsum("gls,gs->gl", plan.pool, complete.count)
    total = jnp.einsum("gls,gs->gl", plan.pool, complete.count * complete.size)
    size = jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), jnp.max(complete.size, -1, keepdims=True))
    p = complete.within.shape[-1]
    empty = jnp.zeros((*count.shape, p), count.dtype)
    return CompleteStatistics(
        complete.rows, complete.clusters, complete.within, size, count, empty, jnp.zeros((*empty.shape, p), count.dtype)
    )


def traced_clusters(values: Float[Array, "N p"], cluster: np.ndarray, group: np.ndarray) -> ClusterStatistics:
    """Cluster statistics of rows that may be tracers; cluster (N,) codes 0..J-1 and group (J,) are concrete."""
    count = len(group)
    size = np.bincount(cluster, minlength=count).astype(float)
    mean = jax.ops.segment_sum(values, cluster, count) / size[:, None].astype(values.dtype)
    centred = values - mean[cluster]
    p = values.shape[1]
    products = (centred[:, :, None] * centred[:, None, :]).reshape(-1, p * p)
    cross = jax.ops.segment_sum(products, cluster, count).reshape(count, p, p)
    return ClusterStatistics(jnp.asarray(group), jnp.asarray(size, values.dtype), mean, cross)
