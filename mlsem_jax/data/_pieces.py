"""One chunk of a table that comes in several: converted and checked row by row; what needs all rows is checked by the caller."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsem_jax._errors import DataError, ModelWarning, listing
from mlsem_jax.data._columns import to_float
from mlsem_jax.data._frame import column_names, factors_of, held_of, read_columns, with_products
from mlsem_jax.data._ids import Ids, factorize, read_ids
from mlsem_jax.data._magnitude import check_magnitude, rounding_error
from mlsem_jax.data._missing import MISSING_COVARIATE, fill_between, missing_option
from mlsem_jax.data._roles import Roles
from mlsem_jax.data._units import as_labels


class Piece(NamedTuple):
    """Rows that are used: values (N, p), NaN where missing, cluster codes (N,), ids (J,) and groups (J,) of the clusters, and how
    many rows were left out.
    """

    values: np.ndarray
    codes: np.ndarray
    ids: np.ndarray
    group: np.ndarray
    dropped: tuple[tuple[str, int], ...]

    def blocks(self, rows: int) -> Iterator[Piece]:
        """The same in pieces of so many rows."""
        for start in range(0, max(len(self.codes), 1), rows):
            codes, here = factorize(self.codes[start : start + rows])
            values, dropped = self.values[start : start + rows], self.dropped if start == 0 else ()
            yield Piece(values, codes, self.ids[here], self.group[here], dropped)


def comes_in_chunks(data: Any) -> bool:
    """Whether the data are an iterable of tables, an Arrow dataset or an Arrow stream; a table is none of these."""
    if hasattr(data, "to_batches") and not hasattr(data, "to_pandas"):
        return True
    # a lazy table of polars has columns, but warns of the cost of looking
    columns = hasattr(data, "collect_schema") or hasattr(data, "columns")
    table = columns or isinstance(data, (Mapping, np.ndarray, str, bytes))
    return isinstance(data, Iterable) and not table and not hasattr(data, "column_names")


def chunks(data: Any, needed: Sequence[str]) -> Iterator[Any]:
    """The tables of such data, one at a time; of an Arrow dataset only the columns needed, without reading far ahead."""
    if (table := held_of(data)) is not None:
        data = table
    if not hasattr(data, "to_batches"):
        yield from data
        return
    if hasattr(getattr(data, "schema", None), "names"):
        names = data.schema.names
        needed = [part for name in needed for part in factors_of(name, names) or (name,)]
    if hasattr(data, "get_fragments"):
        _check_files(data, needed)
    if hasattr(data, "scanner"):
        # Arrow's defaults keep 64 batches of 131,072 rows in memory
        data = data.scanner(columns=list(dict.fromkeys(needed)), batch_readahead=2, fragment_readahead=1)
    yield from (batch for batch in data.to_batches() if batch.num_rows)


def _check_files(dataset: Any, needed: Sequence[str]) -> None:
    """Arrow reads a column that a file lacks as missing values: every row of the file would be left out."""
    _check_present(dataset.schema.names, needed, "The Arrow dataset")
    for fragment in dataset.get_fragments():
        partition = str(getattr(fragment, "partition_expression", ""))
        there = [name for name in needed if name in fragment.physical_schema.names or name in partition]
        _check_present(there, needed, f"File {getattr(fragment, 'path', '')!r} of the Arrow dataset")


def _check_present(known: Sequence[str], needed: Sequence[str], subject: str) -> None:
    absent = [name for name in dict.fromkeys(needed) if name not in known]
    if absent:
        raise DataError(f"{subject} has no column {listing(map(repr, absent))}; all parts need the same columns.")


def read_piece(data: Any, roles: Roles, cluster: str, group: str | None, labels: Sequence[str], missing: str) -> Piece:
    """Rows with a missing value, without a cluster or outside the groups `labels` are left out; between-only values are filled in.

    missing: 'listwise', or 'ml' and its synonyms, which leave out those without a fixed covariate of level 1 alone. With one level
    the rows of a group are one cluster, whose id is the number of the group.
    """
    needed = [*roles.variables, *(name for name in (cluster, group) if name)]
    _check_present(with_products(column_names(data), needed), needed, "The table")
    table = read_columns(data, needed)
    values = np.empty((len(table.index), len(roles.variables)), order="F")
    for i, name in enumerate(roles.variables):
        values[:, i] = to_float(table.columns[name], name, roles.placed(name))
        if np.isinf(values[:, i]).any():
            raise DataError(
                f"Variable {roles.placed(name)} holds infinite values. Correct them, or mark them as missing."
            )
    check_magnitude(values.T, roles, np.asarray(table.index))
    one = Ids(np.zeros(len(values), np.intp), np.zeros(1, np.int64))
    codes, ids, told = one if roles.single else read_ids(table.columns[cluster], "cluster")
    of_row = np.zeros(len(values), dtype=np.intp)
    if group and labels:
        by_row, names, more = read_ids(table.columns[group], "grouping")
        told += more
        place = np.array([labels.index(name) if name in labels else -1 for name in as_labels(names)] + [-1])
        of_row = place[by_row]
    for sentence in told:
        warnings.warn(sentence, ModelWarning, stacklevel=4)
    inside = (codes >= 0) & (of_row >= 0)
    every = missing_option(missing) == "ml"
    pair = np.where(inside, codes * max(len(labels), 1) + of_row, -1)
    if every:
        fill_between(values.T, np.asarray(np.isnan(values).any(axis=0)), pair, roles)
    # an unknown covariate of level 2 may be known from a later chunk: what it takes along is decided at the end
    needs = roles.conditioning & ~roles.between_only if every else np.ones(values.shape[1], bool)
    keep = inside & ~np.isnan(values[:, needs].sum(axis=1))
    dropped = {
        "missing cluster id": int((codes < 0).sum()),
        "group missing or not among group_label": int(((of_row < 0) & (codes >= 0)).sum()),
        MISSING_COVARIATE if every else "missing values (listwise)": int(inside.sum() - keep.sum()),
    }
    if not keep.all():
        values, pair = values[keep], pair[keep]
    code, pairs = factorize(pair)
    ids, of_cluster = plain_ids(ids[pairs // max(len(labels), 1)]), pairs % max(len(labels), 1)
    ids = of_cluster.astype(np.int64) if roles.single else ids
    _make_constant(values, code, ids, roles)
    return Piece(values, code, ids, of_cluster, tuple((reason, count) for reason, count in dropped.items() if count))


def _make_constant(values: np.ndarray, code: np.ndarray, ids: np.ndarray, roles: Roles) -> None:
    """In place: variables of level 2 alone have the value of their cluster's first row."""
    if not len(values) or not roles.between_only.any():
        return
    first = np.empty(len(ids), dtype=np.intp)
    first[code[::-1]] = np.arange(len(code))[::-1]  # the last assignment wins
    for i in np.flatnonzero(roles.between_only):
        value = values[first, i][code]
        off = np.abs(values[:, i] - value) > rounding(values[:, i])
        if off.any():
            wrong = np.unique(code[off])
            name = roles.variables[i]
            raise DataError(
                f"Variable {name!r} at level 2 varies within {len(wrong)} of {len(ids)} clusters ({listing(ids[wrong])}). Use its "
                "cluster means, or add it to level: 1 too."
            )
        values[:, i] = value


def rounding(values: np.ndarray) -> float:
    """The difference between two values of a variable that counts as rounding; NaN are none."""
    known = values[~np.isnan(values)]
    return rounding_error(float(known.min()), float(known.max())) if len(known) else 0.0


def plain_ids(ids: np.ndarray) -> np.ndarray:
    """Whole numbers as int64 whatever their width: a missing id turns the integers of a chunk to floating point."""
    if ids.dtype.kind == "f" and np.all(ids == np.floor(ids)) and np.all(np.abs(ids) < 2**53):
        return ids.astype(np.int64)
    if ids.dtype.kind in "iub" and not (ids.dtype.kind == "u" and np.any(ids > np.iinfo(np.int64).max)):
        return ids.astype(np.int64)
    return ids


def kind_of_ids(ids: np.ndarray) -> str:
    """'numbers', 'text' or another word: ids of different kinds are never those of one cluster."""
    import pandas as pd

    if ids.dtype.kind in "iuf":
        return "numbers"
    word = pd.api.types.infer_dtype(ids)
    if word == "string":
        return "text"
    return "numbers" if word in ("integer", "floating", "decimal", "mixed-integer-float", "boolean") else word
