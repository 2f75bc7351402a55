"""Numbers so large, so small or so far from zero that floating point cannot work with them."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._roles import Roles

# values beyond which products of several variables' squares overflow or vanish, with some room
LARGEST, SMALLEST = 1e60, 1e-60
# a mean so many times the standard deviation ties intercepts and slopes so closely that searches may fail (measured with a
# covariate: at 1e4 they get slow, at 1e5 they find no maximum), and one that leaves hardly a digit of the variation
FAR, TOO_FAR = 2e4, 1e13


def extremes(column: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value of a column (N,) that are known; 0 and 0 where none is."""
    if len(column) and (low := float(column.min())) == low:
        return low, float(column.max())
    # NaN stands in it: looking for those takes as long again
    known = column[~np.isnan(column)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def check_magnitude(columns: np.ndarray, roles: Roles, labels: np.ndarray) -> None:
    """DataError for values that cannot be squared. columns (p, N), NaN where missing; labels (N,) name the rows."""
    for i, column in enumerate(columns):
        largest = max(map(abs, extremes(column)))
        if largest <= LARGEST:
            continue
        name, large = roles.variables[i], np.flatnonzero(np.abs(column) > LARGEST)
        subject = f"Variable {roles.placed(name)}"
        if 2 * len(large) < np.count_nonzero(~np.isnan(column)):
            rows = "row" if len(large) == 1 else "rows"
            raise DataError(
                f"{subject} holds values as large as {largest:.3g} in {len(large)} {rows} ({listing(labels[large])}), too large to "
                f"compute with. Correct them, or mark them as missing: data[{name!r}].where(data[{name!r}].abs() < {LARGEST:g})."
            )
        raise DataError(
            f"{subject} holds values as large as {largest:.3g}, too large to compute with. Change its unit: data[{name!r}] = "
            f"data[{name!r}] / {_power(largest)}."
        )


def check_spread(columns: np.ndarray, roles: Roles, text: str) -> tuple[str, ...]:
    """Warnings of variables that vary little beside their mean; DataError where hardly a digit of the variation is left.

    columns (p, N), NaN where missing, none without a value; text names the group of the rows.
    """
    told: tuple[str, ...] = ()
    for i, name in enumerate(roles.variables):
        low, high = extremes(columns[i])
        # a cheap bound first: the standard deviation is at least the range over the square root of 2 N
        if low == high or (
            high - low > SMALLEST and abs(high) + abs(low) < FAR * (high - low) / np.sqrt(2 * columns.shape[1])
        ):
            continue
        subject = f"Variable {roles.placed(name)}"
        if high - low <= SMALLEST:
            raise DataError(
                f"{subject} varies by no more than {high - low:.3g}{text}, too little to compute with. Change its unit: "
                f"data[{name!r}] = data[{name!r}] * {_power(1 / max(high - low, 1e-300))}."
            )
        known = columns[i][~np.isnan(columns[i])]
        mean, sd = low + float(np.mean(known - low)), float(np.std(known - low))
        remedy = f"Subtract a constant, for example data[{name!r}] = data[{name!r}] - data[{name!r}].mean()"
        if abs(mean) > TOO_FAR * sd:
            raise DataError(
                f"{subject} has a mean of {mean:.3g} and a standard deviation of {sd:.3g}{text}: in floating point hardly a digit "
                f"of its variation is left. {remedy}, before it is stored in this precision."
            )
        if abs(mean) > FAR * sd:
            told += (
                f"{subject} has a mean of {mean:.3g} and a standard deviation of {sd:.3g}{text}: floating point keeps few digits "
                f"of its variation, so that the search may find no end. {remedy}; only means and intercepts change by it.",
            )
    return told


def _power(value: float) -> str:
    return f"1e{int(np.floor(np.log10(value)))}"


def rounding_error(low: float, high: float) -> float:
    """The difference between two values of a variable with this range that counts as rounding."""
    return 1e-10 * (high - low) + 16 * float(np.finfo(float).eps) * max(abs(low), abs(high))
