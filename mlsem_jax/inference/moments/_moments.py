"""Moments by group and level, each with its own variables: implied by the model, unrestricted, intraclass correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.models import Moments, Specification, level_matrices, members


@dataclass(frozen=True, eq=False)
class LevelMoments:
    """cov (d, d) and mean (d,) of the d observed variables of a level, in the level's order."""

    names: tuple[str, ...]
    cov: np.ndarray
    mean: np.ndarray


ByGroup = list[tuple[LevelMoments, ...]]
"""By group, the moments of each level, the lowest first."""


def by_level(specification: Specification, moments: Moments) -> ByGroup:
    """Pick each level's own variables from moments (G, p, p) and (G, p)."""
    column_of = {name: i for i, name in enumerate(specification.variables)}
    out = []
    for g in range(specification.ngroups):
        levels = []
        for block, own in zip(specification.group(g + 1).levels, moments.levels, strict=True):
            at = [column_of[name] for name in block.observed]
            cov, mean = np.asarray(own.cov[g])[np.ix_(at, at)], np.asarray(own.mean[g])[at]
            levels.append(LevelMoments(block.observed, cov, mean))
        out.append(tuple(levels))
    return out


def implied(estimation: Estimation) -> ByGroup:
    """Model-implied moments at the estimates. The mean of a variable is the sum of its within and between means."""
    return by_level(estimation.model.build.specification, estimation.model.moments)


def latent_covariances(estimation: Estimation) -> ByGroup:
    """Model-implied moments of the latent variables, by group and level."""
    build, natural = estimation.model.build, estimation.model.natural
    out = []
    for g in range(build.specification.ngroups):
        levels = []
        for level in build.specification.numbers:
            names, latent = members(build.specification, level), build.specification.group(g + 1).level(level).latent
            at = [names.index(v) for v in latent]
            x = level_matrices(build.structure, natural, level, g)
            levels.append(LevelMoments(latent, x.eta_cov[np.ix_(at, at)], x.eta_mean[at]))
        out.append(tuple(levels))
    return out


def joint_moments(estimation: Estimation) -> ByGroup:
    """Model-implied moments of the observed and the latent variables together, by group and level."""
    build, natural = estimation.model.build, estimation.model.natural
    specification, out = build.specification, []
    for g in range(specification.ngroups):
        levels = []
        for level in specification.numbers:
            block, eta = specification.group(g + 1).level(level), members(specification, level)
            latent = [eta.index(v) for v in block.latent]
            seen = [specification.variables.index(v) for v in block.observed]
            x = level_matrices(build.structure, natural, level, g)
            across = (x.lambda_ @ x.eta_cov)[np.ix_(seen, latent)]
            cov = np.block([[x.cov[np.ix_(seen, seen)], across], [across.T, x.eta_cov[np.ix_(latent, latent)]]])
            mean = np.concatenate([x.mean[seen], x.eta_mean[latent]])
            levels.append(LevelMoments((*block.observed, *block.latent), cov, mean))
        out.append(tuple(levels))
    return out


def unrestricted(estimation: Estimation, purpose: str = "The unrestricted moments") -> Fitted:
    """The saturated model at its maximum; a plain error where the fit does not have it."""
    if not estimation.statistics.saturated:
        raise ModelError(f"{purpose} need the saturated model; {estimation.why_unsaturated}.")
    single = estimation.model.build.specification.single
    if estimation.h1 is None:
        raise ModelError(
            f"{purpose} need the saturated model, which this fit does not have: it was left out by h1=False (fit again with "
            f"h1=True), or there are too few {'rows' if single else 'clusters'} for it (see fit.warnings)."
        )
    return estimation.h1


def h1(estimation: Estimation) -> ByGroup:
    """Moments of the saturated model. Means of variables in both levels are level-2 means."""
    return by_level(estimation.model.build.specification, unrestricted(estimation).moments)


def icc(estimation: Estimation) -> list[dict[str, float]]:
    """Intraclass correlation of every level-1 variable, by group: between / (between + within) variance of h1; 0 for
    within-only variables. With ordered variables, whose likelihood has no h1, those of the model: of latent responses. With random
    slopes the variance between clusters is that at the means of the slopes' covariates.
    """
    specification = estimation.model.build.specification
    if specification.single:
        data = estimation.data
        how = (
            f"ml.diagnose(data, model, cluster={data.cluster_name!r}) gives them"
            if data.clustered
            else "Name the clusters with cluster= in ml.diagnose(data, model, cluster=...), which gives them"
        )
        raise ModelError(
            f"There are no intraclass correlations in a model of one level: it does not divide variances. {how}, and so does a "
            "two-level model."
        )
    latent = bool(specification.ordered)
    moments = estimation.model.moments if latent else unrestricted(estimation, "Intraclass correlations").moments
    out = []
    for g in range(specification.ngroups):
        within, between = np.diag(moments.within_cov[g]), _between_variances(specification, moments, g)
        column_of = {name: i for i, name in enumerate(specification.variables)}
        names = specification.group(g + 1).within.observed
        out.append({v: float(between[column_of[v]] / (between[column_of[v]] + within[column_of[v]])) for v in names})
    return out


def _between_variances(specification: Specification, moments: Moments, group: int) -> np.ndarray:
    """(p,) of all variables; where random slopes are, at the means of their covariates."""
    p, cov = len(specification.variables), np.asarray(moments.between_cov[group])
    if moments.directions is None:
        return np.diag(cov)
    mean = np.asarray(moments.mean[group])
    at = np.array([mean[specification.variables.index(slope.covariate)] for slope in specification.slopes])
    load = np.concatenate([np.eye(p), (at[:, None] * np.asarray(moments.directions[group])).T], axis=1)
    return np.einsum("pu,uv,pv->p", load, cov, load)
