"""Numbers that look like codes of missing values, such as -99: said, never acted upon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.data._roles import Roles

# what questionnaires and statistics programs write where an answer is missing: 7, 8, 9, one of 6 to 9 repeated (77, 888, 999999),
# nines that end in 6 to 8 (96, 997, 9998), nines with decimals (99.9, -999.99); with either sign, and -6
_CODE = re.compile(r"-?([789]|(6|7|8|9)\2+|9+[678]|99+\.9+)|-6")


def looks_like_code(value: float) -> bool:
    """Whether a number is one that often stands for a missing value."""
    return bool(_CODE.fullmatch(f"{value:.15g}"))


def code_warnings(columns: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """A sentence for every code that stands in a variable apart from its other values.

    columns (p, N), NaN where missing. Variables with a single other value are left alone: there is no spread to compare.
    """
    found: dict[float, list[str]] = {}
    for i, column in enumerate(columns):
        for value, count in _apart(column):
            found.setdefault(value, []).append(f"{roles.variables[i]!r} ({count} {'row' if count == 1 else 'rows'})")
    return tuple(
        f"The value {value:.15g} stands apart from all other values of {listing(where)}. If it means that an answer is missing, "
        f"the estimates are wrong: use data.replace({value:.15g}, float('nan')), on the command line --na {value:.15g}."
        for value, where in sorted(found.items())
    )


def category_codes(categories: Sequence[Any], counts: Sequence[int]) -> tuple[tuple[float, int], ...]:
    """Categories of an ordered variable that look like codes of missing values, and how often each occurs: at either end, beyond a
    gap that the other categories do not have, as 9 beside 1 to 5.

    Negative numbers count too, unless the scale is one about zero, -2 to 2.
    """
    numbers = all(isinstance(c, Real) and not isinstance(c, bool) for c in categories)
    if not numbers or len(categories) < 3:
        return ()
    values = np.asarray(categories, float)
    mirrored = set(-values[values < 0]) == set(values[values > 0])
    coded = np.array([looks_like_code(float(v)) or (v < 0 and not mirrored) for v in values])
    inside = np.flatnonzero(~coded)
    if len(inside) < 2:
        return ()
    step = float(np.diff(values[inside]).max())
    low, high = int(inside[0]), int(inside[-1])
    # codes that go on in the steps of the scale are categories, as the 7 of a scale from 1 to 7
    while low > 0 and values[low] - values[low - 1] <= step and (values[low] < 0 or values[low - 1] >= 0):
        low -= 1
    while high < len(values) - 1 and values[high + 1] - values[high] <= step:
        high += 1
    return tuple((float(values[i]), int(counts[i])) for i in (*range(low), *range(high + 1, len(values))))


def category_warnings(name: str, categories: Sequence[Any], counts: Sequence[int]) -> tuple[str, ...]:
    """A sentence for every category of an ordered variable that looks like a code of a missing value."""
    return tuple(
        f"The category {value:.15g} of {name!r} ({count} row{'' if count == 1 else 's'}) stands apart from its others. If "
        f"it means that an answer is missing, the estimates are wrong: use data.replace({{{name!r}: {{{value:.15g}: "
        f"float('nan')}}}}), on the command line --na {value:.15g}."
        for value, count in category_codes(categories, counts)
    )


def _apart(column: np.ndarray) -> list[tuple[float, int]]:
    """The codes at either end of a column's values that stand apart from the others, and how often each occurs."""
    ends = (np.fmin.reduce(column, initial=np.inf), np.fmax.reduce(column, initial=-np.inf))
    if not any(looks_like_code(float(end)) for end in ends):
        return []
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    low, high = 0, len(values) - 1
    while low < high and looks_like_code(float(values[low])):
        low += 1
    while high > low and looks_like_code(float(values[high])):
        high -= 1
    # codes that follow upon the other values as these upon each other are values themselves, as the 7 of a scale from 1 to 7
    step = np.diff(values[low : high + 1]).max(initial=0)
    while low > 0 and values[low] - values[low - 1] <= step and (values[low] < 0 or values[low - 1] >= 0):
        low -= 1
    while high < len(values) - 1 and values[high + 1] - values[high] <= step:
        high += 1
    if low == high:
        return []
    outside = [*range(low), *range(high + 1, len(values))]
    known = [(float(values[i]), int(counts[i])) for i in outside]
    return [pair for pair in known if _is_apart(*pair, float(values[low]), float(values[high]))]


def _is_apart(value: float, count: int, low: float, high: float) -> bool:
    """As far from all others as these spread; or negative as none of them; or often, and a quarter as far."""
    gap, spread = max(low - value, value - high), high - low
    negative = value < 0 <= low and count > 1
    return gap >= spread or negative or (count > 2 and abs(value) > 65 and 4 * gap >= spread)
