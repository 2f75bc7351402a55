"""Integrals over the effects of clusters by the trapezoid rule, in steps that follow each cluster's integrand.

For an analytic integrand of width s the error of step h is about exp(-2 pi^2 s^2 / h^2): below 1e-10 where h < 0.9 s, and no
polynomial need be near (Trefethen and Weideman 2014). The integrands here, N(0, 1) times probabilities of intervals or rectangles,
are log-concave, and never wider than N(0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array

POINTS = 21  # in one dimension
POINTS_EACH = 17  # in each of two
NEGLIGIBLE = 26.0  # what the logarithm of the integrand falls by to the ends of the grid
WIDEST = math.sqrt(2 * NEGLIGIBLE)  # N(0, 1) falls by as much
STEPS = 12


def one_dimension(log_integrand: Callable[[Any, Array], Array], parameters: Any, units: int) -> Array:
    """log of the integral of exp(log_integrand(parameters, z)) over z, by unit.

    `log_integrand` takes and gives (U,), unit by unit. Everything that may carry a derivative is in `parameters`: the grid is laid
    without derivatives, which is right to the error of the rule.
    """
    held = _held(log_integrand, parameters)
    dtype = jnp.result_type(*jax.tree.leaves(parameters))
    mode, width = _mode_1d(held, jnp.zeros(units, dtype))
    low, high = (_reach(held, mode, sign * width, 1 / width) for sign in (-1.0, 1.0))
    step = (high + low) * width / (POINTS - 1)
    first = mode - low * width
    values = jax.lax.map(lambda i: log_integrand(parameters, first + i * step), jnp.arange(POINTS, dtype=dtype))
    return jax.nn.logsumexp(values, axis=0) + jnp.log(step)


def two_dimensions(log_integrand: Callable[[Any, Array], Array], parameters: Any, units: int) -> Array:
    """log of the integral of exp(log_integrand(parameters, z)), z (2, U), on a grid turned and stretched to the curvature at the
    mode of each unit.
    """
    held = _held(log_integrand, parameters)
    dtype = jnp.result_type(*jax.tree.leaves(parameters))
    mode, (a, b, c) = _mode_2d(held, jnp.zeros((2, units), dtype))
    # z = mode + root t with root root' the inverse of the curvature
    directions = jnp.stack([a, b]), jnp.stack([jnp.zeros_like(c), c])
    firsts, steps = [], []
    for direction in directions:
        along = lambda t, direction=direction: held(mode + t * direction)  # noqa: E731
        longest = 1 / jnp.sqrt(jnp.sum(direction**2, axis=0))
        low, high = (_reach(along, jnp.zeros_like(a), sign * jnp.ones_like(a), longest) for sign in (-1.0, 1.0))
        firsts.append(-low)
        steps.append((low + high) / (POINTS_EACH - 1))

    def at(index):
        t1, t2 = (first + i * step for first, step, i in zip(firsts, steps, index, strict=True))
        return log_integrand(parameters, mode + t1 * directions[0] + t2 * directions[1])

    grid = jnp.stack(jnp.meshgrid(*[jnp.arange(POINTS_EACH, dtype=dtype)] * 2), -1).reshape(-1, 2)
    return jax.nn.logsumexp(jax.lax.map(at, grid), axis=0) + jnp.log(steps[0] * steps[1] * a * c)


def _held(log_integrand: Callable[[Any, Array], Array], parameters: Any) -> Callable[[Array], Array]:
    parameters = jax.tree.map(jax.lax.stop_gradient, parameters)
    return lambda z: log_integrand(parameters, z)


def _mode_1d(f: Callable[[Array], Array], z: Array) -> tuple[Array, Array]:
    """Where the integrand of every unit is largest, and its width there, by Newton steps on a log-concave function."""

    def derivatives(z):
        slope = lambda v: jax.jvp(f, (v,), (jnp.ones_like(v),))[1]  # noqa: E731
        first, second = jax.jvp(slope, (z,), (jnp.ones_like(z),))
        return first, jnp.minimum(second, -1.0)

    def step(_, z):
        first, second = derivatives(z)
        return z - jnp.clip(first / second, -1.5, 1.5)

    z = jax.lax.fori_loop(0, STEPS, step, z)
    return z, 1 / jnp.sqrt(-derivatives(z)[1])


def _mode_2d(f: Callable[[Array], Array], z: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Modes (2, U) and the lower triangular root (a; b c) of the inverse of the curvature."""
    axes = [jnp.zeros_like(z).at[i].set(1.0) for i in range(2)]
    slopes = [lambda v, axis=axis: jax.jvp(f, (v,), (axis,))[1] for axis in axes]

    def derivatives(z):
        g1, h11 = jax.jvp(slopes[0], (z,), (axes[0],))
        g2, h22 = jax.jvp(slopes[1], (z,), (axes[1],))
        h12 = jax.jvp(slopes[0], (z,), (axes[1],))[1]
        h11, h22 = jnp.minimum(h11, -1.0), jnp.minimum(h22, -1.0)
        # the curvature is at least that of N(0, I): det(H + I) >= 0
        bound = jnp.sqrt((h11 + 1) * (h22 + 1))
        return g1, g2, h11, h22, jnp.clip(h12, -bound, bound)

    def step(_, z):
        g1, g2, h11, h22, h12 = derivatives(z)
        determinant = h11 * h22 - h12 * h12
        move = jnp.stack([(h22 * g1 - h12 * g2) / determinant, (h11 * g2 - h12 * g1) / determinant])
        return z - jnp.clip(move, -1.5, 1.5)

    z = jax.lax.fori_loop(0, STEPS, step, z)
    _, _, h11, h22, h12 = derivatives(z)
    determinant = h11 * h22 - h12 * h12
    a = jnp.sqrt(-h22 / determinant)
    b = h12 / determinant / a
    return z, (a, b, 1 / jnp.sqrt(-h22))


def _reach(f: Callable[[Array], Array], mode: Array, width: Array, longest: Array) -> Array:
    """How many widths from the mode the integrand becomes negligible: the first of a few tries that is far enough. At least what
    a normal integrand needs, at most what the prior N(0, 1) allows, whose standard deviation is `longest` widths.
    """
    most = jnp.maximum(longest, 1.0) * WIDEST
    top = f(mode)

    def widen(_, reach):
        fallen = top - f(mode + reach * width)
        return jnp.where(fallen < NEGLIGIBLE - 1, jnp.minimum(1.25 * reach, most), reach)

    return jax.lax.fori_loop(0, 6, widen, jnp.full_like(mode, WIDEST))
