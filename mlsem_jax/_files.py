"""Tables from files: the format follows from the ending."""

from __future__ import annotations

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
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def read_table(path: str | Path, missing: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table from a CSV (tab, comma or semicolon), Parquet, Feather, Stata, SPSS, SAS or R file.

    missing: further codes of missing values, such as "-99". Raises DataError, with the remedy, for what cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    ending = next((s.lower() for s in reversed(path.suffixes) if s.lower() not in _COMPRESSED), "")
    if ending not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise DataError(f"{path.name}: files of type {ending or 'without ending'!r} cannot be read. Known: {known}.")
    reader, package = _READERS[ending]
    try:
        table = _read(path, reader, missing)
    except ImportError:
        raise DataError(f"{path.name}: {ending} files need {package}: pip install 'mlsem_jax[io]'.") from None
    except (ValueError, OSError, KeyError) as problem:
        raise DataError(f"{path.name} cannot be read as a {ending} file: {_first_line(problem)}") from None
    return table.replace(_codes(missing), float("nan")) if missing and reader != "read_csv" else table


def _read(path: Path, reader: str, missing: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    if reader == "read_csv":
        separator, decimal = _layout(path)
        return pd.read_csv(path, sep=separator, decimal=decimal, na_values=list(missing), skipinitialspace=True)
    if reader == "rds":
        import pyreadr

        tables = pyreadr.read_r(str(path))
        return next(iter(tables.values()))
    options: dict[str, Any] = {"convert_categoricals": False} if reader in ("read_stata", "read_spss") else {}
    return getattr(pd, reader)(path, **options)


def _layout(path: Path) -> tuple[str, str]:
    """Separator of columns and decimal sign, from the first two lines: the separator that the header has most of."""
    from pandas.io.common import get_handle

    with get_handle(path, "r", compression="infer", encoding="utf-8-sig") as opened:
        header, first = opened.handle.readline(), opened.handle.readline()
    separator = max(",;\t", key=header.count)
    if not header.count(separator):
        return (r"\s+", ".") if len(str(header).split()) > 1 else (",", ".")
    comma = separator != "," and re.search(r"\d,\d", str(first)) is not None
    return separator, "," if comma else "."


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
