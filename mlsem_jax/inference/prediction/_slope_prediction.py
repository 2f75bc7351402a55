"""Factor scores of models with random slopes: posterior means of the cluster effects, slopes among them, and of the rows' factors.

Row i is y_i = mu_W + Z_i u_j + e_i with u_j = (between part of y, slopes), Z_i = (I, d_1 x_i1, ...); within factors gain
t_k x_ik s_jk where t_k is the total effect of slope k's target on them.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation, slope_columns
from mlsem_jax.inference.prediction._patterns import (
    by_pattern,
    cluster_values,
    precision_of,
    prior_of_level,
    weights_of,
)
from mlsem_jax.likelihood import EffectInformation, posterior
from mlsem_jax.models import LevelMatrices, Specification, level_matrices, members


def scored(specification: Specification, level: int) -> tuple[str, ...]:
    """What is scored at a level: its latent variables and, at level 2, the between parts (random intercepts) of outcomes."""
    latent = specification.level(level).latent
    if level == 1:
        return latent
    outcomes = [r.lhs for r in specification.parameters if r.level == 2 and r.op == "~" and r.lhs not in latent]
    return (*latent, *dict.fromkeys(v for v in outcomes if v in specification.within.observed))


def slope_scores(
    estimation: Estimation, level: int, data: TwoLevelData
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, scores and standard errors of what is scored at a level: (N or J, names)."""
    build, natural = estimation.model.build, estimation.model.natural
    specification = build.specification
    names = scored(specification, level)
    at = [members(specification, level).index(v) for v in names]
    count = len(data.values) if level == 1 else data.nclusters
    values, se = np.empty((count, len(at))), np.empty((count, len(at)))
    columns, z = slope_columns(specification), np.asarray(data.between_only, bool)
    targets = np.asarray(build.structure.slope_targets)
    for group in range(specification.ngroups):
        within, between = (level_matrices(build.structure, natural, lv, group) for lv in (1, 2))
        clusters = np.flatnonzero(data.group == group)
        rows = np.flatnonzero(data.group[data.cluster] == group)
        code = np.searchsorted(clusters, data.cluster[rows])
        y, x = data.values[rows], data.values[rows][:, columns]
        mean, cov = _posterior(within, between, targets, y, x, code, len(clusters), z, weights_of(data, rows))
        u = len(z) + len(columns)
        if level == 2:
            values[clusters] = mean[:, u:][:, at]
            se[clusters] = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2)[:, u:][:, at], 0.0))
        else:
            values[rows], se[rows] = _within(within, targets, y, x, code, z, mean[:, :u], cov[:, :u, :u], at)
    return names, values, se


def _design(within: LevelMatrices, targets: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Z_i (N, p, p + r)."""
    directions = targets @ within.paths.T
    p = within.lambda_.shape[0]
    eye = np.broadcast_to(np.eye(p), (len(x), p, p))
    return np.concatenate([eye, np.einsum("kp,nk->npk", directions, x)], axis=2)


def _posterior(within, between, targets, y, x, code, clusters, z, often) -> tuple[np.ndarray, np.ndarray]:
    """Of (u, eta_B) given the data of each cluster, row i counting often[i] times: mean (J, u + m) and covariance
    (J, u + m, u + m).
    """
    p, u = len(z), between.cov.shape[0]
    prior = prior_of_level(between)
    level_1 = np.where(z, np.nan, y)
    design = _design(within, targets, x)
    # the between means of y are part of the mean of a row, those of the slopes act through u
    offset = within.mean + between.mean[:p]
    a, b = np.zeros((clusters, u, u)), np.zeros((clusters, u))
    for seen, rows in by_pattern(level_1):
        w = precision_of(within, seen)
        deviation = np.where(seen, level_1[rows] - offset, 0.0)
        zw = often[rows, None, None] * (np.swapaxes(design[rows], 1, 2) @ w)
        np.add.at(a, code[rows], zw @ design[rows])
        np.add.at(b, code[rows], np.einsum("nup,np->nu", zw, deviation))
    known_values = cluster_values(y, code, clusters, z)
    known = ~np.isnan(known_values) & z
    # which leaves of u the slopes themselves and the deviations of y
    centre = np.where(np.arange(u) < p, between.mean, 0.0)
    v = len(prior.cov)
    mean, cov = np.empty((clusters, v)), np.empty((clusters, v, v))
    for seen, here in by_pattern(np.where(known, known_values, np.nan)):
        given_z = prior.given(np, seen, known_values[here])
        found = posterior(np, given_z, EffectInformation(a[here], b[here], centre), np.arange(u))
        mean[here], cov[here] = found.mean, found.cov
    return mean, cov


def _within(within, targets, y, x, code, z, mean, cov, at) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations of the within latent variables of every row."""
    p = len(z)
    level_1, design = np.where(z, np.nan, y), _design(within, targets, x)
    towards = within.eta_cov[at] @ within.lambda_.T
    total = within.total[at] @ targets.T
    values, variance = np.empty((len(y), len(at))), np.empty((len(y), len(at)))
    for seen, rows in by_pattern(level_1):
        weight = towards @ precision_of(within, seen)
        expected = np.einsum("npu,nu->np", design[rows], mean[code[rows]])
        deviation = np.where(seen, level_1[rows] - expected - within.mean, 0.0)
        own = np.einsum("ak,nk,nk->na", total, x[rows], mean[code[rows]][:, p:])
        values[rows] = within.eta_mean[at] + own + deviation @ weight.T
        # uncertainty of u enters through what it adds to the factor less what it takes from the residual
        effect = -np.einsum("ap,npu->nau", weight, design[rows])
        effect[:, :, p:] += total[None] * x[rows][:, None, :]
        spread = np.einsum("nau,nuv,nav->na", effect, cov[code[rows]], effect)
        variance[rows] = np.diag(within.eta_cov)[at] - np.sum(weight * towards, axis=1) + spread
    return values, np.sqrt(np.maximum(variance, 0.0))
