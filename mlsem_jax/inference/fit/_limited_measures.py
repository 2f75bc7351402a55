"""Fit measures of weighted least squares under lavaan's names. There are no log-likelihood and no information criteria."""

from __future__ import annotations

import math

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.fit._chi_square import ChiSquare, check_converged
from mlsem_jax.inference.fit._fit_measures import (
    Measures,
    gfi_measures,
    population_indices,
    relative_indices,
    rmsea_measures,
)
from mlsem_jax.inference.fit._ordinal_robust import latent_tests
from mlsem_jax.inference.fit._srmr import floored, srmr_of
from mlsem_jax.inference.moments import limited_h1, limited_implied
from mlsem_jax.inference.variance import LimitedTest, baseline_test, invert, limited, model_test, pieces
from mlsem_jax.numerics import float64

_CONSTANT = (".level", ".h0")


@float64
def limited_measures(estimation: Estimation) -> Measures:
    """Chi-square, corrected chi-square, and indices of both. As in lavaan, indices divide by N - G, the `.scaled` ones take the
    corrected chi-squares, and the p-value of the plain chi-square is NaN unless the weights are those of WLS: its distribution is
    unknown.
    """
    check_converged(estimation)
    options, model = estimation.options, estimation.model
    term = limited(estimation)
    n = float(np.sum(term.rows))
    out: Measures = {"npar": estimation.npar, "fmin": max(0.0, -model.value) / n}
    if options.test == "none" or not options.h1:
        return out | {"ntotal": n}
    bread = pieces(model, estimation).bread
    inverse = invert(bread, model.maximum.jacobian)
    test = model_test(estimation, inverse)
    baseline = baseline_test(estimation) if options.baseline else None
    known = options.estimator == "WLS"
    out |= _tests("", test, known)
    out |= {} if baseline is None else _tests("baseline.", baseline, known)
    robust = latent_tests(estimation, inverse) if test.test != "standard" else None
    out |= _relative(test, baseline, robust) if baseline is not None else {}
    out["ntotal"] = n
    groups = len(term.rows)
    plain = ChiSquare(test.statistic, test.df)
    out |= rmsea_measures(plain, n - groups, groups)
    if test.test != "standard":
        out |= _short(rmsea_measures(_scaled(test), n - groups, groups), ".scaled")
    if robust is not None:
        out |= _short(rmsea_measures(robust[0], n - groups, groups), ".robust")
    out |= _srmr(estimation)
    return out | gfi_measures(plain, n - groups, len(term.layout.responses))


def _scaled(test: LimitedTest) -> ChiSquare:
    return ChiSquare(test.scaled, test.df)


def _tests(prefix: str, test: LimitedTest, known: bool) -> Measures:
    pvalue = index.pvalue(test.statistic, test.df) if known else math.nan
    out: Measures = {"chisq": test.statistic, "df": test.df, "pvalue": pvalue}
    if test.test != "standard":
        scaled = _scaled(test)
        out |= {"chisq.scaled": scaled.statistic, "df.scaled": test.df, "pvalue.scaled": scaled.pvalue}
        out["chisq.scaling.factor"] = test.factor
        if test.test == "scaled.shifted":
            out["chisq.shift.parameter"] = test.shift
    return {prefix + name: value for name, value in out.items()}


def _relative(test: LimitedTest, baseline: LimitedTest, robust: tuple[ChiSquare, ChiSquare] | None) -> Measures:
    plain = relative_indices(ChiSquare(test.statistic, test.df), ChiSquare(baseline.statistic, baseline.df))
    scaled: Measures = {}
    if test.test != "standard":
        scaled = _short(relative_indices(_scaled(test), _scaled(baseline)), ".scaled")
    latent = {} if robust is None else _short(population_indices(*robust), ".robust")
    first = ("cfi", "tli")
    parts = [(part, of_first) for of_first in (True, False) for part in (plain, scaled, latent)]
    return {name: v for part, of_first in parts for name, v in part.items() if name.startswith(first) == of_first}


def _short(measures: Measures, suffix: str) -> Measures:
    """The same with a suffix, without the constants that lavaan prints once."""
    return {name + suffix: value for name, value in measures.items() if not name.endswith(_CONSTANT)}


def _srmr(estimation: Estimation) -> Measures:
    """Root mean square of the residual covariances over the standard deviations of the data's (one level), or of residual
    correlations by level (two), of the responses given the covariates; groups weighted by their rows. Thresholds and means have
    no part in it.
    """
    specification, share = estimation.model.build.specification, pieces(estimation.model, estimation).share
    totals = [0.0 for _ in specification.numbers]
    for weight, sample, implied in zip(share, limited_h1(estimation), limited_implied(estimation), strict=True):
        for i, (s, m) in enumerate(zip(sample, implied, strict=True)):
            totals[i] += weight * (_one_level(s.cov, m.cov) if specification.single else _by_level(s.cov, m.cov, i))
    if specification.single:
        return {"srmr": float(totals[0])}
    return {"srmr": float(sum(totals)), "srmr_within": float(totals[0]), "srmr_between": float(totals[1])}


def _one_level(sample: np.ndarray, implied: np.ndarray) -> float:
    sd = np.sqrt(np.diag(sample))
    left = ((sample - implied) / np.outer(sd, sd))[np.tril_indices(len(sd))]
    return float(np.sqrt(np.mean(left**2))) if left.size else 0.0


def _by_level(sample: np.ndarray, implied: np.ndarray, level: int) -> float:
    return srmr_of(sample, floored(implied, sample) if level else implied)
