"""Decimal signs and signs between thousands in a file of text, decided over all its columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlsem_jax.data import Notation, notation

if TYPE_CHECKING:
    import pandas as pd

# distinct values that are looked at first: most columns of text are no numbers, or plain decimal commas throughout
_HEAD = 2000


def settle(
    table: pd.DataFrame,
    as_text: Callable[[list[str]], pd.DataFrame],
    decimal: str | None,
    tell: Callable[[str], object],
) -> pd.DataFrame:
    """The table with columns of text that are numbers in some notation turned to numbers.

    table: as read with decimal points; as_text: reads some of its columns once more, as text. decimal: the file's decimal sign,
    where the user says it. What may mean either, such as "2,322", follows the other columns, and stays text where they say
    nothing. tell gets a sentence on every column that may have been meant otherwise.
    """
    found = {name: known for name in table if (known := _of(table[name])) is not None}
    if decimal == "," or any("," in known[:2] for known in found.values()):
        texts = as_text([name for name in table if table[name].dtype.kind == "f"])
        found |= {name: known for name in texts if (known := _of(texts[name])) is not None}
        table = table.assign(**{name: texts[name] for name in texts if name in found and not found[name].certain})
    signs = {
        known.decimal or "." for known in found.values() if known.certain and (known.decimal or known.thousands == ",")
    }
    agreed = decimal or (signs.pop() if len(signs) == 1 else None)
    for name, known in found.items():
        if table[name].dtype.kind == "f":
            continue
        chosen = known if known.certain else known.read_with(agreed or ".") if agreed or known.decimal else None
        if chosen is not None:
            values = {text: chosen.number(text) for text in table[name].dropna().unique()}
            if decimal is None:
                _say(str(name), values, chosen, known, tell)
            table = table.assign(**{name: table[name].map(values).astype(float)})
    return table


def _of(column: pd.Series) -> Notation | None:
    """The notation of a column of text; None for one of numbers, or of other text."""
    import pandas as pd

    if column.dtype.kind in "biufcmM" or isinstance(column.dtype, pd.CategoricalDtype):
        return None
    texts = column.dropna().unique()
    if not all(isinstance(text, str) for text in texts):
        return None
    known = notation(texts[:_HEAD])
    if known is None or len(texts) <= _HEAD:
        return known
    if (
        known == (",", "", True)
        and pd.to_numeric(pd.Series(texts).str.replace(",", "."), errors="coerce").notna().all()
    ):
        return known
    return notation(texts)


def _say(name: str, values: dict[str, float], chosen: Notation, known: Notation, tell: Callable[[str], object]) -> None:
    """How a column was read, if it separates thousands or could have been read otherwise."""
    sign = chosen.thousands if known.certain else known.thousands or known.decimal
    if not sign:
        return
    example = next(text for text in values if sign in text)
    word = "comma" if sign == "," else "point"
    meaning = "separates thousands" if sign == chosen.thousands else "is a decimal sign, as in other columns"
    tell(f"column {name!r}: {example!r} is read as {values[example]:.15g} (the {word} {meaning}).")
