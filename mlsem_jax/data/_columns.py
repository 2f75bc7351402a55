"""One column -> float64, NaN where a value is missing; or a sentence that says why not."""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, listing

if TYPE_CHECKING:
    import pandas as pd


def to_float(series: pd.Series, name: str, level: str) -> np.ndarray:
    """The values of a model variable as float64; may share memory with the series.

    Numbers and truth values of any width, pandas' nullable and Arrow types, and object columns that hold only numbers are
    converted; text, categories, dates and complex numbers are not guessed at. `level` ('level 1') is for the message.
    """
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "fiub":
            return series.to_numpy(dtype=np.float64)
        if dtype.kind == "O":
            return _from_objects(series, name, level)
    elif _is_numeric_extension(dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    raise DataError(_complaint(series, name, level))


def _is_numeric_extension(dtype: Any) -> bool:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype) or (dtype.kind in "mMcO" and "decimal" not in str(dtype)):
        return False
    return pd.api.types.is_numeric_dtype(dtype)


def _from_objects(series: pd.Series, name: str, level: str) -> np.ndarray:
    known = series.dropna()
    kinds = set(map(type, known))
    if not all(issubclass(kind, (numbers.Real, Decimal, np.bool_)) for kind in kinds):
        raise DataError(_complaint(series, name, level))
    out = np.full(len(series), np.nan)
    out[series.notna().to_numpy()] = [float(value) for value in known]
    return out


def _complaint(series: pd.Series, name: str, level: str) -> str:
    """What is wrong with a column that does not hold numbers, and what to do."""
    import pandas as pd

    subject = f"Variable {name!r} at {level}"
    if isinstance(series.dtype, pd.CategoricalDtype):
        return (
            f"{subject} is categorical ({len(series.cat.categories)} categories: {listing(series.cat.categories)}); model "
            f"variables must be numbers. If the categories are ordered and may count as equidistant, use "
            f"data[{name!r}].cat.codes; otherwise make indicator columns with pandas.get_dummies."
        )
    if series.dtype.kind == "c" or any(issubclass(t, complex) for t in set(map(type, series.dropna().head(1000)))):
        return f"{subject} holds complex numbers; model variables must be real."
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or series.dtype.kind in "mM":
        return (
            f"{subject} holds dates or times ({series.dtype}); model variables must be numbers. Count from an origin, for "
            f"example (data[{name!r}] - data[{name!r}].min()).dt.days for dates."
        )
    return _text_complaint(series, name, subject)


def _text_complaint(series: pd.Series, name: str, subject: str) -> str:
    import pandas as pd

    known = series.dropna()
    numeric = pd.to_numeric(known.astype(str), errors="coerce")
    bad = list(dict.fromkeys(map(repr, known[numeric.isna()])))
    if not bad:
        return (
            f"{subject} holds numbers stored as text; convert it: data[{name!r}] = pandas.to_numeric(data[{name!r}])."
        )
    remedy = (
        f"If these stand for missing values, data[{name!r}] = pandas.to_numeric(data[{name!r}], errors='coerce'); if they "
        "are categories, recode them to 0/1 indicators."
    )
    return f"{subject} holds text, such as {listing(bad, 3)}; model variables must be numbers. {remedy}"
