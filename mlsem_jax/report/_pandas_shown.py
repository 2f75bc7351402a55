"""pandas objects that show their numbers as a summary does: three decimals, every column. What is in them is untouched.

Imported where a table is made, because pandas is slow to import.
"""

from __future__ import annotations

import shutil
import textwrap
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import pandas as pd

from mlsem_jax.report._decimals import decimal

DIGITS = 3
# what pandas takes where the user has set nothing
_PRECISION = 6


def _as_in_a_summary(**more: Any) -> AbstractContextManager[Any]:
    """Decimals as in a summary, unless the user has set pandas' own options; p-values of 1e-249 are 0.000."""
    settings: dict[str, Any] = dict(more)
    if pd.get_option("display.float_format") is None and pd.get_option("display.precision") == _PRECISION:
        settings["display.float_format"] = lambda value: decimal(value, DIGITS)
    return pd.option_context(*[part for pair in settings.items() for part in pair])


class Table(pd.DataFrame):
    """A DataFrame of results: `repr` and notebooks show three decimals and all columns; `to_string()`, files and values are pandas'
    own.
    """

    @property
    def _constructor(self) -> type[Table]:
        return Table

    def round(self, *args: Any, **options: Any) -> pd.DataFrame:
        """As pandas rounds and shows: whoever rounds has chosen the decimals."""
        return pd.DataFrame(super().round(*args, **options))

    def __repr__(self) -> str:
        width = max(shutil.get_terminal_size((120, 24)).columns, 80)
        with _as_in_a_summary(**{"display.max_columns": None, "display.width": width}):
            shown = super().__repr__()
        return "\n".join([shown, *(textwrap.fill(line, width) for line in self._why_missing())])

    def _repr_html_(self) -> str | None:
        with _as_in_a_summary(**{"display.max_columns": None}):
            shown = super()._repr_html_()
        return None if shown is None else shown + "".join(f"<p>{escape(line)}</p>" for line in self._why_missing())

    def _why_missing(self) -> list[str]:
        """What the table is of where it says so, attrs["of"], and a line for every reason why values that are shown are not
        defined: attrs["undefined"], by row and column.
        """
        of = [self.attrs["of"]] if "of" in self.attrs else []
        at: dict[tuple[Any, str], list[str]] = {}
        for (row, column), why in self.attrs.get("undefined", {}).items():
            if row in self.index and column in self.columns:
                at.setdefault((row, why), []).append(column)
        return of + [f"Not defined for {row!r}: {', '.join(columns)}: {why}" for (row, why), columns in at.items()]

    def to_excel(self, excel_writer: Any, *, sheet_name: str = "Sheet1", **options: Any) -> None:
        """As pandas writes spreadsheets, but operators such as `=~` stay text, where they would be formulas that make no sense."""
        if not isinstance(excel_writer, pd.ExcelWriter):
            engine = {name: options.pop(name) for name in ("engine", "engine_kwargs") if name in options}
            with pd.ExcelWriter(excel_writer, **engine) as writer:
                self.to_excel(writer, sheet_name=sheet_name, **options)
            return
        book: Any = excel_writer.book
        if hasattr(book, "strings_to_formulas"):  # xlsxwriter
            book.strings_to_formulas = False
        super().to_excel(excel_writer, sheet_name=sheet_name, **options)
        if excel_writer.engine == "openpyxl":
            for cell in (c for row in excel_writer.sheets[sheet_name].iter_rows() for c in row if c.data_type == "f"):
                cell.data_type = "s"


class Column(pd.Series):
    """A Series of results, shown with three decimals and in full."""

    @property
    def _constructor(self) -> type[Column]:
        return Column

    @property
    def _constructor_expanddim(self) -> type[Table]:
        return Table

    def round(self, *args: Any, **options: Any) -> pd.Series:
        """As pandas rounds and shows."""
        return pd.Series(super().round(*args, **options))

    def __repr__(self) -> str:
        rows = {"display.max_rows": None} if len(self) <= 200 else {}
        with _as_in_a_summary(**rows):
            return super().__repr__()

    def _repr_html_(self) -> str | None:
        rows = {"display.max_rows": None} if len(self) <= 200 else {}
        with _as_in_a_summary(**rows):
            return self.to_frame(self.name or "")._repr_html_()
