"""The log-likelihood as a function of theta: value, gradient, expected and observed information, cluster scores.

The Gaussian part is in closed form (see _complete); the derivatives of the moments in theta come from automatic
differentiation of the Structure, so they hold for any model.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._complete import complete_log_likelihood, information_of_sizes
from mlsem_jax.likelihood._coordinates import Coordinates, information_at
from mlsem_jax.likelihood._directions import jacobian_in_parts
from mlsem_jax.likelihood._term import Statistics, Term, chain
from mlsem_jax.models import Moments, Structure
from mlsem_jax.observed import ClusterStatistics, CompleteStatistics


class Evaluation(NamedTuple):
    """value: log-likelihood, a sum over all rows with its constant. gradient (q,). metric (q, q): what scoring
    steps are taken with, positive semidefinite (see `evaluate`)."""

    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    metric: Float[Array, "q q"]


def moment_gradient(moments: Moments, between_only: Array, statistics: Statistics) -> tuple[Array, Moments]:
    """Log-likelihood (scalar) and its derivatives in each of the moments, summed over the terms."""
    parts = [term.value_and_gradient(moments, between_only) for term in statistics.terms]
    return _sum(parts)


def _sum(parts: list[Any]) -> Any:
    """The sum of trees of arrays, one of each term."""
    return functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts)


def log_likelihood(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, ""]:
    """Joint log-likelihood of all variables, sum over rows, natural log, 2 pi constant included. -inf outside its domain."""
    return moment_gradient(structure(theta), structure.between_only, statistics)[0]


def moments_and_jacobian(structure: Structure, theta: Float[Array, " q"]) -> tuple[Moments, Moments]:
    """Moments, and their derivatives in theta along a new last axis (q)."""

    moments, push = jax.linearize(structure.moments, structure.natural(theta))
    return moments, jax.vmap(push, in_axes=1, out_axes=-1)(structure.basis)


def evaluate(
    structure: Structure, theta: Float[Array, " q"], statistics: Statistics, at: Coordinates | None = None
) -> Evaluation:
    """Value, gradient and the scoring metric in one pass: the expected information of the pools of cluster sizes, or at given
    coordinates, where they cost nothing more, of the sizes themselves. at: `coordinates` of the moments at theta.
    """
    moments, jacobian = moments_and_jacobian(structure, theta)
    if statistics.pools is None:
        return Evaluation(*_sum([term.scored(moments, jacobian, structure.between_only) for term in statistics.terms]))
    value, gradient = moment_gradient(moments, structure.between_only, statistics)
    if at is None:
        metric = information_of_sizes(moments, jacobian, structure.between_only, statistics.pools)
    else:
        own = statistics.terms[0].sizes if len(statistics.terms) == 1 else None
        metric = information_at(jacobian, structure.between_only, statistics.pools if own is None else own, at)
    return Evaluation(value, chain(gradient, jacobian), metric)


def gradient(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, " q"]:
    """Gradient (q,) of the log-likelihood: closed form in the moments, reverse mode through the structure."""
    moments, back = jax.vjp(structure, theta)
    return back(moment_gradient(moments, structure.between_only, statistics)[1])[0]


def curvature_of_moments(structure: Structure, theta: Float[Array, " q"], weight: Moments) -> Float[Array, "q q"]:
    """Hessian (q, q) in theta of the sum over moments of weight times moment.

    With the gradient of the log-likelihood in the moments as weights it is the part of the log-likelihood's own Hessian that
    the curvature of the moments in theta makes.
    """

    def gradient(t):
        return jax.vjp(structure, t)[1](weight)[0]

    groups, p = weight.within_mean.shape
    total = jacobian_in_parts(gradient, theta, groups * p * p)
    return (total + total.T) / 2


def observed_information(
    structure: Structure, theta: Float[Array, " q"], statistics: Statistics, at: Coordinates | None = None
) -> Float[Array, "q q"]:
    """Minus the Hessian (q, q) of the log-likelihood: its curvature in the moments, in closed form, and that of the moments in
    theta, the forward-mode derivative of the structure's transposed Jacobian applied to the gradient in the moments.

    Terms that are curved count by a function with the same gradient that is linear in what their clusters make of the moments, and
    their curvature in that. at: `coordinates` of the moments at theta, for many cluster sizes.
    """
    moments, jacobian = moments_and_jacobian(structure, theta)
    terms, z = statistics.terms, structure.between_only
    parts = [term.curvature_and_near(moments, jacobian, z, at) for term in terms]
    near = [slope for _, slope in parts]

    def gradient(t):
        moments, back = jax.vjp(structure, t)
        return back(_sum([slope(moments) for slope in near]))[0]

    hessian = _sum([curvature for curvature, _ in parts])
    if not structure.linear or statistics.curved:
        hessian = hessian + jacobian_in_parts(gradient, theta, statistics.curved or 1)
    return -(hessian + hessian.T) / 2


def expected_information(
    structure: Structure, theta: Float[Array, " q"], statistics: Statistics, at: Coordinates | None = None
) -> Float[Array, "q q"]:
    """Expected information (q, q) at the data's own cluster sizes and patterns of missing values."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    z = structure.between_only
    return _sum([term.expected_information(moments, jacobian, z, at) for term in statistics.terms])


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
        # of its own group: in another one clusters of this size may lie outside the domain
        return value[cluster.group], chain(g, jacobian)

    return jax.vmap(one)(clusters)


def term_scores(
    structure: Structure, theta: Float[Array, " q"], term: Term
) -> tuple[Float[Array, " L"], Float[Array, "L q"]]:
    """Log-likelihood and score of every cluster of a term that tells them apart, padding (zeros) included."""
    return term.by_cluster(*moments_and_jacobian(structure, theta), structure.between_only)


def outer_product_information(
    structure: Structure, theta: Float[Array, " q"], statistics: Statistics
) -> Float[Array, "q q"]:
    """Sum over clusters of score outer products (Berndt, Hall, Hall & Hausman 1974): positive semidefinite for any model."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    return _sum([term.scored(moments, jacobian, structure.between_only)[2] for term in statistics.terms])
