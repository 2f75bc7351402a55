"""Numbers that look like codes of missing values, such as -99: said, never acted upon."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.data._roles import Roles

# what questionnaires and statistics programs write where an answer is missing
_POSITIVE = (7, 8, 9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 7777, 8888, 9997, 9998, 9999)
CODES = np.array([sign * code for sign in (-1.0, 1.0) for code in _POSITIVE])


def code_warnings(columns: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """A sentence for every code that stands in a variable and lies as far from its other values as these spread, or farther.

    columns (p, N), NaN where missing. Variables with a single other value are left alone: there is no spread to compare.
    """
    found: dict[float, list[str]] = {}
    for i, column in enumerate(columns):
        ends = np.array([np.nanmin(column, initial=np.inf), np.nanmax(column, initial=-np.inf)])
        if not np.isin(ends, CODES).any():
            continue
        coded = np.isin(column, CODES)
        others = column[~coded & ~np.isnan(column)]
        if not len(others) or others.min() == others.max():
            continue
        low, high = others.min(), others.max()
        values, counts = np.unique(column[coded], return_counts=True)
        for value, count in zip(values, counts, strict=True):
            if max(low - value, value - high) >= high - low:
                found.setdefault(float(value), []).append(
                    f"{roles.variables[i]!r} ({count} {'row' if count == 1 else 'rows'})"
                )
    return tuple(
        f"The value {value:g} stands far from all other values of {listing(where)}. If it means that an answer is missing, "
        f"the estimates are wrong: use data.replace({value:g}, float('nan')), on the command line --na {value:g}."
        for value, where in sorted(found.items())
    )
