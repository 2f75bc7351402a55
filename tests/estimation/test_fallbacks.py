"""Each strategy for searches that fail, by itself: what it proposes, when it stops, and that its proposals reach the maximum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_status import FACTOR, SATURATED, WITHIN, by_moments, fit, told

import mlsem_jax as ml
from mlsem_jax.estimation import FitOptions, Problem
from mlsem_jax.estimation.problem._problem import Maximum
from mlsem_jax.estimation.search._rescaled import RescaledProblem, factors_of, rescale, signs_at
from mlsem_jax.estimation.search._scoring import maximise
from mlsem_jax.estimation.search._trust_region import search_in_trust_region
from mlsem_jax.estimation.starts._moment_starts import moment_start
from mlsem_jax.estimation.starts._other_starts import simple_start
from mlsem_jax.estimation.starts._starts import starting_values
from mlsem_jax.estimation.strategies import _fallbacks as fallbacks
from mlsem_jax.estimation.strategies._driver import Driver, Limits, Proposal, better, searched, settled
from mlsem_jax.estimation.strategies._fallbacks_within import SIDES, from_all_sides
from mlsem_jax.estimation.strategies._variance_signs import SIGNS, SIGNS_ONE_LEVEL, variance_signs
from mlsem_jax.numerics import float64

# a factor with a residual variance below zero: the first search crawls along a valley, others reach the maximum
BETWEEN = np.array([[0.2, 0.15, 0.15], [0.15, 0.1, 0.02], [0.15, 0.02, 0.3]])


@pytest.fixture(scope="module")
def hard() -> tuple[Problem, np.ndarray, Maximum]:
    """The problem, its first starting values (q,), and the maximum that other searches found."""
    model = fit(FACTOR, by_moments(WITHIN, BETWEEN)).estimation.model
    start = starting_values(model.build, *model.problem.sample)[model.build.kept]
    return model.problem, start, model.maximum


@pytest.fixture(scope="module")
def failed(hard) -> Maximum:
    """Where the first search is after 60 iterations."""
    problem, start, maximum = hard
    end = float64(maximise)(problem, start, iterations=60)
    assert not settled(end)
    assert end.value < maximum.value - 1e-4
    return end


by_moments_of = float64(moment_start)


@float64
def run(strategy, first: Maximum) -> Driver:
    driver = Driver(first)
    driver.run(strategy)
    return driver


@float64
def answer(strategy, *ends: Maximum) -> list[Proposal]:
    """The proposals of a strategy that is sent these ends, without any search."""
    proposals = [next(strategy)]
    for end in ends:
        try:
            proposals.append(strategy.send(end))
        except StopIteration:
            break
    return proposals


def test_signs_of_variances_come_in_every_combination_and_reach_the_maximum(hard, failed):
    problem, start, maximum = hard
    driver = run(variance_signs(problem, start), failed)
    assert driver.settled
    assert driver.found_by == SIGNS
    assert driver.best.value == pytest.approx(maximum.value, abs=1e-8)
    # an end that counts has the iterations of all searches before it
    assert driver.best.iterations > failed.iterations
    assert [row["iteration"] for row in driver.best.trace] == list(range(1, driver.best.iterations + 1))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_signs_propose_the_rescaled_form_and_carry_on_what_is_unfinished(hard, failed, sign):
    problem, start, _ = hard
    unfinished = replace(failed, status=ml.Status.ITERATION_LIMIT)
    proposals = answer(variance_signs(problem, start, known=failed.value - sign), *[unfinished] * 9)
    assert all(isinstance(p.problem, RescaledProblem) for p in proposals)
    # two signs, then the unfinished ones, if they are above what is known, and the highest of these in a trust region
    assert len(proposals) == (5 if sign > 0 else 2)
    methods = [p.limits.method for p in proposals]
    assert methods == [None, None, None, None, search_in_trust_region][: len(methods)]


def test_what_crawls_is_left_to_other_strategies_where_no_maximum_is_known(hard, failed):
    problem, start, _ = hard
    unfinished = replace(failed, status=ml.Status.ITERATION_LIMIT)
    proposals = answer(variance_signs(problem, start), *[unfinished] * 9)
    assert [p.limits.method for p in proposals] == [None] * 4


ONE_LEVEL = "f =~ y1 + y2 + y3\nf ~ x\n"
REGRESSED = "level: 1\n f =~ y1 + y2 + y3\n f ~ x\nlevel: 2\n g =~ y1 + y2 + y3\n g ~ z\n"


def factors_on_covariates(seed: int, clusters: int) -> pd.DataFrame:
    """One factor a level with a covariate each, clusters of 4 in two groups."""
    rng, size = np.random.default_rng(seed), 4
    cluster = np.repeat(np.arange(clusters), size)
    x, z = rng.normal(size=len(cluster)), rng.normal(size=clusters)
    factor = 0.3 * x + rng.normal(size=len(cluster)) + (0.3 * z + 0.15 * rng.normal(size=clusters))[cluster]
    columns = {f"y{i}": factor + rng.normal(size=len(cluster)) for i in (1, 2, 3)}
    return pd.DataFrame(columns).assign(x=x, z=z[cluster], g=cluster, h=np.where(cluster % 2, "a", "b"))


@pytest.mark.parametrize(("text", "options"), [(ONE_LEVEL, {"cluster": None}), (REGRESSED, {"group": "h"})])
@float64
def test_the_rescaled_form_is_the_same_model(text, options):
    """Also where the model holds the means, and where the variances of a factor have different signs in two groups."""
    model = fit(text, factors_on_covariates(0, 24), **options).estimation.model
    problem, theta = model.problem, np.array(model.theta)
    for sign, factor in zip((1.0, -1.0, 1.0, 1.0), factors_of(problem.build), strict=False):
        theta[problem.build.index[factor.variance]] = sign * 0.05
    other = rescale(problem, signs_at(problem.build, theta))
    assert other.evaluate(other.forth(theta)).value == pytest.approx(problem.evaluate(theta).value, abs=1e-9)
    np.testing.assert_allclose(other.back(other.forth(theta)), theta, atol=1e-10)


def test_a_factor_of_one_level_may_have_a_negative_variance():
    """Nine rows: every search from the side of a positive variance runs on and on."""
    for seed in (21, 49):
        found = fit(ONE_LEVEL, factors_on_covariates(seed, 14).iloc[:9], cluster=None)
        assert found.status is ml.Status.IMPROPER
        assert SIGNS_ONE_LEVEL in told(found)


def test_moments_of_the_unrestricted_model_are_the_maximum_of_a_model_that_fits_any(hard, failed):
    problem, start, maximum = hard
    exact = fit(SATURATED, by_moments(WITHIN, BETWEEN)).estimation.model.moments
    moments = (exact.within_cov, exact.between_cov, exact.mean)
    driver = run(fallbacks.unrestricted_moments(problem, start, lambda: moments, 50), failed)
    assert driver.best.value == pytest.approx(maximum.value, abs=1e-8)
    assert not list(fallbacks.unrestricted_moments(problem, start, lambda: None, 50))
    assert not list(fallbacks.unrestricted_moments(problem, start, None, 50))


def test_the_rescaled_form_reaches_the_maximum_from_the_sample_moments(hard, failed):
    problem, start, maximum = hard
    driver = run(fallbacks.rescaled_form(problem, start, by_moments_of(problem, start), 50), failed)
    assert driver.best.value == pytest.approx(maximum.value, abs=1e-8)


def test_other_starts_stop_at_the_first_maximum(hard, failed):
    problem, start, maximum = hard
    moments, simple = by_moments_of(problem, start), simple_start(problem, start)
    names = [p.name for p in answer(fallbacks.other_starts(problem, moments, simple, 50), failed, failed, failed)]
    assert names == [
        "starting values on the side of the sample moments",
        "simpler starting values",
        "strongly damped steps",
    ]
    assert len(answer(fallbacks.other_starts(problem, moments, simple, 50), failed, maximum, failed)) == 2


def test_a_search_is_carried_on_where_it_was_unfinished_only(hard, failed):
    problem, _, maximum = hard
    assert not list(fallbacks.further(problem, replace(failed, status=ml.Status.STALLED)))
    first, second = answer(fallbacks.further(problem, failed), failed)
    assert first.limits == Limits(fallbacks.AGAIN)
    assert second.limits.method is search_in_trust_region
    assert len(answer(fallbacks.further(problem, failed), maximum)) == 1


def test_a_trust_region_climbs_what_scoring_crawls_along(hard, failed):
    problem, _, _ = hard
    end = float64(search_in_trust_region)(problem, failed.theta)
    assert end.value > failed.value + 1e-4
    assert {row["step"] for row in end.trace} >= {"trust region"}


def test_em_ends_at_a_maximum_inside(hard):
    model = fit(FACTOR, by_moments(WITHIN, 0.3 * WITHIN)).estimation.model
    start = 0.9 * model.theta
    first = float64(maximise)(model.problem, start, iterations=1)
    driver = run(fallbacks.em(model.problem, start, FitOptions()), first)
    assert driver.found_by == "EM"
    assert driver.best.value == pytest.approx(model.value, abs=1e-8)
    assert any(row["step"] == "em" for row in driver.best.trace)


def test_perturbed_starts_find_the_maximum_and_the_highest_unfinished_go_on(hard, failed):
    problem, start, maximum = hard
    assert run(fallbacks.perturbed_starts(problem, start), failed).best.value == pytest.approx(maximum.value, abs=1e-8)
    ends = [replace(failed, value=failed.value + i) for i in range(fallbacks.STARTS)]
    proposals = answer(fallbacks.perturbed_starts(problem, start), *ends, failed)
    assert len(proposals) == fallbacks.STARTS + fallbacks.CARRIED_ON
    assert proposals[-1].limits.iterations == fallbacks.FURTHER
    assert len(answer(fallbacks.perturbed_starts(problem, start, np.inf), *ends, failed)) == fallbacks.STARTS


def test_a_saddle_is_left_to_the_side_that_rises():
    model = FACTOR.replace("fb =~ y1 + y2 + y3", "fb =~ start(0)*y1 + start(0)*y2 + start(0)*y3")
    found = fit(model, by_moments(WITHIN, 0.3 * WITHIN), std_lv=True).estimation.model
    loads = np.array([name.startswith("fb=~") for name in found.build.theta_names])
    saddle = float64(maximise)(found.problem, np.where(loads, 0.0, found.theta))
    assert saddle.status.converged
    assert not settled(saddle)
    driver = run(fallbacks.off_saddle(found.problem, saddle), saddle)
    assert driver.best.value == pytest.approx(found.value, abs=1e-8)
    assert not list(fallbacks.off_saddle(found.problem, found.maximum))


@pytest.mark.timeout(300)
def test_under_bounds_all_sides_are_searched(hard):
    bounded = fit(FACTOR, by_moments(WITHIN, BETWEEN), bounds="pos.ov.var").estimation.model
    _, start, _ = hard
    first = float64(searched)(bounded.problem, start, Limits(2))
    driver = run(from_all_sides(bounded.problem, start), first)
    assert driver.found_by == SIDES
    assert driver.best.value == pytest.approx(bounded.value, abs=1e-8)


def test_a_verified_maximum_is_better_than_a_higher_end_that_is_none(hard, failed):
    _, _, maximum = hard
    higher = replace(failed, value=maximum.value + 1.0)
    assert better(higher, maximum).theta is maximum.theta
    assert better(maximum, higher).theta is maximum.theta
    assert better(failed, higher).theta is higher.theta
    same = replace(maximum, theta=maximum.theta + 0.0, value=maximum.value + 1e-9)
    assert better(maximum, same).theta is maximum.theta
