"""The rows of each variable and pair, padded so that problems of a kind have one shape, with what leads their scores to units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.ordinal.limited._blocks import Rows
from mlsem_jax.ordinal.limited._kernels import FEW, legendre
from mlsem_jax.ordinal.limited._prepared import Prepared
from mlsem_jax.ordinal.limited._records import BETWEEN_ONLY, BOTH, WITHIN_ONLY

SEGMENT = 8
ENDS = 7.5  # of the grid of standardized effects
CELLS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Problem:
    """One variable or pair: its kind and rows; `variables` in the order of the kind. The scores of pattern `pattern[i]`, times
    `factor[i]`, belong to unit `unit[i]`.
    """

    kind: str
    variables: tuple[int, ...]
    rows: Rows
    pattern: np.ndarray
    unit: np.ndarray
    factor: np.ndarray
    used: int


def padded(count: int, least: int = 16) -> int:
    """The next size of a series with four steps to each doubling: data of like sizes share programs."""
    size = least
    while size < count:
        size *= 2
    for eighths in (5, 6, 7):
        if size > least and size * eighths // 8 >= count:
            return size * eighths // 8
    return size


def fill(values: np.ndarray, size: int, by: float = 0) -> np.ndarray:
    """Padded along the first axis."""
    return np.concatenate([values, np.full((size - values.shape[0], *values.shape[1:]), by, values.dtype)])


def kind_of(prepared: Prepared, first: int, second: int) -> tuple[str, tuple[int, int]] | None:
    """The kind of a pair and its variables in the kind's order; None where they have no level in common."""
    levels = {j: prepared.level(j) for j in (first, second)}
    if set(levels.values()) == {WITHIN_ONLY, BETWEEN_ONLY}:
        return None
    by_rows = not prepared.two_level or (levels[first] == levels[second] != BOTH)
    pair = sorted((first, second), key=lambda j: (levels[j] if not by_rows else 0, prepared.ordered(j)))
    words = ["ordered" if prepared.ordered(j) else "continuous" for j in pair]
    if by_rows:
        return f"{'-'.join(words)} rows", (pair[0], pair[1])
    one_part = levels[pair[1]]
    if one_part == WITHIN_ONLY and words == ["ordered", "continuous"]:
        return "within continuous-ordered", (pair[1], pair[0])
    where = {BOTH: "clusters", WITHIN_ONLY: "within", BETWEEN_ONLY: "between"}[one_part]
    return f"{'-'.join(words)} {where}", (pair[0], pair[1])


def of_variable(prepared: Prepared, variable: int) -> Problem:
    word = "ordered" if prepared.ordered(variable) else "continuous"
    if not prepared.two_level or prepared.level(variable) != BOTH:
        return _by_rows(prepared, f"{word} rows", (variable,))
    if prepared.ordered(variable) and not prepared.size.slopes:
        return _counted(prepared, "ordered clusters", (variable,))
    return _segmented(prepared, f"{word} clusters", (variable,))


def of_pair(prepared: Prepared, first: int, second: int) -> Problem | None:
    found = kind_of(prepared, first, second)
    if found is None:
        return None
    kind, pair = found
    if kind.endswith("rows"):
        return _by_rows(prepared, kind, pair)
    if kind in ("ordered-ordered clusters", "ordered-ordered within") and not prepared.size.slopes:
        return _table(prepared, kind, pair)
    if kind.startswith("ordered") and kind.endswith("between") and not prepared.size.slopes:
        return _counted(prepared, kind, pair)
    return _segmented(prepared, kind, pair)


def _column(prepared: Prepared, variable: int, values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32) if prepared.ordered(variable) else values


def _seen(prepared: Prepared, variables: tuple[int, ...]) -> np.ndarray:
    """Rows (clusters, where all variables are between-only) where all are seen."""
    if all(prepared.between(j) for j in variables):
        return np.flatnonzero(np.isfinite(prepared.cluster_values[:, variables]).all(axis=1))
    wanted = np.ones(prepared.rows, bool)
    for j in variables:
        column = prepared.column(j)
        wanted &= np.isfinite(column[prepared.cluster] if prepared.between(j) else column)
    return np.flatnonzero(wanted)


def _by_rows(prepared: Prepared, kind: str, variables: tuple[int, ...]) -> Problem:
    """Rows are independent of each other; ordered variables without covariates are counted by cell."""
    between = prepared.between(variables[0])
    seen = _seen(prepared, variables)
    unit = seen if between or not prepared.two_level else prepared.cluster[seen]
    factor = np.ones(seen.size) if between else prepared.weight[seen]
    weight = factor * prepared.unit_weight[unit]
    columns = [prepared.column(j)[seen] for j in variables]
    x = (prepared.cluster_x if between else prepared.x)[seen]
    if all(prepared.ordered(j) for j in variables) and not prepared.size.slopes:
        k = prepared.size.thresholds + 1
        pattern = sum((c * k**i for i, c in enumerate(reversed(columns))), np.zeros(seen.size)).astype(int)
        cells = np.arange(k ** len(variables))
        weight = np.bincount(pattern, weight, cells.size)
        columns = [cells // k ** (len(variables) - 1), cells % k][: len(variables)]
        x, size = np.zeros((cells.size, 0)), cells.size
    else:
        pattern, size = np.arange(seen.size), padded(prepared.units if between else prepared.rows)
    arrays = [fill(_column(prepared, j, c), size) for j, c in zip(variables, columns, strict=True)]
    rows = Rows(fill(weight, size), arrays[0], arrays[-1] if len(arrays) > 1 else None, fill(x, size))
    if kind == "ordered-ordered rows":
        rows = rows._replace(rule=legendre(FEW))
    return Problem(kind, variables, rows, pattern, unit, factor, seen.size)


def _unit_weights(prepared: Prepared, seen: np.ndarray) -> np.ndarray:
    """Of clusters, 0 of those without a row."""
    there = np.zeros(prepared.units, bool)
    there[prepared.cluster[seen]] = True
    return np.where(there, prepared.unit_weight, 0.0)


def _by_cluster(kind: str, variables, rows: Rows, multiplicity: np.ndarray, used: int) -> Problem:
    """Every cluster a unit of its own; those without rows do not count."""
    there = np.flatnonzero(multiplicity)
    rows = rows._replace(multiplicity=fill(multiplicity, padded(multiplicity.size)))
    return Problem(kind, variables, rows, there, there, np.ones(there.size), used)


def _segmented(prepared: Prepared, kind: str, variables: tuple[int, ...]) -> Problem:
    """Rows of clusters in segments of equal length."""
    seen = _seen(prepared, variables)
    cluster = prepared.cluster[seen]
    size = np.bincount(cluster, minlength=prepared.units)
    segments = -(-size // SEGMENT)
    first = np.concatenate([[0], np.cumsum(segments)])
    place = np.arange(seen.size) - np.concatenate([[0], np.cumsum(size)])[cluster]
    where = (first[cluster] + place // SEGMENT) * SEGMENT + place % SEGMENT
    most = padded(int((-(-np.bincount(prepared.cluster) // SEGMENT)).sum()))

    def laid(values: np.ndarray) -> np.ndarray:
        out = np.zeros((most * SEGMENT, *values.shape[1:]), values.dtype)
        out[where] = values
        return out.reshape(most, SEGMENT, *values.shape[1:])

    owner = fill(np.repeat(np.arange(prepared.units), segments), most, padded(prepared.units) - 1)
    inner = [j for j in variables if not prepared.between(j)]
    columns = [laid(_column(prepared, j, prepared.column(j)[seen])) for j in inner]
    second = columns[1] if len(columns) > 1 else None
    rows = Rows(np.zeros(0), columns[0], second, laid(prepared.x[seen]), laid(prepared.weight[seen]), owner)
    rows = _with_between(prepared, variables, rows)
    if kind in ("ordered-ordered clusters", "ordered-ordered within"):
        rows = rows._replace(rule=legendre(FEW))
    return _by_cluster(kind, variables, rows, _unit_weights(prepared, seen), seen.size)


def _with_between(prepared: Prepared, variables: tuple[int, ...], rows: Rows) -> Rows:
    """Values and covariates of a between-only second variable."""
    if not prepared.between(variables[-1]):
        return rows
    values = np.nan_to_num(prepared.column(variables[-1]))
    size = padded(prepared.units)
    return rows._replace(
        between=fill(_column(prepared, variables[-1], values), size), between_x=fill(prepared.cluster_x, size)
    )


def _counted(prepared: Prepared, kind: str, variables: tuple[int, ...]) -> Problem:
    """Counts of the categories of the first variable, by cluster, as weights: one segment for each."""
    seen = _seen(prepared, variables)
    k = prepared.size.thresholds + 1
    counts = _counts(prepared, seen, prepared.values[seen, variables[0]], k)
    size = padded(prepared.units)
    codes = np.tile(np.arange(k, dtype=np.int32), (size, 1))
    rows = Rows(np.zeros(0), codes, x=np.zeros((size, k, 0)), weight=fill(counts, size), segment=np.arange(size))
    rows = _with_between(prepared, variables, rows)
    return _by_cluster(kind, variables, rows, _unit_weights(prepared, seen), seen.size)


def _counts(prepared: Prepared, seen: np.ndarray, cell: np.ndarray, cells: int) -> np.ndarray:
    """Weighted counts (J, cells)."""
    index = prepared.cluster[seen] * cells + cell.astype(int)
    return np.bincount(index, prepared.weight[seen], prepared.units * cells).reshape(prepared.units, cells)


def _table(prepared: Prepared, kind: str, pair: tuple[int, int]) -> Problem:
    """Counts of all cells by distinct cluster."""
    seen = _seen(prepared, pair)
    k = prepared.size.thresholds + 1
    cell = prepared.values[seen, pair[0]] * k + prepared.values[seen, pair[1]]
    counts = _counts(prepared, seen, cell, k * k)
    weights = _unit_weights(prepared, seen)
    there = np.flatnonzero(weights)
    distinct, pattern = np.unique(counts[there], axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    size = padded(distinct.shape[0])
    multiplicity = np.bincount(pattern, weights[there], size)
    rows = Rows(multiplicity, counts=fill(distinct, size)[None], rule=legendre(FEW))
    kind = "ordered-ordered table" + (", within" if kind.endswith("within") else "")
    return Problem(kind, pair, rows, pattern, there, np.ones(there.size), seen.size)


def by_cells(problem: Problem, prepared: Prepared) -> Problem:
    """A table with two effects as weighted rows, one for each cell: for clusters so large that the grid would be too fine."""
    if problem.kind != "ordered-ordered table":
        return problem
    counts, k = problem.rows.counts[0], prepared.size.thresholds + 1
    units = counts.shape[0]
    first, second = (np.tile(c.astype(np.int32), (units, 1)) for c in np.divmod(np.arange(k * k), k))
    x = np.zeros((units, k * k, 0))
    rows = Rows(problem.rows.multiplicity, first, second, x, counts, np.arange(units), rule=legendre(FEW))
    return replace(problem, kind="ordered-ordered clusters", rows=rows)


def with_grid(problem: Problem, nodes: tuple[int, int]) -> Problem:
    """A table over so many nodes of each effect, its units in blocks that bound the memory."""
    first, second = (np.linspace(-ENDS, ENDS, count) for count in nodes)
    if problem.kind.endswith("within"):
        second = np.zeros(1)
    counts = problem.rows.counts.reshape(-1, problem.rows.counts.shape[-1])
    blocks = max(1, -(-counts.shape[0] * first.size * second.size // CELLS_AT_ONCE))
    size = -(-counts.shape[0] // blocks)
    counts = fill(counts, blocks * size)
    multiplicity = fill(problem.rows.multiplicity[: counts.shape[0]], blocks * size)
    rows = problem.rows._replace(
        counts=counts.reshape(blocks, size, -1), multiplicity=multiplicity, grid=(first, second)
    )
    return replace(problem, rows=rows)
