"""Likelihood-ratio tests between fits of nested models, scaled where the fits are robust."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.fit._comparable import check_comparable
from mlsem_jax.inference.fit._limited_difference import check_same_statistics, chi_square_of, difference_test
from mlsem_jax.inference.parameters import row_values
from mlsem_jax.inference.variance import (
    by_moments,
    difference,
    model_scaling,
    parameters_of,
    test_scaling,
    unrestricted_scores,
)
from mlsem_jax.numerics import float64

Method = Literal["satorra.bentler.2001", "satorra.bentler.2010"]
# a log-likelihood this much higher under the smaller model is more than what the optimiser leaves on the table
NOISE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """A model and its test against the next larger one, from which `difference` on is NaN in the first.

    df: of the model against h1, NaN with random slopes, where there is no h1.
    chisq: of the model against h1 (NaN without h1), not scaled. difference: likelihood-ratio statistic against the model before,
    divided by `factor`, its scaling factor (1 where the fits are not robust). rmsea: of the difference, n rows.
    """

    name: str
    df: float
    aic: float
    bic: float
    chisq: float
    difference: float = math.nan
    rmsea: float = math.nan
    df_difference: float = math.nan
    pvalue: float = math.nan
    factor: float = math.nan


def likelihood_ratio(
    estimations: Mapping[str, Estimation], method: Method = "satorra.bentler.2001"
) -> list[Comparison]:
    """Fits by degrees of freedom, the largest model first, each tested against the one before it.

    Robust fits: the statistic is divided by the scaling factor of the difference (Satorra & Bentler 2001). Where that comes out
    negative, "satorra.bentler.2010" takes the larger model's factor at the smaller model's estimates, which is positive more
    often. Fits by weighted least squares: see `_limited_difference`. Raises ModelError for fits that cannot be compared; warns
    where models do not seem to be nested.
    """
    if method not in ("satorra.bentler.2001", "satorra.bentler.2010"):
        raise ModelError(f"method={method!r} is not known. Allowed: 'satorra.bentler.2001', 'satorra.bentler.2010'.")
    check_comparable(estimations)
    if any(estimation.limited is not None for estimation in estimations.values()):
        check_same_statistics(estimations)
        return _limited(estimations)
    ordered = sorted(estimations.items(), key=lambda item: -item[1].npar)
    out = [_alone(*ordered[0])]
    for (large_name, large), (name, small) in pairwise(ordered):
        out.append(_against(_alone(name, small), small, large, large_name, method))
    return out


def _limited(estimations: Mapping[str, Estimation]) -> list[Comparison]:
    """The same of fits by weighted least squares: chi-squares uncorrected, differences corrected as the models' tests are."""
    ordered = sorted(estimations.items(), key=lambda item: item[1].degrees_of_freedom)
    out = [Comparison(name, one.degrees_of_freedom, math.nan, math.nan, chi_square_of(one)) for name, one in ordered]
    for i, ((large_name, large), (name, small)) in enumerate(pairwise(ordered), 1):
        test = difference_test(small, large)
        if not test.df:
            _warn(f"{name!r} and {large_name!r} have the same degrees of freedom: no test.")
        elif test.statistic < -NOISE:
            _warn(
                f"{name!r} has more degrees of freedom than {large_name!r} but a smaller chi-square: it is not nested in it."
            )
        out[i] = replace(
            out[i],
            difference=test.scaled,
            df_difference=test.df,
            pvalue=index.pvalue(max(test.scaled, 0.0), test.df) if test.df else math.nan,
            factor=test.factor,
        )
    return out


def _alone(name: str, estimation: Estimation) -> Comparison:
    logl, q = estimation.loglik, estimation.npar
    chisq = math.nan if estimation.h1 is None else 2 * (estimation.h1.value - estimation.model.value)
    bic = index.bic(logl, q, estimation.ntotal)
    # degrees of freedom count moments, and random slopes leave no moments to count
    df = math.nan if estimation.model.build.specification.slopes else estimation.degrees_of_freedom
    return Comparison(name, df, index.aic(logl, q), bic, chisq)


def _against(row: Comparison, small: Estimation, large: Estimation, large_name: str, method: Method) -> Comparison:
    df, statistic = large.npar - small.npar, 2 * (large.loglik - small.loglik)
    if not df:
        _warn(f"{row.name!r} and {large_name!r} have the same number of parameters: no test. Compare their AIC or BIC.")
        return replace(row, difference=statistic, df_difference=0)
    if statistic < -NOISE * max(1.0, abs(small.loglik) * 1e-4):
        _warn(
            f"{row.name!r} has fewer parameters than {large_name!r} but a higher log-likelihood: it is not nested in it, or "
            f"{large_name!r} is not at its highest maximum. The difference is no chi-square."
        )
        return replace(row, difference=statistic, df_difference=df)
    factor = difference_factor(small, large, method) if small.options.robust else 1.0
    if not factor > 0:
        hint = "method='satorra.bentler.2010'" if method == "satorra.bentler.2001" else "the test of plain ML fits"
        _warn(
            f"The scaling factor of {row.name!r} within {large_name!r} is {factor:.3g}, not positive: no test. Try {hint}."
        )
        return replace(row, df_difference=df, factor=factor)
    scaled, groups = statistic / factor, small.data.ngroups
    return replace(
        row,
        difference=scaled,
        rmsea=index.rmsea(scaled, df, small.ntotal, groups),
        df_difference=df,
        pvalue=index.pvalue(max(scaled, 0.0), df),
        factor=factor,
    )


@float64
def difference_factor(small: Estimation, large: Estimation, method: Method = "satorra.bentler.2001") -> float:
    """Scaling factor of the likelihood-ratio test of `small` within `large`."""
    fitted = large.model if method == "satorra.bentler.2001" else at_estimates_of(small, large)
    if not (by_moments(small) and by_moments(large)):
        return difference(model_scaling(small.model, small), model_scaling(fitted, large))
    parts = []
    for model, estimation in ((small.model, small), (fitted, large)):
        h1 = unrestricted_scores(estimation)
        df = len(h1.keep) - parameters_of(model)
        parts.append((df, df * test_scaling(model, estimation, h1) if df else 0.0))
    return (parts[0][1] - parts[1][1]) / (parts[0][0] - parts[1][0])


def at_estimates_of(small: Estimation, large: Estimation) -> Fitted:
    """The larger model at the smaller one's estimates; parameters that the smaller does not have are 0 there.

    Raises ModelError where that is not the same model, because the two are parametrised differently.
    """
    values = dict(zip(_keys(small), row_values(small), strict=True))
    build = large.model.build
    natural = np.zeros(len(build.names))
    for key, i in zip(_keys(large), build.index, strict=True):
        if i >= 0:
            natural[i] = values.get(key, 0.0)
    theta = natural[build.kept]
    if not abs(large.model.problem.value(theta) - small.model.value) <= NOISE * max(1.0, abs(small.model.value) * 1e-3):
        raise ModelError(
            "method='satorra.bentler.2010' needs the smaller model to be the larger one with parameters fixed at 0 or set equal; "
            "here they are parametrised differently (other loadings fixed, for example). Use method='satorra.bentler.2001'."
        )
    maximum = replace(large.model.maximum, theta=theta, observed=None)
    return replace(large.model, maximum=maximum, moments=small.model.moments)


def _keys(estimation: Estimation) -> list[tuple]:
    """What identifies a row of the parameter table across models; the sides of a covariance in alphabetical order."""
    rows = estimation.model.build.specification.parameters
    return [(*(sorted((r.lhs, r.rhs)) if r.op == "~~" else (r.lhs, r.rhs)), r.op, r.level, r.group) for r in rows]


def _warn(message: str) -> None:
    warnings.warn(message, ModelWarning, stacklevel=5)
