"""Newton steps within a trust region, for searches that crawl along a narrow curved valley.

Next to a singular covariance matrix the likelihood has valleys in which the observed information is indefinite, so that scoring
follows the metric in short steps, hundreds of them. A trust region makes use of the exact curvature all the same, whatever its
signs (Moré & Sorensen 1983; Nocedal & Wright 2006, section 4.3): a hundred steps go as far as thousands of scoring steps do. Each
costs an observed information, so only the best unfinished end of other searches is carried on like that.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Maximum, Problem, Report
from mlsem_jax.estimation.search._scoring import entry, maximise, tell

# steps in the trust region, and of scoring from its end
STEPS, LAST = 130, 20
# the largest element of the gradient, in units of standard errors, that scoring takes over from
GRADIENT = 1e-4
# in the same units: the region at first, and at most
FIRST, WIDEST = 1.0, 1e4


def search_in_trust_region(
    problem: Problem, theta: np.ndarray, iterations: int = STEPS, report: Report = None
) -> Maximum:
    """The maximum from theta (q,) by Newton steps in a trust region, verified by scoring from where they end."""
    from scipy.optimize import minimize  # slow to import, and few searches come to this

    first = problem.evaluate(theta)
    if not first.finite or not np.all(np.isfinite(problem.observed(theta))):
        return Maximum.at(first, Status.NON_FINITE)
    size = np.abs(np.diag(first.metric))
    unit = 1.0 / np.sqrt(np.where(size > 0, size, 1.0))
    trace: list[dict] = []

    def minus_loglik(z: np.ndarray) -> tuple[float, np.ndarray]:
        here = problem.evaluate(theta + unit * z)
        # where the likelihood is zero the step is rejected
        return (-here.value, -unit * here.gradient) if here.finite else (np.inf, np.zeros_like(z))

    def curvature(z: np.ndarray) -> np.ndarray:
        here = problem.evaluate(theta + unit * z)
        tell(trace, report, entry(len(trace) + 1, "trust region", here, here.promise))
        hessian = problem.observed(here.theta) * np.outer(unit, unit)
        # asked for of every point that is tried, also of those where the likelihood is zero, which are rejected then
        return hessian if np.all(np.isfinite(hessian)) else np.eye(len(z))

    limits = {"maxiter": iterations, "gtol": GRADIENT, "initial_trust_radius": FIRST, "max_trust_radius": WIDEST}
    found = minimize(minus_loglik, np.zeros_like(theta), jac=True, hess=curvature, method="trust-exact", options=limits)
    here = problem.evaluate(theta + unit * found.x)
    last = maximise(problem, here.theta, iterations=LAST if found.success else 1, report=report)
    return last.after(Maximum.at(here, Status.ITERATION_LIMIT, trace))
