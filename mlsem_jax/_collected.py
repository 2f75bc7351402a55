"""Statistics of data sets that come in pieces: they add up, also where the rows of a cluster lie in several pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import read_piece
from mlsem_jax.estimation import Model
from mlsem_jax.statistics import (
    ClusterStatistics,
    CompleteStatistics,
    Statistics,
    cluster_statistics,
    merge_clusters,
    pool_sizes,
    reduce,
)

# the cluster layer and the ids (J,) of its clusters
Layer = tuple[ClusterStatistics, np.ndarray]


@jax.tree_util.register_pytree_node_class
class Collected:
    """Statistics of a data set: as a pytree, `reduced` and nothing else.

    clusters: the cluster layer, and ids (J,) of its clusters; both stay behind when a JAX transformation takes the pytree
    apart, because ids are no arrays and must not decide whether a program is compiled again.
    """

    def __init__(
        self,
        reduced: Statistics,
        clusters: ClusterStatistics | None = None,
        ids: np.ndarray | None = None,
        groups: int = 1,
    ):
        self.reduced, self.clusters, self.ids, self.groups = reduced, clusters, ids, groups

    def tree_flatten(self) -> tuple[tuple[Statistics], None]:
        return (self.reduced,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Statistics]) -> Collected:
        return cls(children[0])

    @property
    def complete(self) -> CompleteStatistics | None:
        return self.reduced.complete

    @property
    def layer(self) -> Layer:
        """The clusters and their ids. Raises DataError for statistics that do not know them."""
        if self.clusters is None or self.ids is None:
            raise DataError(
                "These statistics cannot be added: they hold missing-value patterns or have been through a JAX transformation, "
                "so the ids of their clusters are not known. Add statistics of complete data before transforming them."
            )
        return self.clusters, self.ids

    def __add__(self, other: Collected) -> Collected:
        """Statistics of both data sets; clusters with the same id (and group) are one cluster."""
        if not isinstance(other, Collected):
            return NotImplemented
        mine, theirs = self.layer, other.layer
        number = {key: i for i, key in enumerate(_keys(mine))}
        places = np.array([number.setdefault(key, len(number)) for key in _keys(theirs)], int)
        _check_between_only(mine, theirs, places)
        merged = merge_clusters(mine[0], theirs[0], places)
        ids = np.array([key[1] for key in number], object)
        return _reduced(merged, ids, max(self.groups, other.groups))

    def __repr__(self) -> str:
        if self.clusters is None or self.ids is None:
            return "<mlsem_jax statistics>"
        return f"<mlsem_jax statistics of {int(np.sum(self.clusters.size))} rows in {len(self.ids)} clusters>"


def _keys(layer: Layer) -> list[tuple[int, object]]:
    clusters, ids = layer
    return list(zip(np.asarray(clusters.group).tolist(), list(ids), strict=True))


def _reduced(clusters: ClusterStatistics, ids: np.ndarray, groups: int) -> Collected:
    complete = reduce(clusters, groups)
    return Collected(Statistics(complete, pool_sizes(complete)), clusters, ids, groups)


def _check_between_only(left: Layer, right: Layer, places: np.ndarray) -> None:
    """A between-only variable of a cluster that both hold has one value: its cross-products are zero in each."""
    (a, ids), (b, other_ids) = left, right
    both = np.flatnonzero(places < len(ids))
    if not len(both):
        return
    flat = ~(np.diagonal(a.cross, axis1=1, axis2=2).any(0) | np.diagonal(b.cross, axis1=1, axis2=2).any(0))
    difference = np.abs(a.mean[places[both]] - b.mean[both]) * flat
    size = np.abs(b.mean[both]).max(0) + 1e-300
    wrong = (difference > 1e-8 * size).any(1)
    if wrong.any():
        raise DataError(
            f"A variable of level 2 has different values in the two parts for {wrong.sum()} of their common clusters "
            f"({listing(other_ids[both[wrong]])}); a cluster must have one value."
        )


def collect(model: Model, pieces: Iterable[Any]) -> Collected:
    """Statistics of a data set that comes in pieces, of which one at a time is in memory."""
    labels, source = model.labels, model.labels.source
    specification = labels.specification
    if specification.slopes or source.missing != "listwise":
        raise DataError(
            "Statistics from several tables are of complete data and models without random slopes. Pass one table, or make the "
            "model with missing='listwise'."
        )
    total: Collected | None = None
    for piece in pieces:
        values, codes, ids, group = read_piece(
            piece, specification.variables, source.cluster, source.group, source.group_label or specification.groups
        )
        if len(values):
            one = _reduced(cluster_statistics(values, codes, group), ids, specification.ngroups)
            total = one if total is None else total + one
    if total is None:
        raise DataError("The data hold no complete row.")
    _check_variation(total, specification.variables, specification.between_only)
    return total


def _check_variation(total: Collected, variables: tuple[str, ...], between_only: tuple[str, ...]) -> None:
    clusters, _ = total.layer
    within = np.diagonal(clusters.cross, axis1=1, axis2=2).sum(0)
    for name, scatter in zip(variables, within, strict=True):
        if name in between_only and scatter > 1e-12 * np.abs(clusters.mean).max():
            raise DataError(
                f"Variable {name!r} at level 2 varies within clusters; use its cluster means, or add it to level: 1."
            )
        if name not in between_only and scatter == 0:
            raise DataError(
                f"Variable {name!r} at level 1 does not vary within any cluster: it is a property of clusters."
            )
