"""Numbers written as text: which signs separate decimals and which thousands, from all values of a column together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# signs between groups of three digits that never separate decimals
_GAPS = re.compile(r"(?<=\d)[ \u00a0\u202f'\u2019](?=\d{3}(?!\d))")


class Notation(NamedTuple):
    """How numbers are written: the decimal sign and the sign between thousands ('' for what does not occur).

    certain: False where the sign that occurs may as well be the other.
    """

    decimal: str
    thousands: str
    certain: bool

    def number(self, text: str) -> float:
        """The number that a text of this notation means."""
        text = _GAPS.sub("", text.strip())
        text = text.replace(self.thousands, "") if self.thousands else text
        return float(text.replace(self.decimal, ".") if self.decimal else text)

    def read_with(self, decimal: str) -> Notation:
        """What an uncertain notation is in a file with this decimal sign."""
        sign = self.thousands or self.decimal
        return Notation(sign, "", True) if sign == decimal else Notation(decimal, sign, True)


def notation(texts: Iterable[str]) -> Notation | None:
    """The notation of a column's values, None where some are no numbers in any.

    A comma is taken for a decimal sign unless everywhere exactly three digits follow it and one to three, not beginning with 0,
    stand before it. Where that holds, whole numbers below 1000 without a comma, a second comma or a decimal point say that it
    separates thousands; without such evidence it may do either. Points likewise, but by themselves they are decimal points.
    """
    cells = [_GAPS.sub("", text.strip()) for text in dict.fromkeys(texts)]
    english, continental = _fits(cells, ".", ","), _fits(cells, ",", ".")
    comma, point = any("," in cell for cell in cells), any("." in cell for cell in cells)
    if not cells or not (english or continental):
        return None
    if english and continental:
        return Notation("", ",", _small_numbers(cells)) if comma else Notation("." if point else "", "", not point)
    return (
        Notation("." if point else "", "," if comma else "", True)
        if english
        else Notation(",", "." if point else "", True)
    )


def _fits(cells: list[str], decimal: str, thousands: str) -> bool:
    """Whether every cell is a number in this notation."""
    d, t = re.escape(decimal), re.escape(thousands)
    grouped, single = rf"[1-9]\d{{0,2}}(?:{t}\d{{3}})+(?:{d}\d*)?", rf"(?:\d+{d}?\d*|{d}\d+)(?:[eE][+-]?\d+)?"
    number = re.compile(rf"[+-]?(?:{grouped}|{single})")
    return all(number.fullmatch(cell) for cell in cells)


def _small_numbers(cells: list[str]) -> bool:
    """Whether there are whole numbers without a separator, all of them below 1000."""
    whole = [cell.lstrip("+-") for cell in cells if "," not in cell and "." not in cell]
    return bool(whole) and max(map(len, whole)) <= 3
