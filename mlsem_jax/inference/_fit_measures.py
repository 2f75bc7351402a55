"""Fit measures of a fitted model under lavaan's or psychonetrics' names."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlsem_jax._errors import ConvergenceWarning, ModelError
from mlsem_jax.estimation import Estimation, moments_of_data
from mlsem_jax.inference import _fit_indices as index
from mlsem_jax.inference._srmr import srmr

Convention = Literal["lavaan", "psychonetrics"]


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square statistic with its degrees of freedom."""

    statistic: float
    df: int

    @property
    def pvalue(self) -> float:
        """Upper tail; NaN without degrees of freedom."""
        return index.pvalue(self.statistic, self.df)


def chi_square(estimation: Estimation) -> ChiSquare:
    """Likelihood ratio of the model against the unrestricted model h1, not below 0."""
    assert estimation.h1 is not None
    return ChiSquare(max(0.0, 2 * (estimation.h1.value - estimation.model.value)), estimation.degrees_of_freedom)


def baseline_chi_square(estimation: Estimation) -> ChiSquare:
    """Likelihood ratio of the independence baseline against h1."""
    assert estimation.h1 is not None
    assert estimation.baseline is not None
    df = moments_of_data(estimation.model.build.specification) - estimation.baseline.build.free
    return ChiSquare(max(0.0, 2 * (estimation.h1.value - estimation.baseline.value)), df)


def objective(estimation: Estimation) -> float:
    """-2 log-likelihood without its 2 pi constant, a sum over rows, covariates included."""
    specification, complete = estimation.model.build.specification, estimation.statistics.complete
    values = float(np.sum(complete.rows)) * len(specification.within.observed)
    values += float(np.sum(complete.clusters)) * len(specification.between_only)
    return -2 * estimation.model.value - values * math.log(2 * math.pi)


def fit_measures(estimation: Estimation, convention: Convention = "lavaan") -> dict[str, float]:
    """All fit measures of a fit, in order.

    convention="lavaan": sample size is the number of rows in RMSEA, BIC and GFI. "psychonetrics": it is the number of
    clusters there. Without an unrestricted model (h1=False, or too few clusters for one) only what the log-likelihood gives.
    A p-value without degrees of freedom, and SRMR where the unrestricted between model has a negative variance, are NaN:
    they do not exist. Raises ModelError for a fit that did not converge.
    """
    check_converged(estimation)
    if convention == "lavaan":
        return lavaan_measures(estimation)
    if convention == "psychonetrics":
        return psychonetrics_measures(estimation)
    raise ModelError(f"convention={convention!r} is not known. Allowed: 'lavaan', 'psychonetrics'.")


def check_converged(estimation: Estimation) -> None:
    """Chi-squares exist at maxima only: an error for the model, a warning for h1 and the baseline."""
    status = estimation.model.maximum.status
    if not status.converged:
        raise ModelError(f"There are no fit measures. {status.sentence} {status.advice}".strip())
    for name, fitted in (("unrestricted model", estimation.h1), ("baseline model", estimation.baseline)):
        if fitted is not None and not fitted.maximum.status.converged:
            warnings.warn(
                f"The {name}, which fit measures compare with, did not converge: {fitted.maximum.status.sentence} "
                "Do not trust chi-square and the indices made of it.",
                ConvergenceWarning,
                stacklevel=4,
            )


def information_criteria(estimation: Estimation) -> dict[str, float]:
    """Log-likelihood measures under lavaan's names, n the number of rows."""
    logl, q, n = estimation.loglik, estimation.npar, estimation.data.nrows
    return {
        "logl": logl,
        "aic": index.aic(logl, q),
        "bic": index.bic(logl, q, n),
        "ntotal": n,
        "bic2": index.bic_adjusted(logl, q, n),
    }


def test_measures(test: ChiSquare, prefix: str = "") -> dict[str, float]:
    """Statistic, df and p-value."""
    return {f"{prefix}chisq": test.statistic, f"{prefix}df": test.df, f"{prefix}pvalue": test.pvalue}


def relative_indices(test: ChiSquare, baseline: ChiSquare) -> dict[str, float]:
    """Indices relative to the baseline, in lavaan's order after cfi and tli."""
    t, d, t0, d0 = test.statistic, test.df, baseline.statistic, baseline.df
    return {
        "nnfi": index.tli(t, d, t0, d0),
        "rfi": index.rfi(t, d, t0, d0),
        "nfi": index.nfi(t, t0),
        "pnfi": index.pnfi(t, d, t0, d0),
        "ifi": index.ifi(t, d, t0),
        "rni": index.rni(t, d, t0, d0),
    }


def rmsea_measures(test: ChiSquare, n: float, groups: int) -> dict[str, float]:
    """RMSEA, its 90 % interval, and the tests of close and not-close fit."""
    t, d = test.statistic, test.df
    return {
        "rmsea": index.rmsea(t, d, n, groups),
        "rmsea.ci.lower": index.rmsea_limit(t, d, n, groups, 0.95),
        "rmsea.ci.upper": index.rmsea_limit(t, d, n, groups, 0.05),
        "rmsea.ci.level": 0.90,
        "rmsea.pvalue": index.rmsea_close(t, d, n, groups),
        "rmsea.close.h0": index.CLOSE,
        "rmsea.notclose.pvalue": index.rmsea_not_close(t, d, n, groups),
        "rmsea.notclose.h0": index.NOT_CLOSE,
    }


def srmr_measures(estimation: Estimation) -> dict[str, float]:
    """SRMR of both levels, and their sum."""
    within, between = srmr(estimation, 1), srmr(estimation, 2)
    return {"srmr": within + between, "srmr_within": within, "srmr_between": between}


def gfi_measures(test: ChiSquare, n: float, variables: int) -> dict[str, float]:
    """GFI with the interval that the noncentrality's implies."""
    t, d = test.statistic, test.df
    return {
        "gfi": index.gfi(t - d, n, variables),
        "gfi.ci.lower": index.gfi(index.noncentrality_limit(t, d, 0.05), n, variables),
        "gfi.ci.upper": index.gfi(index.noncentrality_limit(t, d, 0.95), n, variables),
        "gfi.ci.level": 0.90,
    }


def lavaan_measures(estimation: Estimation) -> dict[str, float]:
    """lavaan's names and order, n the number of rows."""
    criteria, n = information_criteria(estimation), estimation.data.nrows
    if estimation.h1 is None or estimation.options.test == "none":
        return {"npar": estimation.npar, **criteria}
    test, groups = chi_square(estimation), estimation.data.ngroups
    out: dict[str, float] = {"npar": estimation.npar, "fmin": objective(estimation) / (2 * n), **test_measures(test)}
    if estimation.baseline is not None:
        baseline = baseline_chi_square(estimation)
        out |= test_measures(baseline, "baseline.")
        out["cfi"] = index.cfi(test.statistic, test.df, baseline.statistic, baseline.df)
        out["tli"] = index.tli(test.statistic, test.df, baseline.statistic, baseline.df)
        out |= relative_indices(test, baseline)
    out["logl"] = criteria["logl"]
    out["unrestricted.logl"] = estimation.h1.value - estimation.covariates_loglik
    out |= criteria
    out |= rmsea_measures(test, n, groups)
    out |= srmr_measures(estimation)
    return out | gfi_measures(test, n, len(estimation.model.build.specification.within.observed))


def psychonetrics_measures(estimation: Estimation) -> dict[str, float]:
    """psychonetrics' names and order, n the number of clusters.

    nvar is the number of variables and nobs the number of moments of the unrestricted model, whatever the estimator; srmr is
    the one by level (see `srmr`), not that of the wide data; cfi, tli and nnfi are the usual ones where df = 0.
    """
    logl, q, n = estimation.loglik, estimation.npar, estimation.data.nclusters
    specification = estimation.model.build.specification
    variables = len(specification.variables)
    out: dict[str, float] = {"logl": logl}
    if estimation.h1 is not None:
        out["unrestricted.logl"] = estimation.h1.value - estimation.covariates_loglik
    if estimation.baseline is not None:
        out["baseline.logl"] = estimation.baseline.value - estimation.covariates_loglik
    out |= {"nvar": variables, "nobs": moments_of_data(specification), "npar": q, "df": estimation.degrees_of_freedom}
    out["objective"] = objective(estimation) / n
    if estimation.h1 is not None:
        test = chi_square(estimation)
        out |= {"chisq": test.statistic, "pvalue": test.pvalue}
        if estimation.baseline is not None:
            out |= _psychonetrics_relative(estimation, test)
        rmsea = rmsea_measures(test, n, estimation.data.ngroups)
        out |= {name: rmsea[name] for name in ("rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")}
        out |= srmr_measures(estimation)
    out |= {"aic.ll": index.aic(logl, q), "aic.ll2": index.aic_corrected(logl, q, n)}
    out |= {"bic": index.bic(logl, q, n), "bic2": index.bic_adjusted(logl, q, n)}
    for name, gamma in (("ebic.25", 0.25), ("ebic.5", 0.5), ("ebic.75", 0.75), ("ebic1", 1.0)):
        out[name] = index.ebic(logl, q, n, variables, gamma)
    if estimation.h1 is not None:
        out |= {"aic.x": test.statistic - 2 * test.df, "aic.x2": test.statistic + 2 * q}
    return out


def _psychonetrics_relative(estimation: Estimation, test: ChiSquare) -> dict[str, float]:
    assert estimation.baseline is not None
    baseline = baseline_chi_square(estimation)
    indices = relative_indices(test, baseline)
    t, d, t0, d0 = test.statistic, test.df, baseline.statistic, baseline.df
    return {
        "baseline.chisq": t0,
        "baseline.npar": estimation.baseline.build.free,
        "baseline.df": d0,
        "baseline.pvalue": baseline.pvalue,
        "nfi": indices["nfi"],
        "pnfi": indices["pnfi"],
        "tli": indices["nnfi"],
        "nnfi": indices["nnfi"],
        "rfi": indices["rfi"],
        "ifi": indices["ifi"],
        "rni": indices["rni"],
        "cfi": index.cfi(t, d, t0, d0),
    }
