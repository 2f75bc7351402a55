"""Probabilities of intervals and rectangles of the normal distribution, right in the tails and with derivatives of every order.

Edges that are infinite are given as plus or minus `FAR`: a number, so that no derivative becomes infinity times zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from mlsem_jax._typing import Array

FAR = 1e4
TINY = 1e-290
LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)

# Legendre points for the integral over the correlation. Measured against 1600 points: 16 are right to 1e-14 up to a correlation
# of 0.85, 96 to 1e-14 up to 0.9999.
FEW, MANY, FEW_UP_TO = 16, 96, 0.85


@lru_cache
def legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return (nodes + 1) / 2, weights / 2


def density(z: Array) -> Array:
    """Of the standard normal distribution."""
    return jnp.exp(-0.5 * z * z - LOG_ROOT_TAU)


def interval(low: Array, high: Array) -> Array:
    """P(low < z <= high) of a standard normal z: taken in the lower tail, where differences keep their digits."""
    upper = low + high > 0
    return ndtr(jnp.where(upper, -low, high)) - ndtr(jnp.where(upper, -high, low))


@jax.custom_jvp
def log_interval(low: Array, high: Array) -> Array:
    """log P(low < z <= high); the logarithm of TINY where the interval has no width, with derivative zero."""
    return jnp.log(jnp.maximum(interval(low, high), TINY))


@log_interval.defjvp
def _log_interval_jvp(primals, tangents):
    (low, high), (low_tangent, high_tangent) = primals, tangents
    value = log_interval(low, high)
    some = value > math.log(TINY) + 1
    inverse = jnp.where(some, jnp.exp(-jnp.where(some, value, 0.0)), 0.0)
    return value, (density(high) * high_tangent - density(low) * low_tangent) * inverse


def excess(h: Array, k: Array, correlation: Array, rule: tuple[Array, Array]) -> Array:
    """P(z1 <= h, z2 <= k) - P(z1 <= h) P(z2 <= k) of a bivariate normal distribution (Drezner and Wesolowsky 1990).

    `rule`: nodes and weights on (0, 1) for the integral over the arc sine of the correlation.
    """
    return _excess(h, k, correlation, *rule)


@jax.custom_jvp
def _excess(h, k, correlation, nodes, weights):
    angle = jnp.arcsin(correlation)

    def add(i, total):
        t = angle * nodes[i]
        sine, cosine = jnp.sin(t), jnp.cos(t)
        return total + weights[i] * jnp.exp(-(h * h + k * k - 2 * h * k * sine) / (2 * cosine * cosine))

    zero = jnp.zeros(jnp.broadcast_shapes(jnp.shape(h), jnp.shape(k), jnp.shape(correlation)), nodes.dtype)
    return jax.lax.fori_loop(0, nodes.shape[0], add, zero) * angle / (2 * math.pi)


@_excess.defjvp
def _excess_jvp(primals, tangents):
    h, k, correlation, nodes, weights = primals
    rest = jnp.sqrt(1 - correlation * correlation)
    from_h = density(h) * (ndtr((k - correlation * h) / rest) - ndtr(k))
    from_k = density(k) * (ndtr((h - correlation * k) / rest) - ndtr(h))
    joint = density(h) * density((k - correlation * h) / rest) / rest
    tangent = from_h * tangents[0] + from_k * tangents[1] + joint * tangents[2]
    return _excess(h, k, correlation, nodes, weights), tangent


def log_rectangle(first: tuple[Array, Array], second: tuple[Array, Array], correlation: Array, rule) -> Array:
    """log P(low1 < z1 <= high1, low2 < z2 <= high2), elementwise."""
    corners = excess(first[1], second[1], correlation, rule) - excess(first[0], second[1], correlation, rule)
    corners += excess(first[0], second[0], correlation, rule) - excess(first[1], second[0], correlation, rule)
    return log_positive(interval(*first) * interval(*second) + corners)


def log_rectangles(first: Array, second: Array, correlation: Array, rule) -> Array:
    """log P of all cells between the edges `first` (K1 + 1, ...) and `second` (K2 + 1, ...): (K1, K2, ...)."""
    inner = excess(first[1:-1, None], second[None, 1:-1], correlation, rule)
    framed = jnp.pad(inner, [(1, 1), (1, 1)] + [(0, 0)] * (inner.ndim - 2))
    product = interval(first[:-1], first[1:])[:, None] * interval(second[:-1], second[1:])[None]
    return log_positive(product + jnp.diff(jnp.diff(framed, axis=0), axis=1))


def log_positive(p: Array) -> Array:
    """log p; the logarithm of TINY, with derivative zero, where rounding left nothing or less."""
    some = p > TINY
    return jnp.where(some, jnp.log(jnp.where(some, p, 1.0)), math.log(TINY))
