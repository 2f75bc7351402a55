"""Probabilities of intervals and rectangles of the normal distribution, right in the tails and with derivatives of every order.

Edges that are infinite are given as plus or minus `FAR`: a number, so that no derivative becomes infinity times zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

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


def cdf(z: Array) -> Array:
    """Of the standard normal distribution, to the last digits in the lower tail. One erfc: jax.scipy's compiles three."""
    return 0.5 * jax.lax.erfc(-math.sqrt(0.5) * z)


def interval(low: Array, high: Array) -> Array:
    """P(low < z <= high) of a standard normal z: taken in the lower tail, where differences keep their digits."""
    upper = low + high > 0
    ends = cdf(jnp.stack([jnp.where(upper, -low, high), jnp.where(upper, -high, low)]))
    return ends[0] - ends[1]


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

    `rule`: nodes and weights on (0, 1) for the integral over the arc sine of the correlation, a scalar.
    """
    return _excess(h, k, correlation, jnp.asarray(rule[0]), jnp.asarray(rule[1]))


@jax.custom_jvp
def _excess(h, k, correlation, nodes, weights):
    angle = jnp.arcsin(correlation) * nodes
    sines, halves = jnp.sin(angle), 0.5 / jnp.cos(angle) ** 2
    squares, product = h * h + k * k, 2 * h * k

    def add(i, total):
        return total + weights[i] * jnp.exp((product * sines[i] - squares) * halves[i])

    total = jax.lax.fori_loop(0, nodes.shape[0], add, jnp.zeros_like(squares))
    return total * jnp.arcsin(correlation) / (2 * math.pi)


def _excess_jvp(primals, tangents):
    h, k, correlation, nodes, weights = primals
    by_h, by_k, by_correlation = (None if isinstance(t, SymbolicZero) else t for t in tangents[:3])
    value = _excess(h, k, correlation, nodes, weights)
    rest = jnp.sqrt(1 - correlation * correlation)
    tangent = jnp.zeros_like(value)
    if by_correlation is not None:
        tangent += density(h) * density((k - correlation * h) / rest) / rest * by_correlation
    for x, y, by in ((h, k, by_h), (k, h, by_k)):
        if by is not None:
            y, given = jnp.broadcast_arrays(y, (y - correlation * x) / rest)
            both = cdf(jnp.stack([given, y]))
            tangent += density(x) * (both[0] - both[1]) * by
    return value, tangent


_excess.defjvp(_excess_jvp, symbolic_zeros=True)


def log_rectangle(first: tuple[Array, Array], second: tuple[Array, Array], correlation: Array, rule) -> Array:
    """log P(low1 < z1 <= high1, low2 < z2 <= high2), elementwise."""
    h, k = jnp.stack(first)[:, None], jnp.stack(second)[None, :]
    corners = jnp.diff(jnp.diff(excess(h, k, correlation, rule), axis=0), axis=1)[0, 0]
    sides = interval(*(jnp.stack(ends) for ends in zip(first, second, strict=True)))
    return log_positive(sides[0] * sides[1] + corners)


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
