"""The log-likelihood as a function of theta: value, gradient, expected and observed information, cluster scores.

The Gaussian part is in closed form (see _complete); the derivatives of the moments in theta come from automatic
differentiation of the Structure, so they hold for any model.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._complete import complete_curvature, complete_information, complete_log_likelihood
from mlsem_jax.likelihood._directions import jacobian_in_parts
from mlsem_jax.likelihood._pattern_curvature import missing_curvature
from mlsem_jax.likelihood._pattern_information import pattern_information
from mlsem_jax.likelihood._patterns import (
    pattern_cluster_scores,
    pattern_gradient,
    pattern_log_likelihood,
    pattern_sums,
)
from mlsem_jax.models import Moments, Structure
from mlsem_jax.statistics import ClusterStatistics, CompleteStatistics, PatternStatistics, Statistics


class Evaluation(eqx.Module):
    """value: log-likelihood, a sum over all rows with its constant. gradient (q,). information (q, q): expected."""

    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    information: Float[Array, "q q"]


def moment_gradient(moments: Moments, between_only: Array, statistics: Statistics) -> tuple[Array, Moments]:
    """Log-likelihood (scalar) and its derivatives in each of the moments, over both routes of the statistics."""
    value, gradient = jnp.zeros((), moments.within_cov.dtype), jax.tree.map(jnp.zeros_like, moments)
    if statistics.complete is not None:
        by_group, gradient = complete_log_likelihood(moments, between_only, statistics.complete)
        value = jnp.sum(by_group)
    if statistics.patterns is not None:
        more, more_gradient = pattern_log_likelihood(moments, statistics.patterns)
        value, gradient = value + more, jax.tree.map(jnp.add, gradient, more_gradient)
    return value, gradient


def log_likelihood(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, ""]:
    """Joint log-likelihood of all variables, sum over rows, natural log, 2 pi constant included. -inf outside its domain."""
    return moment_gradient(structure(theta), structure.between_only, statistics)[0]


def chain(gradient: Moments, jacobian: Moments) -> Array:
    """Sum over groups and elements of d loglik/d moments times d moments/d theta: (q,)."""
    terms = jax.tree.map(lambda g, j: jnp.tensordot(g, j, g.ndim), gradient, jacobian)
    return sum(jax.tree.leaves(terms))


def moments_and_jacobian(structure: Structure, theta: Float[Array, " q"]) -> tuple[Moments, Moments]:
    """Moments, and their derivatives in theta along a new last axis (q)."""

    moments, push = jax.linearize(structure.moments, structure.natural(theta))
    return moments, jax.vmap(push, in_axes=1, out_axes=-1)(structure.basis)


def evaluate(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Evaluation:
    """Value, gradient and the scoring metric (expected information with pooled cluster sizes) in one pass."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    value, gradient = moment_gradient(moments, structure.between_only, statistics)
    if statistics.metric is not None:
        metric = complete_information(moments, jacobian, structure.between_only, statistics.metric)
    else:
        if statistics.patterns is None:
            raise ValueError(
                "Statistics without a metric need patterns: the outer product of their scores serves instead."
            )
        metric = outer_product_information(structure, theta, statistics.patterns)
    return Evaluation(value, chain(gradient, jacobian), metric)


def gradient(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, " q"]:
    """Gradient (q,) of the log-likelihood: closed form in the moments, reverse mode through the structure."""
    moments, back = jax.vjp(structure, theta)
    return back(moment_gradient(moments, structure.between_only, statistics)[1])[0]


def observed_information(
    structure: Structure,
    theta: Float[Array, " q"],
    statistics: Statistics,
    complete: Float[Array, "q q"] | None = None,
) -> Float[Array, "q q"]:
    """Minus the Hessian (q, q) of the log-likelihood: its curvature in the moments, in closed form, and that of the moments in
    theta, the forward-mode derivative of the structure's transposed Jacobian applied to the gradient in the moments.

    The clusters with missing values or random slopes count by a function with the same gradient that is linear in what they make
    of the moments, and their curvature in that. complete: the curvature of complete data in the moments, if it is known already.
    """
    moments, jacobian = moments_and_jacobian(structure, theta)
    total = jnp.zeros((theta.shape[0],) * 2, theta.dtype)
    slope, patterns = jax.tree.map(jnp.zeros_like, moments), statistics.patterns
    if statistics.complete is not None:
        slope = complete_log_likelihood(moments, structure.between_only, statistics.complete)[1]
        if complete is None:
            complete = complete_curvature(moments, jacobian, structure.between_only, statistics.complete)
        total = total + complete
    if patterns is not None:
        sums = pattern_sums(moments, patterns)[1]
        total = total + missing_curvature(moments, jacobian, patterns)

    def gradient(t):
        moments, back = jax.vjp(structure, t)
        by_moment = slope
        if patterns is not None:
            by_moment = jax.tree.map(jnp.add, slope, pattern_gradient(moments, sums, patterns))
        return back(by_moment)[0]

    if not structure.linear or patterns is not None:
        kinds, p = (1, 1) if patterns is None else patterns.observed.shape
        total = total + jacobian_in_parts(gradient, theta, kinds * p * p)
    return -(total + total.T) / 2


def expected_information(
    structure: Structure, theta: Float[Array, " q"], statistics: Statistics
) -> Float[Array, "q q"]:
    """Expected information (q, q) at the data's own cluster sizes and patterns of missing values."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    total = jnp.zeros((theta.shape[0],) * 2, theta.dtype)
    if statistics.complete is not None:
        total = total + complete_information(moments, jacobian, structure.between_only, statistics.complete)
    if statistics.patterns is not None:
        total = total + pattern_information(moments, jacobian, statistics.patterns)
    return total


def _one_cluster(clusters: ClusterStatistics, groups: int) -> CompleteStatistics:
    """A single cluster (no cluster axis) as the statistics of a data set of its own."""
    here = (jnp.arange(groups) == clusters.group).astype(clusters.mean.dtype)
    p = clusters.mean.shape[-1]
    ones = jnp.ones((groups, 1), clusters.mean.dtype)
    return CompleteStatistics(
        rows=here * clusters.size,
        clusters=here,
        within=here[:, None, None] * clusters.cross,
        size=ones * clusters.size,
        count=here[:, None],
        mean=ones[:, :, None] * clusters.mean,
        cov=jnp.zeros((groups, 1, p, p), clusters.mean.dtype),
    )


def cluster_scores(
    structure: Structure, theta: Float[Array, " q"], clusters: ClusterStatistics
) -> tuple[Float[Array, " J"], Float[Array, "J q"]]:
    """Log-likelihood (J,) and score (J, q) of every cluster: the one likelihood applied to each cluster alone.

    They sum to the log-likelihood and the gradient.
    """
    moments, jacobian = moments_and_jacobian(structure, theta)
    groups = moments.mean.shape[0]

    def one(cluster):
        value, g = complete_log_likelihood(moments, structure.between_only, _one_cluster(cluster, groups))
        return jnp.sum(value), chain(g, jacobian)

    return jax.vmap(one)(clusters)


def pattern_scores(
    structure: Structure, theta: Float[Array, " q"], patterns: PatternStatistics
) -> tuple[Float[Array, " L"], Float[Array, "L q"]]:
    """Log-likelihood and score of every cluster of the pattern route, padding (zeros) included; needs statistics by pair."""
    value, score = pattern_cluster_scores(*moments_and_jacobian(structure, theta), patterns)
    return value.ravel(), score.reshape(value.size, -1)


def outer_product_information(
    structure: Structure, theta: Float[Array, " q"], patterns: PatternStatistics
) -> Float[Array, "q q"]:
    """Sum over clusters of score outer products (Berndt, Hall, Hall & Hausman 1974): positive semidefinite for any model."""
    score = pattern_scores(structure, theta, patterns)[1]
    return score.T @ score
