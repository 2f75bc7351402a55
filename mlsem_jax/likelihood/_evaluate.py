"""The log-likelihood as a function of theta: value, gradient, expected and observed information, cluster scores.

The Gaussian part is in closed form (see _complete); the derivatives of the moments in theta come from automatic
differentiation of the Structure, so they hold for any model.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._complete import MomentGradient, complete_information, complete_log_likelihood
from mlsem_jax.models import Moments, Structure
from mlsem_jax.statistics import ClusterStatistics, CompleteStatistics, Statistics


class Evaluation(eqx.Module):
    """value: log-likelihood, a sum over all rows with its constant. gradient (q,). information (q, q): expected."""

    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    information: Float[Array, "q q"]


def moment_gradient(moments: Moments, between_only: Array, statistics: Statistics) -> tuple[Array, MomentGradient]:
    """Log-likelihood by group (G,) and its gradient in the moments, over all routes of the statistics."""
    return complete_log_likelihood(moments, between_only, statistics.complete)


def log_likelihood(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, ""]:
    """Joint log-likelihood of all variables, sum over rows, natural log, 2 pi constant included. -inf outside its domain."""
    return jnp.sum(moment_gradient(structure(theta), structure.between_only, statistics)[0])


def _chain(gradient: MomentGradient, jacobian: Moments) -> Array:
    """Sum over groups and elements of d loglik/d moments times d moments/d theta: (q,)."""
    return (
        jnp.einsum("gij,gijq->q", gradient.within_cov, jacobian.within_cov)
        + jnp.einsum("gij,gijq->q", gradient.between_cov, jacobian.between_cov)
        + jnp.einsum("gi,giq->q", gradient.mean, jacobian.mean)
    )


def moments_and_jacobian(structure: Structure, theta: Float[Array, " q"]) -> tuple[Moments, Moments]:
    """Moments, and their derivatives in theta along a new last axis (q)."""

    def twice(t):
        moments = structure(t)
        return moments, moments

    jacobian, moments = jax.jacfwd(twice, has_aux=True)(theta)
    return moments, jacobian


def evaluate(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Evaluation:
    """Value, gradient and the scoring metric (expected information with pooled cluster sizes) in one pass."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    value, gradient = moment_gradient(moments, structure.between_only, statistics)
    metric = complete_information(moments, jacobian, structure.between_only, statistics.metric)
    return Evaluation(jnp.sum(value), _chain(gradient, jacobian), metric)


def gradient(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, " q"]:
    """Gradient (q,) of the log-likelihood: closed form in the moments, reverse mode through the structure."""
    moments, back = jax.vjp(structure, theta)
    _, g = moment_gradient(moments, structure.between_only, statistics)
    return back(Moments(g.within_cov, g.between_cov, g.mean, g.mean))[0]


def observed_information(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, "q q"]:
    """Minus the Hessian (q, q) of the log-likelihood: forward-mode derivative of the exact gradient."""
    hessian = jax.jacfwd(lambda t: gradient(structure, t, statistics))(theta)
    return -(hessian + hessian.T) / 2


def expected_information(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Float[Array, "q q"]:
    """Expected information (q, q) of complete data with the exact distribution of cluster sizes."""
    moments, jacobian = moments_and_jacobian(structure, theta)
    return complete_information(moments, jacobian, structure.between_only, statistics.complete)


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
        return jnp.sum(value), _chain(g, jacobian)

    return jax.vmap(one)(clusters)
