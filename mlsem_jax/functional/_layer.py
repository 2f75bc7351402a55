"""What adds up of data sets that come in pieces, how it does, and what all rows together must satisfy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import Roles, factorize, kind_of_ids, rounding
from mlsem_jax.observed import ClusterMeans, PairSums, add_sums, merge, moments_by_group


@dataclass(frozen=True, eq=False)
class Layer:
    """What adds up: one mean a cluster, or with missing values or random slopes sums by cluster and pattern; with the ids (J,) of
    the clusters and the names of variables, clusters and groups. groups: how many; effects: columns of variables of both levels.
    With one level (roles.single) the rows of a group are one cluster, whose id is the number of the group.
    """

    clusters: ClusterMeans | PairSums
    ids: np.ndarray
    roles: Roles
    cluster: str
    group: str | None
    groups: int
    effects: np.ndarray

    @property
    def between(self) -> np.ndarray:
        """(J, p) values of the between-only variables, NaN where unknown; other columns mean nothing."""
        if isinstance(self.clusters, PairSums):
            return self.clusters.between + self.clusters.shift
        return self.clusters.mean

    def without_covariates(self) -> np.ndarray:
        """(J,) clusters in which a fixed covariate of level 2 is unknown: their rows are left out."""
        return np.isnan(self.between[:, self.roles.conditioning & self.roles.between_only]).any(axis=1)


def check_alike(mine: Layer, theirs: Layer) -> None:
    if mine.roles.variables != theirs.roles.variables or mine.groups != theirs.groups:
        raise DataError(
            "Statistics of models with different variables or groups cannot be added: make both with the same model."
        )
    if type(mine.clusters) is not type(theirs.clusters) or _slopes(mine) != _slopes(theirs):
        raise DataError(
            "Statistics of models with and without missing='ml' or random slopes cannot be added: make both with the same model."
        )
    check_kinds(mine.ids, theirs.ids, mine.cluster)


def check_kinds(mine: np.ndarray, theirs: np.ndarray, cluster: str) -> None:
    """1 and '1' would count as two clusters."""
    if len(mine) and len(theirs) and (one := kind_of_ids(mine)) != (two := kind_of_ids(theirs)):
        raise DataError(
            f"The cluster ids in {cluster!r} are {two} here and {one} before, so that no cluster would have rows in both. "
            "Convert them to one type."
        )


def merged(a: Layer, b: Layer) -> Layer:
    ids = _joined(a.ids, b.ids)
    old, groups = len(a.ids), a.groups
    codes, _ = factorize(ids)
    if groups > 1:
        codes, _ = factorize(codes * groups + np.concatenate([a.clusters.group, b.clusters.group]))
    places = codes[old:]
    _check_between_only(a, b, places)
    every = np.concatenate([ids[:old], ids[old:][places >= old]])
    if isinstance(a.clusters, PairSums) and isinstance(b.clusters, PairSums):
        return replace(a, clusters=add_sums(a.clusters, b.clusters, places), ids=every)
    assert isinstance(a.clusters, ClusterMeans)
    assert isinstance(b.clusters, ClusterMeans)
    return replace(a, clusters=merge(a.clusters, b.clusters, places, a.roles.between_only), ids=every)


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
        mine, theirs = a.between[:, i], b.between[:, i]
        off = np.abs(mine[places[both]] - theirs[both]) > rounding(np.concatenate([mine, theirs]))
        if off.any():
            raise DataError(
                f"Variable {a.roles.variables[i]!r} at level 2 has different values in two parts of {int(off.sum())} clusters "
                f"({listing(b.ids[both[off]])}). Use its cluster means, or add it to level: 1 too."
            )


def check_whole(layer: Layer) -> None:
    """What only all rows together can satisfy."""
    roles = layer.roles
    if not len(layer.ids) or (roles.single and len(layer.ids) < layer.groups):
        what = "complete row" if isinstance(layer.clusters, ClusterMeans) else "row to use"
        raise DataError(f"The data hold no {what}{' in some group' if len(layer.ids) else ''}.")
    if roles.single:
        _check_rows(layer)
        return
    if layer.groups > 1:
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
    if layer.clusters.size.max() == 1:
        raise DataError(
            f"Every cluster of {layer.cluster!r} has a single row ({len(layer.ids)} clusters), so that levels 1 and 2 cannot be "
            "told apart."
        )
    number, scatter, means = _spread_within(layer.clusters)
    limit = number * np.array([rounding(column) ** 2 for column in means.T])
    for i, name in enumerate(roles.variables):
        known = layer.between[~np.isnan(layer.between[:, i]), i]
        if not (len(known) if roles.between_only[i] else number[i]):
            raise DataError(
                f"Variable {name!r} at {roles.level(name)} has no observed value. Check how it was read or merged, or leave it out "
                "of the model."
            )
        if roles.between_only[i]:
            if np.ptp(known) == 0:
                raise DataError(
                    f"Variable {name!r} at level 2 is constant; a variable without variance cannot be in the model."
                )
        elif scatter[i] <= limit[i]:
            raise DataError(
                f"Variable {name!r} at {roles.level(name)} does not vary within any cluster: it is a property of clusters. Move it "
                "to level: 2."
            )


def _spread_within(clusters: ClusterMeans | PairSums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every variable the number of values (p,), their scatter about cluster means (p,), and these (J, p), NaN without values."""
    if isinstance(clusters, ClusterMeans):
        scatter = np.diagonal(clusters.within, axis1=1, axis2=2).sum(0)
        return np.full(len(scatter), clusters.size.sum()), scatter, clusters.mean
    count, p = len(clusters.group), len(clusters.shift)
    number, total = np.zeros((count, p)), np.zeros((count, p))
    for i in range(p):
        number[:, i] = np.bincount(clusters.cluster, clusters.products[:, 0, 0] * clusters.seen[:, i], count)
        total[:, i] = np.bincount(clusters.cluster, clusters.total[:, 0, i], count)
    with np.errstate(invalid="ignore"):
        means = total / number
    return number.sum(0), clusters.square - np.nansum(total * means, axis=0), means + clusters.shift


def _slopes(layer: Layer) -> bool:
    return isinstance(layer.clusters, PairSums) and layer.clusters.slopes


def _check_rows(layer: Layer) -> None:
    """For one level: every variable has values in every group, and varies there."""
    clusters, roles = layer.clusters, layer.roles
    if isinstance(clusters, PairSums):
        number, mean, spread = moments_by_group(clusters, layer.groups)
    else:
        order = np.argsort(clusters.group)
        spread, mean = np.diagonal(clusters.within, axis1=1, axis2=2), clusters.mean[order]
        number = np.broadcast_to(clusters.size[order][:, None], mean.shape)
    for of, values, scatter in zip(number, mean, spread, strict=True):
        for i in np.flatnonzero(of == 0):
            raise DataError(
                f"Variable {roles.placed(roles.variables[i])} has no observed value. Check how it was read or merged, or leave it "
                "out of the model."
            )
        limit = of * np.array([rounding(np.array([0.0, value])) ** 2 for value in values])
        for i in np.flatnonzero(scatter <= limit):
            raise DataError(f"Variable {roles.placed(roles.variables[i])} is constant; remove it from the model.")
