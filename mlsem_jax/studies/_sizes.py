"""How many rows each cluster has, from what a user writes in a cell of a table or on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsem_jax._arguments import number_of, shown
from mlsem_jax._errors import DataError

_RANGE = re.compile(r"\s*(\d+)\s*(?:-|\.\.|to)\s*(\d+)\s*")
_MOST = 10**7


def cluster_sizes(clusters: int, size: Any) -> np.ndarray:
    """Rows of each of so many clusters, (J,) whole numbers.

    size: a number for all; a range as a text, "5-20": sizes that are spread evenly from the one to the other; or a list of sizes,
    which clusters take in turn (a text of numbers with commas is one). DataError for anything else.
    """
    values = _listed(size)
    if values is None or not len(values) or not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise _refused(size)
    if values.min() < 1 or values.max() > _MOST:
        raise _refused(size)
    if isinstance(size, str) and _RANGE.fullmatch(size):
        return np.round(np.linspace(values[0], values[1], clusters)).astype(int)
    return np.resize(values, clusters).astype(int)


def _listed(size: Any) -> np.ndarray | None:
    if isinstance(size, str):
        found = _RANGE.fullmatch(size)
        words = found.groups() if found else [word for word in size.split(",") if word.strip()]
        try:
            return np.array([float(word) for word in words])
        except ValueError:
            return None
    if (single := number_of(size)) is not None:
        return np.array([single])
    if isinstance(size, Sequence | np.ndarray):
        numbers = [number_of(one) for one in size]
        return None if None in numbers else np.array(numbers, float)
    return None


def _refused(size: Any) -> DataError:
    return DataError(
        f"size={shown(size)}: the rows of a cluster are a whole number such as 20, a range such as '5-20' (sizes spread evenly "
        "from 5 to 20), or a list such as [5, 10, 40] that clusters take in turn."
    )
