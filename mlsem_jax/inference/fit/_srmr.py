"""Standardised root mean square residual, level by level."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference.fit._chi_square import unrestricted

EIGENVALUE_FLOOR = 1e-6


def srmr(estimation: Estimation, level: int) -> float:
    """Root mean squared difference between the correlations of h1 and those of the model at one level, diagonal counted.

    All variables of the level, fixed covariates included, no means; groups are weighted by their rows. NaN where the
    unrestricted between model has a variance that is not positive: a correlation with it does not exist.
    """
    model, h1 = estimation.model, unrestricted(estimation)
    specification = model.build.specification
    rows = estimation.reduction.rows
    total = 0.0
    for g, weight in enumerate(rows / rows.sum()):
        at = [specification.variables.index(v) for v in specification.group(g + 1).level(level).observed]
        implied, sample = (level_covariance(f, level, g)[np.ix_(at, at)] for f in (model, h1))
        if level == 2:
            implied = floored(implied, sample)
        total += weight * srmr_of(sample, implied)
    return float(total)


def srmr_of_one_level(estimation: Estimation) -> float:
    """Root mean square of the residual covariances, divided by the standard deviations of h1, and with a mean structure of the
    residual means in standard deviations (Bentler 1995): all variables, groups weighted by their rows.
    """
    model, h1 = estimation.model, unrestricted(estimation)
    rows = estimation.reduction.rows
    total = 0.0
    for g, weight in enumerate(rows / rows.sum()):
        at = np.flatnonzero(~model.build.specification.absent[g])
        sample = h1.moments.within_cov[g][np.ix_(at, at)]
        sd = np.sqrt(np.diag(sample))
        residual = (sample - model.moments.within_cov[g][np.ix_(at, at)]) / np.outer(sd, sd)
        residual = residual[np.tril_indices(len(sd))]
        means = (
            (h1.moments.mean[g] - model.moments.mean[g])[at] / sd if model.build.specification.means else np.zeros(0)
        )
        both = np.concatenate([residual, means])
        total += weight * float(np.sqrt(np.mean(both**2))) if both.size else 0.0
    return total


def level_covariance(fitted: Fitted, level: int, group: int) -> np.ndarray:
    """Model-implied covariance (p, p) of one level and group."""
    return fitted.moments.levels[level - 1].cov[group]


def srmr_of(sample: np.ndarray, implied: np.ndarray) -> float:
    """The index for one pair of covariance matrices (p, p)."""
    if np.any(np.diag(sample) <= 0) or np.any(np.diag(implied) <= 0):
        return float("nan")
    residual = correlation(sample) - correlation(implied)
    lower = residual[np.tril_indices(len(residual))]
    return float(np.sqrt(np.mean(lower**2))) if lower.size else 0.0


def correlation(cov: np.ndarray) -> np.ndarray:
    """Correlations of a covariance matrix with a positive diagonal; the diagonal is exactly 1."""
    sd = np.sqrt(np.diag(cov))
    out = cov / np.outer(sd, sd)
    np.fill_diagonal(out, 1.0)
    return out


def floored(cov: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """An indefinite matrix with its eigenvalues raised to a small positive number; a semidefinite one as it is.

    Whether it is indefinite is judged after division by the standard deviations of `sample`, so that units do not matter. The
    eigenvalues raised are those in the given units, which is lavaan's definition.
    """
    sd = np.sqrt(np.abs(np.diag(sample)))
    scale = 1.0 / np.where(sd > 0, sd, 1.0)
    if not len(cov) or np.linalg.eigvalsh(cov * np.outer(scale, scale))[0] >= -1e-8:
        return cov
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.maximum(values, EIGENVALUE_FLOOR * np.mean(sd**2))) @ vectors.T
