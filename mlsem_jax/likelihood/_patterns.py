"""The two-level log-likelihood by missing-value pattern and its gradient, from sums over clusters.

The clusters enter through the quantities of `_pattern_clusters`; their sums are those of the E-step of the EM algorithm with the
cluster effects as missing data, and the gradient is that of the function which an M-step would maximise (Fisher's identity;
Dempster, Laird & Rubin 1977), so that nothing is differentiated through the clusters.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._effects import EffectPosterior, by_effects, posterior
from mlsem_jax.likelihood._pairs import Pairs, sums_by
from mlsem_jax.likelihood._pattern_clusters import (
    Between,
    PatternMoments,
    cluster_effects,
    effects_along,
    effects_at,
    pattern_moments,
)
from mlsem_jax.models import Moments
from mlsem_jax.observed import ClusterChunk, PatternStatistics


def row_terms(precision, logdet, mean, observed, count, total, cross) -> Array:
    """-1/2 sum over rows of log|Sigma_W,rr| + residual quadratic + constant, from sums over rows (leading axis free)."""
    centred = cross - total[:, :, None] * mean[:, None, :] - mean[:, :, None] * total[:, None, :]
    centred = centred + count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    number = math.log(2 * math.pi) * observed.sum(-1)
    return -0.5 * (count * (logdet + number) + (precision * centred).sum((-1, -2)))


def outside_effects(between: Between, chunk: ClusterChunk | Any, xp: ModuleType = jnp) -> Array:
    """Log-likelihood of the between-only variables of every cluster of the chunk, (L,)."""
    which = chunk.between_pattern
    z = chunk.between - between.mean[which]
    quadratic = xp.einsum("li,lij,lj->l", z, between.precision[which], z)
    return -0.5 * (quadratic + between.logdet[which] + math.log(2 * math.pi) * between.number[which])


class PatternSums(NamedTuple):
    """What the gradient needs of all clusters: the E-step of the EM algorithm with u as missing data, clusters weighted.

    By row pattern: second (R, a, a, u, u), first (R, a, u), cross (R, a, p, u), sums of t t' times -E(u u')/2, of t times E(u)
    and of t y' times E(u). By pattern of between-only variables z: cov (Rb, u, u), slope (Rb, u), mixed (Rb, u, p), sums of
    (s s' - T) / 2, of s and of s z' in the notation of `_effects`; count (Rb,), total (Rb, p), square (Rb, p, p) of z.
    """

    second: Array
    first: Array
    cross: Array
    cov: Array
    slope: Array
    mixed: Array
    count: Array
    total: Array
    square: Array


def chunk_sums(
    at: EffectPosterior,
    s: PatternStatistics | Any,
    chunk: ClusterChunk | Any,
    pairs: Pairs | None = None,
    xp: ModuleType = jnp,
    of_z: tuple[Array, Array, Array] | None = None,
) -> PatternSums:
    """The sums over the clusters of one chunk. pairs, of_z: those of the chunk (`sums_of_between`), where they are made once."""
    w, z = chunk.weight, chunk.between
    slope = by_effects(at).times(w)
    pairs = Pairs(chunk, len(s.rows)) if pairs is None else pairs

    def by_between(x):
        return sums_by(xp, x, chunk.between_pattern, s.between_group.shape[0])

    z_sums = sums_of_between(s, chunk, xp) if of_z is None else of_z
    return PatternSums(
        second=pairs.to_patterns("products", slope.rows.a),
        first=pairs.to_patterns("first", slope.rows.b),
        cross=pairs.to_patterns("total", slope.rows.b),
        cov=by_between(slope.prior.cov),
        slope=by_between(slope.prior.mean),
        mixed=by_between(slope.prior.mean[:, :, None] * z[:, None, :]),
        count=z_sums[0],
        total=z_sums[1],
        square=z_sums[2],
    )


def sums_of_between(
    s: PatternStatistics | Any, chunk: ClusterChunk | Any, xp: ModuleType = jnp
) -> tuple[Array, Array, Array]:
    """Number (Rb,), sums (Rb, p) and cross-products (Rb, p, p) of the between-only variables by pattern."""
    w, z = chunk.weight, chunk.between
    each = (w, w[:, None] * z, w[:, None, None] * z[:, :, None] * z[:, None, :])
    count = s.between_group.shape[0]
    return (
        sums_by(xp, each[0], chunk.between_pattern, count),
        sums_by(xp, each[1], chunk.between_pattern, count),
        sums_by(xp, each[2], chunk.between_pattern, count),
    )


def by_pattern(seen: PatternMoments, s: PatternStatistics | Any) -> Array:
    """Sum of the part of the log-likelihood that needs sums over rows only."""
    rows = seen.rows
    return (row_terms(rows.precision, rows.logdet, rows.mean, s.observed, s.rows, s.total, s.cross)).sum()


def pattern_sums(moments: Moments, s: PatternStatistics) -> tuple[Array, PatternSums]:
    """Log-likelihood and the sums that its gradient needs, chunk by chunk, so that memory is that of one chunk."""
    seen = pattern_moments(moments, s)

    def one(chunk: ClusterChunk) -> tuple[Array, PatternSums]:
        x = cluster_effects(seen, s, chunk)
        at = posterior(jnp, x.prior, x.rows)
        return jnp.sum(chunk.weight * (at.value + outside_effects(seen.between, chunk))), chunk_sums(at, s, chunk)

    first = jax.tree.map(lambda x: x[0], s.clusters)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, first))
    value, sums = jax.lax.scan(lambda total, c: (jax.tree.map(jnp.add, total, one(c)), None), zero, s.clusters)[0]
    return value + by_pattern(seen, s), sums


def expected_by_pattern(moments: Moments, sums: PatternSums, s: PatternStatistics) -> Array:
    """A function of the moments that has the gradient of the log-likelihood where `sums` was computed (Fisher's identity): the
    log-likelihood linearised in A, b, c and S of every cluster, summed by pattern.
    """
    seen = pattern_moments(moments, s)
    between, here = seen.between, effects_at(s, moments.between_cov.shape[-1])
    on_rows = (
        jnp.sum(seen.outer * sums.second) + jnp.sum(seen.weighted * sums.cross) - jnp.sum(seen.offset * sums.first)
    )
    mixed = sums.mixed - sums.slope[:, :, None] * between.mean[:, None, :]
    on_effects = (
        jnp.sum(between.cov[:, here][:, :, here] * sums.cov)
        + jnp.sum(between.centre[:, here] * sums.slope)
        + jnp.sum(between.map[:, here] * mixed)
    )
    outside = row_terms(
        between.precision, between.logdet, between.mean, s.between_observed, sums.count, sums.total, sums.square
    )
    return by_pattern(seen, s) + on_rows + on_effects + jnp.sum(outside)


def pattern_gradient(moments: Moments, sums: PatternSums, s: PatternStatistics) -> Moments:
    """Gradient of the log-likelihood in the moments, given the sums at these moments."""
    return jax.grad(expected_by_pattern)(moments, sums, s)


def pattern_log_likelihood(moments: Moments, s: PatternStatistics) -> tuple[Float[Array, ""], Moments]:
    """Log-likelihood, summed over all groups, and its gradient in the moments. -inf where not positive definite."""
    value, sums = pattern_sums(moments, s)
    return jnp.where(jnp.isfinite(value), value, -jnp.inf), pattern_gradient(moments, sums, s)


def pattern_cluster_scores(
    moments: Moments, jacobian: Moments, s: PatternStatistics
) -> tuple[Float[Array, "C L"], Float[Array, "C L q"]]:
    """Log-likelihood and score of every cluster (chunks, clusters in a chunk); statistics must hold cross-products by pair.

    jacobian: derivatives of the moments along a new last axis (q).
    """
    tangents = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), jacobian)
    with_derivatives = effects_along(moments, tangents, s)

    def both(seen, s, chunk):
        return cluster_effects(seen, s, chunk), _outside_effects(seen, s, chunk)

    def one(chunk: ClusterChunk):
        (x, rest), (dx, d_rest) = with_derivatives(chunk, both)
        at = posterior(jnp, x.prior, x.rows)
        each = jax.tree.map(lambda g, d: jnp.sum((g * d).reshape(*d.shape[:2], -1), -1), by_effects(at), dx)
        score = chunk.weight * sum(jax.tree.leaves(each)) + d_rest
        return chunk.weight * at.value + rest, score.T

    return jax.lax.map(one, s.clusters)


def _outside_effects(seen: PatternMoments, s: PatternStatistics, chunk: ClusterChunk) -> Array:
    """What is not `EffectPosterior.value` of the log-likelihood of every cluster of the chunk (L,), from cross-products by pair."""
    at, count, rows = chunk.pattern, chunk.products[:, 0, 0], seen.rows
    terms = row_terms(
        rows.precision[at], rows.logdet[at], rows.mean[at], s.observed[at], count, chunk.total[:, 0], chunk.cross
    )
    by_cluster = jax.ops.segment_sum(terms, chunk.cluster, chunk.group.shape[0])
    return by_cluster + chunk.weight * outside_effects(seen.between, chunk)
