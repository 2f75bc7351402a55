"""The EM view of the two-level likelihood: cluster effects (and missing values) as missing data, in closed form.

Complete data are the between parts u_j, with u_j ~ N(mu_B, Sigma_B), between-only variables among them, and the rows less them,
y_ij - u_j ~ N(mu_W, Sigma_W): two single-level normal samples of J and N vectors that share the parameters (Dempster, Rubin &
Tsutakawa 1981; Muthen & Asparouhov 2011 for two-level models). The E-step replaces their sums and cross-products by
expectations given the data; what the M-step then maximises is a single-level normal log-likelihood at each level.

Variables without between variance have no effect u: their whole mean belongs to the rows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._evaluate import Evaluation, chain, moments_and_jacobian
from mlsem_jax.likelihood._term import Statistics
from mlsem_jax.models import Moments, Structure
from mlsem_jax.numerics import sweep


class LevelSums(Record):
    """Expected sums of one level about `centre` (G, p): count (G,), total (G, p) and cross-products (G, p, p)."""

    count: Float[Array, " G"]
    centre: Float[Array, "G p"]
    total: Float[Array, "G p"]
    cross: Float[Array, "G p p"]


class ExpectedStatistics(Record):
    """What the E-step hands to the M-step: expected complete-data sums of the rows and of the clusters."""

    within: LevelSums
    between: LevelSums


def absent(moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Array]:
    """Masks (G, p) of the variables that have no part at level 1 and no variance at level 2."""
    diagonal = jnp.diagonal(moments.between_cov, axis1=1, axis2=2)
    nowhere = jax.lax.stop_gradient(diagonal == 0).astype(diagonal.dtype)
    return jnp.broadcast_to(between_only, diagonal.shape), nowhere


def level_means(moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Array]:
    """Means (G, p) of y - u and of u: the level-1 mean takes all of the mean where u does not exist, and none of it for z."""
    no_within, no_between = absent(moments, between_only)
    between = moments.between_mean + no_within * moments.within_mean
    return (
        (1 - no_within) * (moments.within_mean + no_between * moments.between_mean),
        (1 - no_between) * between,
    )


def expected_statistics(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> ExpectedStatistics:
    """E-step at theta. Sigma_B must be positive definite where it has variance; random slopes are not covered."""
    moments = structure(theta)
    within_centre, between_centre = level_means(moments, structure.between_only)
    groups, p = between_centre.shape
    dtype = between_centre.dtype
    zero = (jnp.zeros(groups, dtype), jnp.zeros((groups, p), dtype), jnp.zeros((groups, p, p), dtype))
    rows, clusters = zero, zero
    for term in statistics.terms:
        more = term.expected_sums(moments, structure.between_only)
        rows, clusters = jax.tree.map(jnp.add, (rows, clusters), more)
    no_within, no_between = absent(moments, structure.between_only)

    def sums(parts, centre, gone):
        count, total, cross = parts
        keep = 1 - gone
        return LevelSums(count, centre, total * keep, cross * keep[:, :, None] * keep[:, None, :])

    return ExpectedStatistics(sums(rows, within_centre, no_within), sums(clusters, between_centre, no_between))


def _normal(cov: Array, mean: Array, gone: Array, sums: LevelSums):
    """Single-level normal log-likelihood of one group without its constant, its derivatives, and the precision matrix."""
    precision, logdet, _ = sweep(cov + jnp.diag(gone))
    shift = mean - sums.centre
    mixed = sums.total[:, None] * shift
    scatter = sums.cross - mixed - mixed.T + sums.count * shift[:, None] * shift
    value = -0.5 * (sums.count * logdet + jnp.sum(precision * scatter))
    # nothing is known about the rows of a level that have none
    precision = precision * (1 - gone)[:, None] * (1 - gone)
    by_cov = 0.5 * (precision @ scatter @ precision - sums.count * precision)
    by_mean = precision @ (sums.total - sums.count * shift)
    return jnp.where(jnp.isfinite(logdet), value, -jnp.inf), by_cov, by_mean, precision


def expected_complete_log_likelihood(
    structure: Structure, theta: Float[Array, " q"], expected: ExpectedStatistics
) -> Float[Array, ""]:
    """Expected complete-data log-likelihood, a sum over rows and clusters without constants. -inf where a covariance matrix is
    not positive definite.
    """
    moments = structure(theta)
    gone, means = absent(moments, structure.between_only), level_means(moments, structure.between_only)
    within = jax.vmap(_normal)(moments.within_cov, means[0], gone[0], expected.within)[0]
    between = jax.vmap(_normal)(moments.between_cov, means[1], gone[1], expected.between)[0]
    return jnp.sum(within) + jnp.sum(between)


def evaluate_expected(structure: Structure, theta: Float[Array, " q"], expected: ExpectedStatistics) -> Evaluation:
    """The expected complete-data log-likelihood with its gradient (q,) and its expected information (q, q)."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    no_within, no_between = gone = absent(moments, structure.between_only)
    means = level_means(moments, structure.between_only)
    value_w, cov_w, mean_w, precision_w = jax.vmap(_normal)(moments.within_cov, means[0], gone[0], expected.within)
    value_b, cov_b, mean_b, precision_b = jax.vmap(_normal)(moments.between_cov, means[1], gone[1], expected.between)
    gradient = moments.with_parts(
        cov_w,
        cov_b,
        mean_w * (1 - no_within) + mean_b * no_within,
        mean_b * (1 - no_between) + mean_w * no_between * (1 - no_within),
    )
    d_within = (1 - no_within)[:, :, None] * (jacobian.within_mean + no_between[:, :, None] * jacobian.between_mean)
    d_between = (1 - no_between)[:, :, None] * (jacobian.between_mean + no_within[:, :, None] * jacobian.within_mean)
    information = jax.vmap(_information)(precision_w, jacobian.within_cov, d_within, expected.within.count)
    information += jax.vmap(_information)(precision_b, jacobian.between_cov, d_between, expected.between.count)
    return Evaluation(jnp.sum(value_w) + jnp.sum(value_b), chain(gradient, jacobian), jnp.sum(information, axis=0))


def _information(precision: Array, d_cov: Array, d_mean: Array, count: Array) -> Array:
    """count * (1/2 tr(P dC P dC) + dm' P dm) for derivatives (p, p, q) and (p, q)."""
    x = jnp.einsum("ij,jkq->qik", precision, d_cov)
    q = x.shape[0]
    cov = 0.5 * x.reshape(q, -1) @ jnp.swapaxes(x, -1, -2).reshape(q, -1).T
    return count * (cov + d_mean.T @ precision @ d_mean)
