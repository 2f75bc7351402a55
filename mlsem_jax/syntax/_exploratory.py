"""efa("block")*f1 + efa("block")*f2 =~ y1 + y2 + ...: which factors are rotated together, and what is fixed and free in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, ModelSyntaxError, listing
from mlsem_jax.models import ExploratoryBlock, Parameter, Rotation
from mlsem_jax.syntax._names import BlockNames
from mlsem_jax.syntax._options import SyntaxOptions
from mlsem_jax.syntax._rows import Row, key
from mlsem_jax.syntax._tree import Syntax

Where = tuple[int, int]
_WORDS = {1: "within", 2: "between"}


def explore(
    completed: dict[Where, list[Row]], names: Mapping[Where, BlockNames], options: SyntaxOptions, syntax: Syntax
) -> tuple[ExploratoryBlock, ...]:
    """The blocks of a text. In place: all their loadings are free, variances of their factors 1, covariances there.

    A name at both levels is a block at each, and each is rotated by itself, as are those of groups.

    **Raises:** ModelSyntaxError for factors of a block with other items, and for loadings that are not free; ModelError for
    rotation= without a block.
    """
    out = []
    for (group, level), rows in completed.items():
        for name, members in _members(rows, syntax).items():
            factors = tuple(members)
            items = _items(name, members, syntax)
            rotation = _rotation(options, level, name, items, factors)
            _complete(rows, factors, rotation.orthogonal, syntax)
            out.append(ExploratoryBlock(name, level, group, factors, items, rotation))
    if not out and (options.rotation is not None or options.rotation_args):
        raise ModelError(
            'rotation= is about efa() blocks, and the model has none: write efa("a")*f1 + efa("a")*f2 =~ y1 + y2 + ..., or use '
            "ml.efa(data, nfactors=2, vars=[...])."
        )
    return tuple(out)


def _members(rows: Iterable[Row], syntax: Syntax) -> dict[str, dict[str, list[Row]]]:
    """The loadings of every factor of every block of a level and group."""
    block_of: dict[str, Row] = {}
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        p = row.parameter
        if p.op != "=~":
            if row.block:
                raise _error(
                    f'efa("{row.block}") stands before the factors of a measurement, on the left of =~.', p, syntax
                )
            continue
        first = block_of.setdefault(p.lhs, row)
        if first.block != row.block:
            raise _error(
                f"{p.lhs!r} is in the efa() block {first.block or row.block!r} in one line and not in another.",
                p,
                syntax,
            )
        if row.block:
            found.setdefault(row.block, {}).setdefault(p.lhs, []).append(row)
    return found


def _items(name: str, members: dict[str, list[Row]], syntax: Syntax) -> tuple[str, ...]:
    """The items of a block, which all its factors have."""
    of = {factor: tuple(row.parameter.rhs for row in rows) for factor, rows in members.items()}
    first = next(iter(of))
    for factor, items in of.items():
        if set(items) != set(of[first]):
            differ = sorted(set(items) ^ set(of[first]))
            raise _error(
                f"{first!r} and {factor!r} are in the efa() block {name!r} and have other items ({listing(differ)}): the factors "
                "of a block are measured by the same items, all of them free.",
                members[factor][0].parameter,
                syntax,
            )
        for row in members[factor]:
            p = row.parameter
            if (
                row.explicit
                or p.label
                or row.equal
                or p.start is not None
                or p.lower is not None
                or p.upper is not None
            ):
                raise _error(
                    f"'{p.lhs} =~ {p.rhs}' is in the efa() block {name!r}: its loadings are all free, without labels, values or "
                    "bounds.",
                    p,
                    syntax,
                )
    if len(of) >= len(of[first]):
        raise _error(
            f"The efa() block {name!r} has {len(of)} factors and {len(of[first])} items: it needs more items than factors.",
            members[first][0].parameter,
            syntax,
        )
    return of[first]


def _complete(rows: list[Row], factors: tuple[str, ...], orthogonal: bool, syntax: Syntax) -> None:
    """In place: what a block fixes and frees, whatever the defaults of other factors are."""
    pairs = {key(a, "~~", b) for a, b in combinations(factors, 2)}
    for i, row in enumerate(rows):
        p = row.parameter
        if p.op == "=~" and p.lhs in factors:
            rows[i] = row.but(free=True, value=None)
        elif p.op == "~~" and p.lhs == p.rhs and p.lhs in factors:
            if p.user and (p.free or p.value != 1):
                raise _error(
                    f"The variance of {p.lhs!r}, a factor of an efa() block, is fixed at 1: leave its line out.",
                    p,
                    syntax,
                )
            rows[i] = row.but(free=False, value=1.0)
        elif row.key in pairs:
            pairs.discard(row.key)
            if p.user:
                raise _error(
                    f"The covariance of {p.lhs!r} and {p.rhs!r}, factors of one efa() block, comes from the rotation: leave its "
                    "line out.",
                    p,
                    syntax,
                )
            rows[i] = row.but(free=not orthogonal, value=0.0 if orthogonal else None)
    where = rows[0].parameter
    last = max(i for i, row in enumerate(rows) if row.parameter.op == "~~")
    rows[last + 1 : last + 1] = [
        Row(
            Parameter(
                a, "~~", b, where.level, where.group, user=0, free=not orthogonal, value=0.0 if orthogonal else None
            )
        )
        for a, b in combinations(factors, 2)
        if key(a, "~~", b) in pairs
    ]


def check_free(rows: list[Parameter], blocks: tuple[ExploratoryBlock, ...]) -> None:
    """**Raises:** ModelError where equalities, which rotation does not keep, were laid on a block."""
    for block in blocks:
        for row in rows:
            if block.has(row) and (row.label or (not row.free and row.op == "=~")):
                raise ModelError(
                    f"'{row.lhs} {row.op} {row.rhs}' is in the efa() block {block.name!r}, whose elements are rotated and cannot "
                    "be held equal (group_equal, equal()). Compare groups by a confirmatory model."
                )


def _rotation(
    options: SyntaxOptions, level: int, name: str, items: tuple[str, ...], factors: tuple[str, ...]
) -> Rotation:
    """How a block is rotated."""
    words, given = options.rotation or "geomin", dict(options.rotation_args)
    criterion = words.get(_WORDS[level], "geomin") if isinstance(words, Mapping) else words
    target = given.pop("target", None)
    if isinstance(target, Mapping) and not hasattr(target, "columns"):
        target = target.get(_WORDS[level])
    if criterion == "varimax":
        given = {"kaiser": True} | given
        if not given.setdefault("orthogonal", True):
            raise ModelError("rotation='varimax' keeps factors uncorrelated: leave orthogonal= out, or use 'oblimin'.")
    if criterion == "target" and len(factors) > 1:
        return Rotation(criterion, target=_target(target, name, items, factors, given), **given)
    return Rotation(criterion, **given)


def _target(
    value: Any, name: str, items: tuple[str, ...], factors: tuple[str, ...], given: dict[str, Any]
) -> tuple[tuple[float, ...], ...]:
    """The target of a block, NaN for cells that are not specified."""
    p, m = len(items), len(factors)
    if value is None:
        raise ModelError(
            f"rotation='target' needs rotation_args={{'target': ...}} for the block {name!r}: {p} rows (items) and {m} columns "
            "(factors), NaN for cells that are not specified."
        )
    try:
        found = np.array(value, float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (p, m):
        raise ModelError(
            f"The target of the block {name!r} must have {p} rows (items) and {m} columns (factors), not the shape "
            f"{tuple(np.shape(value))}; NaN stands for cells that are not specified."
        )
    needed = (m - 1) / 2 if given.get("orthogonal") else m - 1
    short = [f for f, column in zip(factors, found.T, strict=True) if np.isfinite(column).sum() < needed]
    if short:
        raise ModelError(
            f"The target of the block {name!r} specifies too few cells of {listing(short)}: with {m} factors each column needs "
            f"{m - 1} at least."
        )
    return tuple(tuple(float(v) for v in row) for row in found)


def _error(message: str, p: Parameter, syntax: Syntax) -> ModelSyntaxError:
    return ModelSyntaxError(message, syntax.text, p.line, p.column)
