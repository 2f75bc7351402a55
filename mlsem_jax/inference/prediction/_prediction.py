"""Factor scores: posterior means of the latent variables given a cluster's data at the estimates (EAP, or BLUP).

Between-only variables z are observed, so the between part of everything is conditioned on them first. The rows then add
information A_j = sum W_i and t_j = sum W_i r_i with W_i the precision of row i's observed variables under the within
covariance (zero for the others) and r_i its deviation from the mean; so missing values need no case of their own. The
posterior mean of (y_B, eta_B) is mu + C (I + A_j S)^-1 t_j with S the covariance of y_B and C that of (y_B, eta_B) with y_B.
Given y_B, the rows are independent.

With weights of rows row i counts w_ij times in A_j and t_j, as in the pseudo-likelihood that was maximised: the pseudo-EBLUP of
survey statistics (You & Rao 2002, whose effective number of rows is what scaling="effective" makes the weights sum to). Weights of
clusters, and in models of one level weights of rows, do not enter: a unit's scores are given its own data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.prediction._one_level_scores import scores_of_one_level
from mlsem_jax.inference.prediction._patterns import (
    by_pattern,
    cluster_values,
    precision_of,
    prior_of_level,
    weights_of,
)
from mlsem_jax.inference.prediction._slope_prediction import scored, slope_scores
from mlsem_jax.inference.variance import refuse_limited
from mlsem_jax.likelihood import EffectInformation, posterior
from mlsem_jax.models import LevelMatrices, level_matrices, members
from mlsem_jax.numerics import float64
from mlsem_jax.observed import whole
from mlsem_jax.ordinal import OrdinalTerm, ordinal_scores

ScoreConvention = Literal["lavaan", "exact"]
ScoreMethod = Literal["regression", "Bartlett"]


@dataclass(frozen=True, eq=False)
class FactorScores:
    """values, se (rows or clusters, latent variables) of `names`, in the order of the data's rows or clusters.

    se: posterior standard deviations, the estimates taken as known.
    """

    names: tuple[str, ...]
    values: np.ndarray
    se: np.ndarray


def predict(
    estimation: Estimation,
    level: int,
    data: TwoLevelData | None = None,
    convention: ScoreConvention = "lavaan",
    method: ScoreMethod = "regression",
) -> FactorScores:
    """Scores of the latent variables of a level for the fit's own data, or other data with the same variables and groups.

    method: posterior means, or in models of one level those that Bartlett (1937) has, which maximise the density of the row given
    the latent variables. NaN for latent variables that a group does not have.

    The conventions differ by a constant for each latent variable and group, where within covariates with means other than
    zero give the outcomes means at level 1. lavaan counts those means to the between parts, but not to the means that these are
    compared with, so that its scores move with the origin of the covariates; exact scores are the posterior means.
    """
    refuse_limited(
        estimation, "There are no factor scores", "posterior means given the answers need one; estimator='ML' has them."
    )
    _check(estimation, level, convention, method)
    specification = estimation.model.build.specification
    data = estimation.data if data is None else data
    found = _scored(estimation, level, data, convention, method)
    of = data.group if level == 2 else data.group[data.cluster]
    for group in range(specification.ngroups if specification.groups else 0):
        block, has = specification.level(level), specification.group(group + 1).level(level)
        lacks = {*block.observed, *block.latent} - {*has.observed, *has.latent}
        for i in (i for i, name in enumerate(found.names) if name in lacks):
            found.values[of == group, i] = found.se[of == group, i] = np.nan
    return found


def _scored(
    estimation: Estimation, level: int, data: TwoLevelData, convention: ScoreConvention, method: ScoreMethod
) -> FactorScores:
    """`predict`, with numbers that mean nothing for latent variables that a group does not have."""
    specification, natural = estimation.model.build.specification, estimation.model.natural
    if data.values.shape[1] != len(specification.variables):
        raise ModelError("The rows are not kept in a saved fit: give them as newdata=.")
    latent, names = specification.level(level).latent, members(specification, level)
    at = [names.index(v) for v in latent]
    if specification.ordered:
        return FactorScores(latent, *_of_ordered(estimation, level, data, at))
    if specification.slopes:
        return FactorScores(*slope_scores(estimation, level, data))
    if specification.single:
        return FactorScores(latent, *scores_of_one_level(estimation, data, at, method))
    count = len(data.values) if level == 1 else data.nclusters
    values, se = np.empty((count, len(latent))), np.empty((count, len(latent)))
    z = np.asarray(data.between_only, bool)
    both = np.array([v in specification.between.observed for v in specification.variables]) & ~z
    for group in range(specification.ngroups):
        within, between = (level_matrices(estimation.model.build.structure, natural, lv, group) for lv in (1, 2))
        extra = np.where(both, within.mean, 0.0) if convention == "lavaan" else np.zeros(len(z))
        clusters = np.flatnonzero(data.group == group)
        if not len(clusters):  # new data need not have every group
            continue
        rows = np.flatnonzero(data.group[data.cluster] == group)
        code = np.searchsorted(clusters, data.cluster[rows])
        often = weights_of(data, rows)
        mean, cov = _between_posterior(within, between, data.values[rows], code, len(clusters), z, often)
        if level == 2:
            towards = between.eta_cov[at] @ between.lambda_.T
            shift = towards @ np.linalg.pinv(between.cov, hermitian=True) @ extra
            values[clusters] = mean[:, len(z) :][:, at] + shift
            se[clusters] = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2)[:, len(z) :][:, at], 0.0))
        else:
            values[rows], se[rows] = _within_scores(within, data.values[rows] - extra, code, z, mean, cov, at)
    return FactorScores(latent, values, se)


@float64
def _of_ordered(estimation: Estimation, level: int, data: TwoLevelData, at: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """EAP scores of latent variables behind ordered answers."""
    build, natural = estimation.model.build, estimation.model.natural
    layout = next(term.layout for term in estimation.statistics.terms if isinstance(term, OrdinalTerm))
    groups, numbers = range(build.specification.ngroups), build.specification.numbers
    levels = [[level_matrices(build.structure, natural, lv, g) for g in groups] for lv in numbers]
    return ordinal_scores(estimation.model.moments, layout, levels, data, level, at)


def _check(estimation: Estimation, level: int, convention: str, method: str) -> None:
    single = estimation.model.build.specification.single
    if single and level == 2:
        raise ModelError("A model of one level has factor scores of rows only: predict().")
    if not single and method != "regression":
        raise ModelError(
            f"method={method!r} is for models of one level; scores of two levels are posterior means, method='regression'."
        )
    if level not in (1, 2):
        raise ModelError(f"level must be 1 (scores of rows) or 2 (scores of clusters), not {level!r}.")
    known = get_args(ScoreConvention)
    if convention not in known:
        raise ModelError(
            f"convention must be one of {', '.join(known)}, not {convention!r}.{nearest(convention, known)}"
        )
    specification = estimation.model.build.specification
    if not (scored(specification, level) if specification.slopes else specification.level(level).latent):
        what = "The model" if single else f"Level {level} of the model"
        raise ModelError(f"{what} has no latent variables, so there are no factor scores{'' if single else ' at it'}.")


def _between_posterior(
    within: LevelMatrices,
    between: LevelMatrices,
    y: np.ndarray,
    code: np.ndarray,
    clusters: int,
    z: np.ndarray,
    often: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (J, v) and covariance (J, v, v) of v = (y_B, eta_B) of every cluster, from the rows y (N, p), NaN where missing, of the
    clusters code (N,); often (N,): how many times a row counts.
    """
    p, prior = len(z), prior_of_level(between)
    z_values = cluster_values(y, code, clusters, z)
    level_1 = np.where(z, np.nan, y)
    total, counts, patterns = np.zeros((clusters, p)), [], []
    for seen, at in by_pattern(level_1):
        w = precision_of(within, seen)
        deviation = np.where(seen, level_1[at] - within.mean - between.mean, 0.0)
        deviation = often[at, None] * deviation
        sums = np.stack([np.bincount(code[at], deviation[:, i], clusters) for i in range(p)], axis=1)
        total += sums @ w
        patterns.append(w)
        counts.append(whole(np.bincount(code[at], often[at], clusters)))
    count = np.stack(counts, axis=1)
    v = len(prior.cov)
    mean, cov = np.empty((clusters, v)), np.empty((clusters, v, v))
    known = ~np.isnan(z_values) & z
    # clusters of one composition share their matrices
    kinds, kind = np.unique(np.concatenate([count, known], axis=1), axis=0, return_inverse=True)
    for number, composition in enumerate(kinds):
        here = np.flatnonzero(kind.ravel() == number)
        a = np.tensordot(composition[: count.shape[1]], np.stack(patterns), 1)
        seen = composition[count.shape[1] :] > 0
        known_z = prior.given(np, seen, z_values[here])
        found = posterior(np, known_z, EffectInformation(a, total[here], between.mean), np.arange(p))
        mean[here], cov[here] = found.mean, found.cov
    return mean, cov


def _within_scores(
    within: LevelMatrices,
    y: np.ndarray,
    code: np.ndarray,
    z: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    at: list[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations of the within latent variables of every row, given those of its cluster."""
    p = len(z)
    values, variance = np.empty((len(y), len(at))), np.empty((len(y), len(at)))
    level_1 = np.where(z, np.nan, y)
    towards = within.eta_cov[at] @ within.lambda_.T
    prior = np.diag(within.eta_cov)[at]
    for seen, rows in by_pattern(level_1):
        weight = towards @ precision_of(within, seen)
        own = mean[code[rows], :p]
        deviation = np.where(seen, level_1[rows] - own - within.mean, 0.0)
        values[rows] = within.eta_mean[at] + deviation @ weight.T
        given = prior - np.sum(weight * towards, axis=1)
        # what is left unknown about the between part
        spread = np.einsum("ai,jik,ak->ja", weight, cov[:, :p, :p], weight)
        variance[rows] = given + spread[code[rows]]
    return values, np.sqrt(np.maximum(variance, 0.0))
