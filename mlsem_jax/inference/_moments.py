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


ByGroup = list[tuple[LevelMoments, LevelMoments]]
"""One (within, between) pair per group."""


def by_level(specification: Specification, moments: Moments) -> ByGroup:
    """Pick each level's own variables from moments (G, p, p) and (G, p)."""
    place = {name: i for i, name in enumerate(specification.variables)}
    out = []
    for g in range(specification.ngroups):
        pair = []
        for level, cov, mean in (
            (1, moments.within_cov, moments.within_mean),
            (2, moments.between_cov, moments.between_mean),
        ):
            names = specification.level(level).observed
            at = [place[name] for name in names]
            pair.append(LevelMoments(names, np.asarray(cov[g])[np.ix_(at, at)], np.asarray(mean[g])[at]))
        out.append((pair[0], pair[1]))
    return out


def implied(estimation: Estimation) -> ByGroup:
    """Model-implied moments at the estimates. The mean of a variable is the sum of its within and between means."""
    return by_level(estimation.model.build.specification, estimation.model.moments)


def latent_covariances(estimation: Estimation) -> ByGroup:
    """Model-implied moments of the latent variables, by group and level."""
    build, natural = estimation.model.build, estimation.model.natural
    out = []
    for g in range(build.specification.ngroups):
        pair = []
        for level in (1, 2):
            names, latent = members(build.specification, level), build.specification.level(level).latent
            at = [names.index(v) for v in latent]
            x = level_matrices(build.structure, natural, level, g)
            pair.append(LevelMoments(latent, x.eta_cov[np.ix_(at, at)], x.eta_mean[at]))
        out.append((pair[0], pair[1]))
    return out


def unrestricted(estimation: Estimation, purpose: str = "The unrestricted moments") -> Fitted:
    """The saturated model at its maximum; a plain error where the fit does not have it."""
    if not estimation.statistics.saturated:
        raise ModelError(
            f"{purpose} need the saturated model. With random slopes there is none: the covariance matrix differs from row to row."
        )
    if estimation.h1 is None:
        raise ModelError(
            f"{purpose} need the saturated model, which this fit does not have: it was left out by h1=False (fit again with "
            "h1=True), or there are too few clusters for it (see fit.warnings)."
        )
    return estimation.h1


def h1(estimation: Estimation) -> ByGroup:
    """Moments of the saturated model. Means of variables in both levels are level-2 means."""
    return by_level(estimation.model.build.specification, unrestricted(estimation).moments)


def icc(estimation: Estimation) -> list[dict[str, float]]:
    """Intraclass correlation of every level-1 variable, by group: between / (between + within) variance of h1; 0 for
    within-only variables.
    """
    specification = estimation.model.build.specification
    moments = unrestricted(estimation, "Intraclass correlations").moments
    out = []
    for g in range(specification.ngroups):
        within, between = np.diag(moments.within_cov[g]), np.diag(moments.between_cov[g])
        place = {name: i for i, name in enumerate(specification.variables)}
        names = specification.within.observed
        out.append({v: float(between[place[v]] / (between[place[v]] + within[place[v]])) for v in names})
    return out
