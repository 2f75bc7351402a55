"""Several data sets in the place of one: imputations in a list or a dictionary, plausible values in columns of one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax.data._frame import column_names, read_columns

_EXAMPLE = "plausible_values={'math': ['PV1MATH', 'PV2MATH', 'PV3MATH', 'PV4MATH', 'PV5MATH']}"


def several(data: Any) -> bool:
    """Whether this is a list, tuple or dictionary with tables in it."""
    if isinstance(data, Mapping):
        return any(_is_table(value) for value in data.values())
    return isinstance(data, list | tuple) and any(map(_is_table_or_pair, data))


def data_sets(data: Any) -> dict[str, Any]:
    """The tables by name: "1", "2", ... in a list. DataError for fewer than two, or what is none."""
    named = dict(data) if isinstance(data, Mapping) else {str(i): one for i, one in enumerate(data, 1)}
    for name, one in named.items():
        if not _is_table(one):
            hint = " Of a groupby take the tables alone: [part for _, part in data.groupby(...)]."
            raise DataError(
                f"data is several data sets, and number {name} is a {type(one).__name__}, not a table."
                f"{hint if isinstance(one, tuple) else ''}"
            )
    if len(named) < 2:
        raise DataError("data is a list with one table: pooling needs two imputations or more. Pass the table itself.")
    return {str(name): one for name, one in named.items()}


def plausible_tables(data: Any, plausible: Any) -> dict[str, Any]:
    """One table for each plausible value, with the columns of the data and the variables that `plausible` names."""
    if several(data):
        raise DataError("plausible_values= takes one table, and data is several: give the one or the other.")
    known = column_names(data)
    columns = _checked(plausible, known)
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        frame = data
        keys = {str(key): key for key in data.columns}
    else:
        table = read_columns(data, known)
        frame, keys = pd.DataFrame(dict(table.columns), index=table.index), {name: name for name in known}
    count = len(next(iter(columns.values())))
    return {
        str(i + 1): frame.assign(**{name: frame[keys[of[i]]] for name, of in columns.items()}) for i in range(count)
    }


def _checked(plausible: Any, known: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Variables with their columns. DataError in words for lists of unequal length, columns missing or named twice."""
    if not isinstance(plausible, Mapping) or not plausible:
        raise DataError(f"plausible_values must be a dictionary of variables with their columns: {_EXAMPLE}.")
    out: dict[str, tuple[str, ...]] = {}
    for name, of in plausible.items():
        if isinstance(of, str) or not hasattr(of, "__iter__") or isinstance(of, Mapping):
            raise DataError(f"plausible_values: {name!r} needs a list of columns, as in {_EXAMPLE}.")
        out[str(name)] = tuple(map(str, of))
    for name, of in out.items():
        if name in known:
            raise DataError(
                f"plausible_values: {name!r} is a column of the data already. Give the variable another name, in the model too."
            )
        if missing := [column for column in of if column not in known]:
            raise DataError(
                f"plausible_values: the data have no column {listing(map(repr, missing))} for {name!r} "
                f"({len(of) - len(missing)} of {len(of)} found).{nearest(missing[0], known)}"
            )
    lengths = {name: len(of) for name, of in out.items()}
    if len(set(lengths.values())) > 1:
        said = listing(f"{name!r} has {count}" for name, count in lengths.items())
        raise DataError(f"plausible_values: {said} columns; all variables need the same number, which belong together.")
    if next(iter(lengths.values())) < 2:
        raise DataError("plausible_values: pooling needs two plausible values or more of each variable.")
    twice = [column for column, count in Counter(c for of in out.values() for c in of).items() if count > 1]
    if twice:
        raise DataError(f"plausible_values: {listing(map(repr, twice))} is named twice.")
    doubled = [column for column, count in Counter(known).items() if count > 1 and column in sum(out.values(), ())]
    if doubled:
        raise DataError(f"The data have more than one column called {listing(map(repr, doubled))}: rename or drop one.")
    return out


def _is_table(value: Any) -> bool:
    try:
        return bool(column_names(value))
    except (DataError, TypeError):
        return False


def _is_table_or_pair(value: Any) -> bool:
    """A table, or as a groupby gives them a pair with one."""
    return _is_table(value) or (isinstance(value, tuple) and any(map(_is_table, value)))
