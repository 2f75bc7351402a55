"""Tables from files: the format follows from the ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax._errors import DataError
from mlsem_jax.files._csv import unguarded_table
from mlsem_jax.files._text_tables import read_text_table

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
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def read_table(
    path: str | Path,
    missing: tuple[str, ...] = (),
    decimal: str | None = None,
    tell: Callable[[str], object] = str,
    separator: str | None = None,
    names: list[str] | None = None,
    found: Callable[[str], object] = str,
) -> pd.DataFrame:
    """A table from a CSV (comma, semicolon, tab or |), Parquet, Feather, Stata, SPSS, SAS or R file.

    missing: further codes of missing values, such as "-99". decimal: the decimal sign of a file of text, which else is found
    from its columns. tell gets sentences on what may have been meant otherwise. separator, names: of the columns of a file of text,
    which else are found; names say that it has no header. found gets the sign that separates columns in words. Raises DataError,
    with the remedy, for what cannot be read.
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
        if reader == "read_csv":
            table = read_text_table(path, missing, decimal, tell, separator, names, found)
        elif separator is not None or names is not None:
            raise DataError(
                f"{path.name}: separator and names of columns are of files of text; {ending} files have their own."
            )
        else:
            table = _read(path, reader, tell)
    except ImportError:
        raise DataError(f"{path.name}: {ending} files need {package}: pip install 'mlsem_jax[io]'.") from None
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path.name} takes more memory than there is, or it is damaged.") from None
    except Exception as problem:  # of the readers of other libraries, which end in many ways on a damaged file
        raise DataError(
            f"{path.name} cannot be read as a {ending} file: {_first_line(problem)} Is it damaged, or of another type?"
        ) from None
    if reader == "read_csv":
        table = unguarded_table(table)
    return table.replace(_codes(missing), float("nan")) if missing and reader != "read_csv" else table


def _read(path: Path, reader: str, tell: Callable[[str], object]) -> pd.DataFrame:
    import pandas as pd

    if reader == "rds":
        return _read_r(path, tell)
    options: dict[str, Any] = {"convert_categoricals": False} if reader in ("read_stata", "read_spss") else {}
    table = getattr(pd, reader)(path, **options)
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{path.name} holds no table.")
    return table


def _read_r(path: Path, tell: Callable[[str], object]) -> pd.DataFrame:
    import pyreadr

    tables = {name: table for name, table in pyreadr.read_r(str(path)).items() if hasattr(table, "columns")}
    if not tables:
        raise DataError(f"{path.name} holds no data frame. Save one in R: saveRDS(data, {path.name!r}).")
    name, *others = tables
    if others:
        tell(f"{path.name} holds {len(tables)} data frames; the first, {name!r}, is used.")
    return tables[name]


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
    line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return line if line.endswith(".") else f"{line}."
