"""The rule of every search, written once for NumPy and for traced loops (`xp`): when a step is taken, how the next one is damped,
what a step teaches, and when a search is done.

Steps are measured by the Newton decrement g' C^-1 g / 2, the rise of the log-likelihood that the quadratic model promises: it does
not depend on the units of anything. Damping is Levenberg-Marquardt's, relative to the diagonal of the metric.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from mlsem_jax._typing import Array, Float

# the rise of the log-likelihood left on the table when a search is called done, in 64 and in 32 bits; its square root is the error
# in standard errors
DECREMENT, DECREMENT_SINGLE = 1e-13, 1e-5
# what a step has to gain, relative to what it promised
LEAST_SHARE = 1e-4
# steps in a row that do not rise before a search is given up
REJECTED = 30
# the gain relative to the promise beyond which steps are too short, and the damping below which they are taken whole then
BETTER_THAN_PROMISED, LIGHT = 1.5, 0.1
# a step is damped by this much at first, by a factor more after each that is not taken, and by another less after each that is
FIRST_DAMPING, HARDER, EASIER, NONE_BELOW = 1e-2, 6.0, 8.0, 1e-3
# curvature along a step, relative to the promise, from which the secant condition is well defined
SECANT_LEAST = 1e-8


def rounding(xp: ModuleType, value: Array | float) -> Array | float:
    """Rounding of the log-likelihood itself, which bounds what a comparison of values can show."""
    # a Python number: it has no precision of its own
    return float(500 * np.finfo(getattr(value, "dtype", float)).eps) * xp.abs(value)


def gains_enough(xp: ModuleType, gained: Array, promise: Array, value: Array) -> Array:
    """Whether a step from a log-likelihood `value` rises by a share of what it promised, up to rounding."""
    return gained > LEAST_SHARE * promise - rounding(xp, value)


def next_damping(xp: ModuleType, damping: Array, taken: Array, gained: Array, promise: Array) -> Array:
    """The damping of the step after one that was taken or not."""
    whole = (damping < NONE_BELOW) | ((gained > BETTER_THAN_PROMISED * promise) & (damping < LIGHT))
    eased = xp.where(whole, 0.0, damping / EASIER)
    return xp.where(taken, eased, xp.maximum(damping * HARDER, FIRST_DAMPING))


def secant_inverse(
    xp: ModuleType, inverse: Float[Array, "q q"], step: Float[Array, " q"], drop: Float[Array, " q"], promise: Array
) -> Float[Array, "q q"]:
    """The inverse (q, q) of a curvature after a step by which the gradient drops: the update of Broyden, Fletcher, Goldfarb and
    Shanno (1970); the inverse itself where the likelihood does not bend along the step.
    """
    bend = step @ drop
    bends = bend > SECANT_LEAST * promise
    rho = 1.0 / xp.where(bends, bend, 1.0)
    turned = inverse @ drop
    update = (1.0 + rho * (drop @ turned)) * rho * step[:, None] * step[None, :] - rho * (
        turned[:, None] * step[None, :] + step[:, None] * turned[None, :]
    )
    return inverse + xp.where(bends, update, 0.0)


def is_done(xp: ModuleType, promise: Array, limit: Array | float) -> Array:
    """Whether so little is left to gain. Next to a singular edge rounding leaves even a metric indefinite, and its promise
    negative: that is no maximum.
    """
    return xp.abs(promise) < limit
