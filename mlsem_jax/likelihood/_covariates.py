"""The log-likelihood of fixed covariates alone, which reported log-likelihoods leave out.

Covariates whose moments are held exist at one level only: those of level 1 are independent normal rows, those of level 2
independent normal clusters, so their marginal likelihood needs sums over rows or clusters and nothing else.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Moments
from mlsem_jax.numerics import sweep
from mlsem_jax.statistics import CompleteStatistics, PatternStatistics, Statistics


def covariates_log_likelihood(
    moments: Moments, within: Float[Array, " p"], between: Float[Array, " p"], statistics: Statistics
) -> Float[Array, ""]:
    """Sum over rows of log f(x) for the level-1 covariates marked 1 in `within`, and over clusters for those in `between`."""
    groups, p = moments.within_mean.shape
    zero = jnp.zeros((groups, p, p), moments.within_cov.dtype)
    rows = (zero[:, 0, 0], zero[:, 0], zero)
    clusters = rows
    if statistics.complete is not None:
        rows, clusters = (
            _add(total, more)
            for total, more in zip((rows, clusters), _complete(moments, statistics.complete), strict=True)
        )
    if statistics.patterns is not None:
        rows, clusters = (
            _add(total, more)
            for total, more in zip((rows, clusters), _patterns(moments, statistics.patterns), strict=True)
        )
    between_cov = moments.between_cov[:, :p, :p]
    return _normal(within, moments.within_cov, *rows) + _normal(between, between_cov, *clusters)


def _add(total: tuple, more: tuple) -> tuple:
    return tuple(a + b for a, b in zip(total, more, strict=True))


def _normal(mask: Array, cov: Array, count: Array, _total: Array, cross: Array) -> Array:
    """Log-likelihood of `count` (G,) vectors with cross-products `cross` (G, p, p) about their model mean."""
    both = mask[:, None] * mask[None, :]
    precision, logdet, _ = sweep(jnp.where(both > 0, cov, jnp.eye(len(mask), dtype=cov.dtype)))
    quadratic = jnp.sum(jnp.where(both > 0, precision * cross, 0.0), axis=(-2, -1))
    return -0.5 * jnp.sum(count * (jnp.sum(mask) * jnp.log(2 * jnp.pi) + logdet) + quadratic)


def _about(mean: Array, count: Array, total: Array, cross: Array) -> tuple[Array, Array, Array]:
    """Cross-products about `mean` (G, p) from those about zero."""
    outer = total[:, :, None] * mean[:, None, :]
    shift = count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return count, total, cross - outer - jnp.swapaxes(outer, -1, -2) + shift


def _complete(moments: Moments, s: CompleteStatistics) -> tuple[tuple, tuple]:
    def sums(weight, mean):
        deviation = s.mean - mean[:, None, :]
        scatter = s.cov + deviation[..., :, None] * deviation[..., None, :]
        return (
            jnp.sum(weight, -1),
            jnp.einsum("gs,gsp->gp", weight, deviation),
            jnp.einsum("gs,gspq->gpq", weight, scatter),
        )

    _, total, cross = sums(s.count * s.size, moments.within_mean)
    return (s.rows, total, cross + s.within), sums(s.count, moments.between_mean[:, : s.mean.shape[-1]])


def _patterns(moments: Moments, s: PatternStatistics) -> tuple[tuple, tuple]:
    groups, p = moments.within_mean.shape
    rows = jax.tree.map(lambda x: jax.ops.segment_sum(x, s.group, groups), (s.rows, s.total, s.cross))
    chunk = s.clusters
    weight, values, group = chunk.weight.reshape(-1), chunk.between.reshape(-1, p), chunk.group.reshape(-1)
    by_cluster = (weight, weight[:, None] * values, weight[:, None, None] * values[:, :, None] * values[:, None, :])
    clusters = jax.tree.map(lambda x: jax.ops.segment_sum(x, group, groups), by_cluster)
    return (
        _about(moments.within_mean - s.reference, *rows),
        _about(moments.between_mean[:, :p] - s.reference, *clusters),
    )
