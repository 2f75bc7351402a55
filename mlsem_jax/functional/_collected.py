"""Statistics of data sets that come in pieces: they add up, also where the rows of a cluster lie in several pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import (
    MISSING_COVARIATE,
    Roles,
    chunks,
    give_back,
    missing_option,
    read_piece,
)
from mlsem_jax.estimation import Model, kind_of, slope_columns
from mlsem_jax.functional._layer import Layer, check_alike, check_kinds, check_whole, merged
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics, Term
from mlsem_jax.observed import (
    ClusterMeans,
    CompleteStatistics,
    PairSums,
    only_clusters,
    pair_sums,
    pool_sizes,
    reduce_merged,
    reduce_row_sums,
    reduce_sums,
    row_means,
)
from mlsem_jax.ordinal import OrdinalTerm

# rows of which sums by pattern are made at a time: they take a dozen copies of them
BLOCK = 2**16
# clusters from which on what their reduction leaves behind is worth giving back
MANY = 10_000
Dropped = tuple[tuple[str, int], ...]
ONE_TABLE = (
    "Weighted statistics do not add up: weights are scaled over all rows. Put the rows into one table, of which "
    "ml.statistics(model, data) makes them."
)
OWN_VARIABLES = (
    "Statistics do not add up where groups differ in their variables. Put the rows into one table, of which "
    "ml.statistics(model, data) makes them."
)
WHOLE = (
    "Statistics of ordered variables do not add up: the likelihood of a cluster is an integral over all of its answers. Put the "
    "rows into one table, of which ml.statistics(model, data) makes them."
)


@jax.tree_util.register_pytree_node_class
class Collected:
    """Statistics of a data set: as a pytree, `reduced` and nothing else.

    What adds up stays behind when a JAX transformation takes the pytree apart, because ids are no arrays and must not decide
    whether a program is compiled again. rows_dropped: reasons and counts of rows that were left out. variables: names of the
    columns, where they are known. weighted: rows or clusters count by weights, which are scaled over the whole table.
    """

    def __init__(
        self,
        reduced: Statistics | None = None,
        layer: Layer | None = None,
        rows_dropped: Dropped = (),
        variables: tuple[str, ...] | None = None,
        weighted: bool = False,
        whole: str = "",
    ):
        """whole: why the statistics are those of one table, which cannot be added to others, where that is not the weights."""
        self._reduced, self._layer, self._dropped, self._whole = reduced, layer, rows_dropped, whole
        self.weighted = weighted
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
            if self._layer.roles.single:
                count["no value of any variable"] += int(self._layer.clusters.blank.sum())
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
            if len(self._layer.ids) > MANY:
                give_back()
        return self._reduced

    @property
    def complete(self) -> CompleteStatistics | None:
        """The reduced statistics of the clusters without missing values, None where there are none."""
        return self.reduced.complete

    @property
    def layer(self) -> Layer:
        """What adds up. Raises DataError for statistics that do not know their clusters."""
        if self.weighted or self._whole:
            raise DataError(ONE_TABLE if self.weighted else self._whole)
        if self._layer is None:
            if self._reduced is not None and any(isinstance(term, OrdinalTerm) for term in self._reduced.terms):
                raise DataError(WHOLE)
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
        check_alike(mine, theirs)
        dropped = Counter(dict(self._dropped)) + Counter(dict(other._dropped))
        return Collected(None, merged(mine, theirs), tuple(dropped.items()))

    def __radd__(self, other: object) -> Collected:
        """`sum` starts with 0."""
        return self if isinstance(other, int) and other == 0 else self + other  # type: ignore[operator]

    def __repr__(self) -> str:
        if self.weighted and self._reduced is not None:
            return f"<mlsem_jax statistics, weighted, of {_total(self._reduced):.10g} rows>"
        if self._layer is None:
            answers = [term for term in self._reduced.terms if isinstance(term, OrdinalTerm)] if self._reduced else []
            if answers and np.ndim(answers[0].values) == 1:
                return f"<mlsem_jax statistics of ordered variables, {float(answers[0].values[0]):.10g} values>"
            return "<mlsem_jax statistics>"
        left_out = "".join(f"; {count} rows left out: {reason}" for reason, count in self.rows_dropped)
        kept = self._layer.clusters.size[~self._layer.without_covariates()]
        rows, clusters = int(kept.sum()), int((kept > 0).sum())
        of = "" if self._layer.roles.single else f" in {clusters} clusters"
        return f"<mlsem_jax statistics of {rows} rows{of}{left_out}>"


def _total(statistics: Statistics) -> float:
    """How many rows the statistics count."""
    sizes = [term.cluster_sizes() for term in statistics.terms]
    return float(sum(s.size @ s.count for s in sizes))


def _reduced(layer: Layer) -> Statistics:
    """What the likelihood needs of all rows, checked as a whole."""
    if isinstance(layer.clusters, ClusterMeans):
        check_whole(layer)
        complete = reduce_merged(layer.clusters)
        return Statistics((CompleteTerm(complete),), pool_sizes(complete))
    keep = ~layer.without_covariates()
    if len(keep) and not keep.any():
        covariates = [name for name, fixed in zip(layer.roles.variables, layer.clusters.needed, strict=True) if fixed]
        raise DataError(
            f"No cluster has a value of all fixed covariates of level 2 ({listing(map(repr, covariates))}), so that no row is "
            "left. Check how they were read or merged, or use fixed_x=False."
        )
    sums = only_clusters(layer.clusters, keep)
    layer = replace(layer, clusters=sums, ids=layer.ids[keep])
    check_whole(layer)
    if layer.roles.single:
        whole, patterns, pools = reduce_row_sums(sums, layer.groups)
    else:
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
    if by_pattern(model):
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


def collect(model: Model, data: Iterable[Any]) -> Collected:
    """Statistics of a data set that comes in chunks, of which one at a time is in memory."""
    specification, source = model.labels.specification, model.labels.source
    roles = roles_of(model)
    if source.survey is not None and source.survey.weighted:
        raise DataError(ONE_TABLE)
    if specification.absent.any():
        raise DataError(OWN_VARIABLES)
    if not source.cluster and not specification.single:
        raise DataError("This model was made without data: it does not know which column identifies clusters.")
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
            check_kinds(piece.ids if first is None else first, piece.ids, source.cluster)
            blocks = piece.blocks(BLOCK) if by_pattern(model) else iter((piece,))
            layers = [Collected(None, layer_of(model, b.values, b.codes, b.group, b.ids), b.dropped) for b in blocks]
            while len(layers) > 1:
                layers = [sum(layers[i + 1 : i + 2], layers[i]) for i in range(0, len(layers), 2)]
            parts += layers
            # parts of like size are added first: the cost per chunk does not grow with what was read before
            while len(parts) > 1 and 2 * len(parts[-1].layer.ids) >= len(parts[-2].layer.ids):
                parts[-2:] = [parts[-2] + parts[-1]]
        except DataError as error:
            raise DataError(f"Chunk {number} of the data: {error}") from None
    return sum(reversed(parts[:-1]), parts[-1])
