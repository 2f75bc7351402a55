"""Several data sets of one model as one: the mean of their log-likelihoods, at averaged estimates and at its own maximum.

Fixed covariates, and with them what the unrestricted model is held at, are at their moments averaged over the data sets, because
the moments of one data set and the regressions of another are no model. What the data sets' log-likelihoods then have in common
cancels in every ratio. Without a mean structure every data set keeps its own means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from mlsem_jax.estimation._constraints import constraints_of
from mlsem_jax.estimation._fit_build import fit_build
from mlsem_jax.estimation._problem import Maximum, Point, Problem, Sample
from mlsem_jax.estimation._records import Estimation, Fitted
from mlsem_jax.estimation._reference_fits import fit_unstructured, moment_log_likelihood
from mlsem_jax.estimation._references import held
from mlsem_jax.estimation._scoring import maximise
from mlsem_jax.estimation._sqp import maximise_constrained
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Build, Moments, Specification, fixed_values
from mlsem_jax.numerics import float64
from mlsem_jax.observed import CompleteStatistics, pool_sizes, sample_moments, stack_complete


@float64
def at_averages(estimations: Sequence[Estimation], part: str) -> float:
    """Sum over data sets of the joint log-likelihood at the averaged theta. part: "model", "h1" or "baseline"."""
    fitted = [getattr(e, part) for e in estimations]
    exogenous = _common(estimations)
    theta = np.mean([f.theta for f in fitted], axis=0)
    total = 0.0
    for e, f, x in zip(estimations, fitted, exogenous, strict=True):
        complete = e.statistics.only(CompleteTerm)
        if part == "h1" and complete is not None:  # its parameters are moments: no program for hundreds of them
            moments = _averaged([g.moments for g in fitted], e)
            total += float(np.sum(moment_log_likelihood(moments, f.build.between_only, complete)[0]))
        else:
            # the program that the search has run, and not that of the value alone
            total += Problem(with_covariates(f.build, x), e.statistics).evaluate(theta).value
    return total


@float64
def stack(estimations: Sequence[Estimation]) -> Estimation:
    """The maximum of the sum of the data sets' log-likelihoods, beside the maxima of the unrestricted and the baseline model, as
    if of data sets one below the other whose clusters are no clusters of one another. Values are sums over the data sets.
    """
    first, exogenous = estimations[0], _common(estimations)
    merged = _merged(estimations, exogenous)
    sample = first.reduction.sample if merged is None else _sample(first, merged)
    h1 = baseline = None
    if all(e.h1 is not None for e in estimations):
        h1 = _reference(estimations, "h1", merged, exogenous, sample)
        if _split(first.model.build.specification):
            exogenous = [h1.moments for _ in exogenous]
    if all(e.baseline is not None for e in estimations):
        baseline = _reference(estimations, "baseline", merged, exogenous, sample)
    made = with_covariates(first.model.build, exogenous[0])
    theta = np.mean([e.model.theta for e in estimations], axis=0)
    if merged is not None:
        options = replace(first.options, start="default", optim_method="scoring")
        known = None if h1 is None else (h1.moments.within_cov, h1.moments.between_cov, h1.moments.mean)
        start = made.natural(theta)
        model = fit_build(made, merged, sample, start=start, options=options, unrestricted=known)
    else:
        bounds = first.options.bounds
        model = _climbed(_Together(estimations, "model", exogenous, bounds), theta)
    reduction = first.reduction if merged is None else replace(first.reduction, statistics=merged)
    return replace(first, reduction=reduction, exogenous=exogenous[0], model=model, h1=h1, baseline=baseline)


def _split(specification: Specification) -> bool:
    """Whether a fixed covariate exists at both levels, so that its moments are the unrestricted model's."""
    return any(set(specification.level(lv).covariates) - set(held(specification, lv)) for lv in specification.numbers)


def _reference(
    estimations: Sequence[Estimation],
    part: str,
    merged: Statistics | None,
    exogenous: Sequence[Moments],
    sample: Sample,
) -> Fitted:
    if merged is not None:
        return fit_unstructured(getattr(estimations[0], part).build.specification, merged, exogenous[0], sample)
    theta = np.mean([getattr(e, part).theta for e in estimations], axis=0)
    return _climbed(_Together(estimations, part, exogenous), theta, newton=False)


def _climbed(problem: _Together, theta: np.ndarray, newton: bool = True) -> Fitted:
    if problem.constraints is not None:
        maximum: Maximum = maximise_constrained(problem, theta, problem.constraints)
    else:
        maximum = maximise(problem, theta, newton=newton)
    return Fitted(problem, maximum, problem.moments(maximum.theta))


def with_covariates(made: Build, exogenous: Moments) -> Build:
    """The build with its covariates, and where they are no parameters its means, at these moments."""
    means = made.means if made.means is None else np.asarray(exogenous.mean)
    return replace(made, values=fixed_values(made.specification, exogenous), means=means)


def _common(estimations: Sequence[Estimation]) -> list[Moments]:
    """Moments of the covariates for each data set: averaged, but its own means without a mean structure."""
    return [_averaged([e.exogenous for e in estimations], e) for e in estimations]


def _averaged(moments: Sequence[Moments], own: Estimation) -> Moments:
    """Averaged moments; without a mean structure with the means of one data set."""
    average: Moments = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *moments)
    if own.model.build.specification.means:
        return average
    mean = own.exogenous
    return average.with_parts(average.within_cov, average.between_cov, mean.within_mean, mean.between_mean)


def _merged(estimations: Sequence[Estimation], exogenous: Sequence[Moments]) -> Statistics | None:
    """The statistics of complete data sets as those of one; None with missing values or random slopes."""
    parts = [e.statistics.only(CompleteTerm) for e in estimations]
    if any(part is None for part in parts):
        return None
    if not estimations[0].model.build.specification.means:
        # about the same means, which each data set keeps
        common = np.asarray(exogenous[0].mean)
        parts = [_shifted(part, common - np.asarray(x.mean)) for part, x in zip(parts, exogenous, strict=True)]
    complete = stack_complete(parts)
    return Statistics((CompleteTerm(complete),), pool_sizes(complete))


def _sample(estimation: Estimation, merged: Statistics) -> Sample:
    """Moments of the merged statistics by analysis of variance, which starting values and blocks in closed form take."""
    specification = estimation.model.build.specification
    within_only = np.array([v in specification.within_only for v in specification.variables])
    return sample_moments(merged.only(CompleteTerm), np.asarray(estimation.data.between_only, bool), within_only)


def _shifted(part: CompleteStatistics, by: np.ndarray) -> CompleteStatistics:
    return CompleteStatistics(
        part.rows, part.clusters, part.within, part.size, part.count, part.mean + by[:, None], part.cov
    )


class _Together(Problem):
    """The problems of several data sets at a common theta, each evaluated by the program of its own fit; values are sums."""

    def __init__(
        self,
        estimations: Sequence[Estimation],
        part: str,
        exogenous: Sequence[Moments],
        bounds: str | dict = "none",
    ):
        builds = [with_covariates(getattr(e, part).build, x) for e, x in zip(estimations, exogenous, strict=True)]
        constraints = None if part != "model" else constraints_of(builds[0], bounds)
        super().__init__(builds[0], estimations[0].statistics, estimations[0].reduction.sample, constraints)
        self._parts = [Problem(b, e.statistics) for b, e in zip(builds, estimations, strict=True)]

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
