"""Several data sets of one model as one: the sum of their log-likelihoods, at averaged estimates and at its own maximum.

Fixed covariates, and without a mean structure the means, are at common moments, averaged over the data sets or those of all rows,
because the moments of one data set and the regressions of another are no model. What the log-likelihoods then have in common
cancels in every ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from mlsem_jax.estimation.fit._fit_build import fit_build
from mlsem_jax.estimation.fit._fit_data import sample_as_moments
from mlsem_jax.estimation.fit._reference_fits import fit_unstructured, moment_log_likelihood
from mlsem_jax.estimation.problem import Estimation, Fitted, Maximum, Point, Problem, constraints_of, split_covariates
from mlsem_jax.estimation.search import maximise, maximise_constrained
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Build, Moments, fixed_values
from mlsem_jax.numerics import float64
from mlsem_jax.observed import pool_sizes, sample_moments, stack_complete


@float64
def at_averages(estimations: Sequence[Estimation], part: str) -> float:
    """Sum over data sets of the joint log-likelihood at the averaged theta. part: "model", "h1" or "baseline"."""
    fitted = [getattr(e, part) for e in estimations]
    build = with_covariates(fitted[0].build, _averaged([e.exogenous for e in estimations]))
    theta, moments = np.mean([f.theta for f in fitted], axis=0), _averaged([f.moments for f in fitted])
    total = 0.0
    for e in estimations:
        complete = e.statistics.only(CompleteTerm)
        if part == "h1" and complete is not None:  # its parameters are moments: no program for hundreds of them
            total += float(np.sum(moment_log_likelihood(moments, build.between_only, complete)[0]))
        else:
            # the program that the search has run, and not that of the value alone
            total += Problem(build, e.statistics).evaluate(theta).value
    return total


@float64
def stack(estimations: Sequence[Estimation]) -> Estimation:
    """The maximum of the sum of the data sets' log-likelihoods, beside the maxima of the unrestricted and the baseline model, as
    if of data sets one below the other whose clusters are no clusters of one another. Values are sums over the data sets.
    """
    first = estimations[0]
    specification, parts = first.model.build.specification, [e.statistics.only(CompleteTerm) for e in estimations]
    if any(part is None for part in parts):
        exogenous = _averaged([e.exogenous for e in estimations])
        return _climbed_together(estimations, exogenous)
    complete = stack_complete(parts)
    merged = Statistics((CompleteTerm(complete),), pool_sizes(complete))
    sample = sample_moments(complete, np.asarray(first.data.between_only, bool), specification.alone_within)
    exogenous, h1, baseline = sample_as_moments(specification, sample), None, None
    if all(e.h1 is not None for e in estimations):
        h1 = fit_unstructured(first.h1.build.specification, merged, exogenous, sample)  # type: ignore[union-attr]
        exogenous = h1.moments if split_covariates(specification) else exogenous
    if all(e.baseline is not None for e in estimations):
        baseline = fit_unstructured(first.baseline.build.specification, merged, exogenous, sample)  # type: ignore[union-attr]
    build = with_covariates(first.model.build, exogenous)
    model = fit_build(
        build,
        merged,
        sample,
        start=build.natural(_mean_theta(estimations, "model")),
        options=replace(first.options, start="default", optim_method="scoring"),
        unrestricted=None if h1 is None else (h1.moments.within_cov, h1.moments.between_cov, h1.moments.mean),
    )
    reduction = replace(first.reduction, statistics=merged)
    return replace(first, reduction=reduction, exogenous=exogenous, model=model, h1=h1, baseline=baseline)


def _climbed_together(estimations: Sequence[Estimation], exogenous: Moments) -> Estimation:
    """`stack` of data sets with missing values or random slopes."""
    first, h1, baseline = estimations[0], None, None
    if all(e.h1 is not None for e in estimations):
        h1 = _climbed(_Together(estimations, "h1", exogenous), _mean_theta(estimations, "h1"), newton=False)
        exogenous = h1.moments if split_covariates(first.model.build.specification) else exogenous
    if all(e.baseline is not None for e in estimations):
        together = _Together(estimations, "baseline", exogenous)
        baseline = _climbed(together, _mean_theta(estimations, "baseline"), newton=False)
    problem = _Together(estimations, "model", exogenous, first.options.bounds)
    model = _climbed(problem, _mean_theta(estimations, "model"))
    return replace(first, exogenous=exogenous, model=model, h1=h1, baseline=baseline)


def _mean_theta(estimations: Sequence[Estimation], part: str) -> np.ndarray:
    return np.mean([getattr(e, part).theta for e in estimations], axis=0)


def _climbed(problem: _Together, theta: np.ndarray, newton: bool = True) -> Fitted:
    if problem.constraints is not None:
        maximum: Maximum = maximise_constrained(problem, theta, problem.constraints)
    else:
        maximum = maximise(problem, theta, newton=newton)
    return Fitted(problem, maximum, problem.moments(maximum.theta))


def with_covariates(build: Build, exogenous: Moments) -> Build:
    """The build with its covariates, and where they are no parameters its means, at these moments."""
    means = build.means if build.means is None else np.asarray(exogenous.mean)
    return replace(build, values=fixed_values(build.specification, exogenous), means=means)


def _averaged(moments: Sequence[Moments]) -> Moments:
    average: Moments = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *moments)
    return average


class _Together(Problem):
    """The problems of several data sets at a common theta, each evaluated by the program of its own fit; values are sums."""

    def __init__(self, estimations: Sequence[Estimation], part: str, exogenous: Moments, bounds: str | dict = "none"):
        build = with_covariates(getattr(estimations[0], part).build, exogenous)
        constraints = constraints_of(build, bounds) if part == "model" else None
        super().__init__(build, estimations[0].statistics, estimations[0].reduction.sample, constraints)
        self._parts = [Problem(build, e.statistics) for e in estimations]

    def evaluate(self, theta: np.ndarray) -> Point:
        points = [part.evaluate(theta) for part in self._parts]
        value, gradient, metric = (sum(getattr(p, f) for p in points) for f in ("value", "gradient", "metric"))
        return Point(np.asarray(theta, float), float(value), np.asarray(gradient), np.asarray(metric))

    def value(self, theta: np.ndarray) -> float:
        return sum(part.value(theta) for part in self._parts)

    def observed(self, theta: np.ndarray) -> np.ndarray:
        return np.sum([part.observed(theta) for part in self._parts], axis=0)

    def expected(self, theta: np.ndarray) -> np.ndarray:
        return np.sum([part.expected(theta) for part in self._parts], axis=0)
