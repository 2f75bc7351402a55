"""A fit of ordered variables by full-information maximum likelihood: the integral's dimensions, starting values, the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation.fit._begin_ordinal import begin_ordinal, data_reduction, moments_at
from mlsem_jax.estimation.problem import (
    Estimation,
    FitOptions,
    Fitted,
    Maximum,
    Problem,
    Report,
    Sample,
    bounds_of,
    constraints_of,
)
from mlsem_jax.estimation.search import maximise_constrained, search
from mlsem_jax.estimation.status import with_status
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Specification
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import integral, ordinal_layout, ordinal_term

# a variance that counts as zero, in units of the residual of a latent response
LEAST = 1e-5


@float64
def estimate_ordinal(
    specification: Specification,
    data: TwoLevelData,
    options: FitOptions,
    *,
    start: Callable[[Build, Sample], np.ndarray] | None = None,
    pad_to: int | None = None,
    report: Callable[[dict], None] | None = None,
) -> Estimation:
    """Maximise the log-likelihood given the covariates, a sum over rows. start: natural parameters of the build."""
    if options.optim_method == "em":
        raise ModelError("optim_method='em' is for normal data: with ordered variables leave it out.")
    begun = begin_ordinal(specification, data, options, start, pad_to)
    built, natural = begun.build, begun.natural
    layout = ordinal_layout(specification, options.link, data)
    moments = jax.tree.map(np.asarray, moments_at(built.structure, natural))
    layout, notes = integral(layout, moments, options.integration, options.integration_points)
    term = ordinal_term(layout, data)
    statistics = Statistics((term,), None)
    problem = Problem(built, statistics, begun.sample, constraints_of(built, _off_zero(built, options)))
    problem, maximum, found = ordinal_maximum(problem, natural[built.kept], options, report)
    model = Fitted(problem, maximum, problem.moments(maximum.theta), found)
    reduction = data_reduction(data, statistics, begun.sample)
    return with_status(Estimation(options, data, reduction, begun.exogenous, model, None, None, 0.0, notes))


def _off_zero(built: Build, options: FitOptions) -> Any:
    """The user's bounds, those of variances at zero moved to LEAST: at zero the integral has no derivatives."""
    if options.bounds in ("none", None, {}):
        return "none"
    floors = _floors(built, options)
    if isinstance(options.bounds, str):
        named = {built.names[i] for i, *_ in bounds_of(built, options.bounds)}
        return {name: pair for name, pair in floors.items() if name in named} or "none"
    least = {name: pair[0] for name, pair in floors.items()}
    return {
        name: (max(low, least[name]) if low is not None and name in least else low, high)
        for name, (low, high) in options.bounds.items()
    }


def _floors(built: Build, options: FitOptions) -> dict[str, tuple[float, None]]:
    """A lower bound next to zero for every free variance."""
    rows = zip(built.specification.parameters, built.index, strict=True)
    return {built.names[i]: (LEAST * options.unit, None) for r, i in rows if i >= 0 and r.op == "~~" and r.lhs == r.rhs}


def ordinal_maximum(
    problem: Problem, theta: np.ndarray, options: FitOptions, report: Report = None
) -> tuple[Problem, Maximum, tuple[str, ...]]:
    """The maximum from theta (q,). Where the search fails, which a variance on its way to zero makes it do, again with variances
    kept off zero; the problem that was solved in the end, and what it took.
    """
    if problem.constraints is not None:
        return problem, maximise_constrained(problem, theta, problem.constraints, report=report), ()
    end, notes = search(problem, theta, options, report)
    if end.status.converged or end.status is Status.NON_FINITE or options.iter_max < FitOptions.iter_max:
        return problem, end, notes
    built, floors = problem.build, _floors(problem.build, options)
    bounded = problem.under(constraints_of(built, floors))
    if bounded.constraints is None:
        return problem, end, notes
    start = bounded.constraints.nearest(theta)
    second = maximise_constrained(bounded, start, bounded.constraints, report=report)
    if not second.status.converged:
        return problem, end, notes
    values = dict(zip(built.names, built.natural(second.theta), strict=True))
    at = [name for name, (least, _) in floors.items() if values[name] < 1.01 * least]
    note = f"The likelihood is highest with {listing(at)} at zero: kept at {LEAST * options.unit:.1g}." if at else ""
    return bounded, second, (*notes, *([note] if note else []))
