"""Statistics of data sets that come in pieces: they add up, also where the rows of a cluster lie in several pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import Roles, chunks, factorize, kind_of_ids, read_piece, rounding
from mlsem_jax.estimation import Model, kind_of
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.observed import ClusterMeans, CompleteStatistics, merge, pool_sizes, reduce_merged, row_means

Dropped = tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """What adds up: one mean a cluster, with the ids (J,) of the clusters and the names of variables, clusters and groups."""

    clusters: ClusterMeans
    ids: np.ndarray
    roles: Roles
    cluster: str
    group: str | None


@jax.tree_util.register_pytree_node_class
class Collected:
    """Statistics of a data set: as a pytree, `reduced` and nothing else.

    What adds up stays behind when a JAX transformation takes the pytree apart, because ids are no arrays and must not decide
    whether a program is compiled again. rows_dropped: reasons and counts of rows that were left out. variables: names of the
    columns, where they are known.
    """

    def __init__(
        self,
        reduced: Statistics | None = None,
        layer: Layer | None = None,
        rows_dropped: Dropped = (),
        variables: tuple[str, ...] | None = None,
    ):
        self._reduced, self._layer, self.rows_dropped = reduced, layer, rows_dropped
        self.variables = layer.roles.variables if variables is None and layer is not None else variables

    def tree_flatten(self) -> tuple[tuple[Statistics], None]:
        return (self.reduced,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Statistics]) -> Collected:
        return cls(children[0])

    @property
    def reduced(self) -> Statistics:
        """The arrays that the likelihood needs. Statistics of several tables are summed, and checked as a whole, when they are
        first used: DataError for what no two-level model can be fitted to.
        """
        if self._reduced is None:
            assert self._layer is not None
            _check_whole(self._layer)
            complete = reduce_merged(self._layer.clusters)
            self._reduced = Statistics((CompleteTerm(complete),), pool_sizes(complete))
        return self._reduced

    @property
    def complete(self) -> CompleteStatistics | None:
        """The reduced statistics of the clusters without missing values, None where there are none."""
        return self.reduced.complete

    @property
    def layer(self) -> Layer:
        """What adds up. Raises DataError for statistics that do not know their clusters."""
        if self._layer is None:
            raise DataError(
                "These statistics cannot be added: they hold missing-value patterns or have been through a JAX transformation, "
                "so the ids of their clusters are not known. Add statistics of complete data before transforming them."
            )
        return self._layer

    def __add__(self, other: Collected) -> Collected:
        """Statistics of both data sets; clusters with the same id are one cluster."""
        if not isinstance(other, Collected):
            raise DataError(
                f"Only statistics can be added to statistics, not {kind_of(other)}: make them with ml.statistics(model, data)."
            )
        mine, theirs = self.layer, other.layer
        _check_alike(mine, theirs)
        dropped = Counter(dict(self.rows_dropped)) + Counter(dict(other.rows_dropped))
        return Collected(None, _merged(mine, theirs), tuple(dropped.items()))

    def __radd__(self, other: object) -> Collected:
        """`sum` starts with 0."""
        return self if isinstance(other, int) and other == 0 else self + other  # type: ignore[operator]

    def __repr__(self) -> str:
        if self._layer is None:
            return "<mlsem_jax statistics>"
        left_out = "".join(f"; {count} rows left out: {reason}" for reason, count in self.rows_dropped)
        rows, clusters = int(self._layer.clusters.size.sum()), len(self._layer.ids)
        return f"<mlsem_jax statistics of {rows} rows in {clusters} clusters{left_out}>"


def _check_alike(mine: Layer, theirs: Layer) -> None:
    if mine.roles.variables != theirs.roles.variables or len(mine.clusters.within) != len(theirs.clusters.within):
        raise DataError(
            "Statistics of models with different variables or groups cannot be added: make both with the same model."
        )
    _check_kinds(mine.ids, theirs.ids, mine.cluster)


def _check_kinds(mine: np.ndarray, theirs: np.ndarray, cluster: str) -> None:
    """1 and '1' would count as two clusters."""
    if len(mine) and len(theirs) and (one := kind_of_ids(mine)) != (two := kind_of_ids(theirs)):
        raise DataError(
            f"The cluster ids in {cluster!r} are {two} here and {one} before, so that no cluster would have rows in both. "
            "Convert them to one type."
        )


def _merged(a: Layer, b: Layer) -> Layer:
    ids = _joined(a.ids, b.ids)
    old, groups = len(a.ids), len(a.clusters.within)
    codes, _ = factorize(ids)
    if groups > 1:
        codes, _ = factorize(codes * groups + np.concatenate([a.clusters.group, b.clusters.group]))
    places = codes[old:]
    _check_between_only(a, b, places)
    clusters = merge(a.clusters, b.clusters, places, a.roles.between_only)
    return Layer(clusters, np.concatenate([ids[:old], ids[old:][places >= old]]), a.roles, a.cluster, a.group)


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Ids one after the other, with the values of both as they are."""
    if not len(a) or not len(b):
        return b if len(b) else a
    same = a.dtype.kind == b.dtype.kind or {a.dtype.kind, b.dtype.kind} <= set("iuf")
    return np.concatenate([a, b] if same else [a.astype(object), b.astype(object)])


def _check_between_only(a: Layer, b: Layer, places: np.ndarray) -> None:
    """A between-only variable of a cluster that both hold has one value."""
    both = np.flatnonzero(places < len(a.ids))
    for i in np.flatnonzero(a.roles.between_only) if len(both) else ():
        mine, theirs = a.clusters.mean[:, i], b.clusters.mean[:, i]
        off = np.abs(mine[places[both]] - theirs[both]) > rounding(np.concatenate([mine, theirs]))
        if off.any():
            raise DataError(
                f"Variable {a.roles.variables[i]!r} at level 2 has different values in two parts of {int(off.sum())} clusters "
                f"({listing(b.ids[both[off]])}). Use its cluster means, or add it to level: 1 too."
            )


def _check_whole(layer: Layer) -> None:
    """What only all rows together can satisfy."""
    clusters, roles = layer.clusters, layer.roles
    if not len(layer.ids):
        raise DataError("The data hold no complete row.")
    if len(clusters.within) > 1:
        codes, distinct = factorize(layer.ids)
        if len(distinct) < len(layer.ids):
            split = distinct[np.flatnonzero(np.bincount(codes) > 1)]
            raise DataError(
                f"The grouping variable {layer.group!r} varies within {len(split)} of {len(distinct)} clusters of "
                f"{layer.cluster!r} ({listing(split)}); a cluster must belong to one group. If the ids are numbered anew in each "
                "group, make them unique."
            )
    if len(layer.ids) == 1:
        raise DataError(
            f"The cluster variable {layer.cluster!r} has a single value; a two-level model needs two at least."
        )
    if clusters.size.max() == 1:
        raise DataError(
            f"Every cluster of {layer.cluster!r} has a single row ({len(layer.ids)} clusters), so that levels 1 and 2 cannot be "
            "told apart."
        )
    scatter = np.diagonal(clusters.within, axis1=1, axis2=2).sum(0)
    limit = clusters.size.sum() * np.array([rounding(column) ** 2 for column in clusters.mean.T])
    for i, name in enumerate(roles.variables):
        if roles.between_only[i]:
            if np.ptp(clusters.mean[:, i]) == 0:
                raise DataError(
                    f"Variable {name!r} at level 2 is constant; a variable without variance cannot be in the model."
                )
        elif scatter[i] <= limit[i]:
            raise DataError(
                f"Variable {name!r} at {roles.level(name)} does not vary within any cluster: it is a property of clusters. Move it "
                "to level: 2."
            )


def collect(model: Model, data: Iterable[Any]) -> Collected:
    """Statistics of a data set that comes in chunks, of which one at a time is in memory."""
    specification, source = model.labels.specification, model.labels.source
    if specification.slopes:
        raise DataError("Statistics from several tables are of models without random slopes. Pass one table.")
    roles = Roles(specification.within.observed, specification.between.observed)
    labels = source.group_label or specification.groups
    needed = [*roles.variables, source.cluster, *([source.group] if source.group else [])]
    parts = [_empty(roles, specification.ngroups, source.cluster, source.group)]
    first: np.ndarray | None = None
    for number, chunk in enumerate(chunks(data, needed), 1):
        try:
            piece = read_piece(chunk, roles, source.cluster, source.group, labels, source.missing)
            first = piece.ids if first is None and len(piece.ids) else first
            _check_kinds(piece.ids if first is None else first, piece.ids, source.cluster)
            one = row_means(piece.values, piece.codes, piece.group, specification.ngroups)
            layer = Layer(one, piece.ids, roles, source.cluster, source.group)
            parts.append(Collected(None, layer, piece.dropped))
            # parts of like size are added first: the cost per chunk does not grow with what was read before
            while len(parts) > 1 and 2 * len(parts[-1].layer.ids) >= len(parts[-2].layer.ids):
                parts[-2:] = [parts[-2] + parts[-1]]
        except DataError as error:
            raise DataError(f"Chunk {number} of the data: {error}") from None
    return sum(reversed(parts[:-1]), parts[-1])


def _empty(roles: Roles, groups: int, cluster: str, group: str | None) -> Collected:
    none = row_means(np.empty((0, len(roles.variables))), np.zeros(0, int), np.zeros(0, int), groups)
    return Collected(None, Layer(none, np.zeros(0, np.int64), roles, cluster, group))
