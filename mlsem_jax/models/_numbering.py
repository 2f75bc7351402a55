"""The natural parameters of a table of parameters, and what its fixed rows hold."""

from __future__ import annotations

import numpy as np

from mlsem_jax.models._remembered import remembered
from mlsem_jax.models._specification import Specification
from mlsem_jax.models._structure import Moments


@remembered
def number(specification: Specification) -> tuple[np.ndarray, tuple[str, ...], dict[str, int]]:
    """The natural parameter of each row (-1: fixed), their names, and names and labels by natural parameter.

    Free rows that share a label are one parameter.
    """
    index: list[int] = []
    names: list[str] = []
    by_label: dict[str, int] = {}
    for row in specification.parameters:
        if not row.free:
            index.append(-1)
        elif row.label and row.label in by_label:
            index.append(by_label[row.label])
        else:
            if row.label:
                by_label[row.label] = len(names)
            index.append(len(names))
            names.append(row.name)
    by_label |= {name: i for i, name in enumerate(names) if name not in by_label}
    places = np.array(index, int)
    places.flags.writeable = False  # fits share it
    return places, tuple(names), by_label


@remembered
def _fixed_by_text(specification: Specification) -> tuple[np.ndarray, list[tuple[int, int, int, int, int | None]]]:
    """What each row is fixed at by itself (rows,), 0 where by nothing; and of the rows that the data decide the number, level and
    group (from 0) with the two variables, the second None for a mean.
    """
    place_of = {name: i for i, name in enumerate(specification.variables)}
    out, decided = np.zeros(len(specification.parameters)), []
    for i, row in enumerate(specification.parameters):
        if row.value is not None:
            out[i] = row.value
        elif row.exo:
            second = None if row.op == "~1" else place_of[row.rhs]
            decided.append((i, row.level - 1, row.group - 1, place_of[row.lhs], second))
    out.flags.writeable = False  # fits share it
    return out, decided


def fixed_values(specification: Specification, exogenous: Moments | None) -> np.ndarray:
    """What each row is fixed at: its own value, or for exogenous moments the data's (rows,)."""
    text, decided = _fixed_by_text(specification)
    out = text.copy()
    if exogenous is not None:
        of_level = [(part.cov, part.mean) for part in exogenous.levels]
        for i, level, group, left, right in decided:
            cov, mean = of_level[level]
            out[i] = mean[group, left] if right is None else cov[group, left, right]
    return out
