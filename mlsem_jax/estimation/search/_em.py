"""Expectation maximisation over the cluster effects, accelerated by SQUAREM.

Each map is an E-step in closed form and an M-step of a few scoring steps on the expected complete-data log-likelihood (a
generalised EM: Dempster, Laird & Rubin 1977), so the log-likelihood never falls. SQUAREM (Varadhan & Roland 2008, scheme S3)
extrapolates two maps and is taken only where the log-likelihood is no lower than after the second map.

EM lives where Sigma_B is positive definite. Where the maximum lies outside, it says so and leaves the rest to Fisher scoring.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.estimation.problem import FitOptions, Point, Problem
from mlsem_jax.estimation.search._iterates import Iterates
from mlsem_jax.estimation.search._rules import DECREMENT
from mlsem_jax.estimation.search._traced_state import scaled_inverse
from mlsem_jax.estimation.starts import shrunk_covariances
from mlsem_jax.likelihood import (
    Statistics,
    evaluate_expected,
    expected_complete_log_likelihood,
    expected_statistics,
    moment_gradient,
)
from mlsem_jax.models import Structure

# scoring steps in one M-step; the last ones are skipped where the first already exhausts the gain
M_STEPS = 4
# smallest eigenvalue of Sigma_B, relative to total variances, below which its slope is watched
NEAR_SINGULAR = 1e-2
# iterations in a row that gain next to nothing, or press against a singular Sigma_B, before EM gives up
PATIENCE = 25


@jax.jit
def em_map(structure: Structure, theta: jax.Array, statistics: Statistics) -> jax.Array:
    """One E-step and one M-step from theta (q,), where Sigma_B is positive definite."""
    expected = expected_statistics(structure, theta, statistics)

    def improve(state):
        theta, _, first, step_number, _ = state
        here = evaluate_expected(structure, theta, expected)
        inverse, _, _ = scaled_inverse(here.metric, 0.0)
        step = inverse @ here.gradient
        promise = 0.5 * (here.gradient @ step)

        def falls_short(trial):
            length, value = trial
            return (value < here.value + 1e-4 * length * promise) & (length > 1e-6)

        def shorter(trial):
            length = 0.5 * trial[0]
            return length, expected_complete_log_likelihood(structure, theta + length * step, expected)

        full = expected_complete_log_likelihood(structure, theta + step, expected)
        length, value = jax.lax.while_loop(falls_short, shorter, (jnp.ones_like(full), full))
        better = value >= here.value
        theta = jnp.where(better, theta + length * step, theta)
        first = jnp.where(step_number == 0, promise, first)
        done = ~better | (promise < 1e-4 * first)
        return theta, value, first, step_number + 1, done

    def unfinished(state):
        return ~state[-1] & (state[-2] < M_STEPS)

    zero = jnp.zeros((), theta.dtype)
    return jax.lax.while_loop(unfinished, improve, (theta, zero, zero, 0, jnp.asarray(False)))[0]


@jax.jit
def _between(structure: Structure, theta: jax.Array, statistics: Statistics) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sigma_B, the derivative of the log-likelihood in it, and Sigma_W, each (G, p, p)."""
    moments = structure(theta)
    gradient = moment_gradient(moments, structure.between_only, statistics)[1]
    return moments.between_cov, gradient.between_cov, moments.within_cov


def between_edge(problem: Problem, theta: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The smallest eigenvalue of Sigma_B over groups, relative to total variances, the slope of the log-likelihood along its
    eigenvector (negative: it rises where the eigenvalue falls), and the eigenvector (p,).

    Variables without between variance do not count.
    """
    smallest, slope, direction = np.inf, 0.0, np.zeros(0)
    for b, g, w in zip(*map(np.asarray, _between(problem.structure, theta, problem.statistics)), strict=True):
        at = np.flatnonzero(np.diag(b) != 0)
        scale = np.sqrt(np.maximum(np.diag(w) + np.abs(np.diag(b)), 1e-300))
        values, vectors = np.linalg.eigh((b / np.outer(scale, scale))[np.ix_(at, at)])
        if len(at) and values[0] < smallest:
            vector = np.zeros(len(b))
            vector[at] = vectors[:, 0]
            smallest, slope, direction = values[0], (vector * scale) @ g @ (vector * scale), vector
    return float(smallest), float(slope), direction


def obstacle(problem: Problem, theta: np.ndarray) -> str | None:
    """Why EM cannot start at theta, as a sentence; None if it can."""
    if problem.structure.slope_targets is not None:
        return "EM does not cover random slopes."
    if problem.structure.ordered is not None:
        return "EM is for normal data."
    smallest, _, direction = between_edge(problem, theta)
    if smallest > 1e-10:
        return None
    variables = problem.build.specification.variables
    names = [v for v, weight in zip(variables, np.abs(direction), strict=True) if weight > 0.1]
    return (
        f"EM needs a positive definite between covariance matrix, and that of {listing(names)} is singular or indefinite at the "
        "starting values, often because residual variances are fixed at 0."
    )


def definite_start(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """theta with its covariances shrunk as far as it takes to make Sigma_B positive definite, or theta itself."""
    for trial in shrunk_covariances(problem.build, theta):
        if between_edge(problem, trial)[0] > 1e-6 and np.isfinite(problem.value(trial)):
            return trial
    return theta


def em_points(problem: Problem, start: Point, options: FitOptions) -> Iterates:
    """Successive points of EM; returns a sentence where it ended without meeting its tolerances.

    Stops where the log-likelihood changed by less than em_fx_tol and no element of the gradient exceeds em_dx_tol, or where
    the gain that is left is below rounding.
    """
    squarem = options.em_acceleration == "squarem"
    here, slow, pressed = start, 0, 0
    while True:
        there = yield _cycle(problem, here, squarem)
        change, here = there.value - here.value, there
        largest = np.abs(here.gradient).max(initial=0.0)
        if change < options.em_fx_tol and (largest < options.em_dx_tol or here.promise < DECREMENT):
            return None
        slow = slow + 1 if change < 1e-2 * options.em_fx_tol else 0
        smallest, slope, _ = between_edge(problem, here.theta)
        pressed = pressed + 1 if smallest < NEAR_SINGULAR and slope < 0 else 0
        if pressed >= PATIENCE and smallest < 1e-4:
            return (
                "EM stopped where the between covariance matrix becomes singular (smallest eigenvalue "
                f"{smallest:.1e} of the total variance) while the likelihood still rises in that direction."
            )
        if slow >= PATIENCE:
            return f"EM slowed down: {PATIENCE} iterations in a row hardly changed the log-likelihood."


def _cycle(problem: Problem, here: Point, squarem: bool) -> np.ndarray:
    """One map, or with SQUAREM two maps, an extrapolation and a map that stabilises it."""

    def step(theta: np.ndarray) -> np.ndarray:
        return np.asarray(em_map(problem.structure, theta, problem.statistics))

    one = step(here.theta)
    if not squarem:
        return one
    two = step(one)
    weight = np.maximum(np.diag(here.metric), 0.0)
    r, v = one - here.theta, (two - one) - (one - here.theta)
    bottom = float(weight @ v**2)
    alpha = -np.sqrt(float(weight @ r**2) / bottom) if bottom > 0 else -1.0
    floor = problem.value(two)
    while alpha < -1.01:
        trial = here.theta - 2 * alpha * r + alpha**2 * v
        if np.isfinite(problem.value(trial)) and between_edge(problem, trial)[0] > 0:
            stabilised = step(trial)
            if problem.value(stabilised) >= floor:
                return stabilised
        alpha = (alpha - 1) / 2
    return two
