"""Under bounds and other constraints: when a maximum is in doubt, and the searches from several sides then."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import FitOptions, Maximum, Problem, Report
from mlsem_jax.estimation.search import promises_less, rescale, signs_at
from mlsem_jax.estimation.starts import simple_start
from mlsem_jax.estimation.strategies._driver import HIGHER, Driver, Limits, Proposal, Strategy
from mlsem_jax.estimation.strategies._starts_within import starts_within
from mlsem_jax.estimation.strategies._variance_signs import in_doubt

# standard errors from a bound below which a maximum is in doubt
NEAR = 2.0
# iterations of each search: what converges at all nearly always needs fewer
EACH = 40
# the name of the strategy, for a sentence about what found the maximum
SIDES = "one of several sets of starting values under the constraints"


def in_doubt_within(problem: Problem, maximum: Maximum) -> bool:
    """Whether there may be a higher maximum: the maximum lies on or within two standard errors of a bound or another inequality,
    or it would be in doubt without constraints.
    """
    constraints = problem.constraints
    if constraints is None:
        return in_doubt(problem, maximum)
    residual, jacobian = constraints.evaluate(maximum.theta)
    unequal = ~constraints.equality
    if unequal.any() and maximum.information is not None and np.all(np.isfinite(maximum.information)):
        covariance = np.linalg.pinv(maximum.information)
        variance = np.einsum("cq,qr,cr->c", jacobian[unequal], covariance, jacobian[unequal])
        if np.any(residual[unequal] <= NEAR * np.sqrt(np.maximum(variance, 0.0))):
            return True
    return in_doubt(problem, maximum)


def from_all_sides(problem: Problem, theta: np.ndarray, known: float = -np.inf, report: Report = None) -> Strategy:
    """Searches from all starts of `starts_within`; theta (q,) gives what those leave alone.

    known: the highest maximum found so far; searches that near their end below it are left. Where a search fails it is begun again
    with factors scaled by their variances, if the constraints can be said in that form: where a variance reaches zero, its factor's
    loadings relative to a marker are undefined.
    """
    for start in starts_within(problem, theta, report):
        end = yield Proposal(SIDES, problem, start, Limits(EACH, least=known + HIGHER))
        if not end.status.converged and not promises_less(end.value, end.decrement, known + HIGHER):
            other = rescale(problem, signs_at(problem.build, start))
            if other is not None:
                end = yield Proposal(SIDES, other, other.forth(start), Limits(EACH))
        known = max(known, end.value) if end.status.converged else known


def strategies_within(
    driver: Driver, problem: Problem, theta: np.ndarray, options: FitOptions, report: Report
) -> Iterator[Strategy]:
    """The strategies after a search from theta (q,) that failed, each made when its turn comes."""
    yield _simple(problem, theta)
    yield from_all_sides(problem, theta, driver.known, report)
    yield _further(problem, driver.best, options.iter_max)


def _simple(problem: Problem, theta: np.ndarray) -> Strategy:
    yield Proposal("simpler starting values", problem, simple_start(problem, theta), Limits(EACH))


def _further(problem: Problem, end: Maximum, iterations: int) -> Strategy:
    if end.status is Status.ITERATION_LIMIT:
        yield Proposal("more iterations", problem, end.theta, Limits(iterations))
