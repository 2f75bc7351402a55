"""Stage 3: the covariance matrix of the statistics from the scores of units, and everything in the units of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from mlsem_jax.ordinal.limited import _layout
from mlsem_jax.ordinal.limited._layout import Statistic
from mlsem_jax.ordinal.limited._prepared import Prepared
from mlsem_jax.ordinal.limited._problems import Problem
from mlsem_jax.ordinal.limited._programs import KINDS
from mlsem_jax.ordinal.limited._records import LimitedInformation

LARGEST = 0.9999  # correlation that is searched for


@dataclass(frozen=True)
class Found:
    """A searched problem: theta, scores of its patterns (U, length of theta), evaluations, and what is to be told of it."""

    problem: Problem
    theta: np.ndarray
    scores: np.ndarray
    count: int
    zero: bool = False
    perfect: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    added: bool = False

    def by_unit(self, units: int, columns: list[int]) -> np.ndarray:
        """Scores of units (U, columns)."""
        problem = self.problem
        each = self.scores[:, columns][problem.pattern] * problem.factor[:, None]
        if problem.unit.size == units and np.array_equal(problem.unit, np.arange(units)):
            return each
        out = [np.bincount(problem.unit, column, units) for column in each.T]
        return np.stack(out, axis=1) if out else np.zeros((units, 0))


def assemble(prepared: Prepared, singles: list[Found], pairs: list[Found], empty) -> LimitedInformation:
    own = [_layout.of_variable(prepared.data, j) for j in range(len(singles))]
    shared = [_layout.of_pair(prepared.data, *sorted(found.problem.variables)) for found in pairs]
    lengths = [len(s) for s in own + shared]
    ends = np.cumsum([0, *lengths])
    places = [np.arange(a, b) for a, b in pairwise(ends)]
    columns = [[s.at for s in group] for group in own]
    columns += [_pair_columns(prepared, found, group) for found, group in zip(pairs, shared, strict=True)]
    values = np.concatenate([f.theta[c] for f, c in zip(singles + pairs, columns, strict=True)])
    values = _perfect_values(values, pairs, places[len(singles) :])
    bread, meat = _bread_and_meat(prepared, singles, pairs, places, columns)
    half = np.linalg.solve(bread, np.linalg.solve(bread, meat).T)
    statistics = [s for group in own + shared for s in group]
    change, shift = _to_data(prepared, statistics)
    values, acov = change @ values + shift, change @ ((half + half.T) / 2) @ change.T
    return _record(prepared, statistics, values, acov, singles, pairs, empty)


def _pair_columns(prepared: Prepared, found: Found, group: list[Statistic]) -> list[int]:
    """Where the covariances of a pair lie in its theta: kinds of one part have theirs in the first place."""
    slots = KINDS[found.problem.kind].covariances
    return [2 * prepared.size.block + slot for slot, _ in zip(slots, group, strict=True)]


def _perfect_values(values: np.ndarray, pairs: list[Found], places: list[np.ndarray]) -> np.ndarray:
    """Correlations at the bound of the search are 1 in size."""
    values = values.copy()
    for found, place in zip(pairs, places, strict=True):
        values[place] = np.where(found.perfect != 0, values[place] / LARGEST, values[place])
    return values


def _bread_and_meat(prepared: Prepared, singles, pairs, places, columns) -> tuple[np.ndarray, np.ndarray]:
    """Sums over units of outer products of scores: A, lower block triangular, and B. Weights w count once in A, twice in B. With
    one level units of B are the clusters where there are any; A holds what rows tell, whatever they have in common.
    """
    weight, total = prepared.unit_weight, sum(p.size for p in places)
    score = np.zeros((prepared.units, total))
    bread = np.zeros((total, total))
    for found, place, column in zip(singles, places, columns, strict=False):
        score[:, place] = found.by_unit(prepared.units, column)
        bread[np.ix_(place, place)] = (weight[:, None] * score[:, place]).T @ score[:, place]
    for found, place, column in zip(pairs, places[len(singles) :], columns[len(singles) :], strict=True):
        score[:, place] = found.by_unit(prepared.units, column)
        weighted = (weight[:, None] * score[:, place]).T
        bread[np.ix_(place, place)] = weighted @ score[:, place]
        for i, variable in enumerate(found.problem.variables):
            at = [c + i * prepared.size.block for c in columns[variable]]
            bread[np.ix_(place, places[variable])] = weighted @ found.by_unit(prepared.units, at)
    score *= weight[:, None]
    if prepared.data.independent is not None:
        score = np.stack([np.bincount(prepared.data.independent, column) for column in score.T], axis=1)
    return bread, score.T @ score


def _to_data(prepared: Prepared, statistics: list[Statistic]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (S, S) and vector (S,) that take statistics of standardized variables and covariates to those of the data."""
    count = len(statistics)
    change, shift = np.eye(count), np.zeros(count)
    scale, x_scale, x_center = prepared.scale, prepared.x_scale, prepared.x_center
    slopes: dict[int, list[int]] = {}
    for i, s in enumerate(statistics):
        if s.kind == "slope":
            slopes.setdefault(s.row, []).append(i)
    for i, s in enumerate(statistics):
        if s.kind == "covariance":
            change[i, i] = scale[s.row] * scale[s.col]
        elif s.kind == "slope":
            change[i, i] = scale[s.row] / x_scale[s.col]
        else:
            change[i, i] = scale[s.row]
            shift[i] = prepared.center[s.row] if s.kind == "mean" else 0.0
            for k in slopes.get(s.row, []):
                slope = scale[s.row] * x_center[statistics[k].col] / x_scale[statistics[k].col]
                change[i, k] = -slope if s.kind == "mean" else slope
    return change, shift


def _clusters(prepared: Prepared) -> int:
    """Number of independent units that are no rows."""
    if prepared.data.independent is not None:
        return int(prepared.data.independent.max()) + 1
    return prepared.units if prepared.two_level else 0


def _record(prepared: Prepared, statistics, values, acov, singles, pairs, empty) -> LimitedInformation:
    names, p = prepared.data.names, len(singles)
    rows = np.zeros((p, p), int)
    for found in singles + pairs:
        a, c = found.problem.variables[0], found.problem.variables[-1]
        rows[a, c] = rows[c, a] = found.problem.used
    perfect, added = [], []
    for found in pairs:
        a, c = sorted(found.problem.variables)
        group = _layout.of_pair(prepared.data, a, c)
        perfect += [
            (names[a], names[c], s.level, int(sign)) for s, sign in zip(group, found.perfect, strict=True) if sign
        ]
        added += [(names[a], names[c])] if found.added else []
    return LimitedInformation(
        names=tuple(s.name for s in statistics),
        kind=np.array([s.kind for s in statistics]),
        row=np.array([s.row for s in statistics]),
        col=np.array([s.col for s in statistics]),
        level=np.array([s.level for s in statistics]),
        values=values,
        acov=acov,
        n=prepared.rows,
        clusters=_clusters(prepared),
        rows=rows,
        empty_cells=empty,
        added=tuple(added),
        perfect=tuple(perfect),
        no_between_variance=tuple(names[found.problem.variables[0]] for found in singles if found.zero),
        steps={"-".join(names[j] for j in found.problem.variables): found.count for found in singles + pairs},
    )
