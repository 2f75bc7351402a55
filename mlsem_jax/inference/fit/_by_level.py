"""Fit of each level alone by partially saturated models (Ryu & West 2009).

The model of one level is kept and the other level is saturated, so that chi-square and the indices speak of the kept level.
Its baseline is independence at that level beside the saturated other one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlsem_jax._errors import ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.estimation import (
    Estimation,
    Fitted,
    bounds_of,
    covariates_of,
    covariates_of_baseline,
    fit_build,
    fit_reference,
    observed_of,
    unstructured,
)
from mlsem_jax.inference.fit._chi_square import check_converged, unrestricted
from mlsem_jax.inference.fit._fit_measures import Measures, lavaan_measures
from mlsem_jax.inference.parameters import row_values
from mlsem_jax.inference.variance import moments_as_theta, refuse_limited
from mlsem_jax.models import Build, Level, Parameter, Specification, build, unrotated
from mlsem_jax.numerics import float64

LEVELS = {"within": 1, "between": 2}


def fit_measures_by_level(estimation: Estimation) -> dict[str, Measures]:
    """lavaan's fit measures of the within and of the between model, each with the other level saturated.

    Raises ModelError for models with equality constraints across levels, which have no fit of one level alone.
    """
    check_one_level(estimation.model.build.specification)
    refuse_limited(
        estimation,
        "There is no fit by level",
        "residuals(type='z') and srmr_within, srmr_between of fit_measures() tell of each level.",
    )
    check_converged(estimation)
    return {name: lavaan_measures(level_estimation(estimation, level)) for name, level in LEVELS.items()}


def check_one_level(specification: Specification) -> None:
    """ModelError for a model of one level, which has no fit by level."""
    if specification.single:
        raise ModelError("A model of one level has no fit by level: fit_measures() is its fit.")


@float64
def level_estimation(estimation: Estimation, level: int) -> Estimation:
    """The same fit with the model of `level` alone: the other level saturated, h1 unchanged, the baseline that level's."""
    h1 = unrestricted(estimation)
    specification = partially_saturated(estimation, level)
    model = _maximum(build(unrotated(specification), estimation.exogenous), estimation)
    baseline = None
    if estimation.baseline is not None:
        width = h1.build.width
        baseline = _maximum(build(level_baseline(specification, level), estimation.exogenous, width), estimation)
    return replace(estimation, model=model, baseline=baseline, notes=())


def _maximum(built: Build, estimation: Estimation) -> Fitted:
    """Scoring alone, which needs no program for the Hessian; Newton steps only where scoring converges too slowly."""
    m = unrestricted(estimation).moments
    sample = (m.within_cov, m.between_cov, m.mean)
    fitted = fit_reference(built, estimation.statistics, sample)
    if fitted.maximum.status is not Status.ITERATION_LIMIT:
        return fitted
    return fit_build(built, estimation.statistics, sample, start=fitted.natural)


def partially_saturated(estimation: Estimation, level: int) -> Specification:
    """The user's model at `level`, starting from its estimates, and all moments of the other level, starting from h1's."""
    specification, other = estimation.model.build.specification, 3 - level
    reason = tied_levels(specification)
    if reason:
        raise ModelError(reason)
    here = labels_of(specification, level)
    definitions = []
    for definition in specification.definitions:
        if definition.expression.names() <= here:
            definitions.append(definition)
            here.add(definition.name)
    kept, block = specification.level(level), specification.level(other)
    free = Level(observed=block.observed, covariates=block.covariates, label=block.label, structural=())
    return specification.but(
        within=kept if level == 1 else free,
        between=kept if level == 2 else free,
        parameters=tuple(sorted(_rows(estimation, level), key=lambda row: (row.group, row.level))),
        constraints=tuple(c for c in specification.constraints if (c.left.names() | c.right.names()) <= here),
        definitions=tuple(definitions),
        blocks=tuple(b for b in specification.blocks if b.level == level),
    )


def _rows(estimation: Estimation, level: int) -> Iterable[Parameter]:
    built = estimation.model.build
    limits: dict[int, dict[str, float]] = {}
    for i, value, lower, _ in bounds_of(built, estimation.options.bounds):
        limits.setdefault(i, {})["lower" if lower else "upper"] = value
    for row, i, value in zip(built.specification.parameters, built.index, row_values(estimation), strict=True):
        if row.level == level:
            yield row.but(start=float(value), **limits.get(int(i), {})) if i >= 0 else row
    h1 = unrestricted(estimation)
    start = moments_as_theta(h1, h1.moments.within_cov, h1.moments.between_cov, h1.moments.mean)
    by_name = dict(zip(h1.build.names, start, strict=True))
    everything = unstructured(built.specification, observed_of, covariates_of)
    for row in everything.parameters:
        if row.level != level:
            yield row.but(start=float(by_name[row.name])) if row.free else row


def level_baseline(specification: Specification, level: int) -> Specification:
    """Independence at `level`, covariates excepted whose moments the text leaves alone; all moments of the other level."""
    return unstructured(
        specification,
        lambda one, at: covariates_of_baseline(one, at) if at == level else observed_of(one, at),
        covariates_of,
    )


def labels_of(specification: Specification, level: int) -> set[str]:
    """Labels and names of the free parameters of one level."""
    rows = [row for row in specification.parameters if row.free and row.level == level]
    return {row.name for row in rows} | {row.label for row in rows if row.label}


def tied_levels(specification: Specification) -> str:
    """Why there is no fit by level: a label or a constraint ties a within parameter to a between parameter; '' if none does."""
    within, between = labels_of(specification, 1), labels_of(specification, 2)
    ties = [f"label {name!r}" for name in sorted(within & between)]
    uses = {name: {1} for name in within - between} | {name: {2} for name in between - within}
    for definition in specification.definitions:
        uses[definition.name] = set().union(*(uses.get(name, set()) for name in definition.expression.names()))
    for c in specification.constraints:
        levels = set().union(*(uses.get(name, set()) for name in c.left.names() | c.right.names()))
        if len(levels) > 1:
            ties.append(f"constraint {c.text or c.op!r}")
    if not ties:
        return ""
    return (
        f"There is no fit by level: {listing(ties)} ties parameters of level 1 and level 2 to each other, so neither level "
        "can be saturated alone. Fit the model without it, or judge the whole model by fit_measures()."
    )
