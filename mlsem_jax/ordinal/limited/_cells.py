"""Combinations of categories that nobody has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax.ordinal.limited._prepared import Prepared
from mlsem_jax.ordinal.limited._problems import Problem


def table(problem: Problem, prepared: Prepared) -> np.ndarray | None:
    """(K1, K2) weighted counts of a pair of ordered variables that is held as counts; None of other pairs."""
    first, second = (int(prepared.data.categories[j]) for j in problem.variables)
    k = prepared.size.thresholds + 1
    if problem.rows.counts is not None:
        counts = problem.rows.multiplicity @ problem.rows.counts.reshape(-1, k * k)
    elif problem.kind == "ordered-ordered rows" and not prepared.size.slopes:
        counts = problem.rows.multiplicity
    else:
        return None
    return counts.reshape(k, k)[:first, :second]


def empty_cells(prepared: Prepared, problems: list[Problem]) -> tuple[tuple[str, str, int], ...]:
    """(first, second, how many) of pairs with empty cells."""
    found = []
    for problem in problems:
        counts = table(problem, prepared)
        if counts is not None and (counts == 0).any():
            a, c = (prepared.data.names[j] for j in sorted(problem.variables))
            found.append((a, c, int((counts == 0).sum())))
    return tuple(found)


def half_a_row(problem: Problem, prepared: Prepared) -> Problem | None:
    """The one empty cell of a 2 x 2 table with one level holds half a row, its margins kept, as in lavaan: otherwise the
    correlation would be 1 in size. None where nothing is to be added.
    """
    if problem.kind != "ordered-ordered rows" or prepared.two_level:
        return None
    counts = table(problem, prepared)
    if counts is None or counts.shape != (2, 2) or (counts == 0).sum() != 1:
        return None
    sign = 1 if counts[0, 0] == 0 or counts[1, 1] == 0 else -1
    k = prepared.size.thresholds + 1
    changed = problem.rows.multiplicity.copy().reshape(k, k)
    changed[:2, :2] += sign * 0.5 * np.array([[1, -1], [-1, 1]])
    return replace(problem, rows=problem.rows._replace(multiplicity=changed.reshape(-1)))
