"""One fit as a pure JAX function: damped Fisher scoring, finished by steps on the exact Hessian, in `lax.while_loop`s.

The same search as `_scoring`, but traceable, so that it vmaps over data sets and over models and runs on any device. An outer
loop computes the observed information, which is costly, and asks whether the point is a maximum; an inner loop climbs with a
matrix that stays the same kind: the scoring metric while far away, the last observed information when near. Most fits need the
observed information twice: once near the maximum and once at it, where the standard errors need it anyway.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.likelihood import Evaluation, evaluate, moment_gradient, observed_information
from mlsem_jax.models import Structure
from mlsem_jax.numerics import sweep
from mlsem_jax.statistics import Statistics

RUNNING = -1
NEWTON_FROM = 1e-2
PATIENCE = 25


class Settings(eqx.Module):
    """Limits of a search. decrement: the rise of the log-likelihood left on the table at a maximum; iterations: evaluations."""

    decrement: Float[Array, ""]
    iterations: Int[Array, ""]
    rounds: Int[Array, ""]


class Climb(eqx.Module):
    """State of a search at theta (q,): log-likelihood, gradient (q,), scoring metric (q, q), observed information (q, q).

    exact: whether steps use `information` (which may be some steps old) or the metric. target: the decrement at which the
    inner loop hands over; damping: Levenberg-Marquardt's, relative to the diagonal; variance (q,): diagonal of the inverse of
    `information`; status: RUNNING or a Status code.
    """

    theta: Float[Array, " q"]
    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    metric: Float[Array, "q q"]
    information: Float[Array, "q q"]
    exact: Array
    target: Float[Array, ""]
    decrement: Float[Array, ""]
    damping: Float[Array, ""]
    iterations: Int[Array, ""]
    rounds: Int[Array, ""]
    rejected: Int[Array, ""]
    handover: Array
    variance: Float[Array, " q"]
    status: Int[Array, ""]


def settings(dtype, decrement: float | None = None, iterations: int = 300, rounds: int = 20) -> Settings:
    """Limits as arrays. The default decrement is 1e-13 in float64; float32 cannot resolve less than about 1e-5."""
    default = 1e-13 if jnp.finfo(dtype).eps < 1e-10 else 1e-5
    return Settings(
        jnp.asarray(default if decrement is None else decrement, dtype), jnp.asarray(iterations), jnp.asarray(rounds)
    )


def scaled_inverse(information: Array, damping: Array | float | None = None) -> tuple[Array, Array, Array]:
    """Inverse (q, q) of I + damping diag I; the smallest relative pivot; and the smallest 1 / diag of the inverse after scaling
    to unit diagonal, which is at least the smallest eigenvalue and at most q times it.

    Directions with a zero diagonal are left out: the inverse is zero there. A damping of None is exactly none, otherwise a
    ridge is added that keeps flat directions finite and slows steps only where the condition number exceeds its inverse.
    """
    diagonal = jnp.diagonal(information)
    empty = diagonal <= 0
    scale = jnp.where(empty, 0.0, 1.0 / jnp.sqrt(jnp.where(empty, 1.0, diagonal)))
    added = 0.0 if damping is None else damping + 50 * len(information) * jnp.finfo(information.dtype).eps
    scaled = information * scale[:, None] * scale[None, :] + jnp.diag(jnp.where(empty, 1.0, added))
    inverse, _, pivot = sweep(scaled)
    least = 1.0 / jnp.max(jnp.abs(jnp.diagonal(inverse)), initial=1e-30)
    return inverse * scale[:, None] * scale[None, :], pivot, least


def _start(theta: Array) -> Climb:
    """The state before anything is evaluated: the first trial step has length zero and is always accepted."""
    q, dtype, zero = len(theta), theta.dtype, jnp.zeros((), int)
    return Climb(
        theta=theta,
        value=jnp.asarray(-jnp.inf, dtype),
        gradient=jnp.zeros(q, dtype),
        metric=jnp.eye(q, dtype=dtype),
        information=jnp.zeros((q, q), dtype),
        exact=jnp.asarray(False),
        target=jnp.asarray(NEWTON_FROM, dtype),
        decrement=jnp.asarray(jnp.inf, dtype),
        damping=jnp.asarray(0.0, dtype),
        iterations=zero,
        rounds=zero,
        rejected=zero,
        handover=jnp.asarray(False),
        variance=jnp.full(q, jnp.nan, dtype),
        status=jnp.asarray(RUNNING),
    )


def _inner_step(structure: Structure, statistics: Statistics, c: Climb) -> Climb:
    """One trial step, accepted or not."""
    curvature = jnp.where(c.exact, c.information, c.metric)
    inverse, _, _ = scaled_inverse(curvature, c.damping)
    step = inverse @ c.gradient
    promise = 0.5 * (c.gradient @ step)
    there = evaluate(structure, c.theta + step, statistics)
    first = c.iterations == 0
    gained = jnp.where(first, 0.0, there.value - c.value)
    # rounding of the value itself bounds what a comparison can show
    noise = 500 * jnp.finfo(c.value.dtype).eps * jnp.where(first, 1.0, jnp.abs(c.value))
    accept = (
        jnp.isfinite(there.value)
        & jnp.all(jnp.isfinite(there.gradient))
        & jnp.all(jnp.isfinite(there.information))
        & (gained > 1e-4 * promise - noise)
    )

    def pick(new, old):
        return jnp.where(accept, new, old)

    eased = jnp.where((c.damping < 1e-3) | (gained > 1.5 * promise) & (c.damping < 0.1), 0.0, c.damping / 8)
    raised = jnp.maximum(c.damping * 6, 1e-2)
    rejected = jnp.where(accept, 0, c.rejected + 1)
    left = jnp.where(first, jnp.inf, 0.5 * jnp.sum(there.gradient * (inverse @ there.gradient)))
    # steps on old information are to converge fast; if they do not, it is time to compute it again
    slow = c.exact & ((left > 0.1 * promise) | ~accept)
    handover = accept & (left < c.target) & (eased == 0.0) | slow | (rejected > PATIENCE)
    return Climb(
        theta=pick(c.theta + step, c.theta),
        value=pick(there.value, c.value),
        gradient=pick(there.gradient, c.gradient),
        metric=pick(there.information, c.metric),
        information=c.information,
        exact=c.exact,
        target=c.target,
        decrement=pick(left, c.decrement),
        damping=jnp.where(c.exact, 0.0, pick(eased, raised)),
        iterations=c.iterations + 1,
        rounds=c.rounds,
        rejected=rejected,
        handover=handover,
        variance=c.variance,
        status=jnp.where(first & ~accept, int(Status.NON_FINITE), c.status),
    )


def _verify(structure: Structure, statistics: Statistics, limits: Settings, c: Climb) -> Climb:
    """Observed information at theta; done if the decrement by it is small, otherwise the next inner search's curvature."""
    information = observed_information(structure, c.theta, statistics)
    inverse, pivot, least = scaled_inverse(information, 0.0)
    held = jnp.diagonal(c.metric) <= 0
    known = jnp.all(jnp.isfinite(information)) & jnp.all((jnp.diagonal(information) > 0) | held)
    definite = known & (pivot > 0) & (least > flat_below(information.dtype))
    decrement = jnp.where(definite, 0.5 * (c.gradient @ inverse @ c.gradient), c.decrement)
    flat = known & (pivot > -1e-6)
    ended = jnp.where(definite, int(Status.CONVERGED), jnp.where(flat, int(Status.NOT_IDENTIFIED), int(Status.STALLED)))
    unfinished = jnp.where(c.rejected > PATIENCE, int(Status.STALLED), RUNNING)
    status = jnp.where(decrement < limits.decrement, ended, unfinished)
    exact = definite & (c.rejected == 0)
    # five orders beyond the criterion, so that theta is exact to all digits that are printed
    close = 1e-5 * limits.decrement
    target = jnp.where(exact, close, jnp.maximum(1e-3 * jnp.minimum(c.target, c.decrement), close))
    return eqx.tree_at(
        lambda c: (c.information, c.exact, c.target, c.decrement, c.rounds, c.handover, c.variance, c.status),
        c,
        (
            information,
            exact,
            target,
            decrement,
            c.rounds + 1,
            jnp.asarray(False),
            _variance(information, inverse),
            jnp.where(c.status == RUNNING, status, c.status),
        ),
    )


def _variance(information: Array, inverse: Array) -> Array:
    """Diagonal of the inverse of the information, from its inverse with a ridge: one step of the Neumann series takes it out."""
    diagonal = jnp.diagonal(information)
    ridge = 50 * len(information) * jnp.finfo(information.dtype).eps * jnp.where(diagonal > 0, diagonal, 0.0)
    return jnp.diagonal(inverse) + jnp.einsum("ij,j,ji->i", inverse, ridge, inverse)


def exact(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> Evaluation:
    """Value, gradient and observed information at theta in one pass."""

    def with_value(t):
        moments, back = jax.vjp(structure, t)
        value, by_moment = moment_gradient(moments, structure.between_only, statistics)
        gradient = back(by_moment)[0]
        return gradient, (value, gradient)

    hessian, (value, gradient) = jax.jacfwd(with_value, has_aux=True)(theta)
    return Evaluation(value, gradient, -(hessian + hessian.T) / 2)


def flat_below(dtype) -> float:
    """Eigenvalue of the information, scaled to unit diagonal, below which a direction counts as flat."""
    return 1e-9 if jnp.finfo(dtype).eps < 1e-10 else 1e-4


def climb(
    structure: Structure, statistics: Statistics, theta: Float[Array, " q"], limits: Settings, newton: bool = True
) -> Climb:
    """Climb from theta to a maximum of the log-likelihood. Pure; vmaps over any argument; no LAPACK.

    The state returned holds the observed information at theta whatever the status, but for a start that is not finite.
    newton=False never computes it and stops at a looser decrement of 1e-11, which is enough where only the value matters.
    """
    return resume(structure, statistics, _start(theta), limits, newton)


def resume(structure: Structure, statistics: Statistics, state: Climb, limits: Settings, newton: bool = True) -> Climb:
    """Carry an unfinished search on until it is done or one of its limits is reached."""

    def open_(c: Climb) -> Array:
        return (c.status == RUNNING) & (c.iterations < limits.iterations)

    def inner(c: Climb) -> Climb:
        return jax.lax.while_loop(lambda c: open_(c) & ~c.handover, lambda c: _inner_step(structure, statistics, c), c)

    if not newton:
        loose = jnp.maximum(limits.decrement, 1e-11)
        end = inner(eqx.tree_at(lambda c: c.target, state, loose))
        done = jnp.where(end.decrement < loose, int(Status.CONVERGED), int(Status.STALLED))
        return eqx.tree_at(lambda c: c.status, end, jnp.where((end.status == RUNNING) & end.handover, done, end.status))
    return jax.lax.while_loop(
        lambda c: open_(c) & (c.rounds < limits.rounds),
        lambda c: _verify(structure, statistics, limits, inner(c)),
        state,
    )
