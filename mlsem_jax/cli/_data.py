"""How a file of data is read: options that say what cannot be found from the file, and words on what was found."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mlsem_jax.cli._shared import note, say

if TYPE_CHECKING:
    import pandas as pd

_SIGNS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": r"\s+", " ": r"\s+"}
_MOST = 12  # names of columns in a line on stderr


def data_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--na",
        nargs="+",
        action="extend",
        default=[],
        metavar="CODE",
        help="codes of missing values in the data, such as -99 -98 or -99,-98",
    )
    p.add_argument(
        "--decimal",
        choices=(".", ","),
        help="the decimal sign of a file of text, where it holds numbers such as 2,322 (found from the columns)",
    )
    p.add_argument(
        "--separator", "--sep", metavar="SIGN", help="between the columns of a file of text, such as ';' or tab (found)"
    )
    p.add_argument(
        "--columns", metavar="NAMES", help="a,b,c: names of the columns of a file of text without a header line"
    )


def _codes(given: list[str], decimal: str | None) -> tuple[str, ...]:
    """Codes of missing values, one a word or several with commas; a comma that is the decimal sign is part of its code."""
    return tuple(part for word in given for part in ([word] if decimal == "," else word.split(",")) if part.strip())


def read_data(arguments: argparse.Namespace) -> pd.DataFrame:
    """The table, and a word on stderr on its rows, its columns and the sign between them."""
    from mlsem_jax.files import read_table

    sign = None if arguments.separator is None else _SIGNS.get(arguments.separator.lower(), arguments.separator)
    names = None if arguments.columns is None else [name.strip() for name in arguments.columns.split(",")]
    found: list[str] = []
    data = read_table(
        arguments.data, _codes(arguments.na, arguments.decimal), arguments.decimal, note, sign, names, found.append
    )
    listed = ", ".join(map(str, list(data)[:_MOST])) + (
        f" and {data.shape[1] - _MOST} more" if data.shape[1] > _MOST else ""
    )
    between = f" ({found[0]})" if found else ""
    say(arguments, f"{len(data)} rows and {data.shape[1]} columns read from {arguments.data}{between}: {listed}")
    return data
