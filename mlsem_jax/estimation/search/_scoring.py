"""Fisher scoring with Levenberg-Marquardt damping, finished by Newton steps on the exact Hessian.

The expected information is positive semidefinite everywhere, so scoring cannot run to a saddle; near the maximum the observed
information converges quadratically and is what the standard errors need anyway. The rule of the steps is that of `_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Maximum, Point, Problem, Report
from mlsem_jax.estimation.search._rules import (
    DECREMENT,
    REJECTED,
    gains_enough,
    is_done,
    next_damping,
    rounding,
    secant_inverse,
)
from mlsem_jax.numerics import damped_step, positive_definite

# promised gain below which steps use more than the metric: here, where a metric costs no more than a Hessian of complete data
NEWTON_FROM = 1e-2
# the decrement below which the last step is too short to change standard errors in the eighth digit: its Hessian is kept
SAME_HESSIAN = 1e-18
# and below which the last step, of 1e-11 standard errors, is rounding, and is not taken
SAME_POINT = 1e-22
# DECREMENT of models of which only the log-likelihood matters; the step that is still taken there shrinks it tenfold or more
REFERENCE_DECREMENT = 1e-9
# iterations of a search, and of those the ones with the metric before the Hessian is looked at in any case
ITERATIONS, METRIC_ONLY = 300, 30
# secant steps that are taken at most: from a metric that holds nearly all the information, 5 or 6 are enough
SECANT_STEPS = 15
# promised gain of a Newton step below which a Hessian that is an integral is not computed again: secant steps begin with it
HESSIAN_FROM = 1.0
# an eigenvalue of the Hessian, scaled to unit diagonal, from which it is definite enough for a step
DEFINITE = 1e-14


class _Curvature:
    """What a step is taken with: the metric far from a maximum; near one the observed information, where it is positive definite.

    With missing values or random slopes the Hessian costs as much as two evaluations for every parameter. There the last stretch
    goes by secant steps, which begin with the metric, and the Hessian is computed once, where they end. Where the metric is rough
    they begin with the last Hessian that is computed, of a point from which little is left to gain. exact: whether the last matrix
    was the observed information; matrix: that, None where it was the metric, which is not computed before it is needed.
    """

    def __init__(self, problem: Problem, newton: bool, newton_from: float | None):
        self._problem, self._newton = problem, newton
        self._rough = newton_from is None and problem.metric_is_rough
        if self._rough:
            newton_from = np.inf
        self._near = NEWTON_FROM if newton_from is None else newton_from
        self._secant = newton_from is None and problem.hessian_is_costly
        self._inverse: np.ndarray | None = None
        self._steps = 0
        self.matrix: np.ndarray | None = None
        self.exact = False

    @property
    def kind(self) -> str:
        """What a step with the last matrix is called."""
        return "newton" if self.exact else "scoring" if self._inverse is None else "secant"

    def step(self, here: Point, iteration: int) -> np.ndarray:
        """The undamped step (q,) from a point."""
        self.matrix, scoring, more = None, None, self._newton or self._secant
        if self._rough and self._inverse is not None and self._steps < SECANT_STEPS:
            self.exact = False
            return self._secant_step(here)
        close = more and (self.exact or self._inverse is not None or iteration > METRIC_ONLY)
        if not close:
            scoring = self.damped(here, 0.0)
            close = more and abs(here.gradient @ scoring) < 2 * self._near
        if close and self._secant and not self.exact and self._steps < SECANT_STEPS:
            return self._secant_step(here)
        if close:
            self._inverse = None
        if close and self._newton:
            hessian = self._problem.observed(here.theta)
            self.exact = positive_definite(hessian, DEFINITE)
            self._secant = self._secant and self.exact
            if self.exact:
                return self._newton_step(here, hessian)
        return self.damped(here, 0.0) if scoring is None else scoring

    def _newton_step(self, here: Point, hessian: np.ndarray) -> np.ndarray:
        self.matrix = hessian
        step = self.damped(here, 0.0)
        if self._rough and 0.5 * abs(here.gradient @ step) < HESSIAN_FROM:
            self._inverse, self._steps = damped_step(hessian, np.eye(len(step)), 0.0), 0
        return step

    def _secant_step(self, here: Point) -> np.ndarray:
        if self._inverse is None:
            self._inverse = damped_step(here.metric, np.eye(len(here.theta)), 0.0)
        self._steps += 1
        return self._inverse @ here.gradient

    def damped(self, here: Point, damping: float) -> np.ndarray:
        """The step (q,) by the last matrix, damped; by the metric where that was an approximation."""
        return damped_step(here.metric if self.matrix is None else self.matrix, here.gradient, damping)

    def learn(self, step: np.ndarray, drop: np.ndarray, promise: float) -> None:
        """After a step (q,) that was taken, by which the gradient dropped (q,)."""
        if self._inverse is not None:
            self._inverse = secant_inverse(np, self._inverse, step, drop, promise)

    def forget(self) -> None:
        """After a step that led nowhere: the metric at hand is a safer guide."""
        self._inverse = None


@dataclass
class _Here:
    """Where a search is; the damping of its next step; and how many steps in a row were rejected."""

    point: Point
    damping: float
    rejected: int = 0

    def finish(self, there: Point) -> None:
        """Take the last step, unless the log-likelihood falls by more than rounding."""
        if there.finite and there.value >= self.point.value - 10 * float(rounding(np, self.point.value)):
            self.point = there

    def judge(self, step: np.ndarray, there: Point, curvature: _Curvature) -> None:
        """Take a step (q,) to another point if it gains enough; damp the next one if not."""
        gained, promise = there.value - self.point.value, 0.5 * abs(float(self.point.gradient @ step))
        # a Newton step looks at the Hessian next, and at the metric where that is no help
        known = there.inside if curvature.exact else there.finite
        taken = known and bool(gains_enough(np, gained, promise, self.point.value))
        self.damping = float(next_damping(np, self.damping, taken, gained, promise))
        self.rejected = 0 if taken else self.rejected + 1
        if taken:
            curvature.learn(step, self.point.gradient - there.gradient, promise)
            self.point = there
        else:
            curvature.forget()


def maximise(
    problem: Problem,
    theta: np.ndarray,
    *,
    newton: bool = True,
    iterations: int = ITERATIONS,
    tolerance: float = DECREMENT,
    newton_from: float | None = None,
    damping: float = 0.0,
    report: Report = None,
) -> Maximum:
    """Climb from theta (q,) to a maximum of the log-likelihood, whatever the problem's constraints.

    newton=False stops at a looser decrement without ever computing (and compiling) the Hessian, which is enough where only
    the log-likelihood matters. newton_from: the promised gain below which steps use the Hessian, where it is positive
    definite (default 0.01; infinity is damped Newton from the start with the metric as its fallback). damping: of the first step,
    relative to the diagonal of the metric.
    """
    here = _Here(problem.evaluate(theta), damping)
    if not np.isfinite(here.point.value):
        return Maximum.at(here.point, Status.NON_FINITE)
    trace: list[dict] = []
    status, promise = Status.ITERATION_LIMIT, np.inf
    limit = tolerance if newton else max(tolerance, REFERENCE_DECREMENT)
    curvature = _Curvature(problem, newton, newton_from)
    for iteration in range(1, iterations + 1):
        step = curvature.step(here.point, iteration)
        # what is left to gain decides, not how cautious the next step is
        promise = 0.5 * float(here.point.gradient @ step)
        done = bool(is_done(np, promise, limit))
        if here.damping and not done:
            step = curvature.damped(here.point, here.damping)
        tell(trace, report, entry(iteration, curvature.kind, here.point, promise))
        if done:
            if not curvature.exact or promise > SAME_POINT:
                here.finish(problem.evaluate(here.point.theta + step))
            status = Status.CONVERGED
            break
        here.judge(step, problem.evaluate(here.point.theta + step), curvature)
        if here.rejected > REJECTED:
            status = Status.STALLED
            break
    end = Maximum.at(here.point, status, trace, promise)
    if not newton:
        return end
    kept = curvature.exact and status is Status.CONVERGED and promise <= SAME_HESSIAN
    return replace(end, observed=curvature.matrix if kept else problem.observed(end.theta))


def tell(trace: list[dict], report: Report, row: dict) -> None:
    """Add a row to the trace, and tell whoever watches."""
    trace.append(row)
    if report is not None:
        report(row)


def entry(iteration: int, step: str, at: Point, promise: float) -> dict:
    """One row of the trace; step: the kind of the step that was taken from there, or that led there (solvers by name)."""
    largest = float(np.abs(at.gradient).max(initial=0.0))
    return {"iteration": iteration, "loglik": at.value, "decrement": promise, "gradient": largest, "step": step}
