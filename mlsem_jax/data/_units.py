"""Clusters and groups: ids of any type -> integer codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax.data._frame import column_names, read_columns
from mlsem_jax.data._ids import factorize, read_ids

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Units:
    """Which cluster and group each row belongs to; clusters count from 0 in order of first appearance among all rows.

    codes (N,): cluster, or -1 for a row that belongs to none. ids, group (J,): the user's id and the group of each cluster.
    dropped: reasons and counts of the rows that belong to none. warnings: sentences on the ids.
    """

    codes: np.ndarray
    ids: np.ndarray
    group: np.ndarray
    labels: tuple[str, ...]
    dropped: tuple[tuple[str, int], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def by_row(self) -> np.ndarray:
        """(N,) the group of every row, -1 for a row that belongs to none."""
        return np.where(self.codes >= 0, self.group[self.codes], -1)

    def kept(self, keep: np.ndarray) -> Units:
        """The units of the rows in the mask `keep`, clusters numbered anew."""
        codes, old = factorize(self.codes[keep])
        return Units(codes, self.ids[old], self.group[old], self.labels, self.dropped, self.warnings)


def group_labels(data: Any, group: str | None) -> tuple[str, ...]:
    """The distinct values of the grouping variable as strings, in order of first appearance; () without one."""
    if group is None:
        return ()
    known = column_names(data)
    group = one_column(group, "group", known)
    return as_labels(read_ids(read_columns(data, [group]).columns[group], "grouping").values)


def one_column(name: Any, argument: str, known: Sequence[str]) -> str:
    """The one column that `cluster=` or `group=` names."""
    if not isinstance(name, str) and isinstance(name, Sequence) and len(name) == 1:
        name = name[0]
    if not isinstance(name, str) and isinstance(name, Sequence):
        raise DataError(
            f"{argument}= takes one column, not {len(name)} ({listing(map(repr, name))}). To use their combination, make "
            "a column of it first, for example data['both'] = data['a'].astype(str) + '.' + data['b'].astype(str)."
        )
    if isinstance(name, int):
        name = str(name)
    if not isinstance(name, str):
        raise DataError(f"{argument}= takes the name of a column, not {type(name).__name__}.")
    if name not in known:
        hint = nearest(name, known) or f" The columns are {listing(known, 12)}."
        raise DataError(f"The data have no column {name!r} to use as {argument}=.{hint}")
    return name


def find_units(
    cluster: pd.Series, group: pd.Series | None, group_label: Sequence[object] | None, splits: bool
) -> Units:
    """Codes of clusters and groups; rows without an id or outside the chosen groups get -1 and are counted."""
    found = read_ids(cluster, "cluster")
    rows, ids, told = found.codes, found.values, found.warnings
    dropped = _count("missing cluster id", int((rows < 0).sum()))
    if group is None:
        return Units(rows, ids, np.zeros(len(ids), dtype=np.intp), (), dropped, told)

    groups = read_ids(group, "grouping")
    by_row, labels, told = groups.codes, as_labels(groups.values), told + groups.warnings
    dropped += _count("missing group", int(((by_row < 0) & (rows >= 0)).sum()))
    if group_label is not None:
        chosen, position = _choose(labels, group_label, str(group.name))
        unchosen = (by_row >= 0) & (position[by_row] < 0)
        dropped += _count("group not among group_label", int((unchosen & (rows >= 0)).sum()))
        by_row, labels = np.where(by_row >= 0, position[by_row], -1), chosen
    codes, pairs = factorize(np.where((rows >= 0) & (by_row >= 0), by_row * len(ids) + rows, -1))
    codes, pairs = _without_missing(codes, pairs)
    group_of, id_of = pairs // max(len(ids), 1), pairs % max(len(ids), 1)
    if not splits and len(np.unique(id_of)) < len(id_of):
        raise DataError(_split_message(ids, id_of, str(cluster.name), str(group.name)))
    return Units(codes, ids[id_of], group_of, labels if len(labels) > 1 else (), dropped, told)


def check_cluster_ids(cluster: pd.Series, group: pd.Series | None, group_label: Sequence[object] | None) -> None:
    """For models of one level, in which a row without a cluster has a likelihood but no place in the standard errors.

    Raises DataError where a row of the groups in use has no id.
    """
    missing = read_ids(cluster, "cluster").codes < 0
    if not missing.any():
        return
    at = np.flatnonzero(missing & (rows_as_clusters(len(cluster), group, group_label).codes >= 0))
    if len(at):
        rows = "row" if len(at) == 1 else "rows"
        raise DataError(
            f"cluster {str(cluster.name)!r} is missing in {len(at)} {rows} ({rows} {listing(np.asarray(cluster.index)[at])}). "
            "Standard errors need the cluster of every row: give the row its id (one of its own, if it stands alone), or drop it "
            f"first: data.dropna(subset=[{str(cluster.name)!r}])."
        )


def rows_as_clusters(count: int, group: pd.Series | None, group_label: Sequence[object] | None) -> Units:
    """Every row a cluster of its own, for models of one level without a cluster variable."""
    import pandas as pd

    return find_units(pd.Series(np.arange(count), name="row"), group, group_label, splits=True)


def as_one_cluster(units: Units) -> Units:
    """The same rows, those of a group one cluster: for checks of variables that have no between part."""
    count = max(len(units.labels), 1)
    codes = np.where(units.codes >= 0, units.group[units.codes], -1)
    return Units(codes, np.arange(count), np.arange(count), units.labels)


def _without_missing(codes: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factorized codes in which the value -1 has become the code -1."""
    hole = np.flatnonzero(pairs == -1)
    if len(hole):
        codes = np.where(codes == hole[0], -1, codes - (codes > hole[0]))
        pairs = np.delete(pairs, hole)
    return codes, pairs


def _count(reason: str, count: int) -> tuple[tuple[str, int], ...]:
    return ((reason, count),) if count else ()


def as_labels(values: np.ndarray) -> tuple[str, ...]:
    """Whole numbers that a missing value turned to float are written as whole numbers."""
    if values.dtype.kind == "f" and np.all((values == np.floor(values)) & (np.abs(values) < 2.0**53)):
        values = values.astype(np.int64)
    return tuple(str(value) for value in values)


def _choose(labels: tuple[str, ...], wanted: Sequence[object], name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The chosen labels, in the order asked for, and the new position of each old label (-1: not chosen)."""
    if isinstance(wanted, str):
        wanted = (wanted,)
    chosen = tuple(dict.fromkeys(str(label) for label in wanted))
    unknown = [label for label in chosen if label not in labels]
    if unknown:
        raise DataError(
            f"group_label names {listing(map(repr, unknown))}, which {name!r} does not hold; it holds {listing(labels, 12)}."
        )
    return chosen, np.array([chosen.index(label) if label in chosen else -1 for label in labels], dtype=np.intp)


def _split_message(ids: np.ndarray, id_of: np.ndarray, cluster: str, group: str) -> str:
    distinct, count = np.unique(id_of, return_counts=True)
    split = ids[distinct[count > 1]]
    return (
        f"The grouping variable {group!r} varies within {len(split)} of {len(ids)} clusters of {cluster!r} "
        f"({listing(split)}); a cluster must belong to one group. If the ids are numbered anew in each group, make them "
        f"unique: data[{cluster!r}] = data[{group!r}].astype(str) + '.' + data[{cluster!r}].astype(str)."
    )
