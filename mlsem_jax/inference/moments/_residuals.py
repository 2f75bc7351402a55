"""Residual moments by group and level: unrestricted less implied, raw, as correlations, or over their standard errors."""

from __future__ import annotations

from typing import Literal, get_args

import jax
import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.moments._moment_space import MomentSpace
from mlsem_jax.inference.moments._moments import ByGroup, by_level, unrestricted
from mlsem_jax.inference.variance import invert
from mlsem_jax.models import LevelMoments, Moments
from mlsem_jax.numerics import delta_variances, float64

ResidualType = Literal["raw", "cor", "z"]

REPRODUCED = 0.01
"""A moment counts as reproduced by the model where the standard error of its residual is less than this part of its own."""


@float64
def residuals(estimation: Estimation, type: ResidualType = "raw") -> ByGroup:
    """Moments of the saturated model less those of the model.

    raw: covariances and means. cor: difference of the two correlation matrices, means each over its own standard deviation;
    NaN for a variable whose between variance is negative. z: raw over its standard error (see `residual_errors`), 0 for
    moments that the model reproduces. The mean of a variable in both levels is compared as a whole, at level 2.
    """
    check_type(type)
    specification = estimation.model.build.specification
    observed = _means_placed(estimation, unrestricted(estimation, "Residuals").moments)
    implied = _means_placed(estimation, estimation.model.moments)
    if type == "cor":
        observed, implied = _correlations(observed), _correlations(implied)
    raw = jax.tree.map(np.subtract, observed, implied)
    if type == "z":
        se = residual_errors(estimation)
        raw = jax.tree.map(_ratio, raw, se)
    return by_level(specification, raw)


def check_type(type: str) -> None:
    """**Raises:** ModelError for a type of residuals that there is not."""
    kinds = get_args(ResidualType)
    if not isinstance(type, str) or type not in kinds:
        raise ModelError(
            f"There are no residuals of type {type!r}; there are {', '.join(kinds)}.{nearest(type, kinds)}"
        )


def residual_errors(estimation: Estimation) -> Moments:
    """Standard errors of the raw residuals, in the shape of the moments; 0 for moments that the model reproduces.

    The residuals have the covariance I^-1 - D (D' I D)^-1 D', I the expected information (observed with missing values) on
    the unrestricted moments at the implied ones and D their derivatives in theta: unrestricted estimates vary by the first
    term, implied ones by the second, and the efficient estimate is uncorrelated with the difference (Hausman 1978;
    Maydeu-Olivares 2017).
    """
    model = estimation.model
    space = MomentSpace.of(estimation)
    build = model.build
    between_only = np.asarray(build.structure.between_only)
    kind = "observed" if estimation.statistics.curved else "expected"
    information = space.information(model.moments, between_only, estimation.statistics, kind)
    delta = space.jacobian(build.structure, model.natural) @ build.basis
    left = np.linalg.inv(information)
    vcov = invert(delta.T @ information @ delta, model.maximum.jacobian)
    variance = np.diag(left) - delta_variances(delta, vcov)
    # below that, second-order terms are larger than the standard error, and their ratio to it says nothing
    se = np.sqrt(np.where(variance > REPRODUCED**2 * np.diag(left), variance, 0.0))
    return space.place(se, estimation.model.moments)


def _means_placed(estimation: Estimation, moments: Moments) -> Moments:
    """The total mean at level 1 for within-only variables, at level 2 for the others."""
    alone = estimation.model.build.specification.alone_within
    mean = np.asarray(moments.mean)
    return moments.with_parts(
        np.asarray(moments.within_cov),
        np.asarray(moments.between_cov),
        np.where(alone, mean, 0.0),
        np.where(alone, 0.0, mean),
    )


def _correlations(moments: Moments) -> Moments:
    def scaled(level: LevelMoments) -> LevelMoments:
        variance = np.diagonal(level.cov, axis1=-2, axis2=-1)
        with np.errstate(invalid="ignore"):
            sd = np.where(variance == 0, 1.0, np.sqrt(variance))  # 0: the level does not have the variable
        return LevelMoments(level.cov / (sd[:, :, None] * sd[:, None, :]), level.mean / sd)

    return Moments(tuple(map(scaled, moments.levels)))


def _ratio(residual: np.ndarray, se: np.ndarray) -> np.ndarray:
    """z values; 0 where the model reproduces the moment, so that the residual is rounding or of second order."""
    return np.where(se > 0, residual / np.where(se > 0, se, 1.0), 0.0)
