"""The table of a network model: one element for every cell of psychonetrics' matrices, free or fixed.

Tables are tuples of elements and never change; every edit makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.networks._layout import Layout

Place = tuple[str, int, int, int]


@dataclass(frozen=True)
class Element:
    """row and col count from 0, group from 1. value: what a fixed element holds. key: free elements with one key are one
    parameter ('' is a parameter of its own). identified: fixed by the rules of identification, never by a search.
    start: a starting value that the user gave.
    """

    matrix: str
    row: int
    col: int
    group: int
    free: bool
    value: float = 0.0
    key: str = ""
    identified: bool = False
    start: float | None = None

    @property
    def place(self) -> Place:
        return self.matrix, self.row, self.col, self.group

    @property
    def parameter(self) -> object:
        """What tells parameters apart: the key, or the place."""
        return self.key or self.place

    def fixed(self, value: float, identified: bool = False) -> Element:
        return replace(self, free=False, value=value, key="", identified=identified, start=None)

    def freed(self, key: str = "", start: float | None = None) -> Element:
        return replace(self, free=True, value=0.0, key=key, identified=False, start=start)


Table = tuple[Element, ...]


def make_table(layout: Layout, patterns: dict[str, np.ndarray], equal: Iterable[str]) -> Table:
    """The table that patterns (G, rows, cols) describe: 0 fixed at zero, 1 free, k >= 2 free and equal to the other k's.

    Group by group, matrix by matrix, column by column. Matrices named in `equal` have one parameter for all groups.
    """
    elements, equal = [], set(equal)
    for group in range(1, layout.ngroups + 1):
        for name, matrix in layout.matrices.items():
            for row, col in matrix.positions:
                number = int(patterns[name][group - 1, row, col])
                key = ""
                if number >= 2:
                    key = f"{name}={number}"
                elif number == 1 and name in equal:
                    key = common_key(name, row, col)
                elements.append(Element(name, row, col, group, number > 0, key=key))
    return tuple(elements)


def common_key(name: str, row: int, col: int) -> str:
    """The key of an element that all groups share."""
    return f"{name}[{row + 1},{col + 1}]"


def edit(table: Table, change: Callable[[Element], Element | None]) -> Table:
    """Every element replaced by what `change` makes of it; None keeps it."""
    return tuple(change(element) or element for element in table)


def at_places(table: Table, places: Iterable[Place], change: Callable[[Element], Element]) -> Table:
    """The elements at these places replaced."""
    places = set(places)
    return tuple(change(element) if element.place in places else element for element in table)


def count_free(table: Table) -> int:
    """Number of distinct parameters."""
    return len({element.parameter for element in table if element.free})


def same_parameter(table: Table, element: Element) -> tuple[Element, ...]:
    """All elements that hold the parameter of this one."""
    return tuple(other for other in table if other.free and other.parameter == element.parameter)
