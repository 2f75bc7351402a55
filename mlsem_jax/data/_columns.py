"""One column -> float64, NaN where a value is missing; or a sentence that says why not."""

from __future__ import annotations

import numbers
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._text_complaints import text_complaint

if TYPE_CHECKING:
    import pandas as pd


def to_float(series: pd.Series, name: str, placed: str) -> np.ndarray:
    """The values of a model variable as float64; may share memory with the series.

    Numbers and truth values of any width, pandas' nullable and Arrow types, and object columns that hold only numbers are
    converted; text, categories, dates and complex numbers are not guessed at. `placed` ("'y1' at level 1") is for the message.
    """
    dtype = series.dtype
    with np.errstate(over="ignore"):  # of wider types: infinite values are refused by name
        if isinstance(dtype, np.dtype):
            if dtype.kind in "fiub":
                return series.to_numpy(dtype=np.float64)
            if dtype.kind == "O":
                return _from_objects(series, name, placed)
        elif _is_numeric_extension(dtype):
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
    raise DataError(_complaint(series, name, placed))


def _is_numeric_extension(dtype: Any) -> bool:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype) or (dtype.kind in "mMcO" and "decimal" not in str(dtype)):
        return False
    return pd.api.types.is_numeric_dtype(dtype)


def _from_objects(series: pd.Series, name: str, placed: str) -> np.ndarray:
    try:
        known = series.dropna()
    except InvalidOperation:  # pandas compares values, which a decimal.Decimal("sNaN") refuses
        raise DataError(
            f"Variable {placed} holds a signalling NaN of the module decimal. Mark the value as missing."
        ) from None
    kinds = set(map(type, known))
    if not all(issubclass(kind, (numbers.Real, Decimal, np.bool_)) for kind in kinds):
        raise DataError(_complaint(series, name, placed))
    out = np.full(len(series), np.nan)
    out[series.notna().to_numpy()] = [_float(value, name, placed) for value in known]
    return out


def _float(value: Any, name: str, placed: str) -> float:
    try:
        return float(value)
    except (ArithmeticError, ValueError):  # an integer of hundreds of digits, for example
        digits = (
            f"an integer of about {value.bit_length() * 0.301:.0f} digits" if isinstance(value, int) else "too large"
        )
        raise DataError(
            f"Variable {placed} holds a value that floating point cannot hold ({digits}). Correct it, or mark it as "
            "missing."
        ) from None


def _complaint(series: pd.Series, name: str, placed: str) -> str:
    """What is wrong with a column that does not hold numbers, and what to do."""
    import pandas as pd

    subject = f"Variable {placed}"
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = series.cat.categories
        numeric = pd.api.types.is_numeric_dtype(categories.dtype)
        convert = f"data[{name!r}].astype(float)" if numeric else f"data[{name!r}].cat.codes"
        return (
            f"{subject} is categorical ({len(categories)} categories: {listing(categories)}); model variables must be numbers. "
            f"If the categories are ordered, ordered=[{name!r}] takes an outcome or indicator as what it is (ml.sem and its like), "
            f"and where they are about equidistant {convert} makes numbers; otherwise make 0/1 indicators with pandas.get_dummies."
        )
    kinds = set(map(type, series.dropna()))
    if series.dtype.kind == "c" or any(issubclass(kind, (complex, np.complexfloating)) for kind in kinds):
        return f"{subject} holds complex numbers; model variables must be real."
    if series.dtype.kind in "mM" or any(issubclass(kind, (date, timedelta)) for kind in kinds):
        return (
            f"{subject} holds dates or times; model variables must be numbers. Count from an origin, for example "
            f"(data[{name!r}] - data[{name!r}].min()).dt.days for dates."
        )
    if not any(issubclass(kind, str) for kind in kinds):
        names = listing(sorted(kind.__name__ for kind in kinds))
        return f"{subject} holds values of type {names}; model variables must be numbers."
    return text_complaint(series, name, subject)
