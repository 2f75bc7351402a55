"""The log-probability of a category of an ordered variable between two limits, and its derivatives in the limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float

# a limit beyond every latent response, in standard deviations of the residual: its density is zero in double precision
BEYOND = 1e3
# the smallest probability, far below those that matter in any sum; its square is a number too
TINY = 1e-150


def log_category(lower: Array, upper: Array, link: str) -> Array:
    """log P(lower < e <= upper) of a standard normal or logistic e, elementwise; limits beyond +-BEYOND stand for infinite ones.

    Differences are taken in the tail where both terms are small, so that nothing cancels.
    """
    if link == "logit":
        return jnp.log(_share(lower, upper)) - jax.nn.softplus(-upper) - jax.nn.softplus(lower)
    return jnp.log(_between(lower, upper))


def _share(lower: Array, upper: Array) -> Array:
    """1 - exp(lower - upper)."""
    return -jnp.expm1(-jnp.maximum(upper - lower, 1e-12))


def _between(lower: Array, upper: Array) -> Array:
    right = upper + lower > 0
    high, low = jnp.where(right, -lower, upper), jnp.where(right, -upper, lower)
    root = np.sqrt(0.5)
    found = 0.5 * (jax.scipy.special.erfc(-root * high) - jax.scipy.special.erfc(-root * low))
    return jnp.maximum(found, TINY)


class CategorySlopes(Record):
    """log P and its first and second derivatives in the lower and the upper limit, elementwise."""

    value: Float[Array, "..."]
    lower: Float[Array, "..."]
    upper: Float[Array, "..."]
    lower_lower: Float[Array, "..."]
    lower_upper: Float[Array, "..."]
    upper_upper: Float[Array, "..."]


def category_slopes(lower: Array, upper: Array, link: str) -> CategorySlopes:
    """See `log_category`. With density f: d = f(upper) / P and -f(lower) / P; and f' / P less squares and products of these."""
    if link == "logit":
        share = _share(lower, upper)
        value = log_category(lower, upper, link)
        up = jnp.exp(jax.nn.softplus(lower) - jax.nn.softplus(upper)) / share
        low = jnp.exp(jax.nn.softplus(-upper) - jax.nn.softplus(-lower)) / share
        bend_up, bend_low = -jnp.tanh(upper / 2) * up, -jnp.tanh(lower / 2) * low
    else:
        p = _between(lower, upper)
        value = jnp.log(p)
        up, low = (jnp.exp(-0.5 * x * x) / (np.sqrt(2 * np.pi) * p) for x in (upper, lower))
        bend_up, bend_low = -upper * up, -lower * low
    return CategorySlopes(value, -low, up, -bend_low - low * low, low * up, bend_up - up * up)
