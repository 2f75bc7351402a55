"""What to tell of a column of text where numbers are wanted, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlsem_jax._errors import listing
from mlsem_jax.data._number_text import Notation, notation

if TYPE_CHECKING:
    import pandas as pd


def text_complaint(series: pd.Series, name: str, subject: str) -> str:
    """Numbers stored as text, codes for missing values among numbers, or categories."""
    known = series.dropna()
    texts = list(dict.fromkeys(map(str, known)))
    bad = [text for text in texts if not _is_number(text)]
    column = f"data[{name!r}]"
    if not bad:
        return f"{subject} holds numbers stored as text; convert it: {column} = pandas.to_numeric({column})."
    signs = notation(texts)
    if signs is not None:
        return f"{subject} {_signs(signs, bad, column)}"
    if any("," in text for text in bad) and all(_is_number(text.replace(",", ".", 1)) for text in texts):
        return (
            f"{subject} holds numbers as text, some with decimal commas, such as {_shown(bad)}, and some with decimal points. "
            f"Correct the file, or convert: {column} = pandas.to_numeric({column}.str.replace(',', '.'))."
        )
    words = [text for text in bad if not any(sign.isdigit() for sign in text)]
    if 0 < len(words) < len(bad) and notation(text for text in texts if text not in words) is not None:
        return (
            f"{subject} holds text, such as {_shown(words)}, among numbers with commas. If the text stands for missing values, "
            f"mark it first: {column} = {column}.replace({words[0]!r}, None)."
        )
    values = dict.fromkeys(known[known.map(str).isin(bad)])
    found = f"{subject} holds text, such as {_shown(values)}; model variables must be numbers."
    if len(bad) < len(texts):
        convert = f"{column} = pandas.to_numeric({column}, errors='coerce')"
        return f"{found} The other values are numbers: if the text stands for missing values, {convert}."
    return f"{found} Recode categories to 0/1 indicators, for example with pandas.get_dummies."


def _signs(known: Notation, bad: list[str], column: str) -> str:
    """Numbers with commas, or with signs between thousands."""
    commas, thousands = (
        f"pandas.read_csv(..., {option}=','), or convert: {column} = pandas.to_numeric({column}.str.replace(',', {sign!r}))"
        for option, sign in (("decimal", "."), ("thousands", ""))
    )
    if not known.certain:
        one, other = (f"{known.read_with(sign).number(bad[0]):.15g}" for sign in (".", ","))
        return (
            f"holds numbers as text with commas, such as {_shown(bad)}, which may separate thousands or decimals. If {bad[0]!r} "
            f"means {one}, use {thousands}; if it means {other}, use {commas}."
        )
    if known.thousands == ",":
        return f"holds numbers as text with commas between thousands, such as {_shown(bad)}. Read the file with {thousands}."
    if known.thousands == ".":
        return (
            f"holds numbers as text with decimal commas and points between thousands, such as {_shown(bad)}. Read the file with "
            f"pandas.read_csv(..., decimal=',', thousands='.'), or convert: {column} = "
            f"pandas.to_numeric({column}.str.replace('.', '').str.replace(',', '.'))."
        )
    if known.decimal == ",":
        return f"holds numbers with decimal commas as text, such as {_shown(bad)}. Read the file with {commas}."
    return (
        f"holds numbers as text with gaps between thousands, such as {_shown(bad)}. Convert: {column} = "
        f"pandas.to_numeric({column}.str.replace(r\"[\\s'\u2019]\", '', regex=True))."
    )


def _shown(values: Iterable[object]) -> str:
    return listing(map(repr, values), 3)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
