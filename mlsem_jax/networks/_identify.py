"""Which elements are fixed so that the others can be estimated; applied anew after every change of a model.

The rules are psychonetrics' (its documentation of `ml_lvm`, argument `identification`): a loading, or the within scale, of every
latent variable; latent means; residuals of an indicator that stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mlsem_jax._errors import ModelError
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._table import Element, Table, at_places, edit, same_parameter

Identification = Literal["loadings", "variance", "none"]


def identify(layout: Layout, wanted: Table, rule: Identification) -> Table:
    """The table that the user wants, with the identifying elements fixed."""
    table = _absent(layout, wanted)
    if layout.family == "varcov" or rule == "none":
        return table
    table = edit(table, lambda e: e.fixed(0.0, True) if e.matrix.startswith("beta_") and e.row == e.col else None)
    if layout.loadings == "none":
        table = edit(table, _is_variable)
    else:
        table = _alone(layout, table)
        table = mark(layout, table) if rule == "loadings" else _unit_scales(layout, table)
    return _means(layout, table)


def _absent(layout: Layout, table: Table) -> Table:
    """Elements of observed variables at a level that does not have them."""
    gone = {level: {layout.variables.index(v) for v in layout.absent(level)} for level in (1, 2)}

    def change(e: Element) -> Element | None:
        matrix = layout.matrices[e.matrix]
        if len(matrix.levels) > 1 or not gone[matrix.levels[0]] or matrix.name in ("nu", "mu"):
            return None
        levels = gone[matrix.levels[0]]
        row = matrix.rows == layout.variables and e.row in levels
        col = matrix.cols == layout.variables and e.col in levels
        return e.fixed(0.0, True) if row or col else None

    return edit(table, change)


def _is_variable(e: Element) -> Element | None:
    """Without loadings the latent variables are the observed ones: lambda is the identity, and there are no residuals."""
    if e.matrix == "lambda":
        return e.fixed(float(e.row == e.col), True)
    return e.fixed(0.0, True) if "_epsilon_" in e.matrix else None


def _loads(e: Element) -> bool:
    return e.matrix.startswith("lambda") and (e.free or e.value != 0)


def _alone(layout: Layout, table: Table) -> Table:
    """Residuals of an indicator that is the only one of a latent variable are zero at both levels."""
    by_factor: dict[tuple, list[Element]] = {}
    for e in table:
        if _loads(e):
            by_factor.setdefault((e.group, e.matrix, e.col), []).append(e)
    alone = {
        (e.group, level, e.row)
        for loadings in by_factor.values()
        if len(loadings) == 1
        for e in loadings
        for level in layout.matrices[e.matrix].levels
    }

    def change(e: Element) -> Element | None:
        if "_epsilon_" not in e.matrix:
            return None
        level = layout.matrices[e.matrix].levels[0]
        return e.fixed(0.0, True) if {(e.group, level, e.row), (e.group, level, e.col)} & alone else None

    return edit(table, change)


def mark(layout: Layout, table: Table) -> Table:
    """The first free loading of a latent variable is one, and so is every loading that must equal it.

    A latent variable that has a fixed loading keeps it, so markers stay where they were put first.
    """
    for name, matrix in layout.matrices.items():
        if matrix.cell != "lambda":
            continue
        for group in range(1, layout.ngroups + 1):
            for col in range(len(matrix.cols)):
                column = [e for e in table if (e.matrix, e.group, e.col) == (name, group, col)]
                if any(not e.free and e.value != 0 for e in column):
                    continue
                first = next((e for e in column if e.free), None)
                if first is None:
                    raise ModelError(
                        f"The latent variable {matrix.cols[col]} has no indicator: column {col + 1} of {name} is zero. "
                        "Give it loadings or leave it out."
                    )
                table = at_places(table, [e.place for e in same_parameter(table, first)], lambda e: e.fixed(1.0, True))
    return table


def _unit_scales(layout: Layout, table: Table) -> Table:
    """The latent scales of the within level are one, and of the between level too where it has loadings of its own.

    With loadings equal across groups, as many as latent variables, they are free from the second group on.
    """
    anchored = _common(table, lambda e: e.matrix == "lambda") >= len(layout.latents[0])

    def change(e: Element) -> Element | None:
        block = layout.matrices[e.matrix].block
        if (
            block is None
            or block.part != "zeta_"
            or e.row != e.col
            or (block.level == 2 and layout.loadings == "shared")
        ):
            return None
        if (anchored and e.group > 1 and not e.key) or (not e.free and e.value != 0):
            return None
        return e.fixed(1.0, True)

    return edit(table, change)


def _means(layout: Layout, table: Table) -> Table:
    """Latent means are zero; with intercepts equal across groups, as many as latent variables, free from the second group on."""
    anchored = layout.ngroups > 1 and _common(table, lambda e: e.matrix == "nu") >= len(layout.latents[1])

    def change(e: Element) -> Element | None:
        return None if e.matrix != "nu_eta" or (anchored and e.group > 1 and not e.key) else e.fixed(0.0, True)

    return edit(table, change)


def _common(table: Table, chosen: Callable[[Element], bool]) -> int:
    """How many parameters among the chosen elements are shared by groups."""
    groups: dict[object, set[int]] = {}
    for e in table:
        if e.free and chosen(e):
            groups.setdefault(e.parameter, set()).add(e.group)
    return sum(len(found) > 1 for found in groups.values())
