"""The highest maximum under bounds and other constraints: when a maximum is in doubt, and the searches from several sides then."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax.estimation._constrained import Constraints, maximise_constrained, promises_less
from mlsem_jax.estimation._constrained_starts import starts_within, within_bounds
from mlsem_jax.estimation._ends import HIGHER
from mlsem_jax.estimation._other_starts import Sample
from mlsem_jax.estimation._rescaled import Rescaled, rescale, signs_at
from mlsem_jax.estimation._scoring import Maximum, Problem
from mlsem_jax.estimation._sides import Report, after, in_doubt
from mlsem_jax.models import Build

# standard errors from a bound below which a maximum is in doubt
NEAR = 2.0
# iterations of each search: what converges at all nearly always needs fewer
EACH = 40


def in_doubt_within(made: Build, maximum: Maximum, constraints: Constraints, sample: Sample) -> bool:
    """Whether there may be a higher maximum: the maximum lies on or within two standard errors of a bound or another inequality,
    or it would be in doubt without constraints.
    """
    residual, jacobian = constraints.evaluate(maximum.theta)
    unequal = ~constraints.equality
    if unequal.any() and maximum.information is not None and np.all(np.isfinite(maximum.information)):
        covariance = np.linalg.pinv(maximum.information)
        variance = np.einsum("cq,qr,cr->c", jacobian[unequal], covariance, jacobian[unequal])
        if np.any(residual[unequal] <= NEAR * np.sqrt(np.maximum(variance, 0.0))):
            return True
    return in_doubt(made, maximum, sample)


def searches_within(
    problem: Problem,
    made: Build,
    theta: np.ndarray,
    sample: Sample,
    constraints: Constraints,
    known: float = -np.inf,
    report: Report = None,
) -> Iterator[Maximum]:
    """Ends of the searches under the constraints from all starts of `starts_within`; theta (q,) gives what those leave alone.

    known: the highest maximum found so far; searches that near their end below it are left.
    """
    for start in starts_within(problem, made, theta, sample, constraints, report):
        end = search_within(problem, start, constraints, report, least=known + HIGHER)
        if not end.status.converged and not promises_less(end.value, end.decrement, known + HIGHER):
            end = _in_other_form(problem, made, start, end, constraints, report)
        known = max(known, end.value) if end.status.converged else known
        yield end


def search_within(
    problem: Problem,
    theta: np.ndarray,
    constraints: Constraints,
    report: Report = None,
    limit: int = EACH,
    least: float = -np.inf,
) -> Maximum:
    """The end of a search under the constraints from the point nearest to theta (q,) that meets the bounds."""
    start = within_bounds(theta, constraints)
    try:
        return maximise_constrained(problem, start, constraints, iterations=limit, report=report, least=least)
    except ModelError:  # far from where they hold, linearised constraints may contradict each other
        return Maximum(start, *problem.evaluate(start), False, np.inf, 0, Status.STALLED)


def _in_other_form(
    problem: Problem, made: Build, start: np.ndarray, failed: Maximum, constraints: Constraints, report: Report
) -> Maximum:
    """The end of a search that failed, begun again with factors scaled by their variances, where the constraints can be said in
    that form: where a variance reaches zero, its factor's loadings relative to a marker are undefined.
    """
    other = rescale(problem, made, signs_at(made, start))
    carried = None if other is None else carried_over(other, constraints)
    if other is None or carried is None:
        return failed
    there = search_within(other.problem, other.forth(start), carried, report)
    back = other.back(there.theta)
    if back is None or not np.all(np.isfinite(back)):
        return after(there, failed)
    return after(failed, after(there, search_within(problem, back, constraints, report)))


def carried_over(other: Rescaled, constraints: Constraints) -> Constraints | None:
    """The bounds of the model, as bounds of the rescaled one; None where a constraint is of another kind.

    Bounds of parameters that know of no factor are the same there, and a lower bound of zero for the variance of a factor holds
    where its sign is +1.
    """
    if constraints.general is not None:
        return None
    made, kept = other.original, []
    factors = {int(made.index[f.variance]): f for f in other.factors}
    moved = np.zeros((len(constraints.least), len(other.made.kept)))
    for c, (bound, least) in enumerate(zip(constraints.bounds, constraints.least, strict=True)):
        at = np.flatnonzero(bound)
        if len(at) != 1:
            return None
        i = int(at[0])
        if i in factors and bound[i] > 0 and least == 0 and other.made.values[factors[i].variance] > 0:
            continue
        own = np.flatnonzero(made.index == i)
        if any(_names_factor(other, int(row)) for row in own):
            return None
        moved[c, other.made.index[own[0]]] = bound[i]
        kept.append(c)
    texts = tuple(constraints.texts[c] for c in kept)
    return Constraints(None, moved[kept], constraints.least[kept], np.zeros(len(kept), bool), texts)


def _names_factor(other: Rescaled, at: int) -> bool:
    """Whether a row of the table has a rescaled factor on either side."""
    row = other.original.specification.parameters[at]
    return any((row.level, row.group) == (f.level, f.group) and f.name in (row.lhs, row.rhs) for f in other.factors)
