"""Newton steps within a trust region, for searches that crawl along a narrow curved valley.

Next to a singular covariance matrix the likelihood has valleys in which the observed information is indefinite, so that scoring
follows the metric in short steps, hundreds of them. A trust region makes use of the exact curvature all the same, whatever its
signs (Moré & Sorensen 1983; Nocedal & Wright 2006, section 4.3): a hundred steps go as far as thousands of scoring steps do. Each
costs an observed information, so only the best unfinished end of other searches is carried on like that.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation._curvature import damped_step
from mlsem_jax.estimation._rescaled import rescale, signs_at
from mlsem_jax.estimation._scoring import Maximum, Problem, entry, maximise
from mlsem_jax.estimation._sides import Report, after, way_back
from mlsem_jax.models import Build

# steps in the trust region, and of scoring from its end
STEPS, LAST = 130, 20
# the largest element of the gradient, in units of standard errors, that scoring takes over from
GRADIENT = 1e-4
# in the same units: the region at first, and at most
FIRST, WIDEST = 1.0, 1e4


def carry_on(problem: Problem, made: Build, end: Maximum, report: Report = None) -> Maximum:
    """The unfinished search that ended at `end`, carried on with factors scaled by their variances where that is possible."""
    other = rescale(problem, made, signs_at(made, end.theta))
    if other is None:
        return climb_valley(problem, end.theta, report)
    return way_back(problem, other, climb_valley(other.problem, other.forth(end.theta), report), LAST, report)


def climb_valley(problem: Problem, theta: np.ndarray, report: Report = None) -> Maximum:
    """The maximum from theta (q,) by Newton steps in a trust region, verified by scoring from where they end."""
    from scipy.optimize import minimize  # slow to import, and few searches come to this

    value, gradient, metric = problem.evaluate(theta)
    if not np.isfinite(value) or not np.all(np.isfinite(problem.observed(theta))):
        return Maximum(theta, value, gradient, metric, False, np.inf, 0, Status.NON_FINITE)
    size = np.abs(np.diag(metric))
    unit = 1.0 / np.sqrt(np.where(size > 0, size, 1.0))
    trace: list[dict] = []

    def minus_loglik(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient, _ = problem.evaluate(theta + unit * z)
        # where the likelihood is zero the step is rejected
        finite = np.isfinite(value) and np.all(np.isfinite(gradient))
        return (-value, -unit * gradient) if finite else (np.inf, np.zeros_like(z))

    def curvature(z: np.ndarray) -> np.ndarray:
        value, gradient, metric = problem.evaluate(theta + unit * z)
        promise = 0.5 * float(gradient @ damped_step(metric, gradient, 0.0))
        trace.append(entry(len(trace) + 1, "trust region", value, promise, gradient))
        if report is not None:
            report(trace[-1])
        hessian = problem.observed(theta + unit * z) * np.outer(unit, unit)
        # asked for of every point that is tried, also of those where the likelihood is zero, which are rejected then
        return hessian if np.all(np.isfinite(hessian)) else np.eye(len(z))

    limits = {"maxiter": STEPS, "gtol": GRADIENT, "initial_trust_radius": FIRST, "max_trust_radius": WIDEST}
    found = minimize(minus_loglik, np.zeros_like(theta), jac=True, hess=curvature, method="trust-exact", options=limits)
    here = theta + unit * found.x
    last = maximise(problem, here, iterations=LAST if found.success else 1, report=report)
    steps = Maximum(
        here, -float(found.fun), last.gradient, None, False, np.inf, len(trace), Status.ITERATION_LIMIT, trace
    )
    return after(steps, last)
