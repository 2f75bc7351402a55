"""The log-likelihood of fixed covariates alone, which reported log-likelihoods leave out.

Covariates whose moments are held exist at one level only: those of level 1 are independent normal rows, those of level 2
independent normal clusters, so their marginal likelihood needs sums over rows or clusters and nothing else.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._term import Statistics
from mlsem_jax.models import Moments
from mlsem_jax.numerics import sweep


def covariates_log_likelihood(
    moments: Moments, within: Float[Array, "... p"], between: Float[Array, "... p"], statistics: Statistics
) -> Float[Array, ""]:
    """Sum over rows of log f(x) for the level-1 covariates marked 1 in `within`, and over clusters for those in `between`: (p,), or
    (G, p) where groups differ.
    """
    groups, p = moments.within_mean.shape
    zero = jnp.zeros((groups, p, p), moments.within_cov.dtype)
    rows = (zero[:, 0, 0], zero[:, 0], zero)
    clusters = rows
    for term in statistics.terms:
        rows, clusters = jax.tree.map(jnp.add, (rows, clusters), term.covariate_sums(moments))
    between_cov = moments.between_cov[:, :p, :p]
    return _normal(within, moments.within_cov, *rows) + _normal(between, between_cov, *clusters)


def _normal(mask: Array, cov: Array, count: Array, _total: Array, cross: Array) -> Array:
    """Log-likelihood of `count` (G,) vectors with cross-products `cross` (G, p, p) about their model mean."""
    mask = jnp.broadcast_to(mask, cov.shape[:2])
    both = mask[:, :, None] * mask[:, None, :]
    precision, logdet, _ = sweep(jnp.where(both > 0, cov, jnp.eye(cov.shape[-1], dtype=cov.dtype)))
    quadratic = jnp.sum(jnp.where(both > 0, precision * cross, 0.0), axis=(-2, -1))
    return -0.5 * jnp.sum(count * (jnp.sum(mask, axis=1) * jnp.log(2 * jnp.pi) + logdet) + quadratic)
