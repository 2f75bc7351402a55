"""One fit as a pure JAX function: damped Fisher scoring, then secant steps, then a look at the exact Hessian, in `while_loop`s.

Traceable, so that it vmaps over data sets and over models and runs on any device. What things cost decides the order: the
scoring metric costs ten gradients and the observed information thirty. So the metric is computed while far away only; near the
maximum a BFGS approximation that starts from it needs gradients alone; and the observed information, which the standard errors
need anyway, is computed where the search believes to be done. If it is not, the next secant steps start from that.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Float
from mlsem_jax.estimation.search._rules import REJECTED, gains_enough, is_done, next_damping, secant_inverse
from mlsem_jax.estimation.search._traced_state import (
    RUNNING,
    SearchState,
    Settings,
    flat_below,
    full_rank,
    rank_limits,
    scaled_inverse,
    start,
)
from mlsem_jax.likelihood import (
    Evaluation,
    Statistics,
    evaluate,
    moment_gradient,
    moment_information,
    observed_information,
)
from mlsem_jax.models import Structure

# where the metric is rough, a step of the Hessian that does not rise is shortened by this factor, so many times
SHORTER, SHORTENED = 0.25, 6
# there a Hessian that is indefinite is looked at again when the promised rise has fallen to this share
ROUGH_SHARE = 0.1
# the promised rise at which a search ends whose model is not identified: no step makes it a maximum
OPEN_ENDED = 1e-6


def _finite(there: Evaluation) -> Array:
    """Whether value, gradient and metric are all finite."""
    return jnp.isfinite(there.value) & jnp.all(jnp.isfinite(there.gradient)) & jnp.all(jnp.isfinite(there.metric))


def _scoring_step(structure: Structure, statistics: Statistics, c: SearchState) -> SearchState:
    """One trial step by `inverse`, accepted or not; after it `inverse` is that of the metric with the next step's damping."""
    step = c.inverse @ c.gradient
    promise = 0.5 * (c.gradient @ step)
    there = evaluate(structure, c.theta + step, statistics)
    first = c.iterations == 0
    gained = jnp.where(first, 0.0, there.value - c.value)
    accept = _finite(there) & (first | gains_enough(jnp, gained, promise, c.value))

    def pick(new, old):
        return jnp.where(accept, new, old)

    rejected = jnp.where(accept, 0, c.rejected + 1)
    damping = next_damping(jnp, c.damping, accept, gained, promise)
    metric, gradient = pick(there.metric, c.metric), pick(there.gradient, c.gradient)
    inverse = scaled_inverse(metric, damping)[0]
    # without damping, as it is where this decides
    left = 0.5 * (gradient @ inverse @ gradient)
    # a rough metric is hardly ever good enough for undamped steps
    known = (damping == 0.0) | jnp.asarray(statistics.rough)
    return replace(
        c,
        theta=pick(c.theta + step, c.theta),
        value=pick(there.value, c.value),
        gradient=gradient,
        metric=metric,
        inverse=inverse,
        decrement=pick(left, c.decrement),
        damping=damping,
        iterations=c.iterations + 1,
        rejected=rejected,
        handover=accept & (left < c.target) & known | (rejected > REJECTED),
        status=jnp.where(first & ~accept, int(Status.NON_FINITE), c.status),
    )


def secant_step(structure: Structure, statistics: Statistics, c: SearchState) -> SearchState:
    """One step by the inverse at hand, which then learns from the change of the gradient.

    Where the metric is rough (`Statistics.rough`) scoring may hand over far from the maximum: a step that does not rise is then
    tried shorter, because another look at the Hessian would propose the same step.
    """
    step = c.inverse @ c.gradient
    promise = 0.5 * (c.gradient @ step)
    value, slope = value_and_gradient(structure, c.theta + step, statistics)
    accept = (
        jnp.isfinite(value)
        & jnp.all(jnp.isfinite(slope))
        & gains_enough(jnp, value - c.value, promise, c.value)
        & (promise >= 0)
    )
    inverse = jnp.where(accept, secant_inverse(jnp, c.inverse, step, c.gradient - slope, promise), c.inverse)
    left = 0.5 * (slope @ inverse @ slope)

    def pick(new, old):
        return jnp.where(accept, new, old)

    # steps are to converge fast; if they do not, it is time for the Hessian
    slow, rejected = ~accept | (left > 0.5 * promise), c.rejected
    if statistics.rough:
        rejected = jnp.where(accept, 0, c.rejected + 1)
        inverse = jnp.where(accept, inverse, SHORTER * inverse)
        slow = jnp.where(accept, left > 0.5 * promise, (rejected > SHORTENED) | (promise < 0))
    return replace(
        c,
        theta=pick(c.theta + step, c.theta),
        value=pick(value, c.value),
        gradient=pick(slope, c.gradient),
        inverse=inverse,
        decrement=pick(left, c.decrement),
        iterations=c.iterations + 1,
        rejected=rejected,
        handover=slow | (left < c.target),
    )


def _verify(structure: Structure, statistics: Statistics, limits: Settings, c: SearchState) -> SearchState:
    """Observed information at theta; done if the decrement by it is small, otherwise what the next steps start from."""
    information = observed_information(structure, c.theta, statistics)
    inverse, pivot, least = scaled_inverse(information, 0.0)
    absent = jnp.diagonal(c.metric) <= 0
    known = jnp.all(jnp.isfinite(information)) & jnp.all((jnp.diagonal(information) > 0) | absent)
    open_ended = known & _unidentified(structure, statistics, c, information)
    definite = known & (pivot > 0) & (least > flat_below(information.dtype)) & ~open_ended
    decrement = jnp.where(definite, 0.5 * (c.gradient @ inverse @ c.gradient), c.decrement)
    flat = (known & (pivot > -1e-6)) | open_ended
    ended = jnp.where(definite, int(Status.CONVERGED), jnp.where(flat, int(Status.NOT_IDENTIFIED), int(Status.STALLED)))
    unfinished = jnp.where(c.rejected > REJECTED, int(Status.STALLED), RUNNING)
    over = is_done(jnp, decrement, limits.decrement) | (
        open_ended & ((decrement < OPEN_ENDED) | (c.rejected > REJECTED))
    )
    status = jnp.where(over, ended, unfinished)
    near = definite & (c.rejected == 0)
    share = ROUGH_SHARE if statistics.rough else 1e-3
    target = jnp.where(near, _close(limits), jnp.maximum(share * jnp.minimum(c.target, c.decrement), _close(limits)))
    return replace(
        c,
        information=information,
        inverse=_stay_unless(near, inverse),
        near=near,
        target=target,
        decrement=decrement,
        rounds=c.rounds + 1,
        handover=jnp.asarray(False),
        variance=_variance(information, inverse),
        status=jnp.where(c.status == RUNNING, status, c.status),
        unidentified=open_ended,
    )


def _unidentified(structure: Structure, statistics: Statistics, c: SearchState, information: Array) -> Array:
    """Whether the parameters can change together without any effect on the likelihood: by the scoring metric, an expected
    information, or with random slopes, where it is none, by the Jacobian of the moments (see `_identified`).
    """
    singular, curved = rank_limits(information.dtype)
    metric = c.metric if statistics.pools is not None else moment_information(structure, c.theta)
    return ~full_rank(metric, singular) & ~full_rank(information, curved)


def _stay_unless(near: Array, inverse: Array) -> Array:
    """The inverse for secant steps. Scoring begins with a step of length zero instead, after which it has the metric's inverse."""
    return jnp.where(near, inverse, 0.0)


def _once_more(c: SearchState, close: Array) -> SearchState:
    """The end of a round without the Hessian: done, or scoring goes on nearer to the maximum before secant steps are tried."""
    unfinished = jnp.where(c.rejected > REJECTED, int(Status.STALLED), RUNNING)
    status = jnp.where(is_done(jnp, c.decrement, close), int(Status.CONVERGED), unfinished)
    target = jnp.maximum(1e-3 * jnp.minimum(c.target, c.decrement), close)
    return replace(
        c,
        inverse=jnp.zeros_like(c.inverse),
        near=jnp.asarray(False),
        target=target,
        rounds=c.rounds + 1,
        handover=jnp.asarray(False),
        status=jnp.where(c.status == RUNNING, status, c.status),
    )


def _close(limits: Settings) -> Array:
    """Five orders beyond the criterion, so that theta is exact to all digits that are printed."""
    return 1e-5 * limits.decrement


def _variance(information: Array, inverse: Array) -> Array:
    """Diagonal of the inverse of the information, from its inverse with a ridge: one step of the Neumann series takes it out."""
    diagonal = jnp.diagonal(information)
    ridge = 50 * len(information) * jnp.finfo(information.dtype).eps * jnp.where(diagonal > 0, diagonal, 0.0)
    return jnp.diagonal(inverse) + jnp.einsum("ij,j,ji->i", inverse, ridge, inverse)


def value_and_gradient(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> tuple[Array, Array]:
    """Log-likelihood and its gradient (q,), without any information matrix."""
    moments, back = jax.vjp(structure, theta)
    value, by_moment = moment_gradient(moments, structure.between_only, statistics)
    return value, back(by_moment)[0]


def exact(structure: Structure, theta: Float[Array, " q"], statistics: Statistics) -> tuple[Array, Array, Array]:
    """Value, gradient and observed information at theta in one pass."""
    return *value_and_gradient(structure, theta, statistics), observed_information(structure, theta, statistics)


def search_traced(
    structure: Structure, statistics: Statistics, theta: Float[Array, " q"], limits: Settings, newton: bool = True
) -> SearchState:
    """SearchState from theta to a maximum of the log-likelihood. Pure; vmaps over any argument; no LAPACK.

    The state returned holds the observed information at theta whatever the status, but for a start that is not finite.
    newton=False never computes it and stops at a looser decrement of 1e-11, which is enough where only the value matters.
    """
    return resume(structure, statistics, start(theta), limits, newton)


def resume(
    structure: Structure, statistics: Statistics, state: SearchState, limits: Settings, newton: bool = True
) -> SearchState:
    """Carry an unfinished search on until it is done or one of its limits is reached."""
    close = _close(limits) if newton else jnp.maximum(limits.decrement, 1e-11)

    def open_(c: SearchState) -> Array:
        return (c.status == RUNNING) & (c.iterations < limits.iterations)

    def inner(c: SearchState) -> SearchState:
        c = jax.lax.while_loop(
            lambda c: open_(c) & ~c.near & ~c.handover, lambda c: _scoring_step(structure, statistics, c), c
        )
        # the metric has done its part, unless the search was given up
        turns = open_(c) & ~c.near & (c.rejected == 0)
        c = replace(
            c,
            near=c.near | turns,
            handover=jnp.where(turns, c.decrement < close, c.handover),
            target=jnp.where(turns, close, c.target),
        )
        return jax.lax.while_loop(
            lambda c: open_(c) & c.near & ~c.handover, lambda c: secant_step(structure, statistics, c), c
        )

    if not newton:
        return jax.lax.while_loop(
            lambda c: open_(c) & (c.rounds < limits.rounds), lambda c: _once_more(inner(c), close), state
        )
    return jax.lax.while_loop(
        lambda c: open_(c) & (c.rounds < limits.rounds),
        lambda c: _verify(structure, statistics, limits, inner(c)),
        state,
    )
