"""CSV files that spreadsheets may open: text that they would take for a formula is written as text, and read back as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# how a formula begins in one spreadsheet or another
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# lavaan's operators, which are none and by which programs read the tables
_OPERATORS = ("=~", "==")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.IGNORECASE)


def write_csv(table: pd.DataFrame, path: str | Path, index: bool = False) -> None:
    """Write a table as CSV. Text that begins like a formula (= + - @, tab, carriage return) gets an apostrophe in front, in
    cells, column names and the index; numbers and the operators =~ and == stay as they are.
    """
    out = _each(table, guarded)
    if index:
        out.index = out.index.map(guarded)
    out.to_csv(path, index=index)


def unguarded_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it was before `write_csv` put apostrophes in it."""
    return _each(table, unguarded)


def _each(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    """The table with its column names and the cells of its columns of text changed."""
    out = table.copy(deep=False)
    for i, kind in enumerate(table.dtypes):
        if str(kind) in ("object", "str", "string", "category"):
            old = table.iloc[:, i].astype(object)
            new = old.map(change)
            if not new.equals(old):
                out.isetitem(i, new)
    out.columns = table.columns.map(change)
    return out


def guarded(value: Any) -> Any:
    """Text as it may stand in a spreadsheet; anything else as it is."""
    if not isinstance(value, str) or value in _OPERATORS or _NUMBER.fullmatch(value):
        return value
    # an apostrophe that stands there already is not taken for ours when the file is read
    return f"'{value}" if value.startswith(_FORMULA) or _is_guarded(value) else value


def unguarded(value: Any) -> Any:
    """Text as it was before `guarded`."""
    return value[1:] if isinstance(value, str) and _is_guarded(value) else value


def _is_guarded(value: str) -> bool:
    return value.startswith("'") and value.lstrip("'").startswith(_FORMULA)
