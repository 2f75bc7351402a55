"""Fit measures of a fitted model under lavaan's names, in lavaan's order.

Under a robust test, `.scaled` indices take the scaled chi-squares in place of the plain ones; `.robust` indices estimate the
population's value of the index, where the expectation of T is c d and not d (Brosseau-Liard, Savalei & Li 2012;
Brosseau-Liard & Savalei 2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.fit._chi_square import (
    ChiSquare,
    RobustTests,
    baseline_chi_square,
    check_converged,
    chi_square,
    robust_tests,
    unrestricted,
)
from mlsem_jax.inference.fit._incomplete import applies, completed_tests
from mlsem_jax.inference.fit._srmr import RESIDUAL_MEASURES, residual_measures, srmr
from mlsem_jax.inference.variance import model_scaling

Measures = dict[str, float]


def lavaan_measures(estimation: Estimation, tests: RobustTests | None = None) -> Measures:
    """All measures of a fit; n is the number of rows. Without an unrestricted model only what the log-likelihood gives.

    tests: scaled tests in place of the estimator's own.
    A p-value without degrees of freedom, and SRMR where the unrestricted between model has a variance that is not positive,
    are NaN: they do not exist. Raises ModelError for a fit that did not converge.
    """
    check_converged(estimation)
    n, criteria = estimation.ntotal, information_criteria(estimation)
    if estimation.h1 is None or estimation.options.test == "none":
        return {"npar": estimation.npar, **criteria, **loglik_scaling(estimation)}
    variables = most_variables(estimation)
    robust = tests or (robust_tests(estimation) if estimation.options.robust else None)
    # what estimates the population's index: with missing values at one level another test, also where nothing is scaled
    population = completed_tests(estimation) if applies(estimation) and tests is None else robust
    test, baseline = chi_square(estimation), baseline_chi_square(estimation)
    out: Measures = {"npar": estimation.npar, "fmin": objective(estimation) / (2 * n), **test_measures(test)}
    if robust is not None:
        out |= scaled_test_measures(robust.model)
    if baseline is not None:
        out |= baseline_measures(test, baseline, robust, population)
    out |= {
        "logl": criteria["logl"],
        "unrestricted.logl": unrestricted(estimation).value - estimation.covariates_loglik,
    }
    out |= criteria
    if robust is not None and robust.h1 is not None and robust.h0 is not None:
        out |= {"scaling.factor.h1": robust.h1.factor, "scaling.factor.h0": robust.h0.factor}
    out |= rmsea_measures(test, n, estimation.data.ngroups)
    if robust is not None:
        out |= _short(scaled_rmsea_measures(robust.model, n, estimation.data.ngroups), ".scaled")
    if population is not None:
        out |= _short(rmsea_measures(population.model, n, estimation.data.ngroups), ".robust")
    out |= srmr_measures(estimation)
    single = estimation.model.build.specification.single
    if single:
        out |= sample_size_measures(test, n)
    out |= gfi_measures(test, n, variables)
    if robust is not None:
        out |= _short(gfi_measures(robust.model, n, variables), ".robust")
    return out | misfit_measures(test, estimation.npar, n) if single else out


def measures_together(parts: Sequence[Estimation], tests: Sequence[RobustTests]) -> Measures:
    """Measures of several models of one level that share nothing, as those of groups: chi-squares and log-likelihoods add up.

    tests: of each with their scaling factors.
    """
    test = _sum([one.model for one in tests])
    baseline = _sum([one.baseline for one in tests if one.baseline is not None])
    robust = RobustTests(test, baseline)
    n, npar = sum(one.ntotal for one in parts), sum(one.npar for one in parts)
    groups = sum(one.data.ngroups for one in parts)
    variables = max(map(most_variables, parts))
    logl = sum(one.loglik for one in parts)
    free = sum(unrestricted(one).value - one.covariates_loglik for one in parts)
    out: Measures = {"npar": npar, "fmin": sum(map(objective, parts)) / (2 * n), **test_measures(test)}
    out |= scaled_test_measures(test)
    out |= baseline_measures(test, baseline, robust, robust)
    out |= {"logl": logl, "unrestricted.logl": free, "aic": index.aic(logl, npar), "bic": index.bic(logl, npar, n)}
    out |= {"ntotal": n, "bic2": index.bic_adjusted(logl, npar, n)}
    out |= rmsea_measures(test, n, groups)
    out |= _short(scaled_rmsea_measures(test, n, groups), ".scaled")
    out |= _short(rmsea_measures(test, n, groups), ".robust")
    residual = [(one.ntotal / n, residual_measures(one)) for one in parts]
    out |= {name: sum(weight * own[name] for weight, own in residual) for name in RESIDUAL_MEASURES}
    out |= sample_size_measures(test, n) | gfi_measures(ChiSquare(test.statistic, test.df), n, variables)
    return out | _short(gfi_measures(test, n, variables), ".robust") | misfit_measures(test, npar, n)


def _sum(tests: Sequence[ChiSquare]) -> ChiSquare:
    """The test of all at once: its expectation is the sum of theirs."""
    df = sum(one.df for one in tests)
    expected = sum(one.factor * one.df for one in tests if one.df)
    return ChiSquare(sum(one.statistic for one in tests), df, expected / df if df else math.nan)


def loglik_scaling(estimation: Estimation) -> Measures:
    """The log-likelihood's scaling factor of a robust fit with random slopes, where no chi-square could carry it: what a scaled
    difference of two log-likelihoods is made of.
    """
    if not (estimation.options.robust and estimation.model.build.specification.slopes):
        return {}
    return {"scaling.factor.h0": model_scaling(estimation.model, estimation).factor}


def objective(estimation: Estimation) -> float:
    """-2 log-likelihood without its 2 pi constant, a sum over rows, covariates included."""
    return -2 * estimation.model.value - observed_values(estimation) * math.log(2 * math.pi)


def observed_values(estimation: Estimation) -> float:
    """Number of values that the likelihood is of: one for each row at level 1, one for each cluster of between-only variables."""
    build, complete = estimation.model.build, estimation.statistics.complete
    values = estimation.statistics.n_values(np.asarray(build.between_only))
    if complete is not None:  # which counts alike in all groups, also what a group does not have
        absent, z = build.specification.absent, build.between_only > 0
        values -= float(np.asarray(complete.rows) @ absent[:, ~z].sum(axis=1))
        values -= float(np.asarray(complete.clusters) @ absent[:, z].sum(axis=1))
    return values


def most_variables(estimation: Estimation) -> int:
    """The number of variables of level 1 in the group that has most."""
    specification = estimation.model.build.specification
    return max(len(specification.group(g).within.observed) for g in range(1, specification.ngroups + 1))


def information_criteria(estimation: Estimation) -> Measures:
    """What the log-likelihood alone gives, n the number of rows."""
    logl, q, n = estimation.loglik, estimation.npar, estimation.ntotal
    return {
        "logl": logl,
        "aic": index.aic(logl, q),
        "bic": index.bic(logl, q, n),
        "ntotal": n,
        "bic2": index.bic_adjusted(logl, q, n),
    }


def test_measures(test: ChiSquare) -> Measures:
    """Statistic, degrees of freedom and p-value."""
    return {"chisq": test.statistic, "df": test.df, "pvalue": test.pvalue}


def scaled_test_measures(test: ChiSquare) -> Measures:
    """The scaled test and its factor, NaN without degrees of freedom, where there is none."""
    scaled = {f"{name}.scaled": value for name, value in test_measures(test.scaled).items()}
    return scaled | {"chisq.scaling.factor": test.factor}


def baseline_measures(
    test: ChiSquare, baseline: ChiSquare, robust: RobustTests | None, corrected: RobustTests | None
) -> Measures:
    """The test of the baseline and the indices relative to it, each followed by its scaled and robust variants. corrected: what the
    robust ones are made of.
    """
    plain = relative_indices(test, baseline)
    first = ("cfi", "tli")
    out = _prefixed(test_measures(baseline), "baseline.")
    scaled, population = {}, {}
    if robust is not None and robust.baseline is not None:
        out |= _prefixed(scaled_test_measures(robust.baseline), "baseline.")
        scaled = _short(relative_indices(robust.model.scaled, robust.baseline.scaled), ".scaled")
    if corrected is not None and corrected.baseline is not None:
        population = _short(population_indices(corrected.model, corrected.baseline), ".robust")
    for part, of_first in (
        (plain, True),
        (scaled, True),
        (population, True),
        (plain, False),
        (scaled, False),
        (population, False),
    ):
        out |= {name: value for name, value in part.items() if name.startswith(first) == of_first}
    return out


def relative_indices(test: ChiSquare, baseline: ChiSquare) -> Measures:
    """Indices of two chi-squares as they stand."""
    t, d, t0, d0 = test.statistic, test.df, baseline.statistic, baseline.df
    tli = index.tli(t - d, d, t0 - d0, d0)
    return {
        "cfi": index.cfi(t - d, t0 - d0),
        "tli": tli,
        "nnfi": tli,
        "rfi": index.rfi(t, d, t0, d0),
        "nfi": index.nfi(t, t0),
        "pnfi": index.pnfi(t, d, t0, d0),
        "ifi": index.ifi(t, d, t0),
        "rni": index.rni(t - d, t0 - d0),
    }


def population_indices(test: ChiSquare, baseline: ChiSquare) -> Measures:
    """CFI, TLI and RNI with T - c d in place of T - d; a model without degrees of freedom fits perfectly."""
    d, d0 = test.df, baseline.df
    excess = test.statistic - test.factor * d if d else 0.0
    excess0 = baseline.statistic - baseline.factor * d0 if d0 else 0.0
    tli = index.tli(excess, d, excess0, d0)
    return {"cfi": index.cfi(excess, excess0), "tli": tli, "nnfi": tli, "rni": index.rni(excess, excess0)}


def rmsea_measures(test: ChiSquare, n: float, groups: int) -> Measures:
    """RMSEA, its 90 % interval, the tests of close and not-close fit: of the population's index where c is not 1."""
    t, d, c = test.statistic, test.df, test.factor
    follows = test.scaled.statistic
    return {
        "rmsea": index.rmsea(t, d, n, groups, c),
        "rmsea.ci.lower": index.rmsea_limit(follows, d, n, groups, 0.95, c),
        "rmsea.ci.upper": index.rmsea_limit(follows, d, n, groups, 0.05, c),
        "rmsea.ci.level": 0.90,
        "rmsea.pvalue": index.rmsea_close(follows, d, n, groups, c=c),
        "rmsea.close.h0": index.CLOSE,
        "rmsea.notclose.pvalue": index.rmsea_not_close(follows, d, n, groups, c=c),
        "rmsea.notclose.h0": index.NOT_CLOSE,
    }


def scaled_rmsea_measures(test: ChiSquare, n: float, groups: int) -> Measures:
    """RMSEA from T / c. lavaan's tests of close fit refer T itself to a chi-square with c d degrees of freedom, its mean."""
    t, trace = test.statistic, test.factor * test.df
    return rmsea_measures(test.scaled, n, groups) | {
        "rmsea.pvalue": index.rmsea_close(t, trace, n, groups),
        "rmsea.notclose.pvalue": index.rmsea_not_close(t, trace, n, groups),
    }


def srmr_measures(estimation: Estimation) -> Measures:
    """SRMR of both levels, and their sum; with one level all root mean squares of residuals."""
    if estimation.model.build.specification.single:
        return residual_measures(estimation)
    within, between = srmr(estimation, 1), srmr(estimation, 2)
    return {"srmr": within + between, "srmr_within": within, "srmr_between": between}


def sample_size_measures(test: ChiSquare, n: float) -> Measures:
    """The sample sizes at which the chi-square would just be significant at 5 % and 1 %; NaN without degrees of freedom."""
    levels = {"cn_05": 0.05, "cn_01": 0.01}
    return {name: index.critical_n(test.statistic, test.df, n, alpha) for name, alpha in levels.items()}


def misfit_measures(test: ChiSquare, npar: int, n: float) -> Measures:
    """McDonald's index and the expected cross-validation index."""
    return {"mfi": index.mfi(test.statistic, test.df, n), "ecvi": index.ecvi(test.statistic, npar, n)}


def gfi_measures(test: ChiSquare, n: float, variables: int) -> Measures:
    """GFI, with the interval that the noncentrality's implies."""
    d, follows = test.df, test.scaled.statistic
    c = test.factor if d else 1.0
    return {
        "gfi": index.gfi(test.statistic - c * d, n, variables),
        "gfi.ci.lower": index.gfi(c * index.noncentrality_limit(follows, d, 0.05), n, variables),
        "gfi.ci.upper": index.gfi(c * index.noncentrality_limit(follows, d, 0.95), n, variables),
        "gfi.ci.level": 0.90,
    }


def _prefixed(measures: Measures, prefix: str) -> Measures:
    return {prefix + name: value for name, value in measures.items()}


def _short(measures: Measures, suffix: str) -> Measures:
    """The same with a suffix, without the constants that lavaan prints once (levels and hypotheses)."""
    return {name + suffix: value for name, value in measures.items() if not name.endswith((".level", ".h0"))}
