"""Starting values under bounds and other constraints, those that between them reach the highest of several maxima.

Bounds make more local maxima, not fewer: with few clusters any of a factor's indicators may take it over, its residual variance
at the bound, and each such corner can be a maximum of its own. A search that presses against one bound does not leave it for
another, so the corners are begun from one by one, beside factors along principal axes, the end of a search without the
constraints, the sample moments, and perturbed values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from mlsem_jax.estimation.problem import Problem, Report, Sample
from mlsem_jax.estimation.search import maximise
from mlsem_jax.estimation.starts import AXES, WIDEST, axis_of, moment_start, perturbed, simple_start
from mlsem_jax.models import Build, Parameter

# indicators of a between factor that dominate it in turn, and principal axes of a within factor
DOMINANT, WITHIN_AXES = 8, 2
# perturbed starts
PERTURBED = 2
# smallest residual variance of a start, relative to the total variance
LEAST = 0.02
# iterations of the search without the constraints
UNCONSTRAINED = 30


def starts_within(problem: Problem, theta: np.ndarray, report: Report = None) -> Iterator[np.ndarray]:
    """Starts (q,) that meet the bounds of single parameters among the problem's constraints; theta (q,) gives what a start leaves
    alone.

    report: told of the iterations of the search without the constraints.
    """
    constraints = problem.constraints
    if constraints is None:
        return
    ways = [(2, axis, sign) for axis in (0, *range(AXES, AXES + DOMINANT)) for sign in (1.0, -1.0)]
    for level, axis, sign in ways + [(1, axis, 1.0) for axis in range(WITHIN_AXES)]:
        start = turned_start(problem, theta, level, axis, sign)
        # what the bounds exclude, such as a factor variance below zero, other starts come to from the allowed side
        if start is not None and (sign > 0 or np.array_equal(start, constraints.nearest(start))):
            yield constraints.nearest(start)
    free = maximise(problem, theta, iterations=UNCONSTRAINED, report=report)
    others = perturbed(problem, simple_start(problem, theta), PERTURBED)
    for start in (free.theta, moment_start(problem, theta), *others):
        yield constraints.nearest(start)


def turned_start(problem: Problem, theta: np.ndarray, level: int, axis: int, sign: float) -> np.ndarray | None:
    """theta (q,) with each factor of a level along an axis (see `axis_of`), its variance of the given sign, as far towards that
    as the likelihood stays finite. None where no factor can be turned, for want of three observed indicators or of that many.
    """
    build, natural = problem.build, problem.natural(theta)
    factors = [_measured(build, name, level, group) for name, group in _names(build, level)]
    turned = [_turn(natural, f, problem.sample, axis, sign) for f in factors if f is not None]
    if not any(turned):
        return None
    target = natural[build.kept]
    for share in (1.0, 0.7, 0.4, 0.2):
        trial = theta + share * (target - theta)
        if np.isfinite(problem.evaluate(trial).value):
            return trial
    return None


def _names(build: Build, level: int) -> list[tuple[str, int]]:
    return list(product(build.specification.level(level).latent, range(1, build.specification.ngroups + 1)))


@dataclass(frozen=True)
class _Measured:
    """A factor of one level and group: its loadings on observed indicators with the natural parameter of each (-1: fixed), those
    indicators' places among the variables, and the natural parameters of their residual variances and of its own variance.
    """

    loadings: list[tuple[Parameter, int]]
    at: list[int]
    residuals: list[int]
    variance: int
    level: int
    group: int


def _measured(build: Build, name: str, level: int, group: int) -> _Measured | None:
    """The factor, where it has at least three observed indicators, a loading to be turned and a variance of its own."""
    column_of = {v: i for i, v in enumerate(build.specification.variables)}
    rows = [
        (row, int(i))
        for row, i in zip(build.specification.parameters, build.index, strict=True)
        if (row.level, row.group) == (level, group)
    ]
    variance = {row.lhs: i for row, i in rows if row.op == "~~" and row.lhs == row.rhs}
    own = [(row, i) for row, i in rows if row.op == "=~" and row.lhs == name and row.rhs in column_of]
    if len(own) < 3 or not any(i >= 0 for _, i in own) or name not in variance:
        return None
    residuals = [variance.get(row.rhs, -1) for row, _ in own]
    return _Measured(own, [column_of[row.rhs] for row, _ in own], residuals, variance[name], level, group)


def _turn(natural: np.ndarray, f: _Measured, sample: Sample, axis: int, sign: float) -> bool:
    """Write loadings, variance and indicators' residual variances of a factor into natural (k,), in place; False where the factor
    has no such axis, or a variance of the other sign that is not free.
    """
    if axis >= AXES + len(f.at) or (f.variance < 0 and sign < 0):
        return False
    within, between = (cov[f.group - 1][np.ix_(f.at, f.at)] for cov in sample[:2])
    cov = within if f.level == 1 else between
    size = np.diag(within) if f.level == 1 else np.diag(within) + np.abs(np.diag(between))
    sd = np.sqrt(np.maximum(size, 1e-300))
    loading = sd * axis_of(sign * cov / np.outer(sd, sd), axis)
    unit = _unit(natural, f, loading, sd)
    if f.variance >= 0:
        natural[f.variance] = sign * unit**2
    left = np.maximum(np.diag(cov) - sign * loading**2, LEAST * sd**2)
    for (_, i), j, value, rest in zip(f.loadings, f.residuals, loading / unit, left, strict=True):
        if i >= 0:
            natural[i] = value
        if j >= 0:
            natural[j] = rest
    return True


def _unit(natural: np.ndarray, f: _Measured, loading: np.ndarray, sd: np.ndarray) -> float:
    """The standard deviation of a factor, with the sign that its marker's loading has, for loadings (i,) at a variance of 1."""
    marker = next((j for j, (row, i) in enumerate(f.loadings) if i < 0 and row.value), None)
    if f.variance < 0:
        return 1.0
    if marker is None:
        return float(np.sqrt(max(abs(natural[f.variance]), 1e-8)))
    fixed = float(f.loadings[marker][0].value or 1.0)
    least = np.abs(loading / sd).max() * sd[marker] / WIDEST / abs(fixed)
    return float(np.copysign(max(abs(loading[marker] / fixed), least), loading[marker] / fixed))
