"""Statistics of data sets that come in pieces: they add up, also where the rows of a cluster lie in several pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import (
    MISSING_COVARIATE,
    Roles,
    chunks,
    factorize,
    kind_of_ids,
    missing_option,
    read_piece,
    rounding,
)
from mlsem_jax.estimation import Model, kind_of, slope_columns
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics, Term
from mlsem_jax.observed import (
    ClusterMeans,
    CompleteStatistics,
    PairSums,
    add_sums,
    merge,
    only_clusters,
    pair_sums,
    pool_sizes,
    reduce_merged,
    reduce_sums,
    row_means,
)

# rows of which sums by pattern are made at a time: they take a dozen copies of them
BLOCK = 2**16
Dropped = tuple[tuple[str, int], ...]


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
        self._reduced, self._layer, self._dropped = reduced, layer, rows_dropped
        self.variables = layer.roles.variables if variables is None and layer is not None else variables

    def tree_flatten(self) -> tuple[tuple[Statistics], None]:
        return (self.reduced,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Statistics]) -> Collected:
        return cls(children[0])

    @property
    def rows_dropped(self) -> Dropped:
        """Reasons and counts of rows that were left out, by what is known of their clusters so far."""
        count = Counter(dict(self._dropped))
        if self._layer is not None and isinstance(self._layer.clusters, PairSums):
            count[MISSING_COVARIATE] += int(self._layer.clusters.rows[self._layer.without_covariates()].sum())
        return tuple((reason, number) for reason, number in count.items() if number)

    @property
    def reduced(self) -> Statistics:
        """The arrays that the likelihood needs. Statistics of several tables are summed, and checked as a whole, when they are
        first used: DataError for what no two-level model can be fitted to.
        """
        if self._reduced is None:
            assert self._layer is not None
            self._reduced = _reduced(self._layer)
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
                "These statistics cannot be added: they have been through a JAX transformation or were simulated, so the ids of "
                "their clusters are not known. Add statistics before transforming them."
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
        dropped = Counter(dict(self._dropped)) + Counter(dict(other._dropped))
        return Collected(None, _merged(mine, theirs), tuple(dropped.items()))

    def __radd__(self, other: object) -> Collected:
        """`sum` starts with 0."""
        return self if isinstance(other, int) and other == 0 else self + other  # type: ignore[operator]

    def __repr__(self) -> str:
        if self._layer is None:
            return "<mlsem_jax statistics>"
        left_out = "".join(f"; {count} rows left out: {reason}" for reason, count in self.rows_dropped)
        kept = self._layer.clusters.size[~self._layer.without_covariates()]
        rows, clusters = int(kept.sum()), int((kept > 0).sum())
        of = "" if self._layer.roles.single else f" in {clusters} clusters"
        return f"<mlsem_jax statistics of {rows} rows{of}{left_out}>"


def _check_alike(mine: Layer, theirs: Layer) -> None:
    if mine.roles.variables != theirs.roles.variables or mine.groups != theirs.groups:
        raise DataError(
            "Statistics of models with different variables or groups cannot be added: make both with the same model."
        )
    if type(mine.clusters) is not type(theirs.clusters) or _slopes(mine) != _slopes(theirs):
        raise DataError(
            "Statistics of models with and without missing='ml' or random slopes cannot be added: make both with the same model."
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


def _check_whole(layer: Layer) -> None:
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


def _reduced(layer: Layer) -> Statistics:
    """What the likelihood needs of all rows, checked as a whole."""
    if isinstance(layer.clusters, ClusterMeans):
        _check_whole(layer)
        complete = reduce_merged(layer.clusters)
        return Statistics((CompleteTerm(complete),), pool_sizes(complete))
    keep = ~layer.without_covariates()
    if len(keep) and not keep.any():
        held = [name for name, fixed in zip(layer.roles.variables, layer.clusters.needed, strict=True) if fixed]
        raise DataError(
            f"No cluster has a value of all fixed covariates of level 2 ({listing(map(repr, held))}), so that no row is left. "
            "Check how they were read or merged, or use fixed_x=False."
        )
    sums = only_clusters(layer.clusters, keep)
    layer = replace(layer, clusters=sums, ids=layer.ids[keep])
    _check_whole(layer)
    whole, patterns, pools = reduce_sums(sums, layer.groups, layer.roles.between_only, layer.effects)
    terms: list[Term] = [] if whole is None else [CompleteTerm(whole)]
    return Statistics((*terms, *([] if patterns is None else [PatternTerm(patterns)])), pools)


def roles_of(model: Model) -> Roles:
    """The parts of the observed variables, fixed covariates among them."""
    specification = model.labels.specification
    within, between = specification.within, specification.between
    return Roles(within.observed, between.observed, within.covariates, between.covariates, single=specification.single)


def by_pattern(model: Model) -> bool:
    """Whether the statistics of a model's data go by pattern: with missing values, whether there are some or not, and slopes."""
    return bool(model.labels.specification.slopes) or missing_option(model.labels.source.missing) == "ml"


def layer_of(model: Model, values: np.ndarray, cluster: np.ndarray, group: np.ndarray, ids: np.ndarray) -> Layer:
    """What adds up, of rows (N, p) with cluster codes (N,), and the groups and ids (J,) of the clusters."""
    specification, source, roles = model.labels.specification, model.labels.source, roles_of(model)
    clusters: ClusterMeans | PairSums
    if by_pattern(model) and not specification.single:
        columns = slope_columns(specification)
        if np.isnan(values[:, columns]).any():
            names = listing(repr(roles.variables[i]) for i in columns)
            raise DataError(f"The covariates of random slopes ({names}) must not have missing values.")
        needed = roles.conditioning & roles.between_only
        clusters = pair_sums(values, cluster, group, roles.between_only, columns, needed)
    else:
        clusters = row_means(values, cluster, group, specification.ngroups)
    both = [v in specification.within.observed and v not in specification.within_only for v in specification.variables]
    return Layer(clusters, ids, roles, source.cluster, source.group, specification.ngroups, np.flatnonzero(both))


def _check_rows(layer: Layer) -> None:
    """For one level: every variable varies in every group."""
    clusters, roles = layer.clusters, layer.roles
    assert isinstance(clusters, ClusterMeans)
    for g, code in enumerate(clusters.group):
        scatter = np.diagonal(clusters.within[code])
        limit = clusters.size[g] * np.array([rounding(np.array([0.0, value])) ** 2 for value in clusters.mean[g]])
        for i in np.flatnonzero(scatter <= limit):
            raise DataError(f"Variable {roles.placed(roles.variables[i])} is constant; remove it from the model.")


def collect(model: Model, data: Iterable[Any]) -> Collected:
    """Statistics of a data set that comes in chunks, of which one at a time is in memory."""
    specification, source = model.labels.specification, model.labels.source
    roles = roles_of(model)
    if specification.single and by_pattern(model):
        raise DataError(
            "Statistics of one level with missing='ml' do not add up yet. Pass one table, or use missing='listwise'."
        )
    if not specification.means:
        raise DataError(
            "Statistics that add up need a model with mean structure: make it with ml.model, or pass one table."
        )
    labels = source.group_label or specification.groups
    needed = [*roles.variables, *(name for name in (source.cluster, source.group) if name)]
    none = np.empty((0, len(roles.variables))), np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.int64)
    parts = [Collected(None, layer_of(model, *none))]
    first: np.ndarray | None = None
    for number, chunk in enumerate(chunks(data, needed), 1):
        try:
            piece = read_piece(chunk, roles, source.cluster, source.group, labels, source.missing)
            first = piece.ids if first is None and len(piece.ids) else first
            _check_kinds(piece.ids if first is None else first, piece.ids, source.cluster)
            blocks = piece.blocks(BLOCK) if by_pattern(model) else iter((piece,))
            made = [Collected(None, layer_of(model, b.values, b.codes, b.group, b.ids), b.dropped) for b in blocks]
            while len(made) > 1:
                made = [sum(made[i + 1 : i + 2], made[i]) for i in range(0, len(made), 2)]
            parts += made
            # parts of like size are added first: the cost per chunk does not grow with what was read before
            while len(parts) > 1 and 2 * len(parts[-1].layer.ids) >= len(parts[-2].layer.ids):
                parts[-2:] = [parts[-2] + parts[-1]]
        except DataError as error:
            raise DataError(f"Chunk {number} of the data: {error}") from None
    return sum(reversed(parts[:-1]), parts[-1])
