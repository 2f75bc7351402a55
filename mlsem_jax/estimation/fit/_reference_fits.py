"""Fitting h1 and the baseline: block by block in closed-form scoring where the data are complete, else like any model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsem_jax import likelihood
from mlsem_jax._status import Status
from mlsem_jax.estimation.fit._fit_build import fit_reference
from mlsem_jax.estimation.fit._unrestricted import block_moments, sums_of
from mlsem_jax.estimation.problem import Fitted, Maximum, Problem, Sample
from mlsem_jax.likelihood import CompleteTerm, Statistics, only_data
from mlsem_jax.models import ABSENT_VARIANCE, Build, Moments, PlainParts, Specification, build, remembered
from mlsem_jax.observed import CompleteStatistics


def moment_log_likelihood(
    moments: Moments | PlainParts, between_only: np.ndarray, complete: CompleteStatistics
) -> tuple[np.ndarray, PlainParts]:
    """Log-likelihood (G,) of complete data at some moments and its derivatives in them, in NumPy."""
    groups = likelihood.groups_of(complete)
    return likelihood.complete_log_likelihood(PlainParts.of(moments), np.asarray(between_only, float), groups, np)


def fit_unstructured(
    specification: Specification, statistics: Statistics, exogenous: Moments, sample: Sample, pad_to: int | None = None
) -> Fitted:
    """Maximise the likelihood of a model without structure: h1, the baseline, or one of the user's making.

    sample: within covariance, between covariance and mean by analysis of variance, by group; exact for covariates that exist at
    one level. exogenous: what rows of the table that the data decide are fixed at.
    """
    built = build(specification, exogenous, pad_to)
    blocks = independent_blocks(built)
    complete = only_data(statistics, CompleteTerm)
    if complete is None or blocks is None:
        return fit_reference(built, statistics, sample)
    try:
        moments, iterations, status = _blockwise(built, complete, PlainParts.of(exogenous), sample, blocks)
    except (FloatingPointError, np.linalg.LinAlgError):
        return fit_reference(built, statistics, sample)
    if not status.converged:
        return fit_reference(built, statistics, sample)
    return _at(Problem(built, statistics, sample), complete, moments, iterations)


def independent_blocks(built: Build) -> list[list[tuple[list[int], bool]]] | None:
    """By group the blocks of variables that covary, with whether their moments are given; None if they cannot be fitted one by one.

    They can where no parameter is shared, and every block is saturated at each level among the variables it has there.
    """
    shared = len(built.names) != int(np.sum(built.index >= 0))
    if shared or built.specification.constraints or len(built.kept) != len(built.names):
        return None
    return _blocks(built.specification)


@remembered
def _blocks(specification: Specification) -> list[list[tuple[list[int], bool]]] | None:
    """`independent_blocks` of a model without constraints."""
    column_of = {name: i for i, name in enumerate(specification.variables)}
    blocks = []
    for group in range(1, specification.ngroups + 1):
        found = _blocks_of_group(specification.group(group), column_of)
        if found is None:
            return None
        blocks.append(found)
    return blocks


def _blocks_of_group(one: Specification, column_of: dict[str, int]) -> list[tuple[list[int], bool]] | None:
    """The blocks of one group's model; columns are those of all groups' variables."""
    edges: dict[int, set[tuple[int, int]]] = {1: set(), 2: set()}
    given: dict[tuple[int, int, int], bool] = {}
    for row in one.parameters:
        if row.op == "~~":
            i, j = sorted((column_of[row.lhs], column_of[row.rhs]))
            edges[row.level].add((i, j))
            given[row.level, i, j] = not row.free
    own = sorted(column_of[v] for v in one.variables)
    component = {i: i for i in own}
    for level in one.numbers:
        for i, j in edges[level]:
            a, b = component[i], component[j]
            component = {k: a if c == b else c for k, c in component.items()}
    alone = {column_of[v]: lv for lv, vs in ((1, one.within_only), (2, one.between_only)) for v in vs}
    at_level = {level: {column_of[v] for v in one.level(level).observed} for level in one.numbers}
    blocks = []
    for root in dict.fromkeys(component.values()):
        block = [i for i, c in component.items() if c == root]
        pairs = {}
        for level in one.numbers:
            here = [i for i in block if i in at_level[level]]
            for n, i in enumerate(here):
                for j in here[n:]:
                    if (i, j) not in edges[level]:
                        return None
                    pairs[level, i, j] = given[level, i, j]
        fixed = {key for key, value in pairs.items() if value}
        split = [key for key in fixed if any(i not in alone for i in key[1:])]
        if split and len(fixed) != len(pairs):
            return None  # given moments of a variable of both levels beside free ones: not a block of its own
        blocks.append((block, bool(split)))
    return blocks


def _blockwise(
    built: Build,
    complete: CompleteStatistics,
    exogenous: PlainParts,
    sample: Sample,
    blocks: list[list[tuple[list[int], bool]]],
) -> tuple[PlainParts, int, Status]:
    specification = built.specification
    within, between = (np.zeros_like(np.asarray(part, float)) for part in sample[:2])
    mean = np.array(sample[2], float)
    iterations, status = 0, Status.CONVERGED
    for g in range(len(mean)):
        one = specification.group(g + 1)
        x, z = ({specification.variables.index(v) for v in vs} for vs in (one.within_only, one.between_only))
        s = sums_of(complete, g, sample[2][g])
        start = (np.asarray(sample[0][g]), np.asarray(sample[1][g]), np.asarray(sample[2][g]))
        for block, diagonal in _jobs(blocks[g]):
            of_y, of_x, of_z = (
                np.array(part, int)
                for part in (
                    [i for i in block if i not in x | z],
                    [i for i in block if i in x],
                    [i for i in block if i in z],
                )
            )
            found, taken, end = block_moments(s, of_y, of_x, of_z, start, diagonal)
            within[g], between[g] = within[g] + found[0], between[g] + found[1]
            mean[g, block] = found[2][block]
            iterations, status = max(iterations, taken), max(status, end)
        for block, given in blocks[g]:
            if given:
                at = np.ix_(block, block)
                within[g][at], between[g][at] = exogenous.within_cov[g][at], exogenous.between_cov[g][at]
                mean[g, block] = exogenous.mean[g, block]
        absent = specification.absent[g]
        np.fill_diagonal(within[g], np.diag(within[g]) + ABSENT_VARIANCE * (absent & (built.between_only == 0)))
        np.fill_diagonal(between[g], np.diag(between[g]) + ABSENT_VARIANCE * (absent & (built.between_only > 0)))
    x_mean = np.where(specification.alone_within, mean, 0.0)
    return exogenous.with_parts(within, between, x_mean, mean - x_mean), iterations, status


def _jobs(blocks: list[tuple[list[int], bool]]) -> list[tuple[list[int], bool]]:
    """What is fitted at a time: blocks with covariances, and all variables without any together (True)."""
    singles = [block[0] for block, given in blocks if len(block) == 1 and not given]
    jobs = [(block, False) for block, given in blocks if len(block) > 1 and not given]
    return [*jobs, (singles, True)] if singles else jobs


def _at(problem: Problem, complete: CompleteStatistics, moments: PlainParts, iterations: int) -> Fitted:
    """The fitted model at given moments, with its value and gradient by the one likelihood."""
    built = problem.build
    value, slope = moment_log_likelihood(moments, built.between_only, complete)
    natural, gradient = as_natural(built, moments), _natural_gradient(built, slope)
    maximum = Maximum(
        theta=natural[built.kept],
        value=float(np.sum(value)),
        gradient=gradient[built.kept],
        metric=None,
        observed=None,
        decrement=0.0,
        iterations=iterations,
        status=Status.CONVERGED,
    )
    return Fitted(problem, maximum, moments.as_moments())


def as_natural(built: Build, moments: Moments | PlainParts) -> np.ndarray:
    """The natural parameters (k,) of an unstructured model that has exactly these moments."""
    natural = np.zeros(len(built.names))
    levels: tuple[Any, ...] = moments.levels
    mean, covariances = moments.mean, [level.cov for level in levels]
    for values, at in zip((mean[:, :, None], *covariances), _places(built.specification), strict=True):
        index = built.index[at.row]
        free = index >= 0
        natural[index[free]] = values[at.group, at.left, at.right][free]
    return natural


class _Places(NamedTuple):
    """Rows of a table, and where the moments that they are stand: group, row and column (of means 0)."""

    row: np.ndarray
    group: np.ndarray
    left: np.ndarray
    right: np.ndarray


@remembered
def _places(specification: Specification) -> list[_Places]:
    """Of the free rows of an unstructured model: those that are means, then those that are covariances of each level."""
    column_of = {name: i for i, name in enumerate(specification.variables)}
    found: list[list[tuple[int, int, int, int]]] = [[] for _ in range(1 + len(specification.levels))]
    for i, row in enumerate(specification.parameters):
        if row.free:
            mean = row.op == "~1"
            right = 0 if mean else column_of[row.rhs]
            found[0 if mean else row.level].append((i, row.group - 1, column_of[row.lhs], right))
    return [_Places(*np.array(part, int).reshape(-1, 4).T) for part in found]


def _natural_gradient(built: Build, slope: PlainParts) -> np.ndarray:
    """Gradient in the natural parameters, which here are the moments themselves; covariances count twice."""

    def both(cov: np.ndarray) -> np.ndarray:
        return cov + np.swapaxes(cov, 1, 2) * (1 - np.eye(cov.shape[1]))

    means = (np.zeros_like(slope.within_mean), slope.between_mean)
    if len(slope.levels) == 1:
        means = (slope.within_mean, slope.between_mean)
    return as_natural(built, slope.with_parts(both(slope.within_cov), both(slope.between_cov), *means))
