"""Rows of a data set as what the integrals of ordered outcomes are of: distinct clusters, padded in blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.likelihood import ClusterSizes
from mlsem_jax.models import Moments, Specification
from mlsem_jax.ordinal.full._cells import Cluster
from mlsem_jax.ordinal.full._conditional import left_over, pivots_of
from mlsem_jax.ordinal.full._layout import Layout, points_for
from mlsem_jax.ordinal.full._term import Block, OrdinalTerm

# padding that is accepted before clusters of different sizes are put into blocks of their own, and the most blocks of a group
PADDED, BLOCKS = 2.0, 2


def ordinal_layout(specification: Specification, link: str, data: TwoLevelData | None = None) -> Layout:
    """Places of a model's variables, without the dimensions of the integrals; with data also their patterns of missing values."""
    names, known = specification.variables, {v.name: v.categories for v in specification.ordered}
    covariates = {*specification.within.covariates, *specification.between.covariates}
    ordered = [v for v in names if v in known]
    rest = [v for v in names if v not in known and v not in covariates]
    above = [v for v in rest if v not in specification.within.observed]
    rest = [v for v in rest if v not in above]
    p = len(names)
    place = {name: i for i, name in enumerate(names)}
    layout = Layout(
        ordered=tuple(place[v] for v in ordered),
        continuous=tuple(place[v] for v in rest),
        within_x=tuple(place[v] for v in specification.within.covariates),
        between_x=tuple(place[v] for v in specification.between.covariates),
        slopes=tuple(range(p, p + len(specification.slopes))),
        slope_x=tuple(place[slope.covariate] for slope in specification.slopes),
        unit_levels=tuple(specification.unit_level(v) for v in ordered),
        categories=tuple(known[v] for v in ordered),
        link=link,
        above=tuple(place[v] for v in above),
    )
    return layout if data is None else replace(layout, seen=seen_patterns(layout, data))


def seen_patterns(layout: Layout, data: TwoLevelData) -> tuple[tuple[int, ...], ...]:
    """Which continuous outcomes the rows have, pattern by pattern, the one with most first; none where every row has all."""
    known = np.unique(~np.isnan(data.values[:, list(layout.continuous)]), axis=0)
    if known.all():
        return ()
    return tuple(sorted((tuple(np.flatnonzero(row).tolist()) for row in known), key=lambda seen: (-len(seen), seen)))


def with_patterns(layout: Layout, moments: Moments, data: TwoLevelData) -> Layout:
    """The layout with the patterns of missing values of other data; moments (NumPy) say the dimensions of their integrals."""
    seen = seen_patterns(layout, data)
    if set(seen) <= set(layout.patterns):
        return layout
    return replace(_with_pivots(replace(layout, seen=seen), moments), between_pivots=layout.between_pivots)


def integral(layout: Layout, moments: Moments, integration: str, points: int) -> tuple[Layout, tuple[str, ...]]:
    """The layout with the dimensions that moments (NumPy) inside the model's domain say and points for each; sentences on these."""
    return points_for(_with_pivots(layout, moments), integration, points)


def _with_pivots(layout: Layout, moments: Moments) -> Layout:
    empty = replace(layout, within_pivots=(), between_pivots=(), pattern_pivots=())
    found = [left_over(moments, empty, g) for g in range(moments.levels[0].cov.shape[0])]

    def pivots(parts: list[np.ndarray]) -> tuple[int, ...]:
        return pivots_of(np.asarray(sum(part / np.trace(part).clip(1e-300) for part in parts)))

    each = tuple(pivots([within[k] for within, _ in found]) for k in range(len(layout.patterns)))
    return replace(
        layout,
        within_pivots=max(each, key=len),
        between_pivots=pivots([between for _, between in found]),
        pattern_pivots=each if len(each) > 1 else (),
    )


def ordinal_term(layout: Layout, data: TwoLevelData, merge: bool = True) -> OrdinalTerm:
    """The data as a term; merge: rows of a cluster, and clusters of one row, that are alike are one. Raises DataError for missing
    values of outcomes of level 2 alone, and for patterns of missing values that the layout does not have.
    """
    _check_gaps(layout, data)
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
    above = data.nclusters * len(layout.above)
    values = np.array([np.sum(~np.isnan(data.values[:, list(layout.outcomes)])) + above], float)
    sizes = ClusterSizes(
        data.group, np.bincount(data.cluster, minlength=data.nclusters).astype(float), data.cluster_weights
    )
    return OrdinalTerm(tuple(blocks), member, sizes, values, layout)


def _check_gaps(layout: Layout, data: TwoLevelData) -> None:
    missing = np.isnan(data.values)
    known = [np.bincount(data.cluster, ~missing[:, v], data.nclusters) for v in layout.above]
    gap = [data.variables[v] for v, count in zip(layout.above, known, strict=True) if not count.all()]
    if gap:
        raise DataError(
            f"{listing(gap)} {'has' if len(gap) == 1 else 'have'} missing values: with estimator='ML' and ordered variables, "
            "outcomes of level 2 alone must be complete. Use missing='listwise', or estimator='WLSMV'."
        )
    if not set(seen_patterns(layout, data)) <= set(layout.patterns):
        gap = [data.variables[v] for v in layout.continuous if missing[:, v].any()]
        raise DataError(
            f"{listing(gap)} {'is' if len(gap) == 1 else 'are'} missing where the data that the model was made from had values: "
            "make it with ml.model() from data with the same patterns of missing values, or leave the rows out."
        )


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
        means = [_means(values[:, v], cluster, data.nclusters) for v in layout.between_given]
        self.between_x = np.stack(means, axis=1) if means else np.zeros((data.nclusters, 0))
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
        within_x, slope_x, continuous = columns
        return Cluster(answers, often, within_x, slope_x, continuous, self.between_x[some])

    def _one(self, j: int, plain: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.arange(self.start[j], self.start[j] + self.sizes[j])
        if not plain:
            return at, self.answers[at], self.often[at]
        given, where = np.unique(self.answers[at], axis=0, return_inverse=True)
        return at[: len(given)], given, np.bincount(where.ravel(), self.often[at], len(given))


def _means(values: np.ndarray, cluster: np.ndarray, count: int) -> np.ndarray:
    """Of the values of each cluster that are not missing; NaN where all are."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.bincount(cluster[known], values[known], count) / np.bincount(cluster[known], minlength=count)


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
