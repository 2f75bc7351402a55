"""The two-level Gaussian log-likelihood for any pattern of missing values and for random slopes, in information form.

Row i of cluster j, seen through its pattern r, is y_i = mu + Z_i u_j + e_i with e_i ~ N(0, Sigma_W), Z_i = (I, d_1 x_i1, ...)
and u_j, the between part of y and the random slopes, normal with covariance S and mean c given the between-only variables.
With W_r the inverse of the observed block of Sigma_W (zero elsewhere), A_j = sum Z_i' W Z_i = R R', b_j = sum Z_i' W (y_i - mu) =
R beta and K_j = I + R' S R,

    -2 log L_j = sum_i log|Sigma_W,rr| + sum_i (y_i - mu)' W (y_i - mu) - beta'beta
                 + (beta - R'c)' K^-1 (beta - R'c) + log|K| + constant.

Exact for any S, singular or indefinite, as long as the covariance matrix of the cluster is positive definite, which K then is
too; and for any A: it is singular where a variable is never seen in a cluster, or where the covariate of a random slope is
constant there, as in a cluster of one row. Rows enter through sums by (cluster, pattern) only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array
from mlsem_jax.likelihood._directions import with_tangents
from mlsem_jax.likelihood._effects import EffectInformation, EffectPrior, Effects, inverse_of_observed, regression
from mlsem_jax.likelihood._pairs import Pairs
from mlsem_jax.models import Moments, PlainParts
from mlsem_jax.observed import ClusterChunk, PatternStatistics


class Rows(NamedTuple):
    """Per row pattern: W (R, p, p), log-determinant (R,) and mean less the reference (R, p), zero where unobserved."""

    precision: Array
    logdet: Array
    mean: Array


class Between(NamedTuple):
    """Per pattern of between-only variables: covariance (Rb, u, u) and offset map (Rb, u, p) of u given them; their own
    covariance and precision (Rb, p, p), log-determinant (Rb,), number (Rb,), mean (Rb, p) less the reference; and the mean of u
    (Rb, u) at that mean.
    """

    cov: Array
    map: Array
    cov_between: Array
    precision: Array
    logdet: Array
    number: Array
    mean: Array
    centre: Array


def row_patterns(moments: Moments | PlainParts, s: PatternStatistics | Any, xp: ModuleType = jnp) -> Rows:
    """The part of the moments that each pattern of rows sees."""
    precision, logdet = inverse_of_observed(xp, moments.within_cov[s.group], s.observed)
    return Rows(precision, logdet, (moments.mean[s.group] - s.reference) * s.observed)


def between_patterns(moments: Moments | PlainParts, s: PatternStatistics | Any, xp: ModuleType = jnp) -> Between:
    """The distribution of u given each pattern of between-only variables, and theirs."""
    p = s.observed.shape[-1]
    cov, mean = moments.between_cov[s.between_group], moments.between_mean[s.between_group]
    seen = regression(xp, cov, s.between_observed)
    u = cov.shape[-1]
    # slopes have their mean in u; the mean of the between part of y is in mu already
    slope_mean = xp.where(xp.arange(u) >= p, mean, 0.0)
    return Between(
        cov=seen.rest,
        map=seen.map,
        cov_between=cov[:, :p, :p] * s.between_observed[:, :, None] * s.between_observed[:, None, :],
        precision=seen.precision,
        logdet=seen.logdet,
        number=xp.sum(s.between_observed, -1),
        mean=(mean[:, :p] - s.reference) * s.between_observed,
        centre=slope_mean,
    )


def _design(moments: Moments, at: Array) -> Array:
    """E (G, a, p, u) with Z_i = sum_a t_ia E_a for t_i = (1, x_i): the identity's columns of the variables with a between part,
    then, for slope k, direction d_k in the column of that slope.
    """
    groups, p = moments.mean.shape
    eye = jnp.eye(p, dtype=moments.mean.dtype)[:, at]
    slopes = 0 if moments.directions is None else moments.directions.shape[1]
    first = jnp.concatenate([eye, jnp.zeros((p, slopes), eye.dtype)], axis=1)
    first = jnp.broadcast_to(first, (groups, 1, *first.shape))
    if moments.directions is None:
        return first
    columns = jnp.eye(len(at) + slopes, dtype=eye.dtype)[len(at) :]
    return jnp.concatenate([first, moments.directions[:, :, :, None] * columns[None, :, None, :]], axis=1)


class PatternMoments(NamedTuple):
    """What all clusters see of the moments: by row pattern, and by pattern of between-only variables.

    outer (R, a, a, u, u): E_a' W E_b; weighted (R, a, p, u): W E_a; offset (R, a, u): E_a' W mu, all in the design of the
    pattern's group. The effects u are those of the variables of both levels, then the slopes.
    """

    rows: Rows
    between: Between
    outer: Array
    weighted: Array
    offset: Array


def pattern_moments(moments: Any, s: PatternStatistics | Any, xp: ModuleType = jnp) -> PatternMoments:
    """Everything that is computed once for all clusters."""
    rows = row_patterns(moments, s, xp)
    if xp is not jnp:  # the design is columns of the identity: there are no random slopes
        weighted = rows.precision[:, :, s.effects][:, None]
        outer = weighted[:, :, s.effects][:, :, None]
        offset = (rows.mean[:, None, None] @ weighted)[:, :, 0]
        return PatternMoments(rows, between_patterns(moments, s, xp), outer, weighted, offset)
    e = _design(moments, s.effects)[s.group]
    weighted = jnp.einsum("rij,raju->raiu", rows.precision, e)
    return PatternMoments(
        rows=rows,
        between=between_patterns(moments, s),
        outer=jnp.einsum("raiu,rbiv->rabuv", e, weighted),
        weighted=weighted,
        offset=jnp.einsum("raiu,ri->rau", weighted, rows.mean),
    )


def rows_information(
    seen: PatternMoments, s: PatternStatistics | Any, chunk: ClusterChunk | Any, pairs: Pairs | None = None
) -> EffectInformation:
    """A (L, u, u) and b (L, u) of every cluster of the chunk. pairs: those of the chunk, in NumPy, where they are made once."""
    pairs = Pairs(chunk, len(s.rows)) if pairs is None else pairs
    u = seen.offset.shape[-1]
    return EffectInformation(
        a=pairs.to_clusters("products", seen.outer.reshape(len(s.rows), -1, u * u)).reshape(-1, u, u),
        b=pairs.to_clusters("total", seen.weighted.reshape(len(s.rows), -1, u))
        - pairs.to_clusters("first", seen.offset),
    )


def prior_of(between: Between, chunk: ClusterChunk | Any, at: Array | None = None, xp: ModuleType = jnp) -> EffectPrior:
    """c (L, u) and S (L, u, u) of every cluster of the chunk, given its between-only variables: of the between variables and
    slopes at `at` (u,), or of all.
    """
    which, mean, to_z, cov = chunk.between_pattern, between.centre, between.map, between.cov
    if at is not None:  # for the patterns, which are fewer than the clusters
        mean, to_z, cov = mean[:, at], to_z[:, at], cov[:, at][:, :, at]
    z = chunk.between - between.mean[which]
    return EffectPrior(mean=mean[which] + xp.einsum("lui,li->lu", to_z[which], z), cov=cov[which])


def cluster_effects(seen: PatternMoments, s: PatternStatistics, chunk: ClusterChunk) -> Effects:
    """A, b, c and S of every cluster of the chunk, as in the formula above."""
    here = effects_at(s, seen.between.cov.shape[-1])
    return Effects(rows_information(seen, s, chunk), prior_of(seen.between, chunk, here))


def effects_along(
    moments: Moments, tangents: Moments, s: PatternStatistics
) -> Callable[[ClusterChunk, Callable[[PatternMoments, PatternStatistics, ClusterChunk], Any]], tuple[Any, Any]]:
    """A function of a chunk and of a function of what its clusters see, that gives its value and its derivatives along tangents
    of the moments with a leading axis (q).

    What the clusters see moves once for all chunks; where patterns are more than the pairs of a chunk, as when nearly every row
    has its own, chunk by chunk, so that memory is that of one chunk.
    """
    if len(s.rows) <= s.clusters.pattern.shape[1]:
        seen, along = with_tangents(lambda m: pattern_moments(m, s), moments, tangents)
        return lambda chunk, function: with_tangents(lambda x: function(x, s, chunk), seen, along)

    def of_chunk(chunk, function):
        own = _of_pairs(s, chunk)
        chunk = replace(chunk, pattern=jnp.arange(len(chunk.pattern)))
        return with_tangents(lambda m: function(pattern_moments(m, own), own, chunk), moments, tangents)

    return of_chunk


def _of_pairs(s: PatternStatistics, chunk: ClusterChunk) -> PatternStatistics:
    """The statistics with the pattern of each pair of the chunk as its own."""
    names = ("observed", "group", "rows", "total", "cross")
    return replace(s, **{name: getattr(s, name)[chunk.pattern] for name in names})


def effects_at(s: PatternStatistics, count: int) -> Array:
    """Where the effects u are among the `count` between variables and slopes."""
    return jnp.concatenate([s.effects, jnp.arange(s.observed.shape[1], count)])


def cluster_forms(moments: Moments, s: PatternStatistics) -> tuple[Array, Array]:
    """A and S (C, L, u, u) of every cluster (chunks, clusters in a chunk), in the notation above: with A = R R', the covariance
    matrix of a cluster is positive definite exactly where Sigma_W and I + R' S R are. Padding has A = 0.
    """
    seen = pattern_moments(moments, s)

    def one(chunk: ClusterChunk) -> tuple[Array, Array]:
        x = cluster_effects(seen, s, chunk)
        return x.rows.a * (chunk.weight > 0)[:, None, None], x.prior.cov

    return jax.lax.map(one, s.clusters)
