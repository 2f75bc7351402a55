"""Stages 1 to 3 of estimation with limited information: each variable, each pair, and the covariance matrix of what was found.

Muthen, B. (1984). A general structural equation model with dichotomous, ordered categorical, and continuous latent variable
indicators. Psychometrika 49. Asparouhov, T., and Muthen, B. (2007). Computationally efficient estimation of multilevel
high-dimensional latent variable models. Proceedings of the JSM.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations

import jax
import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal.limited import _problems, _starts
from mlsem_jax.ordinal.limited._acov import LARGEST, Found, assemble
from mlsem_jax.ordinal.limited._cells import empty_cells, half_a_row
from mlsem_jax.ordinal.limited._grid import MOST_NODES, nodes_needed, nodes_of_pair, padded_nodes
from mlsem_jax.ordinal.limited._kernels import FEW_UP_TO, MANY, legendre
from mlsem_jax.ordinal.limited._layout import of_variable
from mlsem_jax.ordinal.limited._prepared import Prepared, prepare
from mlsem_jax.ordinal.limited._problems import Problem
from mlsem_jax.ordinal.limited._programs import KINDS, compile_ahead, live, scores, search_terms
from mlsem_jax.ordinal.limited._records import LimitedInformation, OrdinalData
from mlsem_jax.ordinal.limited._search import maximise

NO_VARIANCE = 1e-5  # between variance, of the within variance, that counts as none
NEAR_LIMIT = 0.99  # of the largest correlation: from here a search that stalls is taken to be at it
TOO_COARSE = 1.15  # a grid that is made anew: of the step that is safe
TOO_LARGE = 50.0  # between variance of an ordered variable, of its within variance


@float64
def limited_information(data: OrdinalData) -> LimitedInformation:
    """Thresholds, means, slopes, variances and covariances of latent responses by maximum likelihood of each variable, then of
    each pair given its variables, and the covariance matrix of all of them by the scores of units: rows with one level, clusters
    with two. Missing values: each variable and each pair uses the rows where it is seen.

    DataError where a variable has an unused category, does not vary, or varies between clusters alone.
    """
    prepared = prepare(data)
    moments = _starts.Moments(prepared)
    singles = _variables(prepared, moments)
    pairs = _pairs(prepared, moments, [found.theta for found in singles])
    return assemble(prepared, singles, pairs, empty_cells(prepared, [found.problem for found in pairs]))


def _variables(prepared: Prepared, moments: _starts.Moments) -> list[Found]:
    """Stage 1."""
    variables = range(len(prepared.data.names))
    problems = [_problems.of_variable(prepared, j) for j in variables]
    thetas = [_starts.of_variable(moments, j) for j in variables]
    compile_ahead([(p.kind, t, p.rows) for p, t in zip(problems, thetas, strict=True)], prepared.size.slopes)
    return [_variable(prepared, problem, theta) for problem, theta in zip(problems, thetas, strict=True)]


def _pairs(prepared: Prepared, moments: _starts.Moments, blocks: list[np.ndarray]) -> list[Found]:
    """Stage 2."""
    every = [_problems.of_pair(prepared, a, c) for a, c in combinations(range(len(blocks)), 2)]
    problems = [problem for problem in every if problem is not None]
    starts = [_start(prepared, moments, problem, blocks) for problem in problems]
    nodes = nodes_needed(problems, starts, prepared)
    if nodes[0] * nodes[1] > MOST_NODES:
        problems = [_problems.by_cells(problem, prepared) for problem in problems]
    problems = [_problems.with_grid(p, nodes) if "table" in p.kind else p for p in problems]
    compile_ahead([(p.kind, t, p.rows) for p, t in zip(problems, starts, strict=True)], prepared.size.slopes)
    return [_pair(problem, start, prepared, nodes) for problem, start in zip(problems, starts, strict=True)]


def _variable(prepared: Prepared, problem: Problem, theta: np.ndarray) -> Found:
    """Stage 1 of one variable."""
    variable = problem.variables[0]
    size, slopes = prepared.size.block, prepared.size.slopes
    where = live(problem.kind, size, slopes)
    used = np.isin(where, [s.at for s in of_variable(prepared.data, variable)])
    low, high = np.where(used, -np.inf, theta[where]), np.where(used, np.inf, theta[where])
    first = prepared.size.thresholds
    least = NO_VARIANCE * (1.0 if prepared.ordered(variable) else theta[first + 1])
    low[where == first + 1], low[where == first + 2] = 1e-6, least
    high[where == first + 2] = TOO_LARGE if prepared.ordered(variable) else np.inf
    rows = jax.device_put(problem.rows)
    terms = _terms_by_differences(problem.kind, slopes, theta, where, rows)
    found, reached, count = _searched(terms, theta, where, low, high)
    name = prepared.data.names[variable]
    if prepared.ordered(variable) and found[first + 2] >= (TOO_LARGE if reached else TOO_LARGE / 5):
        raise DataError(
            f"Ordered variable {name!r} hardly varies within clusters: its between variance grows without bound. "
            "Declare it at the between level alone, or take it out of the model."
        )
    if not reached:
        raise DataError(
            f"The thresholds and variances of variable {name!r} could not be estimated: the search did not end. "
            "Merge rare categories, take it out of the model, or use estimator='ML'."
        )
    zero = first + 2 in where and found[first + 2] <= least * 1.0001
    return Found(problem, found, scores(problem.kind, slopes, found, rows)[1], count, zero)


def _searched(terms, theta, where, low, high) -> tuple[np.ndarray, bool, int]:
    """The maximum over the elements `where` of theta."""

    def changed(free: np.ndarray) -> np.ndarray:
        out = theta.copy()
        out[where] = free
        return out

    found, reached, count = maximise(lambda free: terms(changed(free)), theta[where], low, high)
    return changed(found), reached, count


def _terms_by_differences(kind, slopes, theta, where, rows):
    """Value, gradient and Hessian of one variable. The Hessian is taken from differences of the gradient, good to 1e-6, which
    Newton's method hardly notices: a program less to compile.
    """
    multiplicity = np.asarray(rows.multiplicity)

    def gradient(theta):
        values, by_unit = scores(kind, slopes, theta, rows)
        return multiplicity @ values, multiplicity @ by_unit[:, where]

    def terms(theta):
        value, middle = gradient(theta)
        columns = []
        for i in where:
            moved = theta.copy()
            moved[i] += 1e-5 * max(abs(theta[i]), 0.1)
            columns.append((gradient(moved)[1] - middle) / (moved[i] - theta[i]))
        hessian = np.stack(columns)
        return float(value), middle, (hessian + hessian.T) / 2

    return terms


def _start(prepared: Prepared, moments: _starts.Moments, problem: Problem, blocks: list[np.ndarray]) -> np.ndarray:
    """Theta of a pair: the blocks of its variables, then where the covariances start."""
    first, second = (blocks[j] for j in problem.variables)
    return np.concatenate(
        [first, second, _starts.of_pair(moments, problem.variables, deviations(problem, first, second, prepared))]
    )


def deviations(problem: Problem, first: np.ndarray, second: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Standard deviations of both variables (part, variable): a between-only variable has its variance in the place of `within`."""
    place = prepared.size.thresholds + 1
    sd = np.sqrt([[first[place], second[place]], [first[place + 1], second[place + 1]]])
    if problem.kind.endswith("between"):
        sd[1, 1] = sd[0, 1]
    return sd


def _pair(problem: Problem, theta: np.ndarray, prepared: Prepared, nodes: tuple[int, int]) -> Found:
    """Stage 2 of one pair."""
    size, slopes = prepared.size.block, prepared.size.slopes
    parts = np.array(KINDS[problem.kind].covariances)
    limit = LARGEST * deviations(problem, theta[:size], theta[size:-2], prepared).prod(axis=1)[parts]
    where = 2 * size + parts
    absent = np.setdiff1d([0, 1], parts)
    theta[2 * size + absent] = 0.0
    bounds = where, -limit, limit
    adjusted = half_a_row(problem, prepared)
    terms = partial(search_terms, problem.kind, slopes)
    rows = jax.device_put((adjusted or problem).rows)
    found, reached, count = _searched(partial(terms, rows=rows), theta, *bounds)
    if "table" in problem.kind and np.any(
        (finer := nodes_of_pair(problem, found, prepared)) > TOO_COARSE * np.array(nodes)
    ):
        problem = _problems.with_grid(problem, padded_nodes(*np.maximum(finer, nodes)))
        rows = jax.device_put(problem.rows)
        found, reached, count = _searched(partial(terms, rows=rows), found, *bounds)
    if rows.rule is not None and abs(found[2 * size]) > FEW_UP_TO:
        rows = rows._replace(rule=legendre(MANY))
        found, reached, more = _searched(partial(terms, rows=rows), found, *bounds)
        count += more
    if not reached:
        found, reached = _at_limit(found, where, limit)
    if not reached:
        names = " and ".join(repr(prepared.data.names[j]) for j in sorted(problem.variables))
        raise DataError(
            f"The covariance of {names} could not be estimated: the search did not end. Take one of the two out of the model, "
            "or use "
            "estimator='ML'."
        )
    perfect = np.where(np.abs(found[where]) >= limit * (1 - 1e-6), np.sign(found[where]), 0).astype(int)
    if adjusted:
        rows = rows._replace(multiplicity=problem.rows.multiplicity)
    found_scores = scores(problem.kind, slopes, found, rows)[1]
    return Found(problem, found, found_scores, count, False, perfect, adjusted is not None)


def _at_limit(theta: np.ndarray, where: np.ndarray, limit: np.ndarray) -> tuple[np.ndarray, bool]:
    """A search that stalls near correlations of 1 in size, where integrals over clusters are too steep for any grid, ends there."""
    near = np.abs(theta[where]) >= NEAR_LIMIT * limit
    out = theta.copy()
    out[where] = np.where(near, np.sign(theta[where]) * limit, theta[where])
    return out, bool(near.any())
