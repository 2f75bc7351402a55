"""Tests and fit measures of several imputations: D2, D3 and D4 of the model, the baseline and differences, and indices of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Fitted, at_averages
from mlsem_jax.inference.fit import (
    ChiSquare,
    baseline_chi_square,
    check_comparable,
    chi_square,
    difference_factor,
    relative_indices,
    rmsea_measures,
    robust_tests,
    srmr_measures,
    tested,
)
from mlsem_jax.inference.pooling._pooled_tests import PooledTest, d1, d2, d3, d4, no_test
from mlsem_jax.inference.pooling._pooling import parts_of
from mlsem_jax.inference.variance import refuse_limited
from mlsem_jax.models import Constraint

TestName = Literal["D2", "D3", "D4"]
TESTS: tuple[TestName, ...] = ("D2", "D3", "D4")
Tests = dict[TestName, PooledTest]


@dataclass(frozen=True)
class PooledComparison:
    """A model, and its tests against the next larger one, of which the first has none."""

    name: str
    df: float
    df_difference: float = math.nan
    tests: Tests | None = None


def pooled_wald(estimations: Sequence[Estimation], constraints: Sequence[Constraint]) -> PooledTest:
    """D1: that equalities hold jointly. What they say is 0 is computed in every fit, with its covariance by the delta method."""
    parts = parts_of([tested(e, constraints) for e in estimations])
    return d1(*parts, len(estimations))


def pooled_measures(
    estimations: Sequence[Estimation], stack: Callable[[], Estimation], test: TestName
) -> dict[str, float]:
    """Measures by name; stack: gives the maxima of all data sets together (`estimation.stack`). Without an unrestricted model, or
    test="none" in the fits, only counts.
    """
    first, m = estimations[0], len(estimations)
    n = float(np.mean([e.ntotal for e in estimations]))
    counts = {"npar": first.npar, "nimputations": m, "ntotal": n}
    if any(e.h1 is None for e in estimations) or first.options.test == "none":
        return counts
    stacked = stack()
    df, groups = first.degrees_of_freedom, first.data.ngroups
    chisq = np.array([chi_square(e).statistic for e in estimations])
    model = _tests(estimations, stacked, "model", chisq, df)
    baseline = _baseline_tests(estimations, stacked)
    factor = scaled = scaled_baseline = None
    if first.options.robust:
        model_factors, baseline_factors = _factors(estimations)
        factor, scaled = _mean(model_factors), _scaled(model, chisq, model_factors)
        if baseline is not None and baseline_factors is not None:
            scaled_baseline = _scaled(baseline, _baseline_statistics(estimations), baseline_factors)
    out = counts | _plain(model[test], "")
    if scaled is not None and factor is not None:
        out |= _plain(scaled[test], ".scaled") | {"chisq.scaling.factor": factor}
    out["chisq.mean"] = float(chisq.mean())
    out |= _listed(model, "") | (_listed(scaled, ".scaled") if scaled is not None else {})
    for suffix, tested_model, tested_baseline in (("", model, baseline), (".scaled", scaled, scaled_baseline)):
        if tested_model is not None:
            base = None if tested_baseline is None else tested_baseline[test]
            out |= _indices(tested_model[test], base, n, groups, suffix)
    found = stacked.h1 is not None and stacked.h1.maximum.status.converged and stacked.model.maximum.status.converged
    return out | ({name: float(value) for name, value in srmr_measures(stacked).items()} if found else {})


def pooled_likelihood_ratio(
    fits: Mapping[str, tuple[Sequence[Estimation], Estimation]],
) -> list[PooledComparison]:
    """Nested models by degrees of freedom, the largest first, each tested against the one before it. fits: estimations and stack
    by name. Robust fits are tested by the scaled difference (Satorra & Bentler 2001) of every imputation (D2), or D3 and D4
    divided by the mean of the scaling factors. Raises ModelError for fits that cannot be compared.
    """
    for parts, _ in fits.values():
        refuse_limited(parts[0], "Likelihood-ratio tests do not exist", "test equalities by wald() of the pooled fit.")
    counts = {len(parts) for parts, _ in fits.values()}
    if len(counts) > 1:
        raise ModelError(f"The fits are pooled of {' and '.join(map(str, sorted(counts)))} imputations: no test.")
    for i in range(counts.pop()):
        check_comparable({name: parts[i] for name, (parts, _) in fits.items()})
    ordered = sorted(fits.items(), key=lambda item: -item[1][0][0].npar)
    out = [PooledComparison(ordered[0][0], _df(ordered[0][1][0][0]))]
    for (large_name, large), (name, small) in pairwise(ordered):
        df = large[0][0].npar - small[0][0].npar
        if not df:
            raise ModelError(f"{name!r} and {large_name!r} have the same number of parameters: there is no test.")
        out.append(PooledComparison(name, _df(small[0][0]), df, _difference_tests(small, large, df)))
    return out


def _df(estimation: Estimation) -> float:
    return math.nan if estimation.model.build.specification.slopes else estimation.degrees_of_freedom


def _difference_tests(
    small: tuple[Sequence[Estimation], Estimation], large: tuple[Sequence[Estimation], Estimation], df: int
) -> Tests:
    m = len(small[0])
    chisq = np.array([2 * (b.model.value - a.model.value) for a, b in zip(small[0], large[0], strict=True)])
    at_mean = 2 * (at_averages(large[0], "model") - at_averages(small[0], "model")) / m
    tests = _all_three(chisq, at_mean, _gain(large[1].model, small[1].model) / m, df, m)
    if not small[0][0].options.robust:
        return tests
    factors = np.array([difference_factor(a, b) for a, b in zip(small[0], large[0], strict=True)])
    return _scaled(tests, chisq, factors)


def _all_three(chisq: np.ndarray, at_mean: float, together: float, df: float, m: int) -> Tests:
    mean = float(chisq.mean())
    return {"D2": d2(chisq, df), "D3": d3(mean, at_mean, df, m), "D4": d4(mean, together, df, m)}


def _tests(estimations: Sequence[Estimation], stacked: Estimation, part: str, chisq: np.ndarray, df: float) -> Tests:
    """Of the model or the baseline against the unrestricted model."""
    m = len(estimations)
    if not df:
        return {name: no_test(0) for name in TESTS}
    at_mean = 2 * (at_averages(estimations, "h1") - at_averages(estimations, part)) / m
    return _all_three(chisq, at_mean, _gain(stacked.h1, getattr(stacked, part)) / m, df, m)


def _gain(large: Fitted | None, small: Fitted | None) -> float:
    """Twice the difference of two maxima, NaN where a search found none."""
    if large is None or small is None or not all(f.maximum.status.converged for f in (large, small)):
        return math.nan
    return max(2 * (large.value - small.value), 0.0)


def _baseline_statistics(estimations: Sequence[Estimation]) -> np.ndarray:
    found = [baseline_chi_square(e) for e in estimations]
    return np.array([math.nan if test is None else test.statistic for test in found])


def _baseline_tests(estimations: Sequence[Estimation], stacked: Estimation) -> Tests | None:
    found = [baseline_chi_square(e) for e in estimations]
    if found[0] is None or any(test is None for test in found):
        return None
    return _tests(estimations, stacked, "baseline", _baseline_statistics(estimations), found[0].df)


def _factors(estimations: Sequence[Estimation]) -> tuple[np.ndarray, np.ndarray | None]:
    """Scaling factors (m,) of the model and the baseline."""
    found = [robust_tests(e) for e in estimations]
    base = [r.baseline.factor for r in found if r.baseline is not None]
    return np.array([r.model.factor for r in found]), np.array(base) if len(base) == len(found) else None


def _scaled(tests: Tests, chisq: np.ndarray, factors: np.ndarray) -> Tests:
    """D2 of the scaled chi-squares; D3 and D4 divided by the mean of the factors."""
    usable = np.where(factors > 0, factors, np.nan)
    mean = _mean(usable)
    return {
        "D2": d2(chisq / usable, tests["D2"].df1),
        "D3": tests["D3"].divided(mean),
        "D4": tests["D4"].divided(mean),
    }


def _mean(factors: np.ndarray) -> float:
    return float(np.mean(factors))


def _plain(test: PooledTest, suffix: str) -> dict[str, float]:
    return {f"chisq{suffix}": test.chisq, f"df{suffix}": test.df1, f"pvalue{suffix}": test.pvalue}


def _listed(tests: Tests, suffix: str) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, test in tests.items():
        fields = {"F": test.statistic, "df1": test.df1, "df2": test.df2, "pvalue": test.pvalue, "riv": test.riv}
        out |= {f"{name}.{field}{suffix}": value for field, value in fields.items()}
    return out


def _indices(test: PooledTest, baseline: PooledTest | None, n: float, groups: int, suffix: str) -> dict[str, float]:
    """RMSEA and the indices relative to the baseline, of df1 F in the place of a chi-square."""
    model = ChiSquare(test.chisq, int(test.df1))
    out: dict[str, float] = {}
    if baseline is not None:
        base = ChiSquare(baseline.chisq, int(baseline.df1))
        out = {"baseline." + name: value for name, value in _plain(baseline, suffix).items()}
        out |= {name + suffix: value for name, value in relative_indices(model, base).items()}
    return out | {name + suffix: value for name, value in rmsea_measures(model, n, groups).items()}
