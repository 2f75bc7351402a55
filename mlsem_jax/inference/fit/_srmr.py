"""Standardised root mean square residual, level by level, and with one level all indices of that kind."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference.fit._chi_square import unrestricted

EIGENVALUE_FLOOR = 1e-6
RESIDUAL_MEASURES = (
    "rmr",
    "rmr_nomean",
    "srmr",
    "srmr_bentler",
    "srmr_bentler_nomean",
    "crmr",
    "crmr_nomean",
    "srmr_mplus",
    "srmr_mplus_nomean",
)


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


def residual_measures(estimation: Estimation) -> dict[str, float]:
    """Root mean squares of the residual moments of a model of one level, under lavaan's names: all variables, groups weighted by
    their rows. `_nomean` leaves the means out; without a mean structure there are none.

    rmr: the residual covariances as they are. srmr, srmr_bentler: divided by the standard deviations of h1, means too (Bentler
    1995). crmr: differences of correlations, the diagonal not counted (Maydeu-Olivares 2017). srmr_mplus: those with the relative
    differences of the variances, each mean divided by the standard deviation of its own model (Asparouhov & Muthen 2018).
    """
    rows, total = estimation.reduction.rows, dict.fromkeys(RESIDUAL_MEASURES, 0.0)
    for g, weight in enumerate(rows / rows.sum()):
        for name, value in _of_group(estimation, g).items():
            total[name] += weight * value
    return total


def _of_group(estimation: Estimation, group: int) -> dict[str, float]:
    specification = estimation.model.build.specification
    at = np.flatnonzero(~specification.absent[group])
    if not len(at):
        return dict.fromkeys(RESIDUAL_MEASURES, 0.0)
    (sample, own_mean), (implied, mean) = (
        (fitted.moments.within_cov[group][np.ix_(at, at)], fitted.moments.mean[group][at])
        for fitted in (unrestricted(estimation), estimation.model)
    )
    sd, implied_sd = np.sqrt(np.diag(sample)), np.sqrt(np.diag(implied))
    lower, strict = np.tril_indices(len(at)), np.tril_indices(len(at), -1)
    plain, scaled = (sample - implied)[lower], ((sample - implied) / np.outer(sd, sd))[lower]
    correlations = (sample / np.outer(sd, sd) - implied / np.outer(implied_sd, implied_sd))[strict]
    variances = 1 - np.diag(implied) / np.diag(sample)
    in_sd = (own_mean - mean) / sd
    out = {}
    for name, moments, means in (
        ("rmr", plain, own_mean - mean),
        ("srmr_bentler", scaled, in_sd),
        ("crmr", correlations, in_sd),
        ("srmr_mplus", np.concatenate([correlations, variances]), own_mean / sd - mean / implied_sd),
    ):
        out[name] = _root_mean_square(np.concatenate([moments, means]) if specification.means else moments)
        out[name + "_nomean"] = _root_mean_square(moments)
    out["srmr"] = out["srmr_bentler"]
    return {name: out[name] for name in RESIDUAL_MEASURES}


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


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
