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

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Moments
from mlsem_jax.numerics import root, sweep
from mlsem_jax.statistics import ClusterChunk, PatternStatistics


class _Rows(eqx.Module):
    """Per row pattern: W (R, p, p), log-determinant (R,) and mean less the reference (R, p), zero where unobserved."""

    precision: Array
    logdet: Array
    mean: Array


class _Between(eqx.Module):
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


def _inverse_of_observed(cov: Array, observed: Array) -> tuple[Array, Array]:
    """Inverse of the observed block, zero elsewhere, and its log-determinant, for (R, p, p) and masks (R, p)."""
    block = observed[:, :, None] * cov * observed[:, None, :] + jnp.eye(cov.shape[-1]) * (1 - observed)[:, None, :]
    precision, logdet, _ = sweep(block)
    return precision * observed[:, :, None] * observed[:, None, :], logdet


def row_patterns(moments: Moments, s: PatternStatistics) -> _Rows:
    """The part of the moments that each pattern of rows sees."""
    precision, logdet = _inverse_of_observed(moments.within_cov[s.group], s.observed)
    return _Rows(precision, logdet, (moments.mean[s.group] - s.reference) * s.observed)


def between_patterns(moments: Moments, s: PatternStatistics) -> _Between:
    """The distribution of u given each pattern of between-only variables, and theirs."""
    p = s.observed.shape[-1]
    cov, mean = moments.between_cov[s.between_group], moments.between_mean[s.between_group]
    precision, logdet = _inverse_of_observed(cov[:, :p, :p], s.between_observed)
    to_u = cov[:, :, :p] @ precision
    u = cov.shape[-1]
    # slopes have their mean in u; the mean of the between part of y is in mu already
    slope_mean = jnp.where(jnp.arange(u) >= p, mean, 0.0)
    return _Between(
        cov=cov - to_u @ jnp.swapaxes(cov[:, :, :p], -1, -2),
        map=to_u,
        cov_between=cov[:, :p, :p] * s.between_observed[:, :, None] * s.between_observed[:, None, :],
        precision=precision,
        logdet=logdet,
        number=jnp.sum(s.between_observed, -1),
        mean=(mean[:, :p] - s.reference) * s.between_observed,
        centre=slope_mean,
    )


def _design(moments: Moments, effects: Array) -> Array:
    """E (G, a, p, u) with Z_i = sum_a t_ia E_a for t_i = (1, x_i): the identity's columns of the variables with a between part,
    then, for slope k, direction d_k in the column of that slope.
    """
    groups, p = moments.mean.shape
    eye = jnp.eye(p, dtype=moments.mean.dtype)[:, effects]
    slopes = 0 if moments.directions is None else moments.directions.shape[1]
    first = jnp.concatenate([eye, jnp.zeros((p, slopes), eye.dtype)], axis=1)
    first = jnp.broadcast_to(first, (groups, 1, *first.shape))
    if moments.directions is None:
        return first
    columns = jnp.eye(len(effects) + slopes, dtype=eye.dtype)[len(effects) :]
    return jnp.concatenate([first, moments.directions[:, :, :, None] * columns[None, :, None, :]], axis=1)


def _clusters(moments: Moments, rows: _Rows, between: _Between, effects: Array, chunk: ClusterChunk) -> Array:
    """The part of log L_j that is not a sum over rows, (L,) for the clusters of one chunk (no chunk axis).

    effects (e,): the variables that have a between part and are not between-only. u is their between parts and the slopes.
    """
    length, p = chunk.group.shape[0], moments.mean.shape[1]
    here = jnp.concatenate([effects, jnp.arange(p, moments.between_cov.shape[-1])])
    u = here.shape[0]
    # residual sums about the mean of the pattern, by element of t
    residual = chunk.total - chunk.products[:, :, :1] * rows.mean[chunk.pattern][:, None, :]
    if moments.directions is None:
        w = rows.precision[:, effects]
        a_pairs = chunk.products[:, 0, 0, None, None] * w[:, :, effects][chunk.pattern]
        b_pairs = jnp.einsum("kij,kj->ki", w[chunk.pattern], residual[:, 0])
    else:
        e = _design(moments, effects)[chunk.group[chunk.cluster]]
        we = jnp.einsum("kij,kbju->kbiu", rows.precision[chunk.pattern], e)
        a_pairs = jnp.einsum("kab,kaiu,kbiv->kuv", chunk.products, e, we)
        b_pairs = jnp.einsum("kaiu,kai->ku", we, residual)
    a = jax.ops.segment_sum(a_pairs, chunk.cluster, length)
    b = jax.ops.segment_sum(b_pairs, chunk.cluster, length)
    which = chunk.between_pattern
    z = chunk.between - between.mean[which]
    c = between.centre[:, here][which] + jnp.einsum("lui,li->lu", between.map[:, here][which], z)
    r, beta = root(a, b)
    k = jnp.eye(u, dtype=a.dtype) + jnp.swapaxes(r, -1, -2) @ between.cov[:, here][:, :, here][which] @ r
    k_inverse, logdet, _ = sweep(k)
    shifted = beta - jnp.einsum("luv,lu->lv", r, c)
    quadratic = jnp.einsum("lu,luv,lv->l", shifted, k_inverse, shifted) - jnp.sum(beta**2, -1)
    outside = jnp.einsum("li,lij,lj->l", z, between.precision[which], z) + between.logdet[which]
    constant = jnp.log(2 * jnp.pi) * between.number[which]
    return -0.5 * chunk.weight * (logdet + quadratic + outside + constant)


def _row_terms(precision, logdet, mean, observed, count, total, cross) -> Array:
    """-1/2 sum over rows of log|Sigma_W,rr| + residual quadratic + constant, from sums over rows (leading axis free)."""
    centred = cross - total[:, :, None] * mean[:, None, :] - mean[:, :, None] * total[:, None, :]
    centred = centred + count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    number = jnp.log(2 * jnp.pi) * jnp.sum(observed, -1)
    return -0.5 * (count * (logdet + number) + jnp.sum(precision * centred, (-1, -2)))


def _reduced(moments: Moments, s: PatternStatistics) -> tuple[Array, Moments]:
    """Value and gradient, summed over chunks by a scan so that only one chunk is differentiated at a time."""

    def by_pattern(moments):
        rows = row_patterns(moments, s)
        return jnp.sum(_row_terms(rows.precision, rows.logdet, rows.mean, s.observed, s.rows, s.total, s.cross))

    def chunk_value(moments, chunk):
        rows, between = row_patterns(moments, s), between_patterns(moments, s)
        return jnp.sum(_clusters(moments, rows, between, s.effects, chunk))

    value, gradient = jax.value_and_grad(by_pattern)(moments)

    def one(total, chunk):
        return jax.tree.map(jnp.add, total, jax.value_and_grad(chunk_value)(moments, chunk)), None

    return jax.lax.scan(one, (value, gradient), s.clusters)[0]


def pattern_log_likelihood(moments: Moments, s: PatternStatistics) -> tuple[Float[Array, ""], Moments]:
    """Log-likelihood, summed over all groups, and its gradient in the moments. -inf where not positive definite."""
    value, gradient = _reduced(moments, s)
    return jnp.where(jnp.isfinite(value), value, -jnp.inf), gradient


def pattern_cluster_log_likelihood(moments: Moments, s: PatternStatistics) -> Float[Array, "C L"]:
    """Log-likelihood of every cluster (chunks, clusters in a chunk); statistics must hold cross-products by pair."""
    rows, between = row_patterns(moments, s), between_patterns(moments, s)

    def one(chunk: ClusterChunk):
        at = chunk.pattern
        count = chunk.products[:, 0, 0]
        terms = _row_terms(
            rows.precision[at], rows.logdet[at], rows.mean[at], s.observed[at], count, chunk.total[:, 0], chunk.cross
        )
        by_cluster = jax.ops.segment_sum(terms, chunk.cluster, chunk.group.shape[0])
        return by_cluster + _clusters(moments, rows, between, s.effects, chunk)

    return jax.lax.map(one, s.clusters)
