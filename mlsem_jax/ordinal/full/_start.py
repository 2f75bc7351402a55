"""Rough moments of latent responses, for starting values; and the moments of the covariates that the model is given."""

from __future__ import annotations

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import Moments, Specification
from mlsem_jax.numerics import normal_quantile

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]

# share of the variance between clusters that a start has at least, and the largest communality it assumes
LEAST_BETWEEN, COMMON = 0.05, 0.75


def latent_moments(specification: Specification, data: TwoLevelData, unit: float) -> tuple[Sample, np.ndarray]:
    """Covariances within and between clusters (G, p, p), means (G, p) and thresholds (G, p, K - 1) of latent responses.

    Categories are taken as numbers and rescaled so that the residuals within clusters have about the variance `unit`, or where a
    scale is a parameter so that the variance there is what it says, 1 where it is free.
    """
    place = {name: i for i, name in enumerate(specification.variables)}
    ordered = {place[v.name]: v.categories for v in specification.ordered}
    levels = {place[v.name]: specification.unit_level(v.name) for v in specification.ordered}
    groups, p = data.ngroups, len(place)
    within, between, mean = (np.zeros((groups, *shape)) for shape in ((p, p), (p, p), (p,)))
    thresholds = np.zeros((groups, p, max(ordered.values()) - 1))
    for g in range(groups):
        rows = data.group[data.cluster] == g
        inside, above, mean[g] = _parts(data.values[rows], np.unique(data.cluster[rows], return_inverse=True)[1])
        if specification.single:
            inside, above = _total(data.values[rows]), np.zeros((p, p))
        scale = _scales(inside, above, ordered, levels, unit, _fixed_scales(specification, g + 1))
        within[g], between[g] = (m * np.outer(scale, scale) for m in (inside, above))
        for v, k in ordered.items():
            known = data.values[rows, v]
            share = np.cumsum(np.bincount(known[~np.isnan(known)].astype(int), minlength=k))[:-1] / np.sum(
                ~np.isnan(known)
            )
            size = np.sqrt(within[g, v, v] + between[g, v, v])
            thresholds[g, v, : k - 1] = size * normal_quantile(np.clip(share, 1e-4, 1 - 1e-4))
        mean[g, list(ordered)] = 0.0
    return (within, between, mean), thresholds


def _total(values: np.ndarray) -> np.ndarray:
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    return np.atleast_2d(np.cov(filled.T, bias=True))


def _parts(values: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances within and between clusters by analysis of variance, missing values at their means, and means."""
    mean = np.nanmean(values, axis=0)
    filled = np.where(np.isnan(values), mean, values)
    size = np.bincount(cluster).astype(float)
    means = np.stack([np.bincount(cluster, column) for column in filled.T], axis=1) / size[:, None]
    left = filled - means[cluster]
    within = left.T @ left / max(len(filled) - len(size), 1)
    between = (size[:, None] * (means - mean)).T @ (means - mean) / size.sum() - within / size.mean()
    alone = np.diag(within) <= 1e-12 * np.maximum(np.nanvar(values, axis=0), 1e-300)
    within[alone], within[:, alone] = 0.0, 0.0
    least = LEAST_BETWEEN * (np.diag(within) + np.where(alone, np.nanvar(values, axis=0), 0.0))
    at = np.arange(len(between))
    between[at, at] = np.maximum(np.diag(between), least)
    return within, between, mean


def _fixed_scales(specification: Specification, group: int) -> dict[int, float]:
    """The scales that are parameters by the place of their variable."""
    place = {name: i for i, name in enumerate(specification.variables)}
    rows = (row for row in specification.parameters if row.is_scale and row.group == group)
    return {place[row.lhs]: (row.start or 1.0) if row.value is None else row.value for row in rows}


def _scales(within, between, ordered, levels, unit, fixed) -> np.ndarray:
    """What the numbers of the categories are multiplied by (p,): 1 for variables that are not ordered. fixed: scales of latent
    responses by variable.
    """
    scale = np.ones(len(within))
    for v in ordered:
        own = within if levels[v] == 1 else between
        size = np.sqrt(np.maximum(np.diag(own), 1e-12))
        if v in fixed:
            scale[v] = 1.0 / (abs(fixed[v]) * size[v])
            continue
        others = [w for w in ordered if w != v and levels[w] == levels[v]]
        common = max([abs(own[v, w]) / (size[v] * size[w]) for w in others], default=0.0)
        scale[v] = np.sqrt(unit / (1 - min(common, COMMON))) / size[v]
    return scale


def covariate_moments(specification: Specification, data: TwoLevelData) -> Moments:
    """Sample moments (G, p, p) and (G, p) of the covariates, zeros elsewhere: those of level 1 among rows, those of level 2 among
    clusters. A covariate of both levels is split into its cluster mean, as observed, and the deviations from that.
    """
    place = {name: i for i, name in enumerate(specification.variables)}
    first, second = ([place[v] for v in level.covariates] for level in (specification.within, specification.between))
    groups, p = data.ngroups, len(place)
    cov = [np.zeros((groups, p, p)) for _ in range(2)]
    mean = [np.zeros((groups, p)) for _ in range(2)]
    for g in range(groups):
        rows = data.group[data.cluster] == g
        values, cluster = data.values[rows], np.unique(data.cluster[rows], return_inverse=True)[1]
        size = np.bincount(cluster)
        means = np.stack([np.bincount(cluster, column) for column in values.T], axis=1) / size[:, None]
        both = [v for v in first if v in second]
        inner = values.copy()
        inner[:, both] -= means[cluster][:, both]
        for at, own, found in ((first, inner, 0), (second, means, 1)):
            if at:
                cov[found][g][np.ix_(at, at)] = np.cov(own[:, at].T, bias=True)
                mean[found][g, at] = own[:, at].mean(axis=0)
        mean[0][g, both] = 0.0
    both_levels = Moments.two_level(cov[0], cov[1], mean[0], mean[1])
    return Moments(both_levels.levels[: len(specification.levels)])
