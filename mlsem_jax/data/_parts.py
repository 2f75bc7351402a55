"""The rows of one group at a time, with their cluster means: what the checks of the numbers work on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlsem_jax.data._roles import Roles
from mlsem_jax.data._units import Units

BLOCK = 32768
"""Rows a block, so that temporaries stay in the cache."""


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one group. columns (p, N), incomplete (p,), codes (N,) 0..J-1, ids (J,); text names the group.

    roles: of the group's p variables, which are the columns `at` (p,) of the data.
    """

    columns: np.ndarray
    incomplete: np.ndarray
    codes: np.ndarray
    ids: np.ndarray
    text: str
    roles: Roles
    at: np.ndarray

    def means(self) -> np.ndarray:
        """(p, J) cluster means of the observed values, NaN where a cluster has none.

        Summed about one of the variable's values, so that a mean far from zero costs no digits.
        """
        size = np.bincount(self.codes, minlength=len(self.ids))
        out = np.full((len(self.columns), len(self.ids)), np.nan)
        for i, column in enumerate(self.columns):
            if self.incomplete[i]:
                seen = np.flatnonzero(~np.isnan(column))
                about = column[seen[0]] if len(seen) else 0.0
                count = np.bincount(self.codes[seen], minlength=len(self.ids))
                total = np.bincount(self.codes[seen], column[seen] - about, len(self.ids))
                np.divide(total, count, out=out[i], where=count > 0)
            else:
                about = column[0] if len(column) else 0.0
                out[i] = np.bincount(self.codes, column - about, len(self.ids)) / size
            out[i] += about
        return out


def parts(
    columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles
) -> Iterator[tuple[Part, slice | np.ndarray]]:
    """Each group's rows of its own variables, clusters numbered within the group, and where the rows are."""
    everything = np.arange(len(columns))
    for g, text in groups(units):
        if not text and not roles.own:
            yield Part(columns, incomplete, units.codes, units.ids, text, roles, everything), slice(None)
            continue
        own, at = roles.of_group(g), everything
        if own.variables != roles.variables:
            at = np.array([roles.variables.index(name) for name in own.variables])
        rows, mine = np.flatnonzero(units.group[units.codes] == g), np.flatnonzero(units.group == g)
        number = np.zeros(len(units.ids), dtype=np.intp)
        number[mine] = np.arange(len(mine))
        part = columns[np.ix_(at, rows)] if len(at) < len(columns) else columns[:, rows]
        yield Part(part, incomplete[at], number[units.codes[rows]], units.ids[mine], text, own, at), rows


def groups(units: Units) -> list[tuple[int, str]]:
    """Group codes, and words that name each in a message."""
    return [(g, f" in group {label!r}") for g, label in enumerate(units.labels)] or [(0, "")]
