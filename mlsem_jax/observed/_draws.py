"""Sufficient statistics drawn directly: what the rows of a normal two-level sample would reduce to, without the rows.

The pooled within cross-products are Wishart(Sigma_W, N - J); the c cluster means of size n are normal around mu with covariance
Sigma_B + Sigma_W / n, so their mean and their cross-products are independent, normal and Wishart. The cost does not depend on
cluster sizes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.numerics import root
from mlsem_jax.observed._complete import CompleteStatistics


def wishart_root(key: Array, freedom: Array, p: int, dtype) -> Float[Array, "p p"]:
    """T with T T' ~ Wishart(I, freedom) by Bartlett's (1933) decomposition; singular where freedom < p, zero where it is <= 0."""
    at_normal, at_chi = jax.random.split(key)
    left = freedom - jnp.arange(p)
    exists = left > 0
    chi = jnp.sqrt(2 * jax.random.gamma(at_chi, jnp.where(exists, left, 1.0) / 2, (p,), dtype))
    normal = jnp.tril(jax.random.normal(at_normal, (p, p), dtype), -1)
    return jnp.where(exists[None, :], normal + jnp.diag(chi), 0.0)


def draw_statistics(
    key: Array,
    within_cov: Float[Array, "G p p"],
    between_cov: Float[Array, "G p p"],
    mean: Float[Array, "G p"],
    size: Float[Array, "G S"],
    count: Float[Array, "G S"],
) -> CompleteStatistics:
    """One data set's statistics by group. size, count: the design, in whole numbers of clusters; count 0 is padding.

    Sigma_W and every Sigma_B + Sigma_W / n of the design are to be positive semidefinite (not checked: they may be traced).
    """
    p, dtype = mean.shape[-1], mean.dtype
    nothing = jnp.zeros(p, dtype)

    def group(key, within_cov, between_cov, mean, size, count):
        at_within, at_mean, at_cov = jax.random.split(key, 3)
        rows, clusters = count @ size, jnp.sum(count)
        half = root(within_cov, nothing)[0] @ wishart_root(at_within, rows - clusters, p, dtype)

        def one(at_mean, at_cov, size, count):
            safe = jnp.maximum(count, 1.0)
            omega = root(between_cov + within_cov / size, nothing)[0]
            deviation = omega @ jax.random.normal(at_mean, (p,), dtype) / jnp.sqrt(safe)
            scatter = omega @ wishart_root(at_cov, count - 1, p, dtype)
            return jnp.where(count > 0, mean + deviation, 0.0), jnp.where(count > 0, scatter @ scatter.T / safe, 0.0)

        keys = jax.random.split(at_mean, len(size)), jax.random.split(at_cov, len(size))
        means, covs = jax.vmap(one)(*keys, size, count)
        return CompleteStatistics(rows, clusters, half @ half.T, size, count, means, covs)

    return jax.vmap(group)(jax.random.split(key, mean.shape[0]), within_cov, between_cov, mean, size, count)
