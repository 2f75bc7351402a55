"""What is tried where a search fails or its maximum is in doubt: strategies, cheapest first, that the driver searches.

A first verified maximum ends them. Under constraints there are others (`_fallbacks_within`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import FitOptions, Maximum, Problem, Report, Sample
from mlsem_jax.estimation.search import LAST, STEPS, rescale, search, search_in_trust_region, signs_at
from mlsem_jax.estimation.starts import moment_start, parameter_scales, perturbed, simple_start
from mlsem_jax.estimation.status import FLAT, singular_edge
from mlsem_jax.estimation.strategies._driver import HIGHER, Driver, Limits, Proposal, Strategy, better, settled
from mlsem_jax.estimation.strategies._variance_signs import variance_signs
from mlsem_jax.likelihood import CompleteTerm
from mlsem_jax.numerics import positive_definite

# computes the moments of the unrestricted model at its maximum, None where it has none
Saturated = Callable[[], Sample | None]

# perturbed starts
STARTS = 16
EM_ITERATIONS = 100
# iterations of a search from the moments where a maximum is in doubt, of those from other starts, and of each of the perturbed
# ones: what converges at all nearly always needs fewer
PATIENCE, AGAIN, EACH = 100, 50, 30
# unfinished searches from perturbed starts that go on, and their iterations: those that rise above everything else
CARRIED_ON, FURTHER = 2, 40
# damping of steps that are strongly damped
STRONG = 10.0
# saddles that are left before a search is given up, and iterations of the search from each
SADDLES, FROM_SADDLE = 3, 100
# names of strategies, for a sentence about what found the maximum
PERTURBED = f"one of {STARTS} perturbed sets of starting values"
SADDLE = "a search on from a saddle"


def strategies(
    driver: Driver, problem: Problem, theta: np.ndarray, options: FitOptions, saturated: Saturated | None
) -> Iterator[Strategy]:
    """The strategies after a search from theta (q,) that failed, each made when its turn comes.

    saturated: computes the unrestricted maximum-likelihood moments, where the problem's sample moments are not those.
    """
    limit = min(AGAIN, options.iter_max)
    simple = simple_start(problem, theta)
    yield variance_signs(problem, theta, driver.known)
    yield unrestricted_moments(problem, theta, saturated, limit)
    moments = moment_start(problem, theta)
    yield rescaled_form(problem, theta, moments, limit)
    yield other_starts(problem, moments, simple, limit)
    yield further(problem, driver.best)
    # a run to nowhere says nothing of the other starts; only the costly searches are left out for it
    if _hopeless(problem, driver.best):
        return
    if problem.build.structure.slope_targets is None and options.optim_method != "em":
        yield em(problem, simple, options)
    yield perturbed_starts(problem, simple, driver.known)


def where_in_doubt(problem: Problem, theta: np.ndarray, known: float) -> Strategy:
    """Searches on either side of the between factors' variances and from the sample moments themselves, however improper: on one
    side of zero there may be several maxima. known: the highest maximum found so far.
    """
    yield from variance_signs(problem, theta, known)
    yield Proposal("sample moments", problem, moment_start(problem, theta), Limits(PATIENCE))


def off_saddle(problem: Problem, end: Maximum) -> Strategy:
    """Searches that go on from a saddle, to either side along the direction in which the likelihood curves upwards; none where
    `end` is no saddle.
    """
    unit = parameter_scales(problem.build, problem.sample)[0]
    for _ in range(SADDLES):
        if not end.status.converged or end.information is None or not np.all(np.isfinite(end.information)):
            return
        curvature = end.information * np.outer(unit, unit)
        # nearly always, and a thousandth of the time of eigenvectors, which take threads and wait for them
        if positive_definite(curvature):
            return
        values, vectors = np.linalg.eigh(curvature)
        if not len(values) or values[0] > -FLAT * values[-1]:
            return
        here, step = end, unit * vectors[:, 0] / np.abs(vectors[:, 0]).max()
        for side, length in product((1.0, -1.0), (0.3, 0.1, 0.03, 0.01)):
            trial = here.theta + side * length * step
            if problem.value(trial) > here.value:
                end = better(end, (yield Proposal(SADDLE, problem, trial, Limits(FROM_SADDLE))))
                break
        if end.theta is here.theta:
            return


def unrestricted_moments(problem: Problem, theta: np.ndarray, saturated: Saturated | None, limit: int) -> Strategy:
    """A search from the moments of the unrestricted model: one that fits any moments, as one factor of three indicators does, has
    its maximum right there.
    """
    exact = saturated() if saturated is not None else None
    if exact is not None:
        name = "starting values by the moments of the unrestricted model"
        yield Proposal(name, problem, moment_start(problem, theta, exact), Limits(limit))


def rescaled_form(problem: Problem, theta: np.ndarray, moments: np.ndarray, limit: int) -> Strategy:
    """Searches with factors scaled by their variances in place of markers, from the values (q,) by the sample moments and theta."""
    for words, start in (("sample moments", moments), ("first starting values", theta)):
        other = rescale(problem, signs_at(problem.build, start))
        if other is not None:
            name = f"a search with factors scaled by their variances, from the {words}"
            if settled((yield Proposal(name, other, other.forth(start), Limits(limit)))):
                return


def other_starts(problem: Problem, moments: np.ndarray, simple: np.ndarray, limit: int) -> Strategy:
    """Searches from the side of zero that the sample moments are on, from simpler values, and with strong damping."""
    name = "starting values on the side of the sample moments"
    if settled((yield Proposal(name, problem, moments, Limits(limit)))):
        return
    if settled((yield Proposal("simpler starting values", problem, simple, Limits(limit)))):
        return
    yield Proposal("strongly damped steps", problem, simple, Limits(limit, damping=STRONG))


def further(problem: Problem, end: Maximum) -> Strategy:
    """The best unfinished search carried on, for many are nearly there: by scoring, then by Newton steps in a trust region."""
    if end.status is not Status.ITERATION_LIMIT or singular_edge(problem, end.theta) is not None:
        return
    name = "more iterations or Newton steps in a trust region"
    end = yield Proposal(name, problem, end.theta, Limits(AGAIN))
    if end.status is not Status.ITERATION_LIMIT:
        return
    other = rescale(problem, signs_at(problem.build, end.theta))
    start = end.theta if other is None else other.forth(end.theta)
    limits = Limits(STEPS, method=search_in_trust_region, returns=LAST)
    yield Proposal(name, problem if other is None else other, start, limits)


def em(problem: Problem, theta: np.ndarray, options: FitOptions) -> Strategy:
    """Expectation maximisation, which never leaves the positive definite covariance matrices."""
    chosen = replace(options, optim_method="em", em_iter_max=EM_ITERATIONS, em_acceleration="squarem", iter_max=AGAIN)

    def by_em(problem: Problem, theta: np.ndarray, iterations: int, report: Report) -> Maximum:
        return search(problem, theta, replace(chosen, iter_max=iterations), report)[0]

    yield Proposal("EM", problem, theta, Limits(AGAIN, method=by_em))


def perturbed_starts(problem: Problem, theta: np.ndarray, known: float = -np.inf) -> Strategy:
    """Searches from perturbed starts, one after the other: a batch would have to be compiled first. Few iterations each, then
    more for the highest unfinished ones above the best maximum found, or known already.
    """
    ends = []
    for start in perturbed(problem, theta, STARTS):
        ends.append((yield Proposal(PERTURBED, problem, start, Limits(EACH))))
    least = max([known, *(end.value for end in ends if settled(end))])
    unfinished = [end for end in ends if end.status is Status.ITERATION_LIMIT and end.value > least + HIGHER]
    for end in sorted(unfinished, key=lambda end: -end.value)[:CARRIED_ON]:
        yield Proposal(PERTURBED, problem, end.theta, Limits(FURTHER))


def _hopeless(problem: Problem, end: Maximum) -> bool:
    """Whether the search ran off to a singular matrix and there are too few clusters for anything else."""
    s = problem.statistics.only(CompleteTerm)
    if s is None or end.status is Status.NON_FINITE:
        return False
    few = float(np.min(s.clusters)) <= len(problem.build.specification.between.observed)
    return few and singular_edge(problem, end.theta) is not None
