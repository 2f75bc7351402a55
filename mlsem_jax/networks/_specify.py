"""From the table of a network model to the Specification that the library fits."""

from __future__ import annotations

import numpy as np

from mlsem_jax.models import Level, Parameter, Specification
from mlsem_jax.networks._layout import Layout, Matrix
from mlsem_jax.networks._table import Element, Table, common_key

# lavaan's operators where they mean the same; the others are psychonetrics' own
_OPERATORS = {"<-": "~"}


def specify(layout: Layout, table: Table) -> tuple[Specification, np.ndarray]:
    """The specification, and the row of its parameter table that holds each element (-1: a fixed zero, which has none)."""
    rows: list[tuple[int, int, int, Parameter]] = []
    for number, element in enumerate(table):
        if element.free or element.value != 0:
            for parameter in _parameters(layout, element):
                rows.append((parameter.group, parameter.level, number, parameter))
    rows.sort(key=lambda row: row[:3])  # lavaan's order: groups, then levels
    where = np.full(len(table), -1)
    for i, (_, _, number, _) in reversed(list(enumerate(rows))):
        where[number] = i
    specification = Specification(
        within=_level(layout, 1),
        between=_level(layout, 2),
        parameters=tuple(row[3] for row in rows),
        groups=layout.groups,
    )
    return specification, where


def _level(layout: Layout, level: int) -> Level:
    observed = tuple(v for v in layout.variables if v not in layout.absent(level))
    label = ("within", "between")[level - 1]
    if layout.family == "varcov":
        kind = layout.block(level).kind
        return Level(observed, label=label, structural=(), psi_kind="cov", theta_kind=kind)
    kinds = layout.block(level, "zeta_").kind, layout.block(level, "epsilon_").kind
    latents = layout.latents[level - 1]
    if layout.loadings == "none":
        return Level(observed, label=label, structural=layout.variables, psi_kind=kinds[0], theta_kind=kinds[1])
    return Level(observed, latents, label=label, structural=latents, psi_kind=kinds[0], theta_kind=kinds[1])


def _parameters(layout: Layout, element: Element) -> list[Parameter]:
    """The rows of an element: one, or a loading that both levels share."""
    matrix = layout.matrices[element.matrix]
    if matrix.cell == "lambda" and layout.loadings == "none":
        return []  # the identity, which the levels say by their observed members of eta
    row = matrix.rows[element.row]
    levels = [level for level in matrix.levels if matrix.cell == "alpha" or row not in layout.absent(level)]
    if matrix.name in ("nu", "mu") and row in layout.within_only:
        levels = [1]
    own = f"{common_key(element.matrix, element.row, element.col)}.g{element.group}"
    key = element.key or (own if len(levels) > 1 else "")
    lhs, op, rhs = lavaan_names(matrix, element)
    return [
        Parameter(
            lhs,
            op,
            rhs,
            level,
            element.group,
            free=element.free,
            value=None if element.free else element.value,
            start=element.start,
            label=f".p{key}" if key and element.free else "",
            cell=matrix.at(element.row, element.col),
        )
        for level in levels
    ]


def lavaan_names(matrix: Matrix, element: Element) -> tuple[str, str, str]:
    """lhs, op, rhs as lavaan writes them, for names of parameters."""
    row = matrix.rows[element.row]
    if not matrix.cols:
        return row, "~1", ""
    col = matrix.cols[element.col]
    if matrix.cell == "lambda":
        return col, "=~", row
    if matrix.cell == "beta":
        return row, "~", col
    return col, matrix.table_operator or _OPERATORS.get(matrix.operator, matrix.operator), row


def names_of(matrix: Matrix, element: Element) -> tuple[str, str, str]:
    """var1, op, var2 as psychonetrics writes them, with the variables' own names."""
    return matrix.rows[element.row], matrix.operator, matrix.cols[element.col] if matrix.cols else ""
