"""Searches on both sides of a factor variance of zero at the between level, or at the only one.

With few clusters or small intraclass correlations the likelihood of a factor model often has several maxima: where the variance
of a between factor is positive and where it is negative, and for different indicators that dominate it; and no search crosses from
one side to the other. The model with factors scaled by a variance of +1 or -1 has no valleys on either side, so both are climbed,
from each of the first principal axes of the sample covariances and from factors that are all but one indicator. Nearly collinear
indicators do the same to a within factor: it may be their common part, or what they share with all others.
"""

from __future__ import annotations

from itertools import islice, product

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Maximum, Problem, Sample
from mlsem_jax.estimation.search import LAST, Factor, RescaledProblem, factors_of, rescale, search_in_trust_region
from mlsem_jax.estimation.starts import AXES, axis_of
from mlsem_jax.estimation.strategies._driver import HIGHER, Limits, Proposal, Strategy
from mlsem_jax.models import Build

# what found a maximum, in a sentence
SIGNS = "searches from either sign of the between factors' variances"
SIGNS_ONE_LEVEL = "searches from either sign of the factors' variances"
# combinations of signs that are tried, and iterations of each search: nearly all that converge need fewer
COMBINATIONS, ITERATIONS = 4, 40
# for each sign where there is one factor: indicators that dominate it, beside the principal axes
DOMINANT = 3
# within correlation of indicators that counts as nearly collinear
COLLINEAR = 0.95
# unfinished searches that go on, and steps in a trust region of the highest of them that is unfinished still
CARRIED_ON, NEWTON = 3, 40


def in_doubt(problem: Problem, maximum: Maximum) -> bool:
    """Whether there may be a higher maximum: a free variance of the between level is negative; the variance of a factor with
    more than three indicators there (fewer fit any covariances) is less than two standard errors above zero; or indicators are
    nearly collinear.
    """
    build = problem.build
    if any(_collinear(build, f, problem.sample) for f in factors_of(build) if f.level == 1):
        return True
    rows, basis = build.specification.parameters, build.basis
    natural = problem.natural(maximum.theta)
    many = {f.variance for f in factors_of(build) if f.level == 2 and len(_loadings(build, f)) > 2}
    covariance = np.linalg.pinv(maximum.information) if many and maximum.information is not None else None
    for i, (row, index) in enumerate(zip(rows, build.index, strict=True)):
        if index < 0 or row.level != 2 or row.op != "~~" or row.lhs != row.rhs:
            continue
        if natural[index] < 0:
            return True
        if i in many and covariance is not None:
            variance = basis[index] @ covariance @ basis[index]
            if natural[index] < 2.0 * np.sqrt(max(variance, 0.0)):
                return True
    return False


def _indicators(build: Build, f: Factor) -> list[int]:
    """Observed indicators of a factor, as places among the variables."""
    column_of = {name: i for i, name in enumerate(build.specification.variables)}
    own = (row for row in build.specification.parameters if (row.level, row.group) == (f.level, f.group))
    return [column_of[row.rhs] for row in own if row.op == "=~" and row.lhs == f.name and row.rhs in column_of]


def _collinear(build: Build, f: Factor, sample: Sample) -> bool:
    """Whether two of at least three indicators of a within factor are nearly collinear."""
    at = _indicators(build, f)
    cov = sample[0][f.group - 1][np.ix_(at, at)]
    sd = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    return len(at) > 2 and bool(np.abs(cov / np.outer(sd, sd))[np.triu_indices(len(at), 1)].max() > COLLINEAR)


def _loadings(build: Build, f: Factor) -> list[int]:
    """Rows of the free loadings of a factor."""
    return [
        i
        for i, row in enumerate(build.specification.parameters)
        if row.op == "=~" and row.lhs == f.name and (row.level, row.group) == (f.level, f.group) and build.index[i] >= 0
    ]


def variance_signs(problem: Problem, theta: np.ndarray, known: float = -np.inf) -> Strategy:
    """Searches for each combination of signs of the variances of the highest level's factors, all of them plus first.

    theta (q,) gives everything but those factors' loadings and their indicators' residual variances, and likewise of within
    factors with nearly collinear indicators. known: the highest maximum found so far; unfinished searches above it go on.
    """
    build, top = problem.build, problem.build.specification.numbers[-1]
    factors = [f for f in factors_of(build) if f.level == top]
    names, said = dict.fromkeys(f"{f.name}.{top}" for f in factors), SIGNS if top == 2 else SIGNS_ONE_LEVEL
    one = len(names) == 1 and all(len(_loadings(build, f)) > 2 for f in factors)
    if 2 ** len(factors) <= COMBINATIONS:
        # in each group by itself, where that is not too many
        names = dict.fromkeys(f.key for f in factors)
    unfinished: list[tuple[Maximum, RescaledProblem]] = []
    for signs in islice(product((1.0, -1.0), repeat=len(names)), COMBINATIONS if names else 0):
        other = rescale(problem, dict(zip(names, signs, strict=True)))
        if other is None:
            return
        for axis in range(AXES + DOMINANT if one else 1):
            start = _start(other, theta, axis)
            if start is None:
                continue
            end = yield Proposal(said, other, start, Limits(ITERATIONS))
            if end.status.converged:
                known = max(known, end.value)
            else:
                unfinished.append((end, other))
    yield from _carried_on(said, unfinished, known)


def _carried_on(name: str, unfinished: list[tuple[Maximum, RescaledProblem]], known: float) -> Strategy:
    """The highest unfinished searches, if they are above the maximum known."""
    crawling: list[tuple[Maximum, RescaledProblem]] = []
    for end, other in _above(unfinished, known)[:CARRIED_ON]:
        end = yield Proposal(name, other, end.theta, Limits(2 * ITERATIONS))
        if end.status.converged:
            known = max(known, end.value)
        elif end.status is Status.ITERATION_LIMIT:
            crawling.append((end, other))
    # a maximum is known and yet there are higher points: a valley leads to another one, or to nowhere
    for end, other in _above(crawling, known)[:1] if np.isfinite(known) else ():
        yield Proposal(name, other, end.theta, Limits(NEWTON, method=search_in_trust_region, returns=LAST))


def _above(ends: list[tuple[Maximum, RescaledProblem]], known: float) -> list[tuple[Maximum, RescaledProblem]]:
    """The ends that are higher than the maximum known, the highest first."""
    above = [pair for pair in ends if np.isfinite(pair[0].value) and pair[0].value > known + HIGHER]
    return sorted(above, key=lambda pair: -pair[0].value)


def _start(other: RescaledProblem, theta: np.ndarray, axis: int) -> np.ndarray | None:
    """Parameters (q,) of the rescaled model; loadings are shrunk until the likelihood is finite. None where it never is."""
    base, top = other.forth(theta), other.build.specification.numbers[-1]
    for share in (1.0, 0.7, 0.4, 0.2, 0.1, 0.03):
        trial = base.copy()
        for f in other.factors:
            if f.level == top:
                _write(other, f, trial, share, axis)
            elif _collinear(other.build, f, other.sample):
                _write(other, f, trial, 1.0, AXES)
        if np.isfinite(other.evaluate(trial).value):
            return trial
    return None


def _write(other: RescaledProblem, f: Factor, theta: np.ndarray, share: float, axis: int) -> None:
    """Write loadings and residual variances of a factor along an axis into theta (q,), in place; share: of their squares."""
    build, group = other.build, f.group - 1
    column_of = {name: i for i, name in enumerate(build.specification.variables)}
    rows = [
        (row, int(i))
        for row, i in zip(build.specification.parameters, build.index, strict=True)
        if (row.level, row.group) == (f.level, f.group) and i >= 0
    ]
    own = [(i, column_of[row.rhs]) for row, i in rows if row.op == "=~" and row.lhs == f.name and row.rhs in column_of]
    residual = {column_of[r.lhs]: i for r, i in rows if r.op == "~~" and r.lhs == r.rhs and r.lhs in column_of}
    if len(own) < 3:
        return
    sign, at, top = float(build.values[f.variance]), [j for _, j in own], build.specification.numbers[-1]
    within, between = (cov[group][np.ix_(at, at)] for cov in other.sample[:2])
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
                max(total, low) - sign * value**2 if f.level == top else max(total - value**2, 1e-3 * total)
            )
