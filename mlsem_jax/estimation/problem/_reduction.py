"""From checked data to the statistics of both routes: complete clusters by size, the others by missing-value pattern."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.data import Roles, TwoLevelData
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics, Term
from mlsem_jax.models import Specification
from mlsem_jax.observed import (
    ClusterStatistics,
    CompleteStatistics,
    PatternStatistics,
    cluster_statistics,
    pattern_statistics,
    pool_sizes,
    reduce,
    reduce_rows,
    row_statistics,
    sample_moments,
)


@dataclass(frozen=True)
class Reduction:
    """Statistics of a data set for a model.

    clusters: the cluster layer of the complete clusters, whose codes in the data are complete_codes; pattern_codes: the codes
    of the others, in order. rows, counts (G,): rows with a level-1 value and clusters, by group, each as often as its weight says.
    sample: within covariance,
    between covariance (G, p, p) and mean (G, p) by analysis of variance, missing values set to means: for starting values, and
    exact for covariates held at sample moments, which have no missing values.

    With one level the statistics know rows alone; the clusters, or where there are none the rows, are the layer for scores and
    weights. A fit read from a file has no layer of rows.
    """

    clusters: ClusterStatistics | None
    statistics: Statistics
    complete_codes: np.ndarray
    pattern_codes: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    sample: tuple[np.ndarray, np.ndarray, np.ndarray]


def slope_columns(specification: Specification) -> np.ndarray:
    """Columns of the covariates with random slopes, slope by slope in the order of `Specification.slopes`."""
    column_of = {name: i for i, name in enumerate(specification.variables)}
    return np.array([column_of[slope.covariate] for slope in specification.slopes], int)


def make_statistics(specification: Specification, data: TwoLevelData) -> Reduction:
    """One pass over the rows; clusters without missing values go by size unless the model has random slopes."""
    groups, z = data.ngroups, np.asarray(data.between_only, bool)
    slopes = slope_columns(specification)
    missing = np.isnan(data.values)
    count = data.nclusters
    incomplete = np.zeros(count, bool)
    if len(slopes):
        incomplete[:] = True
    elif missing.any():
        incomplete[data.cluster[missing.any(axis=1)]] = True
    seen = data.seen
    often = data.cluster_weights
    each = often[data.cluster] if data.row_weights is None else often[data.cluster] * data.row_weights
    rows = np.bincount(data.group[data.cluster[seen]], each[seen], groups)
    counts = np.bincount(data.group, often, groups)
    layer = _units if data.single else _clusters
    alone = specification.alone_within
    if not incomplete.any():
        clusters = layer(data)
        complete = _reduced(clusters, data)
        statistics = Statistics((CompleteTerm(complete),), pool_sizes(complete))
        sample = sample_moments(complete, z, alone)
        return Reduction(clusters, statistics, np.arange(count), np.zeros(0, int), rows, counts, sample)
    filled = _filled(data, missing, seen)
    every = _reduced(layer(filled), filled)
    sample = sample_moments(every, z, alone)
    some: ClusterStatistics | None = None
    terms: list[Term] = []
    if not incomplete.all():
        part = _only(data, ~incomplete)
        some = layer(part)
        terms.append(CompleteTerm(_reduced(some, part)))
    terms.append(PatternTerm(patterns_of(specification, data, incomplete, by_pair=bool(len(slopes)), weighted=True)))
    statistics = Statistics(tuple(terms), None if len(slopes) else pool_sizes(every))
    return Reduction(some, statistics, np.flatnonzero(~incomplete), np.flatnonzero(incomplete), rows, counts, sample)


def _reduced(clusters: ClusterStatistics, data: TwoLevelData) -> CompleteStatistics:
    if data.single:
        return reduce_rows(clusters, data.ngroups)
    return reduce(clusters, data.ngroups, data.cluster_weights)


def _clusters(data: TwoLevelData) -> ClusterStatistics:
    return cluster_statistics(data.values, data.cluster, data.group, data.row_weights)


def _units(data: TwoLevelData) -> ClusterStatistics:
    """The layer of a model of one level: its clusters, or its rows."""
    if data.clustered:
        return _clusters(data)
    return row_statistics(data.values, data.group[data.cluster], data.row_weights)


def patterns_of(
    specification: Specification, data: TwoLevelData, which: np.ndarray, by_pair: bool, weighted: bool = False
) -> PatternStatistics:
    """Pattern statistics of the clusters marked in which (J,).

    by_pair: with what scores and weights of clusters need; without it the rows of a group are one cluster if nothing has a
    between part. weighted: clusters count as often as their weights say; without it once, as where weights come later.
    """
    part = _only(data, which)
    if data.single and not by_pair:
        part = replace(part, cluster=part.group[part.cluster], group=np.arange(data.ngroups))
    with np.errstate(invalid="ignore"):
        known = data.known
        reference = np.where(known, data.values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    within_only = np.array([v in specification.within_only for v in specification.variables])
    effects = np.flatnonzero(~np.asarray(data.between_only, bool) & ~within_only)
    return pattern_statistics(
        part.values if data.absent is None else np.where(part.known, part.values, np.nan),
        part.cluster,
        part.group,
        data.between_only,
        reference=reference,
        slope_columns=slope_columns(specification),
        # arrays without elements have no shape to work with: where no variable has a between part, one with a variance of 0
        effects=effects if len(effects) else np.zeros(1, int),
        by_pair=by_pair,
        weights=part.row_weights,
        cluster_weights=part.cluster_weights if weighted and part.weighted and not part.single else None,
    )


def own_roles(specification: Specification) -> tuple[Roles, ...]:
    """Which part a group's variables play, by group; empty where all groups have the same variables at the same levels."""
    groups = [specification.group(g) for g in range(1, specification.ngroups + 1)]
    if all(one.level(lv).observed == specification.level(lv).observed for one in groups for lv in one.numbers):
        return ()
    return tuple(
        Roles(
            one.within.observed,
            one.between.observed,
            one.within.covariates,
            one.between.covariates,
            single=one.single,
        )
        for one in groups
    )


def _only(data: TwoLevelData, which: np.ndarray) -> TwoLevelData:
    """The rows of the marked clusters, with codes 0..; labels of rows are left as they are."""
    if which.all():
        return data
    keep = which[data.cluster]
    code = np.cumsum(which) - 1
    survey = None if data.survey is None else data.survey.only(keep, which)
    ids = data.cluster_ids[which]
    return replace(
        data,
        values=data.values[keep],
        cluster=code[data.cluster[keep]],
        group=data.group[which],
        survey=survey,
        cluster_ids=ids,
    )


def _filled(data: TwoLevelData, missing: np.ndarray, seen: np.ndarray) -> TwoLevelData:
    """Missing values at the mean of their cluster, or of everybody where the cluster has none; for starting values only."""
    known, here = ~missing, data.known
    values = np.where(known, data.values, 0.0)
    grand = values.sum(axis=0) / np.maximum(here.sum(axis=0), 1)
    columns = []
    for v in range(values.shape[1]):
        total = np.bincount(data.cluster, values[:, v], data.nclusters)
        number = np.bincount(data.cluster, known[:, v], data.nclusters)
        mean = np.where(number > 0, total / np.maximum(number, 1), grand[v])
        columns.append(np.where(known[:, v], data.values[:, v], mean[data.cluster]))
    present = np.zeros(data.nclusters, bool)
    present[data.cluster[seen]] = True
    survey = None if data.survey is None else data.survey.only(seen, np.ones(data.nclusters, bool))
    filled = replace(data, values=np.stack(columns, axis=1)[seen], cluster=data.cluster[seen], survey=survey)
    return _only(filled, present) if not present.all() else filled
