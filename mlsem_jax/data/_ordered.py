"""Columns of ordered categories -> codes 0, ..., K - 1, and what has to be told about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._columns import to_float
from mlsem_jax.data._frame import read_columns
from mlsem_jax.data._missing_codes import category_warnings

if TYPE_CHECKING:
    import pandas as pd

# categories from which a user is told that a variable is better taken as continuous
MANY = 12
# a variable with this share of distinct values among its rows, and more than MANY, is continuous
DISTINCT = 0.5


@dataclass(frozen=True, eq=False)
class OrderedColumn:
    """An ordered variable of a table: its categories in order, as the user has them, and the codes (N,) of the rows, NaN where
    missing.
    """

    name: str
    categories: tuple[Any, ...]
    codes: np.ndarray


def read_ordered(data: Any, names: Sequence[str]) -> tuple[dict[str, OrderedColumn], tuple[str, ...]]:
    """The named columns as ordered ones, and sentences for the user.

    Numbers are ordered by size, truth values False < True, an ordered pandas Categorical by its own order.

    **Raises:** DataError for text, unordered categories, infinite values, a single category and continuous variables.
    """
    table = read_columns(data, list(dict.fromkeys(names)))
    read = [_read(table.columns[name], name) for name in dict.fromkeys(names)]
    return {column.name: column for column, _ in read}, tuple(sentence for _, told in read for sentence in told)


def read_known(data: Any, known: Sequence[tuple[str, tuple[Any, ...]]]) -> dict[str, OrderedColumn]:
    """Columns of other rows as codes of categories that are known already, (name, categories) as in `TwoLevelData.ordered`.

    **Raises:** DataError for a value that is none of them.
    """
    table, found = read_columns(data, [name for name, _ in known]), {}
    for name, categories in known:
        code = {category: float(i) for i, category in enumerate(categories)}
        series = table.columns[name]
        missing = series.isna().to_numpy()
        values = [None if gone else value for value, gone in zip(series.tolist(), missing, strict=True)]
        if other := sorted({str(v) for v in values if v is not None and v not in code}):
            raise DataError(
                f"{name!r} has {listing(other, 5)}, which no row had that the model was fitted to: its categories are "
                f"{listing(categories, 8)}."
            )
        codes = np.array([np.nan if v is None else code[v] for v in values])
        found[name] = OrderedColumn(name, categories, codes)
    return found


def _read(series: pd.Series, name: str) -> tuple[OrderedColumn, list[str]]:
    import pandas as pd

    told: list[str] = []
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, seen, told = _of_categorical(series, name)
    else:
        if not pd.api.types.is_numeric_dtype(series.dtype) and any(isinstance(v, str) for v in series.dropna()):
            raise DataError(_text(series, name))
        values = to_float(series, name, repr(name))
        if np.isinf(values).any():
            row = series.index[int(np.flatnonzero(np.isinf(values))[0])]
            raise DataError(f"{name!r} has an infinite value in row {row!r}. Correct it, or mark it as missing.")
        known = ~np.isnan(values)
        distinct, where = np.unique(values[known], return_inverse=True)
        codes = np.full(len(values), np.nan)
        codes[known] = where
        seen = tuple(int(v) if v == int(v) else float(v) for v in distinct)
        if any(isinstance(v, float) for v in seen) and len(seen) <= MANY:
            told.append(
                f"{name!r}: {len(seen)} distinct values ({listing(seen, 6)}) are taken as categories in this order."
            )
    return _checked(OrderedColumn(name, seen, codes), told)


def _text(series: pd.Series, name: str) -> str:
    """What is wrong with a column of text, and what to do: numbers where the text is one of numbers."""
    texts = sorted(set(map(str, series.dropna())))
    shown = f"{name!r} holds text ({listing(texts, 5)}): the order of its categories is not known. "
    if all(_is_number(text) for text in texts):
        return f"{shown}It is one of numbers, which have an order: pd.to_numeric(data[{name!r}])."
    return (
        f"{shown}Give integer codes, or an ordered pandas Categorical: pd.Categorical(data[{name!r}], categories=[...], "
        "ordered=True)."
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _of_categorical(series: pd.Series, name: str) -> tuple[np.ndarray, tuple[Any, ...], list[str]]:
    """Codes, the categories that occur, and a sentence on those that do not."""
    categories = tuple(series.cat.categories)
    if not series.cat.ordered:
        raise DataError(
            f"{name!r} is a categorical without an order ({listing(categories, 6)}). Give its order: "
            f"data[{name!r}].cat.as_ordered(), or set_categories([...], ordered=True)."
        )
    raw = series.cat.codes.to_numpy().astype(float)
    used = np.unique(raw[raw >= 0]).astype(int)
    absent = [categories[i] for i in range(len(categories)) if i not in set(used)]
    codes = np.where(raw >= 0, np.searchsorted(used, np.maximum(raw, 0)), np.nan).astype(float)
    told = []
    if absent:
        count = len(used) - 1
        told.append(
            f"{name!r} declares categor{'y' if len(absent) == 1 else 'ies'} {listing(absent, 6)}, which "
            f"do{'es' if len(absent) == 1 else ''} not occur: it has {count} threshold{'' if count == 1 else 's'}, not "
            f"{len(categories) - 1}."
        )
    return codes, tuple(categories[i] for i in used), told


def _checked(column: OrderedColumn, told: list[str]) -> tuple[OrderedColumn, list[str]]:
    name, count = column.name, len(column.categories)
    known = column.codes[~np.isnan(column.codes)]
    rows = len(known)
    if count == 0:
        raise DataError(f"{name!r} has no values. Remove it from the model.")
    if count == 1:
        raise DataError(
            f"{name!r} is declared ordered but has one category only ({column.categories[0]}, in all {rows} rows). Remove it from "
            "the model or from ordered=."
        )
    if count > MANY and count > DISTINCT * rows:
        raise DataError(
            f"{name!r} has {count} distinct values in {rows} rows: it is continuous. Remove it from ordered=."
        )
    if count > MANY:
        rarest = int(np.bincount(known.astype(int)).min())
        told.append(
            f"{name!r} has {count} categories ({count - 1} thresholds, the rarest with {rarest} row{'' if rarest == 1 else 's'}): "
            "treat it as continuous or merge categories."
        )
    told += category_warnings(name, column.categories, np.bincount(known.astype(int), minlength=count).tolist())
    return column, told


def check_categories(
    columns: Sequence[OrderedColumn], codes: np.ndarray, group: np.ndarray, labels: Sequence[str]
) -> None:
    """**Raises:** DataError where a category does not occur in a group. codes (N, v): of the rows used; group (N,): theirs."""
    for i, column in enumerate(columns):
        known = ~np.isnan(codes[:, i])
        k = len(column.categories)
        counts = [
            np.bincount(codes[known & (group == g), i].astype(int), minlength=k) for g in range(max(len(labels), 1))
        ]
        for g, count in enumerate(counts):
            if count.all():
                continue
            category = column.categories[int(np.flatnonzero(count == 0)[0])]
            where = f"in group {labels[g]!r} " if labels else "in the rows that are used "
            others = [str(labels[h]) for h, c in enumerate(counts) if c.all()] if labels else []
            has_all = f"; group {others[0]!r} has all {k}" if others else ""
            both = "in all groups, or fit the groups apart" if labels else "in the data"
            raise DataError(
                f"Category {category} of {column.name!r} does not occur {where}(counts {', '.join(map(str, count))}{has_all}). "
                f"Merge it with a neighbouring category {both}."
            )
