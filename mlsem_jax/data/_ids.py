"""Ids of clusters and groups as users' files have them: of any type, and at times written in more than one way."""

from __future__ import annotations

import numbers
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsem_jax._errors import DataError, listing

if TYPE_CHECKING:
    import pandas as pd

# what other programs, and astype(str), write for a missing value
_WORDS = ("nan", "NaN", "NA", "<NA>", "None", "NaT", "NULL", "null", "N/A", "#N/A", ".")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_CODES = (-9, -99, -999, -9999)


class Ids(NamedTuple):
    """codes (N,): the place in values, -1 where missing; values: distinct ids in order of appearance; warnings: sentences."""

    codes: np.ndarray
    values: np.ndarray
    warnings: tuple[str, ...] = ()


def factorize(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes (-1 where missing) and distinct values, in order of first appearance."""
    import pandas as pd

    codes, distinct = pd.factorize(values)
    return np.asarray(codes, dtype=np.intp), np.asarray(distinct)


def read_ids(column: pd.Series, part: str) -> Ids:
    """The ids in a column; part: 'cluster' or 'grouping', for the messages.

    Blank text is a missing id. Ids that differ only in that one is a number and the other its text (as pandas reads large files),
    in blanks around it or in a trailing '.0' are the same; a sentence says so. Raises DataError where that is ambiguous, and for
    values that cannot be ids.
    """
    name = str(column.name)
    try:
        codes, values = factorize(column)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in column})
        raise DataError(
            f"The {part} variable {name!r} holds values of type {listing(kinds)}, not all of which can be ids; use numbers or text."
        ) from None
    if values.dtype.kind not in "OUST":
        return Ids(codes, values, _doubtful_numbers(values, part, name))
    told: tuple[str, ...] = ()
    blank = np.array([isinstance(value, (str, bytes)) and not value.strip() for value in values], dtype=bool)
    if blank.any():
        count = int(np.isin(codes, np.flatnonzero(blank)).sum())
        told = (
            f"In {count} {'row' if count == 1 else 'rows'} the {part} variable {name!r} is blank, which counts as missing.",
        )
        codes, values = _merged(codes, values, np.where(blank, -1, np.cumsum(~blank) - 1))
    place = np.arange(len(values)) if _all_plain(values) else factorize(_as_objects(_keys(values)))[0]
    if len(place) and place.max() + 1 < len(values):
        told += (_same(values, place, part, name),)
        codes, values = _merged(codes, values, place)
    return Ids(codes, values, told + _words(codes, values, part, name))


def _merged(codes: np.ndarray, values: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and values once value i has become value place[i] (-1: none), the first to appear staying."""
    kept, first = np.unique(place, return_index=True)
    return np.append(place, -1)[codes], values[first[kept >= 0]]


def _all_plain(values: np.ndarray) -> bool:
    """Whether all ids are text that is written in the one way that there is, as nearly always."""
    return set(map(type, values)) <= {str} and not any((v[-1] in ".0" and "." in v) or v != v.strip() for v in values)


def _as_objects(keys: list[Any]) -> np.ndarray:
    out = np.empty(len(keys), dtype=object)
    out[:] = keys
    return out


def _keys(values: np.ndarray) -> list[Any]:
    """For each id what it is compared by: numbers as numbers, and where there are numbers their text too."""
    kinds = {type(value) for value in values}
    mixed = any(issubclass(kind, numbers.Real) for kind in kinds)
    return [_key(value, mixed) for value in values]


def _key(value: Any, mixed: bool) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = _plain(value)
        if not mixed or not _NUMBER.fullmatch(text):
            return ("text", text)
        value = int(text) if text.lstrip("+-").isdigit() else float(text)
    if isinstance(value, numbers.Real):
        return ("number", value)
    return ("other", value)


def _plain(text: str) -> str:
    """Without blanks around it and without the '.0' of a whole number that was read as floating point."""
    text = text.strip()
    return re.sub(r"\.0*$", "", text) if "." in text and _NUMBER.fullmatch(text) else text


def _same(values: np.ndarray, place: np.ndarray, part: str, name: str) -> str:
    """That ids count as the same; DataError where two texts would, such as '007' and '7'."""
    order = np.argsort(place, kind="stable")
    together = np.split(values[order], np.flatnonzero(np.diff(place[order])) + 1)
    several = [list(ids) for ids in together if len(ids) > 1]
    as_text = f"Read the column as text, for example pandas.read_csv(..., dtype={{{name!r}: str}})"
    for ids in several:
        texts = [value for value in ids if isinstance(value, str)]
        if len({_plain(text) for text in texts}) > 1:
            raise DataError(
                f"The {part} variable {name!r} holds numbers in some rows and text in others, and it cannot be told whether "
                f"{listing(map(repr, map(_python, ids)))} are one id or several. {as_text}."
            )
    example = " and ".join(repr(_python(value)) for value in several[0][:3])
    unit = "cluster" if part == "cluster" else "group"
    if len({type(value) for value in values}) == 1:
        as_text = f"Write ids in one way, for example data[{name!r}] = data[{name!r}].str.strip()"
    return (
        f"The {part} variable {name!r} holds {len(several)} {'id' if len(several) == 1 else 'ids'} written in more than one way, "
        f"such as {example}: each is taken for one {unit}. {as_text}."
    )


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _words(codes: np.ndarray, values: np.ndarray, part: str, name: str) -> tuple[str, ...]:
    """Words for missing values among text ids: they may be an id, so that they are said and kept."""
    found = [i for i, value in enumerate(values) if isinstance(value, str) and value.strip() in _WORDS]
    return tuple(
        f"The {part} variable {name!r} is the text {values[i]!r} in {int((codes == i).sum())} rows, which count as one {part}. If "
        f"it stands for a missing id, use data[{name!r}].replace({values[i]!r}, None)."
        for i in found
    )


def _doubtful_numbers(values: np.ndarray, part: str, name: str) -> tuple[str, ...]:
    """Codes of missing values among numbers, and whole numbers too long for floating point."""
    if values.dtype.kind not in "if" or len(values) < 2:
        return ()
    told: tuple[str, ...] = ()
    if values.dtype.kind == "f" and np.nanmax(np.abs(values)) >= 2.0**53:
        told = (
            f"The {part} variable {name!r} holds numbers of more than 15 digits as floating point, in which different ids may have "
            f"become the same. Read the column as text, for example pandas.read_csv(..., dtype={{{name!r}: str}}).",
        )
    low = values.min()
    if low in _CODES and np.sort(values)[1] >= 0:
        told += (
            f"The {part} variable {name!r} holds the value {low:g}, which counts as one {part}. If it stands for a missing id, use "
            f"data[{name!r}].replace({low:g}, None), on the command line --na {low:g}.",
        )
    return told
