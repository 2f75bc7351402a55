"""One piece of a table that comes in several: converted and checked row by row; what needs all rows is checked by the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._columns import to_float
from mlsem_jax.data._frame import column_names, read_columns
from mlsem_jax.data._units import factorize


def read_piece(
    data: Any, variables: Sequence[str], cluster: str, group: str | None, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Complete rows of a piece: values (N, p), cluster codes (N,), ids (J,) and groups (J,) of the clusters.

    Rows with a missing value, without a cluster or outside the groups `labels` are left out.
    """
    known = column_names(data)
    needed = [*variables, cluster, *([group] if group else [])]
    absent = [name for name in needed if name not in known]
    if absent:
        raise DataError(
            f"A piece of the data has no column {listing(map(repr, absent))}; all pieces need the same columns."
        )
    table = read_columns(data, needed)
    values = np.empty((len(table.index), len(variables)))
    for i, name in enumerate(variables):
        values[:, i] = to_float(table.columns[name], name, "the model")
    if np.isinf(values).any():
        name = variables[int(np.isinf(values).any(axis=0).argmax())]
        raise DataError(f"Variable {name!r} holds infinite values. Correct them, or mark them as missing.")
    codes, ids = factorize(table.columns[cluster])
    of_row = np.zeros(len(values), dtype=np.intp)
    if group and labels:
        by_row, names = factorize(table.columns[group])
        place = np.array([labels.index(str(name)) if str(name) in labels else -1 for name in names] + [-1])
        of_row = place[by_row]
    keep = (codes >= 0) & (of_row >= 0) & ~np.isnan(values).any(axis=1)
    values, codes, of_row = values[keep], codes[keep], of_row[keep]
    pairs, code = np.unique(codes * max(len(labels), 1) + of_row, return_inverse=True)
    return values, code, ids[pairs // max(len(labels), 1)], pairs % max(len(labels), 1)
