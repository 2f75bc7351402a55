"""Searches on both sides of a factor variance of zero at the between level.

With few clusters or small intraclass correlations the likelihood of a factor model often has several maxima: where the variance
of a between factor is positive and where it is negative, and for different indicators that dominate it; and no search crosses from
one side to the other. The model with factors scaled by a variance of +1 or -1 has no valleys on either side, so both are climbed,
from each of the first principal axes of the sample covariances and from factors that are all but one indicator. Nearly collinear
indicators do the same to a within factor: it may be their common part, or what they share with all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, product

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation._rescaled import Factor, Rescaled, factors_of, rescale
from mlsem_jax.estimation._scoring import Maximum, Problem, maximise
from mlsem_jax.models import Build

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
Report = Callable[[dict], None] | None
# combinations of signs that are tried, and iterations of each search: nearly all that converge need fewer
COMBINATIONS, ITERATIONS = 4, 40
# for each sign where there is one factor: principal axes that are tried, and indicators that dominate it
AXES, DOMINANT = 3, 3
# within correlation of indicators that counts as nearly collinear
COLLINEAR = 0.95
# unfinished searches that go on
CARRIED_ON = 3
# steps of the principal-axis iteration for communalities
AXIS_STEPS = 5


def in_doubt(made: Build, maximum: Maximum, sample: Sample) -> bool:
    """Whether there may be a higher maximum: a free variance of the between level is negative; the variance of a factor with
    more than three indicators there (fewer fit any covariances) is less than two standard errors above zero; or indicators are
    nearly collinear.
    """
    if any(_collinear(made, f, sample) for f in factors_of(made) if f.level == 1):
        return True
    rows, k = made.specification.parameters, len(made.names)
    basis = made.basis[:k, : made.free]
    natural = made.offset[:k] + basis @ maximum.theta
    many = {f.variance for f in factors_of(made) if f.level == 2 and len(_loadings(made, f)) > 2}
    covariance = np.linalg.pinv(maximum.information) if many and maximum.information is not None else None
    for i, (row, index) in enumerate(zip(rows, made.index, strict=True)):
        if index < 0 or row.level != 2 or row.op != "~~" or row.lhs != row.rhs:
            continue
        if natural[index] < 0:
            return True
        if i in many and covariance is not None:
            variance = basis[index] @ covariance @ basis[index]
            if natural[index] < 2.0 * np.sqrt(max(variance, 0.0)):
                return True
    return False


def _indicators(made: Build, f: Factor) -> list[int]:
    """Observed indicators of a factor, as places among the variables."""
    place = {name: i for i, name in enumerate(made.specification.variables)}
    own = (row for row in made.specification.parameters if (row.level, row.group) == (f.level, f.group))
    return [place[row.rhs] for row in own if row.op == "=~" and row.lhs == f.name and row.rhs in place]


def _collinear(made: Build, f: Factor, sample: Sample) -> bool:
    """Whether two of at least three indicators of a within factor are nearly collinear."""
    at = _indicators(made, f)
    cov = sample[0][f.group - 1][np.ix_(at, at)]
    sd = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    return len(at) > 2 and bool(np.abs(cov / np.outer(sd, sd))[np.triu_indices(len(at), 1)].max() > COLLINEAR)


def _loadings(made: Build, f: Factor) -> list[int]:
    """Rows of the free loadings of a factor."""
    return [
        i
        for i, row in enumerate(made.specification.parameters)
        if row.op == "=~" and row.lhs == f.name and (row.level, row.group) == (f.level, f.group) and made.index[i] >= 0
    ]


def search_sides(
    problem: Problem, made: Build, theta: np.ndarray, sample: Sample, known: float = -np.inf, report: Report = None
) -> Iterator[Maximum]:
    """The ends of the searches for each combination of signs of the between factors' variances, all of them plus first.

    theta (q,) gives everything but those factors' loadings and their indicators' residual variances, and likewise of within
    factors with nearly collinear indicators. known: the highest maximum found so far; unfinished searches above it go on.
    """
    factors = [f for f in factors_of(made) if f.level == 2]
    names = dict.fromkeys(f.name for f in factors)
    one = len(names) == 1 and all(len(_loadings(made, f)) > 2 for f in factors)
    unfinished: list[tuple[Maximum, Rescaled]] = []
    for signs in islice(product((1.0, -1.0), repeat=len(names)), COMBINATIONS if names else 0):
        other = rescale(problem, made, {f"{name}.2": sign for name, sign in zip(names, signs, strict=True)})
        if other is None:
            return
        for axis in range(AXES + DOMINANT if one else 1):
            start = _start(other, theta, sample, axis)
            if start is None:
                continue
            end = maximise(other.problem, start, iterations=ITERATIONS, report=report)
            if end.status.converged:
                known = max(known, end.value)
                yield way_back(problem, other, end, ITERATIONS, report)
            else:
                unfinished.append((end, other))
    above = [pair for pair in unfinished if np.isfinite(pair[0].value) and pair[0].value > known]
    for end, other in sorted(above, key=lambda pair: -pair[0].value)[:CARRIED_ON]:
        yield after(end, climb_rescaled(problem, other, end.theta, 2 * ITERATIONS, report))


def climb_rescaled(problem: Problem, other: Rescaled, start: np.ndarray, limit: int, report: Report = None) -> Maximum:
    """The maximum of the rescaled model from its parameters `start` (q,), then that of the model itself from there."""
    return way_back(problem, other, maximise(other.problem, start, iterations=limit, report=report), limit, report)


def way_back(problem: Problem, other: Rescaled, first: Maximum, limit: int, report: Report = None) -> Maximum:
    """The maximum of the model itself from the end of a search in the rescaled one."""
    theta = other.back(first.theta)
    if theta is None:  # loadings relative to a marker that does not load at all are infinite
        return replace(first, theta=np.full_like(first.theta, np.nan), value=-np.inf, status=Status.NO_MAXIMUM)
    # from anywhere but a maximum the way on leads along the valley that this form of the model avoids
    return after(first, maximise(problem, theta, iterations=limit if first.status.converged else 1, report=report))


def after(first: Maximum, last: Maximum) -> Maximum:
    """`last`, with the iterations of both."""
    done = len(first.trace)
    trace = first.trace + [entry | {"iteration": done + i + 1} for i, entry in enumerate(last.trace)]
    return replace(last, iterations=first.iterations + last.iterations, trace=trace)


def _start(other: Rescaled, theta: np.ndarray, sample: Sample, axis: int) -> np.ndarray | None:
    """Parameters (q,) of the rescaled model; loadings are shrunk until the likelihood is finite. None where it never is."""
    made, base = other.made, other.forth(theta)
    for share in (1.0, 0.7, 0.4, 0.2, 0.1, 0.03):
        trial = base.copy()
        for f in other.factors:
            if f.level == 2:
                _write(other, f, trial, sample, share, axis)
            elif _collinear(made, f, sample):
                _write(other, f, trial, sample, 1.0, AXES)
        if np.isfinite(other.problem.evaluate(trial)[0]):
            return trial
    return None


def _write(other: Rescaled, f: Factor, theta: np.ndarray, sample: Sample, share: float, axis: int) -> None:
    """Write loadings and residual variances of a factor along an axis into theta (q,), in place; share: of their squares."""
    made, group = other.made, f.group - 1
    place = {name: i for i, name in enumerate(made.specification.variables)}
    rows = [
        (row, int(i))
        for row, i in zip(made.specification.parameters, made.index, strict=True)
        if (row.level, row.group) == (f.level, f.group) and i >= 0
    ]
    own = [(i, place[row.rhs]) for row, i in rows if row.op == "=~" and row.lhs == f.name and row.rhs in place]
    residual = {place[r.lhs]: i for r, i in rows if r.op == "~~" and r.lhs == r.rhs and r.lhs in place}
    if len(own) < 3:
        return
    sign, at = float(made.values[f.variance]), [j for _, j in own]
    within, between = (cov[group][np.ix_(at, at)] for cov in sample[:2])
    cov = within if f.level == 1 else between
    sd = (
        np.sqrt(np.maximum(np.diag(within) + np.abs(np.diag(between)), 1e-300))
        if f.level == 2
        else np.sqrt(np.diag(cov))
    )
    loading = np.sqrt(share) * sd * axis_of(sign * cov / np.outer(sd, sd), axis)
    # negative variances at the between level are kept at first, then left out
    least = 0.05 * np.diag(within) if f.level == 2 and share < 0.5 else np.full(len(at), -np.inf)
    for (i, j), value, total, low in zip(own, loading, np.diag(cov), least, strict=True):
        theta[i] = value
        if j in residual:
            theta[residual[j]] = (
                max(total, low) - sign * value**2 if f.level == 2 else max(total - value**2, 1e-3 * total)
            )


def axis_of(correlation: np.ndarray, axis: int) -> np.ndarray:
    """Loadings (p,) of a factor of variance 1 for a correlation matrix (p, p), of which the diagonal is not used: along one of the
    first principal axes, or (axis - AXES = 0, 1, ...) through one of the indicators that correlate most with the others.
    """
    shared = np.array(correlation)
    np.fill_diagonal(shared, 0.0)
    loading = np.zeros(len(shared))
    if axis >= AXES:
        most = int(
            np.argsort(-np.abs(shared).max(axis=0) - 1e-3 * (shared**2).sum(axis=0))[min(axis - AXES, len(shared) - 1)]
        )
        own = np.sqrt(max(float(np.abs(shared[most]).max()), 1e-6))
        loading = shared[most] / own
        loading[most] = own
        return loading
    for _ in range(AXIS_STEPS):
        values, vectors = np.linalg.eigh(shared + np.diag(loading**2))
        loading = np.sqrt(max(values[-1 - axis], 1e-6)) * vectors[:, -1 - axis]
    return loading * (np.sign(loading.sum()) or 1.0)
