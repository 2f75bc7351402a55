"""Tables from files: the format follows from the ending."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax._errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# ending -> (reader, what has to be installed for it)
_READERS = {
    ".csv": ("read_csv", ""),
    ".tsv": ("read_csv", ""),
    ".txt": ("read_csv", ""),
    ".dat": ("read_csv", ""),
    ".parquet": ("read_parquet", "pyarrow"),
    ".feather": ("read_feather", "pyarrow"),
    ".arrow": ("read_feather", "pyarrow"),
    ".dta": ("read_stata", ""),
    ".sav": ("read_spss", "pyreadstat"),
    ".zsav": ("read_spss", "pyreadstat"),
    ".sas7bdat": ("read_sas", ""),
    ".rds": ("rds", "pyreadr"),
    ".rdata": ("rds", "pyreadr"),
    ".json": ("read_json", ""),
}
# rows in which a decimal comma is looked for
_LOOK = 100
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def read_table(path: str | Path, missing: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table from a CSV (tab, comma or semicolon), Parquet, Feather, Stata, SPSS, SAS or R file.

    missing: further codes of missing values, such as "-99". Raises DataError, with the remedy, for what cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder; a table is a file.")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty.")
    ending = next((s.lower() for s in reversed(path.suffixes) if s.lower() not in _COMPRESSED), "")
    if ending in _SHEETS:
        raise DataError(f"{path.name} is a spreadsheet. Save the sheet with the data as CSV and read that file.")
    if ending not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise DataError(f"{path.name}: files of type {ending or 'without ending'!r} cannot be read. Known: {known}.")
    reader, package = _READERS[ending]
    try:
        table = _read(path, reader, missing)
    except ImportError:
        raise DataError(f"{path.name}: {ending} files need {package}: pip install 'mlsem_jax[io]'.") from None
    except DataError:
        raise
    except (ValueError, OSError, KeyError) as problem:
        raise DataError(f"{path.name} cannot be read as a {ending} file: {_first_line(problem)}") from None
    return table.replace(_codes(missing), float("nan")) if missing and reader != "read_csv" else table


def _read(path: Path, reader: str, missing: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    if reader == "read_csv":
        encoding = _encoding(path)
        separator, decimal = _layout(path, encoding)
        return pd.read_csv(
            path, sep=separator, decimal=decimal, na_values=list(missing), skipinitialspace=True, encoding=encoding
        )
    if reader == "rds":
        import pyreadr

        tables = pyreadr.read_r(str(path))
        return next(iter(tables.values()))
    options: dict[str, Any] = {"convert_categoricals": False} if reader in ("read_stata", "read_spss") else {}
    return getattr(pd, reader)(path, **options)


def _encoding(path: Path) -> str:
    """How the text of a file is written: UTF-8 or UTF-16, or else what spreadsheets in Western Europe write (cp1252)."""
    from pandas.io.common import get_handle

    with get_handle(path, "rb", compression="infer", is_text=False) as opened:
        start = bytes(opened.handle.read(4))
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    for encoding in ("utf-8-sig", "cp1252"):
        with get_handle(path, "r", compression="infer", encoding=encoding) as opened:
            try:
                while text := opened.handle.read(1 << 20):
                    if "\0" in str(text):
                        raise DataError(f"{path.name} holds no text, so that it cannot be read as a table of text.")
            except UnicodeDecodeError:
                continue
        return encoding
    raise DataError(f"{path.name} holds no text, or text in an encoding that is not known here. Save it as UTF-8.")


def _layout(path: Path, encoding: str) -> tuple[str, str]:
    """Separator of columns and decimal sign, from the first lines: the separator that the header has most of."""
    from pandas.io.common import get_handle

    with get_handle(path, "r", compression="infer", encoding=encoding) as opened:
        header, *rows = (str(opened.handle.readline()) for _ in range(_LOOK + 1))
    separator = max(",;\t", key=header.count)
    if not header.count(separator):
        return (r"\s+", ".") if len(header.split()) > 1 else (",", ".")
    cells = [cell.strip() for row in csv.reader(rows, delimiter=separator) for cell in row]
    comma, point = (any(re.fullmatch(rf"-?\d*{sign}\d+", cell) for cell in cells) for sign in (",", r"\."))
    return separator, "," if comma and not point else "."


def _codes(missing: tuple[str, ...]) -> list[Any]:
    """The codes as text and, where they are numbers, as numbers."""
    codes: list[Any] = list(missing)
    for code in missing:
        try:
            codes.append(float(code))
        except ValueError:
            continue
    return codes


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
