"""The maximum of one model: a first search, others where it failed or where there may be a higher maximum, and what it took."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import FitOptions, Maximum, Problem, Report
from mlsem_jax.estimation.search import search
from mlsem_jax.estimation.starts import simple_start
from mlsem_jax.estimation.status import singular_network, unidentified
from mlsem_jax.estimation.strategies._driver import Driver
from mlsem_jax.estimation.strategies._fallbacks import (
    PATIENCE,
    PERTURBED,
    Saturated,
    off_saddle,
    perturbed_starts,
    strategies,
    where_in_doubt,
)
from mlsem_jax.estimation.strategies._fallbacks_within import SIDES, from_all_sides, in_doubt_within, strategies_within
from mlsem_jax.estimation.strategies._variance_signs import in_doubt

HIGHER_FOUND = (
    "A search from other starting values or other signs of variances reached a higher maximum than the first one."
)


def maximum_of(
    problem: Problem,
    theta: np.ndarray,
    options: FitOptions,
    report: Report = None,
    saturated: Saturated | None = None,
) -> tuple[Maximum, tuple[str, ...]]:
    """The maximum from theta (q,), or where that fails from what else can be tried; and what it took, in sentences.

    saturated: computes the unrestricted maximum-likelihood moments, where the problem's sample moments are not those. report: told
    every iteration of every search.
    """
    first, notes = search(problem, theta, _patient(problem, options), report)
    # a limit that the user lowered is an answer, not a failure
    if first.status is Status.ITERATION_LIMIT and options.iter_max < FitOptions.iter_max:
        return first, notes
    driver = Driver(first, report)
    if problem.constraints is None:
        driver.run(off_saddle(problem, first))
    # where the model is not identified, or a network runs off to a singular one, no other search can do better
    if unidentified(problem, driver.best):
        return driver.best, notes
    if driver.settled:
        before = driver.best
        _check_for_higher(driver, problem, theta, report)
        return driver.best, (*notes, HIGHER_FOUND) if driver.best.value > before.value else notes
    if singular_network(problem.build.structure, problem.natural(driver.best.theta)):
        return driver.best, notes
    found = _fall_back(driver, problem, theta, options, report, saturated)
    return driver.best, (*notes, found)


def _patient(problem: Problem, options: FitOptions) -> FitOptions:
    """With the iterations that nearly all first searches need: one in a valley is better begun elsewhere."""
    own = problem.constraints is not None or options.optim_method in ("scoring", "newton")
    return replace(options, iter_max=PATIENCE) if own and options.iter_max == FitOptions.iter_max else options


def _check_for_higher(driver: Driver, problem: Problem, theta: np.ndarray, report: Report) -> None:
    """Searches from other sides where the maximum found is in doubt."""
    if problem.constraints is not None:
        if in_doubt_within(problem, driver.best):
            driver.run(from_all_sides(problem, theta, driver.known, report))
    elif in_doubt(problem, driver.best):
        driver.run(where_in_doubt(problem, theta, driver.known))


def _fall_back(
    driver: Driver,
    problem: Problem,
    theta: np.ndarray,
    options: FitOptions,
    report: Report,
    saturated: Saturated | None,
) -> str:
    """Strategies one after the other, up to one that finds a maximum; a sentence about it."""
    if problem.constraints is None:
        turns = strategies(driver, problem, theta, options, saturated)
    else:
        turns = strategies_within(driver, problem, theta, options, report)
    for strategy in turns:
        driver.run(strategy)
        if driver.settled:
            found, name = driver.best, driver.found_by
            # where one search failed, others may have missed a higher maximum
            if problem.constraints is not None and name != SIDES:
                _check_for_higher(driver, problem, theta, report)
            elif problem.constraints is None and name != PERTURBED and in_doubt(problem, found):
                driver.run(perturbed_starts(problem, simple_start(problem, theta), found.value))
            note = f"The search failed from the first starting values and reached the maximum by {name}."
            return HIGHER_FOUND if driver.best.value > found.value else note
    return (
        f"{driver.searches} searches, from different starting values or by different methods, were tried: none found a "
        "maximum."
    )
