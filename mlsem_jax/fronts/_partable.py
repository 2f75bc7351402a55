"""lavaan's parameter table (`parTable(fit)` or `lavaanify(model)` written as CSV) as model text."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.files import read_table
from mlsem_jax.syntax import parse, quoted

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = ("lhs", "op", "rhs", "free")
_FORMULAS = ("=~", "~", "~~", "~1", "|", "~*~")
_CONSTRAINTS = ("==", "<", ">")
_WORDS = ("lhs", "op", "rhs", "label", "plabel", "rv")


def read_partable(source: Any) -> str:
    """Model text for [`mlsem_jax.lavaan`][] from lavaan's parameter table.

    **Arguments:**

    - `source`: path of a CSV file (in R: `write.csv(parTable(fit), "model.csv")` or `write.csv2`) or a DataFrame.

    **Returns:** lavaan syntax with every parameter written out, equality constraints of the table as common labels.

    **Raises:** DataError for a file that cannot be read, ModelError where columns are missing or a row is of a kind that
    models here do not have.
    """
    table = _table(source)
    rows = [row for row in table.to_dict("records") if row["op"] in _FORMULAS]
    unknown = sorted(set(table.op) - {*_FORMULAS, *_CONSTRAINTS, ":=", "da"})
    if unknown:
        raise ModelError(f"Operators {listing(op or repr(op) for op in unknown)} are not available in models here.")
    rows = _with_one_unit(rows)
    records = table.to_dict("records")
    labels = _common_labels(records)
    lines = _blocks(rows, labels)
    plain = [r for r in records if r["op"] in (":=", *_CONSTRAINTS) and not r["lhs"].startswith(".p")]
    text = "\n".join([*lines, *(f"{r['lhs']} {r['op']} {r['rhs']}" for r in plain)]) + "\n"
    parse(text)  # says where a label or an expression of the table cannot be read
    return text


def _table(source: Any) -> pd.DataFrame:
    """The table with the columns that are needed, its words without blanks around them."""
    import pandas as pd

    if isinstance(source, str | Path):
        table, name = read_table(source), Path(source).name
    else:
        try:
            table, name = pd.DataFrame(source), "This"
        except (ValueError, TypeError) as cause:
            raise DataError(
                f"A parameter table is a DataFrame or the path of a CSV file, not {type(source).__name__}."
            ) from cause
    missing = [column for column in _NEEDED if column not in table]
    if missing:
        raise ModelError(
            f"{name} is no parameter table of lavaan: it has no column {listing(missing)}. "
            f"It needs {', '.join(_NEEDED)} and for two levels level, as write.csv(parTable(fit), ...) in R writes them."
        )
    if "level" not in table:
        table = table.assign(level=1)
    twice = sorted({str(column) for column in table.columns[table.columns.duplicated()]})
    if twice:
        raise ModelError(f"{name} has several columns {listing(twice)}.")
    if not len(table):
        raise ModelError(f"{name} has no rows.")
    words = [column for column in _WORDS if column in table]
    table = table.assign(**{w: [_text(value) for value in table[w]] for w in words})
    for number, row in enumerate(table.to_dict("records"), 1):
        if problem := _row_problem(row):
            raise ModelError(f"Row {number} of the parameter table ({row['lhs']} {row['op']} {row['rhs']}): {problem}")
    return table.assign(level=[_whole(v) if _whole(v) is not None else v for v in table["level"]])


def _row_problem(row: Mapping[str, Any]) -> str:
    """What makes a row unreadable, '' if nothing does."""
    broken = [column for column in _WORDS if not str(row.get(column, "")).isprintable()]
    if broken:
        return f"column {broken[0]} holds a line end or another character that does not print."
    if row["op"] not in _FORMULAS:
        both = row["op"] in (":=", *_CONSTRAINTS)
        return "one of its sides is empty." if both and not (row["lhs"] and row["rhs"]) else ""
    if not row["lhs"] or (not row["rhs"] and row["op"] != "~1"):
        return "a name is missing."
    if _whole(row["free"]) is None or _whole(row["free"]) < 0:  # type: ignore[operator]
        return f"free is {row['free']!r}; it is 0 for a fixed parameter and the number of a free one."
    if _whole(row["level"]) not in (1, 2):
        return f"level is {row['level']!r}; models have levels 1 and 2, or 1 alone."
    if "group" in row and (_whole(row["group"]) or 0) < 1:
        return f"group is {row['group']!r}; groups are numbered from 1."
    if "exo" in row and _whole(row["exo"] if _text(row["exo"]) else 0) is None:
        return f"exo is {row['exo']!r}; it is 0 or 1."
    return "" if _whole(row["free"]) or _exogenous(row) or row.get("rv") or _value(row) is not None else _NO_VALUE


_NO_VALUE = "it is fixed (free is 0), but ustart, est and start hold no number that it is fixed at."


def _with_one_unit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what follows from others of ordered variables: a table of lavaan has a scale and a residual variance of
    each, and does not say which is the parameter. That is the residual variance (theta parameterization) where one is free, or
    where their estimates are 1 and those of the scales are not, and else the scale.
    """
    scaled = {row["lhs"] for row in rows if row["op"] == "~*~"}

    def is_residual(row: dict[str, Any]) -> bool:
        return row["op"] == "~~" and row["lhs"] == row["rhs"] and row["lhs"] in scaled

    theta = any(is_residual(row) and _whole(row["free"]) for row in rows) or (
        all(_at_one(row) for row in rows if is_residual(row))
        and any(_at_one(r) is False for r in rows if r["op"] == "~*~")
    )
    theta = theta and not any(row["op"] == "~*~" and _whole(row["free"]) for row in rows)
    return [row for row in rows if not (row["op"] == "~*~" if theta else is_residual(row))]


def _at_one(row: Mapping[str, Any]) -> bool | None:
    """Whether the estimate of a row is 1; None where the table has none."""
    value = row.get("est")
    return None if value is None or value != value else abs(float(value) - 1.0) < 1e-9


def _whole(value: Any) -> int | None:
    """A whole number, None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number == int(number) else None


def _value(row: Mapping[str, Any]) -> float | None:
    """What a fixed parameter is fixed at: the first of the columns that holds a number."""
    for column in ("ustart", "est", "start"):
        try:
            value = float(row[column])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(value):
            return value
    return None


def _exogenous(row: Mapping[str, Any]) -> bool:
    return bool(_text(row.get("exo")) and _whole(row["exo"]))


def _common_labels(records: list[Mapping[str, Any]]) -> dict[str, str]:
    """Label of each plabel: rows that '.p3. == .p9.' makes equal get the label of the first, the user's where there is one."""
    own = {str(r.get("plabel", "")): _text(r.get("label")) for r in records if _text(r.get("plabel"))}
    own = {p: "" if label.startswith(".p") else label for p, label in own.items()}  # made by group.equal
    found: dict[str, str] = {}
    for r in records:
        if r["op"] == "==" and r["lhs"].startswith(".p") and r["rhs"].startswith(".p"):
            label = found.get(r["lhs"]) or own.get(r["lhs"]) or "eq_" + r["lhs"].strip(".")
            found[r["lhs"]] = found[r["rhs"]] = label
    return {p: label for p, label in (own | found).items() if label}


def _blocks(rows: list[dict[str, Any]], labels: Mapping[str, str]) -> list[str]:
    groups = sorted({_whole(r.get("group", 1)) for r in rows})  # type: ignore[type-var]
    levels = sorted({r["level"] for r in rows})
    if levels == [2]:
        raise ModelError("The parameter table has level 2 alone; a two-level model has levels 1 and 2.")
    lines: list[str] = []
    for group in groups:
        lines += [f"group: {group}"] * (len(groups) > 1)
        for level in levels:
            lines += [f"level: {level}"] * (len(levels) > 1)
            here = [r for r in rows if _whole(r.get("group", 1)) == group and r["level"] == level and not _exogenous(r)]
            lines += [f"  {_formula(r, labels)}" for r in here]
    return lines


def _formula(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(_text(row.get("plabel")), "") or _text(row.get("label"))
    label = "" if label.startswith(".p") else f"{quoted(label)}*" * bool(label)
    left, right = quoted(row["lhs"]), "1" if row["op"] == "~1" else quoted(row["rhs"])
    operator = "~" if row["op"] == "~1" else row["op"]
    random = _text(row.get("rv"))
    if random:
        return f'{left} {operator} rv("{random}")*{right}'
    if _whole(row["free"]) == 0:
        return f"{left} {operator} {_value(row)!r}*{label}{right}"
    return f"{left} {operator} {label or ('NA*' if operator == '=~' else '')}{right}"


def _text(value: Any) -> str:
    """A cell as a word; '' for an empty one."""
    return str(value).strip() if isinstance(value, str) or not _is_missing(value) else ""


def _is_missing(value: Any) -> bool:
    """None, NaN and the missing values of pandas."""
    return value is None or value is getattr(sys.modules.get("pandas"), "NA", None) or bool(value != value)
