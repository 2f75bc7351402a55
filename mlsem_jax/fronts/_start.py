"""What a user gives as starting values and bounds, against the parameters that the model has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlsem_jax._arguments import number_of, shown
from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import Specification, number

# columns of a parameter table that hold values, the first that has one in a row
_VALUES = ("est", "start", "ustart")


def read_start(start: Any, specification: Specification) -> str | dict[str, float]:
    """The `start` option as a word or as values by name of a free parameter.

    Of a fit or a parameter table the parameters that the model shares are taken; of a dictionary or Series all must be of
    the model. Raises ModelError.
    """
    if isinstance(start, str):
        return start
    if hasattr(start, "parameter_estimates"):
        start = start.parameter_estimates()
    if hasattr(start, "columns"):
        return _of_table(start, specification)
    return _of_names(dict(start.items()), specification)


def check_bounds(bounds: str | Mapping[str, Any], specification: Specification) -> None:
    """Every parameter that has bounds is a free one of the model. Raises ModelError."""
    if not isinstance(bounds, str):
        known = _free(specification)
        for name in bounds:
            if name not in known:
                raise _unknown("bounds", name, specification)


def _free(specification: Specification) -> dict[str, int]:
    """Names and labels of the free parameters."""
    return number(specification)[2]


def _unknown(option: str, name: str, specification: Specification) -> ModelError:
    known = _free(specification)
    if name in {row.name for row in specification.parameters}:
        return ModelError(f"{option}: {name!r} is fixed in this model; free it with NA* first, or leave it out.")
    near = nearest(name, known) or f" Its parameters are {listing(known)}."
    return ModelError(f"{option}: {name!r} is no parameter of the model.{near}")


def _of_names(given: Mapping[Any, Any], specification: Specification) -> dict[str, float]:
    known, found = _free(specification), {}
    for key, value in given.items():
        name = str(key) if key in known else "".join(str(key).split())
        if name not in known:
            raise _unknown("start", str(key), specification)
        number = number_of(value)
        if number is None or not np.isfinite(number):
            raise ModelError(f"start: {name!r} has {shown(value)}, which is no finite number.")
        found[name] = number
    if not found:
        raise ModelError("start= holds no values. Leave it out, or give them by parameter, as in {'f=~y2': 0.8}.")
    return found


def _of_table(table: Any, specification: Specification) -> dict[str, float]:
    """Values of the rows that stand for a free parameter of the model."""
    columns = list(table.columns)
    needed = [name for name in ("lhs", "op", "rhs") if name not in columns]
    values = [name for name in _VALUES if name in columns]
    if needed or not values:
        missing = needed or ["est, start or ustart"]
        raise ModelError(
            f"start= as a table is a parameter table with columns lhs, op, rhs, level and est; it has no column {listing(missing)}."
        )
    wanted = {
        (row.lhs, row.op, row.rhs, row.level, row.group): row.name for row in specification.parameters if row.free
    }
    found = {}
    for row in _records(table, columns):
        key = (_word(row["lhs"]), *_operator(row), *_place(row, specification))
        value = _value(row, values)
        if value is not None and key in wanted:
            found[wanted[key]] = value
    if not found:
        raise ModelError(
            "start= shares no free parameter with the model, or has no finite values for any: lhs, op, rhs, level and group of "
            "its rows are compared with those of the model."
        )
    return found


def _records(table: Any, columns: list[str]) -> Iterable[dict[str, Any]]:
    each = [
        table[name].to_list() for name in columns if name in (*_VALUES, "lhs", "op", "rhs", "level", "block", "group")
    ]
    used = [name for name in columns if name in (*_VALUES, "lhs", "op", "rhs", "level", "block", "group")]
    return (dict(zip(used, row, strict=True)) for row in zip(*each, strict=True))


def _word(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


def _operator(row: Mapping[str, Any]) -> tuple[str, str]:
    """Operator and right-hand side; an intercept is '~1' with nothing, however it is written."""
    op, rhs = _word(row["op"]), _word(row["rhs"])
    return ("~1", "") if op == "~1" or (op == "~" and rhs == "1") else (op, rhs)


def _place(row: Mapping[str, Any], specification: Specification) -> tuple[int, int]:
    """Level and group, by number or label; level 1 and group 1 where the table does not say."""
    block = number_of(row.get("block"))
    levels = len(specification.levels)
    level, group = (1, 1)
    if block is not None and block >= 1:
        level, group = 1 + int(block - 1) % levels, 1 + int(block - 1) // levels
    words = {"within": 1, "between": 2, specification.within.label: 1, specification.between.label: 2, "1": 1, "2": 2}
    groups = {label: i for i, label in enumerate(specification.groups, 1)}
    given, of = _short(row.get("level")), _short(row.get("group"))
    level = words.get(given, 0) if given else level
    return level, groups.get(of, int(of) if of.isdigit() else 0) if of else group


def _short(value: Any) -> str:
    """'2' for 2.0 and for '2'."""
    found = number_of(value)
    return str(int(found)) if found is not None and found == found and abs(found) < 1e9 else _word(value)


def _value(row: Mapping[str, Any], columns: list[str]) -> float | None:
    for name in columns:
        found = number_of(row[name])
        if found is not None and np.isfinite(found):
            return found
    return None
