"""Changes to a model that a user makes by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import check, choice, number_of
from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import KINDS, Kind
from mlsem_jax.networks._identify import identify, mark
from mlsem_jax.networks._layout import LEVELS, Layout, Matrix
from mlsem_jax.networks._log import Step
from mlsem_jax.networks._table import Element, Place, at_places, common_key, make_table

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import Model

Index = int | str | None


def fixpar(model: Model, matrix: str, row: Index, col: Index, value: float, group: Any) -> Model:
    """Fix an element at a value; elements that had to equal it keep their parameter."""
    found = elements(model, matrix, row, col, group)
    wanted = at_places(model.wanted, [e.place for e in found], lambda e: e.fixed(float(value)))
    return changed(model, wanted, f"fixed {describe(model.layout, found)} at {value:g}")


def freepar(model: Model, matrix: str, row: Index, col: Index, start: float | None, group: Any) -> Model:
    """Free an element. Raises ModelError for one that identification needs."""
    found = elements(model, matrix, row, col, group)
    for e in found:
        if e.identified and not _another_marker(model, e):
            raise ModelError(
                f"{describe(model.layout, [e])} is fixed at {e.value:g} to identify the model (identification="
                f"{model.rule!r}), so it cannot be estimated. Fix another element in its place first, or make the model with "
                "identification='none'."
            )
    wanted = at_places(model.wanted, [e.place for e in found], lambda e: e if e.free else e.freed(start=start))
    return changed(model, wanted, f"freed {describe(model.layout, found)}")


def _another_marker(model: Model, marker: Element) -> bool:
    """Whether the latent variable has another fixed loading, so that this one is not needed."""
    return marker.matrix.startswith("lambda") and any(
        (e.matrix, e.group, e.col) == (marker.matrix, marker.group, marker.col)
        and not e.free
        and e.value != 0
        and e.row != marker.row
        for e in model.table
    )


def groupequal(model: Model, matrix: str, row: Index, col: Index) -> Model:
    """One parameter for all groups, for every element that is free in all of them."""
    places = _across_groups(model, matrix, row, col)
    wanted = at_places(model.wanted, places, lambda e: e.freed(common_key(e.matrix, e.row, e.col), e.start))
    return changed(model, wanted, f"made {_where(matrix, row, col)} equal across groups")


def groupfree(model: Model, matrix: str, row: Index, col: Index) -> Model:
    """A parameter of its own in every group."""
    places = _across_groups(model, matrix, row, col)
    wanted = at_places(model.wanted, places, lambda e: e.freed("", e.start))
    return changed(model, wanted, f"let {_where(matrix, row, col)} differ across groups")


def transmod(model: Model, **kinds: str) -> Model:
    """Other parametrisations of covariance matrices. A matrix that has fixed zeros among its covariances can only change its
    kind where it is diagonal: zeros of one kind are no zeros of another.
    """
    layout = model.layout
    arguments = {_argument(layout, block): block for block in layout.blocks}
    for name, kind in kinds.items():
        if name not in arguments:
            raise ModelError(
                f"transmod() has no argument {name!r}.{nearest(name, arguments)} Use {listing(arguments)}."
            )
        check_kind(name, kind)
    blocks = tuple(
        block if _argument(layout, block) not in kinds else _with_kind(block, kinds[_argument(layout, block)])
        for block in layout.blocks
    )
    new = Layout(**{**_fields(layout), "blocks": blocks})
    old_by_matrix = {block.suffix: block for block in layout.blocks}
    kept = {e.place: e for e in model.wanted if layout.matrices[e.matrix].block is None}
    patterns = {name: _pattern(model, new, name, old_by_matrix) for name in new.matrices}
    wanted = tuple(kept.get(e.place, e) for e in make_table(new, patterns, ()))
    unchanged = {e.place: e for e in model.wanted}
    wanted = tuple(unchanged.get(e.place, e) for e in wanted)
    words = ", ".join(f"{name}={kind!r}" for name, kind in kinds.items())
    return model.but(layout=new, wanted=wanted, log=model.log.then(Step(f"parametrised anew: {words}")))


def _fields(layout: Layout) -> dict[str, Any]:
    return {name: getattr(layout, name) for name in layout.__dataclass_fields__}


def _with_kind(block, kind):
    return type(block)(block.part, block.level, kind, block.matrix, block.names)


def _argument(layout: Layout, block) -> str:
    where = LEVELS[block.level]
    return where if layout.family == "varcov" else f"{where}_{'latent' if block.part == 'zeta_' else 'residual'}"


def check_kind(argument: str, kind: Any) -> Kind:
    """The kind itself. Raises ModelError where there is none of that name."""
    return check(argument, kind, choice(*KINDS))


def _pattern(model: Model, new: Layout, name: str, old: dict):
    """0 and 1 of a matrix of the new layout, by group."""
    matrix = new.matrices[name]
    out = np.zeros((new.ngroups, len(matrix.rows), max(len(matrix.cols), 1)), int)
    if matrix.block is None or name in model.layout.matrices:
        return out  # taken over element by element
    block = old[matrix.block.suffix]
    core = model.layout.matrices[block.core]
    diagonal = model.layout.matrices[block.scale or block.core]
    for group in range(1, new.ngroups + 1):
        state = {(e.matrix, e.row, e.col): e for e in model.wanted if e.group == group}
        off = [state[core.name, i, j] for i, j in core.positions if i != j]
        some, all_ = any(e.free or e.value for e in off), all(e.free and not e.key for e in off)
        if some and not all_:
            fixed = next(e for e in off if not e.free or e.key)
            raise ModelError(
                f"{core.name} has free and fixed or equal elements ({describe(model.layout, [fixed])} is not free), and these "
                f"restrictions have no counterpart in another parametrisation. Free the matrix first, or make a new model."
            )
        for i in range(len(matrix.rows)):
            out[group - 1, i, i] = int(state[diagonal.name, i, i].free)
            out[group - 1, i, :i] = int(some)
    return out


def elements(model: Model, name: str, row: Index, col: Index, group: Any = None) -> list[Element]:
    """The elements at a row and a column of a matrix, in one group or in all."""
    matrix = model.layout.matrix(name)
    if row is None:
        raise ModelError(
            f"Say which element of {name}: row= and col= are names ({listing(matrix.rows, 3)}) or positions from 1."
        )
    i = position(matrix, row, matrix.rows, "row")
    if col is None and matrix.shape == "diagonal":
        col = row
    if not matrix.cols:
        j = 0
    elif col is None:
        raise ModelError(
            f"{name} has columns too: say which by col=, a name ({listing(matrix.cols, 3)}) or a position from 1."
        )
    else:
        j = position(matrix, col, matrix.cols, "column")
    if matrix.by_triangle and j > i:
        i, j = j, i
    if (i, j) not in matrix.positions:
        raise ModelError(f"{name} has no element [{i + 1}, {j + 1}]: its diagonal is not estimated.")
    groups = group_numbers(model.layout, group)
    return [e for e in model.table if (e.matrix, e.row, e.col) == (name, i, j) and e.group in groups]


def position(matrix: Matrix, which: int | str, names: Sequence[str], what: str) -> int:
    """The position from 0 of a row or column given by name or by position from 1."""
    if isinstance(which, str):
        if which not in names:
            raise ModelError(
                f"{matrix.name} has no {what} {which!r}.{nearest(which, names)} It has {listing(names, 12)}."
            )
        return names.index(which)
    number = number_of(which)
    if number is None or number != number or not 1 <= number <= len(names) or number != int(number):
        raise ModelError(f"{matrix.name} has {len(names)} {what}s, counted from 1; there is no {what} {which!r}.")
    return int(number) - 1


def group_numbers(layout: Layout, group: Any) -> list[int]:
    """Groups by label or by number from 1; all of them for None."""
    if group is None:
        return list(range(1, layout.ngroups + 1))
    if str(group) in layout.group_names:
        return [layout.group_names.index(str(group)) + 1]
    number = number_of(group)
    if number is not None and number in range(1, layout.ngroups + 1):
        return [int(number)]
    raise ModelError(f"There is no group {group!r}. The groups are {listing(layout.group_names, 12)}.")


def _across_groups(model: Model, name: str, row: Index, col: Index) -> list[Place]:
    layout = model.layout
    matrix = layout.matrix(name)
    if layout.ngroups == 1:
        raise ModelError("The model has one group: make it with groups= to compare groups.")
    chosen = None if row is None else {e.place[:3] for e in elements(model, name, row, col)}
    free: dict[tuple, list[Element]] = {}
    for e in model.wanted:
        if e.matrix == name and e.free and (chosen is None or e.place[:3] in chosen):
            free.setdefault(e.place[:3], []).append(e)
    if chosen and any(len(free.get(place, ())) < layout.ngroups for place in chosen):
        raise ModelError(f"{_where(matrix.name, row, col)} is not free in every group; free it first with freepar().")
    return [e.place for same in free.values() if len(same) == layout.ngroups for e in same]


def changed(model: Model, wanted, action: str, log: bool = True) -> Model:
    """The model with another table, with markers for latent variables that lost theirs."""
    if model.rule == "loadings" and model.layout.family == "lvm" and model.layout.loadings != "none":
        wanted = mark(model.layout, wanted)
    identify(model.layout, wanted, model.rule)
    return model.but(wanted=wanted, log=model.log.then(Step(action)) if log else model.log)


def describe(layout: Layout, found: Iterable[Element]) -> str:
    """Elements in words: 'omega_within[y1, y2]'."""
    names: dict[str, None] = {}
    for e in found:
        matrix = layout.matrices[e.matrix]
        where = f"{matrix.rows[e.row]}, {matrix.cols[e.col]}" if matrix.cols else matrix.rows[e.row]
        names[f"{e.matrix}[{where}]"] = None
    return listing(names, 6)


def _where(name: str, row: Index, col: Index) -> str:
    return name if row is None else f"{name}[{row}{'' if col is None else f', {col}'}]"
