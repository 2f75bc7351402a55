"""The log-probability of a category of an ordered variable, given its linear predictor, for a probit and a logit link."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array

# a limit beyond every latent response, in standard deviations of the residual: its density is zero in double precision
BEYOND = 1e3
# the smallest probability, far below those that matter in any sum
TINY = 1e-300


def log_category(lower: Array, upper: Array, link: str) -> Array:
    """log P(lower < e <= upper) of a standard normal or logistic e, elementwise; limits at +-BEYOND stand for infinite ones.

    Differences are taken in the tail where both terms are small, so that nothing cancels.
    """
    if link == "logit":
        width = jnp.maximum(upper - lower, 1e-12)
        return jnp.log1p(-jnp.exp(-width)) - jax.nn.softplus(-upper) - jax.nn.softplus(lower)
    right = upper + lower > 0
    high, low = jnp.where(right, -lower, upper), jnp.where(right, -upper, lower)
    root = 0.7071067811865476
    found = 0.5 * (jax.scipy.special.erfc(-root * high) - jax.scipy.special.erfc(-root * low))
    return jnp.log(jnp.maximum(found, TINY))

