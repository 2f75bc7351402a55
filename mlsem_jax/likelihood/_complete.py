"""The two-level Gaussian log-likelihood of complete data, in closed form down to its gradient in the moments.

For cluster j of size n the vector v_j = (sqrt(n) * mean of y, z), z the between-only variables, and the n - 1 within contrasts
are independent (McDonald & Goldstein 1989):

    v_j ~ N(D mu, Sigma_W + D Sigma_B D),  D = diag(sqrt(n) for y, 1 for z),     contrasts ~ N(0, Sigma_W)

so -2 log L = (N - J) log|Sigma_W| + tr(Sigma_W^-1 W) + sum over clusters of log|Omega_n| + r' Omega_n^-1 r + constant.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Moments
from mlsem_jax.numerics import sweep
from mlsem_jax.statistics import CompleteStatistics


def _scaling(size: Array, between_only: Array) -> Array:
    """D: (S, p)."""
    return jnp.where(between_only > 0, 1.0, jnp.sqrt(size)[:, None])


def _group(within_cov, between_cov, mean, between_only, s: CompleteStatistics):
    d = _scaling(s.size, between_only)
    omega = within_cov + d[:, :, None] * between_cov * d[:, None, :]
    stack = jnp.concatenate([(within_cov + jnp.diag(between_only))[None], omega])
    precision, logdet, _ = sweep(stack)
    r = d * (s.mean - mean)
    second = d[:, :, None] * s.cov * d[:, None, :] + r[:, :, None] * r[:, None, :]
    weight = jnp.concatenate([(s.rows - s.clusters)[None], s.count])
    scatter = jnp.concatenate([s.within[None], s.count[:, None, None] * second])
    positive = jnp.all(jnp.isfinite(logdet))
    logdet = jnp.where(weight > 0, logdet, 0.0)
    constant = jnp.log(2 * jnp.pi) * (s.rows * jnp.sum(1 - between_only) + s.clusters * jnp.sum(between_only))
    value = -0.5 * (constant + weight @ logdet + jnp.sum(precision * scatter))
    g = 0.5 * (precision @ scatter @ precision - weight[:, None, None] * precision)
    between_gradient = jnp.sum(d[:, :, None] * g[1:] * d[:, None, :], axis=0)
    mean_gradient = jnp.einsum("s,si,sij,sj->i", s.count, d, precision[1:], r)
    return jnp.where(positive, value, -jnp.inf), Moments(g.sum(0), between_gradient, mean_gradient, mean_gradient)


def complete_log_likelihood(
    moments: Moments, between_only: Float[Array, " p"], statistics: CompleteStatistics
) -> tuple[Float[Array, " G"], Moments]:
    """Log-likelihood by group (G,), a sum over all rows with its 2 pi constant, and its derivatives in each of the moments.

    -inf where Sigma_W or some Sigma_W + n Sigma_B of a size in the data is not positive definite.
    """
    return jax.vmap(_group, in_axes=(0, 0, 0, None, 0))(
        moments.within_cov, moments.between_cov, moments.mean, between_only, statistics
    )


def complete_information(
    moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], statistics: CompleteStatistics
) -> Float[Array, "q q"]:
    """Expected information (q, q) in the parameters whose derivatives of the moments are in `jacobian`, (G, p, p, q).

    Sum over the J clusters and the N - J within contrasts of 1/2 tr(Omega^-1 dOmega Omega^-1 dOmega) + dm' Omega^-1 dm.
    """

    def group(within_cov, between_cov, d_within, d_between, d_mean, s):
        d = _scaling(s.size, between_only)
        omega = within_cov + d[:, :, None] * between_cov * d[:, None, :]
        stack = jnp.concatenate([(within_cov + jnp.diag(between_only))[None], omega])
        precision = sweep(stack)[0]
        d_within, d_between = jnp.moveaxis(d_within, -1, 0), jnp.moveaxis(d_between, -1, 0)
        weight = jnp.concatenate([(s.rows - s.clusters)[None], s.count])
        d0 = jnp.concatenate([jnp.zeros_like(d[:1]), d])
        q, p = d_within.shape[0], d_within.shape[1]

        def one(total, inputs):
            precision, d, weight = inputs
            x = precision @ (d_within + d[:, None] * d_between * d)
            cov = 0.5 * x.reshape(q, p * p) @ jnp.swapaxes(x, -1, -2).reshape(q, p * p).T
            dm = d[:, None] * d_mean
            return total + weight * (cov + dm.T @ precision @ dm), None

        return jax.lax.scan(one, jnp.zeros((q, q), precision.dtype), (precision, d0, weight))[0]

    return jnp.sum(
        jax.vmap(group)(
            moments.within_cov,
            moments.between_cov,
            jacobian.within_cov,
            jacobian.between_cov,
            jacobian.mean,
            statistics,
        ),
        axis=0,
    )
