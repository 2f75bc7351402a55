"""One fit from data to maximum: statistics, exogenous moments, h1, starting values, the model, the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation.fit._fit_build import fit_build, fit_reference
from mlsem_jax.estimation.fit._fit_limited import estimate_limited
from mlsem_jax.estimation.fit._fit_ordinal import estimate_ordinal
from mlsem_jax.estimation.fit._reference_fits import as_natural, fit_unstructured
from mlsem_jax.estimation.problem import (
    Estimation,
    FitOptions,
    Fitted,
    Reduction,
    given_covariates,
    held,
    independence,
    make_statistics,
    rows_suffice,
    saturated,
    split_covariates,
)
from mlsem_jax.estimation.status import singular_edge, with_status
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Moments, Specification, build
from mlsem_jax.numerics import float64

# natural parameters (k,) of a build, given unrestricted moments: (G, p, p), (G, p, p) and (G, p)
Start = Callable[[Build, tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]


def normal_log_likelihood(cov: np.ndarray, count: float) -> float:
    """Log-likelihood of `count` normal vectors at their own maximum-likelihood mean and covariance."""
    p = len(cov)
    return -0.5 * count * (p * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + p) if p else 0.0


def covariates_log_likelihood(specification: Specification, exogenous: Moments, reduction: Reduction) -> float:
    """Log-likelihood of the fixed covariates that exist at one level only, by group, at their sample moments."""
    column_of = {name: i for i, name in enumerate(specification.variables)}
    total = 0.0
    for level, cov, count in (
        (1, exogenous.within_cov, reduction.rows),
        (2, exogenous.between_cov, reduction.counts),
    ):
        for g in range(specification.ngroups):
            at = [column_of[v] for v in held(specification.group(g + 1), level)]
            total += normal_log_likelihood(cov[g][np.ix_(at, at)], float(count[g]))
    return total


class _Told:
    """Who watches a fit is told the log-likelihood given the covariates, the one that the fit reports."""

    def __init__(self, report: Callable[[dict], None], covariates_loglik: float):
        self._report, self._constant = report, covariates_loglik
        self._last: dict = {}

    def __call__(self, entry: dict) -> None:
        self._last = entry
        self._report(given_covariates(entry, self._constant))

    def end(self, trace: list[dict]) -> None:
        """The last row of the trace again where another search was the last: that need not have found the highest maximum."""
        if trace and trace[-1]["loglik"] != self._last.get("loglik"):
            self(trace[-1])


@float64
def estimate_model(
    specification: Specification,
    data: TwoLevelData,
    options: FitOptions | None = None,
    *,
    start: Start | None = None,
    baseline: Specification | None = None,
    pad_to: int | None = None,
    report: Callable[[dict], None] | None = None,
) -> Estimation:
    """Fit a specification to prepared data by maximum likelihood, with the saturated model and the baseline beside it.

    start: function of the build and of unrestricted moments to natural parameters (default: `starting_values`). baseline: in
    place of the independence model. pad_to: width of the basis (see `build`).
    """
    options = options or FitOptions()
    if specification.ordered and options.limited:
        return estimate_limited(specification, data, options, start=start, pad_to=pad_to, report=report)
    if specification.ordered:
        return estimate_ordinal(specification, data, options, start=start, pad_to=pad_to, report=report)
    if options.limited:
        raise ModelError(f"estimator={options.estimator!r} is for models of ordered variables: use estimator='ML'.")
    reduction = make_statistics(specification, data)
    statistics, sample = reduction.statistics, reduction.sample
    exogenous = sample_as_moments(specification, sample)
    split = split_covariates(specification)
    fitted_h1 = fitted_baseline = None
    bounded, notes = reference_exists(specification, data)
    if bounded and (options.h1 or split):
        fitted_h1 = fit_unstructured(saturated(specification), statistics, exogenous, sample)
        if split:
            exogenous = fitted_h1.moments
    if bounded and options.baseline and options.h1:
        width = None if fitted_h1 is None else fitted_h1.build.width
        reference = baseline or independence(specification)
        fitted_baseline = fit_unstructured(reference, statistics, exogenous, sample, width)
    built = build(specification, exogenous, pad_to)
    constant = covariates_log_likelihood(specification, exogenous, reduction)
    told = None if report is None else _Told(report, constant)
    known = None if fitted_h1 is None else _unrestricted(fitted_h1.moments)
    first = None if start is None else start(built, known or sample)
    later = partial(_saturated_moments, specification, statistics, exogenous, sample)
    model = fit_build(
        built,
        statistics,
        sample,
        start=first,
        options=options,
        report=told,
        unrestricted=known,
        saturated=later if bounded and known is None else None,
    )
    fitted_h1, more = _reference_kept(fitted_h1, model, statistics)
    if told is not None:
        told.end(model.maximum.trace)
    return with_status(
        Estimation(options, data, reduction, exogenous, model, fitted_h1, fitted_baseline, constant, (*notes, *more))
    )


@float64
def refit(estimation: Estimation, specification: Specification, start: Start, pad_to: int | None = None) -> Estimation:
    """Another model of the same data: its maximum from `start`, beside the same unrestricted and baseline models."""
    sample = _unrestricted(estimation.model.moments)
    built = build(specification, estimation.exogenous, pad_to)
    options = estimation.options
    model = fit_build(
        built,
        estimation.statistics,
        sample,
        start=start(built, sample),
        options=options,
        unrestricted=sample,
    )
    h1, more = _reference_kept(estimation.h1, model, estimation.statistics)
    notes = (*reference_exists(specification, estimation.data)[1], *more)
    return with_status(replace(estimation, model=model, h1=h1, notes=notes))


def sample_as_moments(specification: Specification, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Moments:
    """Sample moments as those of the covariates: means at the within level of variables that exist only there."""
    alone, (within, between, mean) = specification.alone_within, sample
    both = Moments.two_level(within, between, np.where(alone, mean, 0.0), np.where(alone, 0.0, mean))
    return Moments(both.levels[: len(specification.levels)])


def _unrestricted(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within and between covariance matrices and means of y, the form that starting values take."""
    return moments.within_cov, moments.between_cov, moments.mean


def _saturated_moments(
    specification: Specification,
    statistics: Statistics,
    exogenous: Moments,
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Moments of the saturated model at its maximum, None where its search found none."""
    h1 = fit_unstructured(saturated(specification), statistics, exogenous, sample)
    return _unrestricted(h1.moments) if h1.maximum.status.converged else None


def reference_exists(specification: Specification, data: TwoLevelData) -> tuple[bool, tuple[str, ...]]:
    """Whether the unrestricted likelihood has a maximum: each group needs more clusters than variables at level 2, and more
    rows within clusters than variables at level 1. Where not, a sentence for the user. Models with random slopes have none.
    """
    if specification.slopes:
        return False, ()
    if specification.single:
        return rows_suffice(specification, data)
    count = np.bincount(data.group, minlength=data.ngroups)
    within = np.bincount(data.group[data.cluster], minlength=data.ngroups) - count
    groups = [specification.group(g) for g in range(1, specification.ngroups + 1)]
    one, two = (np.array([len(group.level(level).observed) for group in groups]) for level in (1, 2))
    worst = int((count - two).argmin())
    if count[worst] <= two[worst]:
        where = f" in group {data.group_labels[worst]}" if data.group_labels else ""
        return False, (
            f"There are {count[worst]} clusters{where} but {two[worst]} variables at level 2: the unrestricted model has no "
            "maximum likelihood, so chi-square and fit indices do not exist. Take variables out of level 2 or collect more "
            "clusters.",
        )
    worst = int((within - one).argmin())
    if within[worst] < one[worst]:
        return False, (
            f"There are only {within[worst]} rows beyond the first of each cluster but {one[worst]} "
            f"variables at level 1: the unrestricted model has no maximum likelihood, so there is no chi-square.",
        )
    return True, ()


def _reference_kept(h1: Fitted | None, model: Fitted, statistics: Statistics) -> tuple[Fitted | None, tuple[str, ...]]:
    """h1, started again where it lies below the model or its search failed; None and a sentence where it has no maximum."""
    if h1 is None or model.maximum.status is Status.NON_FINITE:
        return h1, ()
    found = h1.maximum.status.converged
    if not found or (model.maximum.status.converged and model.value > h1.value + 1e-8):
        h1 = _restart(h1, model, statistics)
    if h1.maximum.status.converged:
        return h1, ()
    where = singular_edge(h1.problem, h1.theta) or "Its search found no maximum."
    return None, (
        f"The unrestricted model has no maximum likelihood here, so chi-square and fit indices do not exist. {where} "
        "That is common with few large clusters for the number of variables at level 2.",
    )


def _restart(h1: Fitted, model: Fitted, statistics: Statistics) -> Fitted:
    """h1 again, from the moments of the restricted model, which is a point of h1: its maximum cannot be lower."""
    m = model.moments
    again = fit_reference(h1.build, statistics, (m.within_cov, m.between_cov, m.mean), as_natural(h1.build, m))
    better = again.maximum.status.converged and (not h1.maximum.status.converged or again.value > h1.value)
    return again if better else h1
