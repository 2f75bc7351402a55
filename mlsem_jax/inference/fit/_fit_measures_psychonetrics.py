"""Fit measures under psychonetrics' names and conventions: the sample size is the number of clusters throughout."""

from __future__ import annotations

from typing import Literal

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, moments_of_data
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.fit._chi_square import ChiSquare, baseline_chi_square, check_converged, chi_square
from mlsem_jax.inference.fit._fit_measures import (
    Measures,
    lavaan_measures,
    objective,
    relative_indices,
    rmsea_measures,
    srmr_measures,
)
from mlsem_jax.inference.fit._limited_measures import limited_measures
from mlsem_jax.inference.variance import refuse_limited

Convention = Literal["lavaan", "psychonetrics"]


def fit_measures(estimation: Estimation, convention: Convention = "lavaan") -> Measures:
    """Fit measures by name, in order. "lavaan" counts rows as sample size in RMSEA, BIC and GFI, "psychonetrics" clusters."""
    if estimation.limited is not None and convention == "lavaan":
        return limited_measures(estimation)
    refuse_limited(
        estimation,
        "There are no log-likelihood, AIC and BIC, which psychonetrics' measures and comparisons of fits are made of,",
        "fit_measures() has chi-squares and indices.",
    )
    if convention == "lavaan":
        return lavaan_measures(estimation)
    if convention == "psychonetrics":
        return psychonetrics_measures(estimation)
    raise ModelError(f"convention={convention!r} is not known. Allowed: 'lavaan', 'psychonetrics'.")


def psychonetrics_measures(estimation: Estimation) -> Measures:
    """All measures of a fit; n is the number of clusters, with one level of rows.

    nvar is the number of variables and nobs the number of moments of the unrestricted model, whatever the estimator; srmr is
    the one by level (see `srmr`), not that of the wide data; cfi, tli and nnfi are the usual ones where df = 0. Without
    degrees of freedom the p-value is 1 and that of close fit 0, as psychonetrics has them.
    """
    check_converged(estimation)
    specification, q = estimation.model.build.specification, estimation.npar
    data, covariates = estimation.data, estimation.covariates_loglik
    n = data.nrows if data.single else data.nclusters
    out: Measures = {"logl": estimation.loglik}
    if estimation.h1 is not None:
        out["unrestricted.logl"] = estimation.h1.value - covariates
    if estimation.baseline is not None:
        out["baseline.logl"] = estimation.baseline.value - covariates
    out |= {"nvar": len(specification.variables), "nobs": moments_of_data(specification), "npar": q}
    out |= {"df": estimation.degrees_of_freedom, "objective": objective(estimation) / n}
    criteria = criteria_measures(estimation.loglik, q, n, len(specification.variables))
    if estimation.h1 is None:
        return out | criteria
    test = chi_square(estimation)
    out |= {"chisq": test.statistic, "pvalue": test.pvalue, **baseline_measures(estimation, test)}
    rmsea = rmsea_measures(test, n, estimation.data.ngroups)
    out |= {name: rmsea[name] for name in ("rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")}
    if test.df == 0:
        out |= {"pvalue": 1.0, "rmsea.pvalue": 0.0}
    out |= srmr_measures(estimation) | criteria
    return out | {"aic.x": test.statistic - 2 * test.df, "aic.x2": test.statistic + 2 * q}


def criteria_measures(logl: float, q: int, n: float, variables: int) -> Measures:
    """Information criteria of a log-likelihood with q parameters."""
    out = {"aic.ll": index.aic(logl, q), "aic.ll2": index.aic_corrected(logl, q, n)}
    out |= {"bic": index.bic(logl, q, n), "bic2": index.bic_adjusted(logl, q, n)}
    gammas = {"ebic.25": 0.25, "ebic.5": 0.5, "ebic.75": 0.75, "ebic1": 1.0}
    return out | {name: index.ebic(logl, q, n, variables, gamma) for name, gamma in gammas.items()}


def baseline_measures(estimation: Estimation, test: ChiSquare) -> Measures:
    """The baseline and the indices relative to it; nothing where the fit has no baseline."""
    baseline = baseline_chi_square(estimation)
    if baseline is None or estimation.baseline is None:
        return {}
    indices = relative_indices(test, baseline)
    return {
        "baseline.chisq": baseline.statistic,
        "baseline.npar": estimation.baseline.build.free,
        "baseline.df": baseline.df,
        "baseline.pvalue": baseline.pvalue,
        **{name: indices[name] for name in ("nfi", "pnfi", "tli", "nnfi", "rfi", "ifi", "rni", "cfi")},
    }
