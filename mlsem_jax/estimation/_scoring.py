"""Fisher scoring with Levenberg-Marquardt damping, finished by Newton steps on the exact Hessian.

The expected information is positive semidefinite everywhere, so scoring cannot run to a saddle; near the maximum the observed
information converges quadratically and is what the standard errors need anyway. Steps are measured by the Newton decrement
g' I^-1 g / 2, the rise of the log-likelihood that the quadratic model promises: it does not depend on the units of anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from mlsem_jax import likelihood
from mlsem_jax._status import Status
from mlsem_jax.estimation import _kernels as kernels
from mlsem_jax.estimation._curvature import Curvature, damped_step
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Moments, Structure

# the log-likelihood left on the table when a search is called done; its square root is the error in standard errors
DECREMENT = 1e-13
# the decrement below which the last step is too short to change standard errors in the eighth digit: its Hessian is kept
SAME_HESSIAN = 1e-18
# DECREMENT of models of which only the log-likelihood matters; the step that is still taken there shrinks it tenfold or more
REFERENCE_DECREMENT = 1e-9
# steps in a row that do not rise before a search stops
REJECTED = 30


@dataclass(frozen=True)
class Maximum:
    """Where a search ended. information: observed at theta where it was computed, else the scoring metric, if any.

    jacobian (c, q), multipliers (c,): of the nonlinear equalities and active inequalities that hold at theta, if any.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    information: np.ndarray | None
    observed: bool
    decrement: float
    iterations: int
    status: Status
    trace: list[dict] = field(default_factory=list)
    jacobian: np.ndarray | None = None
    multipliers: np.ndarray | None = None


class Problem:
    """The compiled kernels bound to one build and its statistics; q counts the elements of theta without padding."""

    def __init__(self, made: Build, statistics: Statistics):
        self._made, self._given = made, statistics
        self.q, self.padded = made.free, int(made.basis.shape[1])
        self._last: tuple[bytes, tuple[float, np.ndarray, np.ndarray]] | None = None

    @functools.cached_property
    def _packed(self) -> tuple[list[jax.Array], kernels.Layout]:
        """Structure and statistics, sent to the device when a kernel first needs them."""
        arrays, layout = kernels.pack((self._made.structure, self._given))
        with jax.enable_x64(True):  # whoever asks first: nothing may be rounded to 32 bits here
            return jax.device_put(arrays), layout

    @functools.cached_property
    def _trees(self) -> tuple[Structure, Statistics]:
        with jax.enable_x64(True):
            return jax.device_put(jax.tree.map(np.asarray, (self._made.structure, self._given)))

    @property
    def structure(self) -> Structure:
        return self._trees[0]

    @property
    def statistics(self) -> Statistics:
        return self._trees[1]

    @property
    def hessian_is_costly(self) -> bool:
        """Whether the Hessian is differentiated forward instead of in closed form: with missing values or random slopes."""
        return self._given.curved > 0

    @functools.cached_property
    def _many_sizes(self) -> bool:
        """Whether sums over the distinct cluster sizes cost more than an eigenproblem at every point (see `coordinates`)."""
        return self._given.many_sizes

    def _run(self, kernel: Callable, theta: np.ndarray, *more: Any):
        arrays, layout = self._packed
        return jax.device_get(kernels.on_arrays(kernel, layout)(arrays, self.full(theta), *more))

    def _run_at(self, kernel: Callable, theta: np.ndarray):
        """The kernel, at given coordinates where there are many sizes; None where no such coordinates exist, which is where the
        likelihood is zero."""
        if not self._many_sizes:
            return self._run(kernel, theta)
        at = likelihood.coordinates(self._run(_moments, theta), self._made.between_only)
        return None if at is None else self._run(kernel, theta, at)

    def full(self, theta: np.ndarray) -> np.ndarray:
        return np.concatenate([theta, np.zeros(self.padded - self.q)])

    def evaluate(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient (q,) and scoring metric (q, q); the last point asked for is remembered."""
        key = np.asarray(theta, float).tobytes()
        if self._last is None or self._last[0] != key:
            out = self._run_at(likelihood.evaluate, theta)
            if out is None:
                found = -np.inf, np.full(self.q, np.nan), np.full((self.q, self.q), np.nan)
            else:
                found = float(out.value), out.gradient[: self.q], out.information[: self.q, : self.q]
            self._last = key, found
        return self._last[1]

    def value(self, theta: np.ndarray) -> float:
        return float(self._run(likelihood.log_likelihood, theta))

    def observed(self, theta: np.ndarray) -> np.ndarray:
        return self._square(self._run_at(likelihood.observed_information, theta))

    def expected(self, theta: np.ndarray) -> np.ndarray:
        return self._square(self._run_at(likelihood.expected_information, theta))

    def of_moments(self, theta: np.ndarray) -> np.ndarray:
        """Cross-product (q, q) of the Jacobian of the implied moments, singular where these leave parameters open."""
        return self._square(self._run(_moment_information, theta))

    def _square(self, information: np.ndarray | None) -> np.ndarray:
        return np.full((self.q, self.q), np.nan) if information is None else information[: self.q, : self.q]


def _moments(structure: Structure, theta: jax.Array, statistics: Statistics) -> Moments:
    return structure(theta)


def _moment_information(structure: Structure, theta: jax.Array, statistics: Statistics) -> jax.Array:
    return likelihood.moment_information(structure, theta)


@dataclass
class _Here:
    """Where a search is: theta (q,), log-likelihood, gradient (q,), metric (q, q); the damping of its next step; and how many steps
    in a row were rejected.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    metric: np.ndarray
    damping: float
    rejected: int = 0

    def move(self, step: np.ndarray, there: tuple[float, np.ndarray, np.ndarray]) -> None:
        self.theta = self.theta + step
        self.value, self.gradient, self.metric = there

    def finish(self, step: np.ndarray, there: tuple[float, np.ndarray, np.ndarray]) -> None:
        """Take the last step (q,), unless the log-likelihood falls by more than rounding."""
        if np.isfinite(there[0]) and there[0] >= self.value - 1e-12 * abs(self.value):
            self.move(step, there)

    def judge(self, step: np.ndarray, there: tuple[float, np.ndarray, np.ndarray], curvature: Curvature) -> None:
        """Take a step (q,) to a point with this value, gradient and metric if it gains enough; damp the next one if not."""
        gained, expected = there[0] - self.value, 0.5 * abs(float(self.gradient @ step))
        # rounding of the value itself bounds what a comparison can show
        least = 1e-4 * expected - 1e-13 * abs(self.value)
        if np.isfinite(there[0]) and np.all(np.isfinite(there[1])) and gained > least:
            curvature.learn(step, there[1] - self.gradient)
            self.move(step, there)
            well = gained > 1.5 * expected and self.damping < 0.1
            self.damping = 0.0 if self.damping < 1e-3 or well else self.damping / 8
            self.rejected = 0
        else:
            curvature.forget()
            self.damping = max(self.damping * 6, 1e-3 if curvature.exact else 1e-2)
            self.rejected += 1


def maximise(
    problem: Problem,
    theta: np.ndarray,
    *,
    newton: bool = True,
    iterations: int = 300,
    tolerance: float = DECREMENT,
    newton_from: float | None = None,
    damping: float = 0.0,
    report: Callable[[dict], None] | None = None,
) -> Maximum:
    """Climb from theta (q,) to a maximum of the log-likelihood.

    newton=False stops at a looser decrement without ever computing (and compiling) the Hessian, which is enough where only
    the log-likelihood matters. newton_from: the promised gain below which steps use the Hessian, where it is positive
    definite (default 0.01; infinity is damped Newton from the start with the metric as its fallback). damping: of the first step,
    relative to the diagonal of the metric.
    """
    here = _Here(theta, *problem.evaluate(theta), damping)
    if not np.isfinite(here.value):
        return Maximum(theta, here.value, here.gradient, here.metric, False, np.inf, 0, Status.NON_FINITE)
    trace: list[dict] = []
    status, iteration, promise = Status.ITERATION_LIMIT, 0, np.inf
    limit = tolerance if newton else max(tolerance, REFERENCE_DECREMENT)
    curvature, information = Curvature(problem, newton, newton_from), here.metric
    for iteration in range(1, iterations + 1):
        information = curvature(here.theta, here.gradient, here.metric, iteration)
        step = damped_step(information, here.gradient, 0.0)
        # what is left to gain decides, not how cautious the next step is
        promise = 0.5 * float(here.gradient @ step)
        # next to a singular edge rounding leaves even the metric indefinite, and the promise negative: that is no maximum
        done = abs(promise) < limit
        if here.damping and not done:
            step = damped_step(information, here.gradient, here.damping)
        _tell(trace, report, entry(iteration, curvature.kind, here.value, promise, here.gradient))
        there = problem.evaluate(here.theta + step)
        if done:
            here.finish(step, there)
            status = Status.CONVERGED
            break
        here.judge(step, there, curvature)
        if here.rejected > REJECTED:
            status = Status.STALLED
            break
    if not newton:
        information = here.metric
    elif not curvature.exact or status is not Status.CONVERGED or promise > SAME_HESSIAN:
        information = problem.observed(here.theta)
    return Maximum(here.theta, here.value, here.gradient, information, newton, promise, iteration, status, trace)


def _tell(trace: list[dict], report: Callable[[dict], None] | None, entry: dict) -> None:
    """Add a row to the trace, and tell whoever watches."""
    trace.append(entry)
    if report is not None:
        report(entry)


def entry(iteration: int, step: str, value: float, promise: float, gradient: np.ndarray) -> dict:
    """One row of the trace; step: the kind of the step that was taken from there, or that led there (solvers by name)."""
    largest = float(np.abs(gradient).max(initial=0.0))
    return {"iteration": iteration, "loglik": value, "decrement": promise, "gradient": largest, "step": step}
