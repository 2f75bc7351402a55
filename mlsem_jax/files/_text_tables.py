"""Tables from files of text: encoding, separator of columns, header and decimal sign are found."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import notation
from mlsem_jax.files._decimal_signs import settle

if TYPE_CHECKING:
    import pandas as pd

# lines that decide on the layout
_LOOK = 100
_SEPARATORS = ",;\t|"
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", r"\s+": "blanks"}
# what stands for a missing value in a first line of data
_GAPS = ("", ".", "NA", "nan", "NaN", "NULL")


class Layout(NamedTuple):
    """How a file of text is written, in the words of pandas.read_csv."""

    sep: str
    encoding: str
    index_col: bool | None


def read_text_table(
    path: Path,
    missing: tuple[str, ...],
    decimal: str | None,
    tell: Callable[[str], object],
    separator: str | None = None,
    names: list[str] | None = None,
    found: Callable[[str], object] = str,
) -> pd.DataFrame:
    """The table; arguments as in `read_table`."""
    import pandas as pd

    layout, header = _layout(path, separator, names, tell)
    found(f"columns separated by {_WORDS.get(layout.sep, repr(layout.sep))}")
    # with low_memory numbers and text of one column become values of two types
    options: dict[str, Any] = {
        **layout._asdict(),
        "na_values": list(missing),
        "skipinitialspace": True,
        "low_memory": False,
    }
    if names is not None:
        options |= {"names": names, "header": None}
    table = pd.read_csv(path, **options)
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        tell(f"{path.name} has more than one column called {listing(map(repr, twice))}; the later ones got numbers.")
    return settle(table, lambda names: pd.read_csv(path, usecols=names, dtype=str, **options), decimal, tell)


def _layout(
    path: Path, given: str | None, names: list[str] | None, tell: Callable[[str], object]
) -> tuple[Layout, list[str]]:
    """Separator, encoding and whether there is a separator at the ends of lines; and the header."""
    from pandas.io.common import get_handle

    encoding = _encoding(path)
    with get_handle(path, "r", compression="infer", encoding=encoding) as opened:
        lines = [str(opened.handle.readline()) for _ in range(_LOOK + 1)]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{path.name} holds nothing but blank lines.")
    levels = [line.strip() for line in lines if re.match(r"\s*level\s*:", line, re.IGNORECASE)]
    if levels:
        raise DataError(
            f"{path.name} holds a model, not a table: it has a line {levels[0]!r}. The model comes first, then the data: "
            "mlsem fit MODEL DATA."
        )
    separator = given or max(_SEPARATORS, key=lambda sign: (_columns(lines, sign), -_SEPARATORS.index(sign)))
    if len(separator) == 1 and (given or _columns(lines, separator) > 1):
        header, *rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    else:
        separator = given or (r"\s+" if len(lines[0].split()) > 1 else ",")
        header, *rows = ([cell.strip("\"'") for cell in line.split()] for line in lines)
    header = [cell.strip() for cell in header]
    if names is not None:
        _check_names(path, header, names)
        return Layout(separator, encoding, False), names
    _check_header(path, header)
    if told := _like_data(path, header):
        tell(told)
    # pandas takes the first column for names of rows where rows are longer than the header, as R writes them
    ends = bool(rows) and all(len(row) == len(header) + 1 and not row[-1].strip() for row in rows)
    return Layout(separator, encoding, False if ends else None), header


def _check_names(path: Path, first: list[str], names: list[str]) -> None:
    """As many names as columns, each once, for a file without a header."""
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"The names of the columns of {path.name} must be different and not empty: {listing(names)}.")
    width = len(first) - (not first[-1])
    if len(names) not in (width, len(first)):
        raise DataError(
            f"{path.name} has {width} columns, and {len(names)} names are given for them: {listing(names)}."
        )
    if set(first) & set(names):
        raise DataError(
            f"{path.name} has a header: its first line holds {listing(first)}. Names of columns are for files without one."
        )


def _columns(lines: list[str], separator: str) -> int:
    """Columns of the first line; 0 where hardly any other line has about as many."""
    counts = [len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True)]
    alike = sum(abs(count - counts[0]) <= 1 for count in counts)
    return counts[0] if 2 * alike > len(counts) else 0


def _check_header(path: Path, header: list[str]) -> None:
    """Names, not the first row of the data."""
    known = [cell for cell in header if cell not in _GAPS]
    if known and all(notation([cell]) is not None for cell in known):
        raise DataError(
            f"{path.name} has no header: its first line holds numbers ({listing(header)}). Write the names of the "
            "columns in a first line, or give them on the command line: --columns a,b,c."
        )
    if not known:
        raise DataError(f"{path.name} has no header: its first line holds no names. Write those of the columns there.")


def _like_data(path: Path, header: list[str]) -> str:
    """A sentence where most names are numbers, as in a first row of data beside ids; "" else."""
    numbers = [cell for cell in header if cell not in _GAPS and notation([cell]) is not None]
    if 2 * len(numbers) <= len(header):
        return ""
    return (
        f"The first line of {path.name} is read as names of columns, and most of them are numbers ({listing(numbers)}). If it "
        "holds data, the file has no header: write the names in a first line, or give them on the command line: --columns a,b,c."
    )


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
