"""Rows of a data set as what the integrals of ordered outcomes are of: distinct clusters, padded in blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.likelihood import ClusterSizes
from mlsem_jax.models import Moments, Specification
from mlsem_jax.ordinal.full._cells import Cluster
from mlsem_jax.ordinal.full._conditional import left_over, pivots_of
from mlsem_jax.ordinal.full._layout import Layout, points_for
from mlsem_jax.ordinal.full._term import Block, OrdinalTerm

# padding that is accepted before clusters of different sizes are put into blocks of their own, and the most blocks of a group
PADDED, BLOCKS = 2.0, 2


def ordinal_layout(specification: Specification, link: str, integrated: bool = True) -> Layout:
    """Places of a model's variables, without the dimensions of the integrals. Raises ModelError for what ML does not integrate,
    if it is to be integrated.
    """
    names, known = specification.variables, {v.name: v.categories for v in specification.ordered}
    covariates = {*specification.within.covariates, *specification.between.covariates}
    ordered = [v for v in names if v in known]
    rest = [v for v in names if v not in known and v not in covariates]
    above = [v for v in rest if v not in specification.within.observed]
    if above and integrated:
        raise ModelError(
            f"estimator='ML' does not yet take continuous outcomes of level 2 alone ({listing(above)}) beside ordered ones; "
            "estimator='WLSMV' does, and so does a model in which they are covariates."
        )
    p = len(names)
    place = {name: i for i, name in enumerate(names)}
    return Layout(
        ordered=tuple(place[v] for v in ordered),
        continuous=tuple(place[v] for v in rest),
        within_x=tuple(place[v] for v in specification.within.covariates),
        between_x=tuple(place[v] for v in specification.between.covariates),
        slopes=tuple(range(p, p + len(specification.slopes))),
        slope_x=tuple(place[slope.covariate] for slope in specification.slopes),
        unit_levels=tuple(specification.unit_level(v) for v in ordered),
        categories=tuple(known[v] for v in ordered),
        link=link,
    )


def integral(layout: Layout, moments: Moments, integration: str, points: int) -> tuple[Layout, tuple[str, ...]]:
    """The layout with the dimensions that moments (NumPy) inside the model's domain say and points for each; sentences on these."""
    empty = replace(layout, within_pivots=(), between_pivots=())
    found = [left_over(moments, empty, g) for g in range(moments.levels[0].cov.shape[0])]
    within, between = (
        pivots_of(np.asarray(sum(part[i] / np.trace(part[i]).clip(1e-300) for part in found))) for i in (0, 1)
    )
    return points_for(replace(layout, within_pivots=within, between_pivots=between), integration, points)


def ordinal_term(layout: Layout, data: TwoLevelData, merge: bool = True) -> OrdinalTerm:
    """The data as a term; merge: rows of a cluster, and clusters of one row, that are alike are one. Raises DataError for missing
    values of continuous outcomes.
    """
    gap = [data.variables[v] for v in layout.continuous if np.isnan(data.values[:, v]).any()]
    if gap:
        raise DataError(
            f"{listing(gap)} {'has' if len(gap) == 1 else 'have'} missing values: with estimator='ML' and ordered variables, "
            "continuous outcomes must be complete. Use missing='listwise', or estimator='WLSMV'."
        )
    rows = RowColumns(layout, data, merge)
    blocks, member, before = [], np.zeros(data.nclusters, int), 0
    for group in range(data.ngroups):
        for some in _by_size(np.flatnonzero(data.group == group), rows.sizes):
            clusters = rows.clusters(some)
            alone = merge and len(clusters.often[0]) == 1
            first, where = _distinct(clusters) if alone else (np.arange(len(some)),) * 2
            count = np.bincount(where, data.cluster_weights[some], len(first))
            kept = Cluster(*(getattr(clusters, f)[first] for f in Cluster.__dataclass_fields__))
            blocks.append(Block(kept, count, group))
            member[some] = before + where
            before += len(first)
    values = np.array([np.sum(~np.isnan(data.values[:, list(layout.outcomes)]))], float)
    sizes = ClusterSizes(
        data.group, np.bincount(data.cluster, minlength=data.nclusters).astype(float), data.cluster_weights
    )
    return OrdinalTerm(tuple(blocks), member, sizes, values, layout)


class RowColumns:
    """The columns of all rows, sorted by cluster."""

    def __init__(self, layout: Layout, data: TwoLevelData, merge: bool):
        order = np.argsort(data.cluster, kind="stable")
        values, cluster = data.values[order], data.cluster[order]
        self._merge = merge
        self.sizes = np.bincount(cluster, minlength=data.nclusters)
        self.start = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        answers = values[:, list(layout.ordered)]
        first = np.zeros(len(cluster), bool)
        first[self.start] = True
        above = np.array(layout.unit_levels) == 2
        answers = np.where(np.isnan(answers) | (above & ~first[:, None]), -1, answers)
        self.answers = answers.astype(int)
        self.often = np.ones(len(cluster)) if data.row_weights is None else data.row_weights[order]
        both = np.isin(layout.within_x, layout.between_x)
        mean = (
            np.stack([np.bincount(cluster, values[:, v], data.nclusters) for v in layout.between_x], axis=1)
            if (layout.between_x)
            else np.zeros((data.nclusters, 0))
        )
        self.between_x = mean / self.sizes[:, None]
        within = values[:, list(layout.within_x)]
        for i, v in enumerate(layout.within_x):
            if both[i]:
                within[:, i] -= self.between_x[cluster, layout.between_x.index(v)]
        self.within_x = within
        self.slope_x = values[:, list(layout.slope_x)]
        self.continuous = values[:, list(layout.continuous)]

    def clusters(self, some: np.ndarray) -> Cluster:
        """Clusters (by code) padded to the largest of them; in clusters without covariates and continuous outcomes rows with the
        same answers are one.
        """
        plain = self._merge and not (self.within_x.shape[1] or self.slope_x.shape[1] or self.continuous.shape[1])
        parts = [self._one(j, plain) for j in some]
        longest = max(len(often) for *_, often in parts)
        answers = np.full((len(some), longest, self.answers.shape[1]), -1)
        often = np.zeros((len(some), longest))
        columns = [np.zeros((len(some), longest, x.shape[1])) for x in (self.within_x, self.slope_x, self.continuous)]
        for i, (at, given, count) in enumerate(parts):
            answers[i, : len(count)], often[i, : len(count)] = given, count
            for column, x in zip(columns, (self.within_x, self.slope_x, self.continuous), strict=True):
                column[i, : len(count)] = x[at]
        return Cluster(answers, often, *columns, self.between_x[some])

    def _one(self, j: int, plain: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.arange(self.start[j], self.start[j] + self.sizes[j])
        if not plain:
            return at, self.answers[at], self.often[at]
        given, where = np.unique(self.answers[at], axis=0, return_inverse=True)
        return at[: len(given)], given, np.bincount(where.ravel(), self.often[at], len(given))


def _by_size(codes: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Clusters in a few sets of similar size."""
    codes = codes[np.argsort(sizes[codes], kind="stable")]
    own = sizes[codes]
    if own.max() <= PADDED * own.mean() or len(codes) < BLOCKS:
        return [codes]
    cuts = np.searchsorted(np.cumsum(own), np.linspace(0, own.sum(), BLOCKS + 1)[1:-1])
    return [part for part in np.split(codes, np.unique(cuts)) if len(part)]


def _distinct(clusters: Cluster) -> tuple[np.ndarray, np.ndarray]:
    """Of clusters of one row: the first of each kind, and the kind of each."""
    flat = np.concatenate(
        [np.reshape(getattr(clusters, f), (len(clusters.often), -1)) for f in Cluster.__dataclass_fields__], axis=1
    )
    _, first, where = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    return first, where.ravel()
