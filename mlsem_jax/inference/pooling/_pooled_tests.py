"""Tests of several imputations together, as F statistics: D1 (Wald), D2 (of chi-squares alone), D3 and D4 (of likelihoods).

k: degrees of freedom of one test; m: imputations. riv: the average relative increase in variance, which each estimates its way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.inference.pooling._pooling import centred
from mlsem_jax.numerics import f_tail


@dataclass(frozen=True)
class PooledTest:
    """An F statistic with its degrees of freedom; NaN where there is none."""

    statistic: float
    df1: float
    df2: float
    riv: float

    @property
    def pvalue(self) -> float:
        """Upper tail of F(df1, df2), of chi-square / df1 where df2 is infinite; NaN without degrees of freedom."""
        known = self.df1 > 0 and not math.isnan(self.statistic) and not math.isnan(self.df2)
        return f_tail(self.statistic, self.df1, self.df2) if known else math.nan

    @property
    def chisq(self) -> float:
        """df1 times F, which follows a chi-square distribution where there are many imputations; 0 without degrees of freedom."""
        return self.df1 * self.statistic if self.df1 else 0.0

    def divided(self, factor: float) -> PooledTest:
        """The test with its statistic divided by a scaling factor; NaN where that is not positive."""
        return replace(self, statistic=self.statistic / factor if factor > 0 else math.nan)


def no_test(k: float) -> PooledTest:
    """Where there are no degrees of freedom, or no likelihood to test by."""
    return PooledTest(math.nan, k, math.nan, math.nan)


def d1(estimate: np.ndarray, within: np.ndarray, between: np.ndarray, m: int) -> PooledTest:
    """Wald test that k numbers are 0 (Li, Raghunathan & Rubin 1991): estimate (k,), their variance within and between (k, k)."""
    k = len(estimate)
    sd = np.sqrt(np.diag(within))
    scaled, z = within / np.outer(sd, sd), estimate / sd
    r = (1 + 1 / m) * float(np.trace(np.linalg.solve(scaled, between / np.outer(sd, sd)))) / k
    return PooledTest(float(z @ np.linalg.solve(scaled, z)) / (k * (1 + r)), k, _df2(r, k, m), r)


def d2(statistics: np.ndarray, k: float) -> PooledTest:
    """From the chi-squares (m,) alone (Li, Meng, Raghunathan & Rubin 1991); a negative F is 0."""
    m = len(statistics)
    if not k or np.isnan(statistics).any():
        return no_test(k)
    w = np.maximum(statistics, 0.0)
    r = (1 + 1 / m) * float(np.sum(centred(np.sqrt(w))[1] ** 2)) / (m - 1)
    f = (w.mean() / k - (m + 1) / (m - 1) * r) / (1 + r)
    df2 = math.inf if r == 0 else k ** (-3 / m) * (m - 1) * (1 + 1 / r) ** 2
    return PooledTest(max(float(f), 0.0), k, df2, r)


def d3(mean: float, at_mean: float, k: float, m: int) -> PooledTest:
    """Meng & Rubin (1992): mean of the chi-squares, and of the likelihood ratios at the averaged estimates of both models. Where
    these lie outside the domain of the likelihood there is no test.
    """
    return _of_ratios(mean, at_mean, k, m, _df2)


def d4(mean: float, stacked: float, k: float, m: int) -> PooledTest:
    """Chan & Meng (2022): mean of the chi-squares, and the one of the data sets one below the other, divided by m. It does not
    depend on how a model is parametrised, as D3 does.
    """
    return _of_ratios(mean, stacked, k, m, lambda r, k, m: math.inf if r == 0 else k * (m - 1) * (1 + 1 / r) ** 2)


def _of_ratios(mean: float, common: float, k: float, m: int, df2) -> PooledTest:
    if not k or not math.isfinite(mean) or not math.isfinite(common):
        return no_test(k)
    # smaller than 0 by chance, where the imputations hardly differ
    r = max((m + 1) / (k * (m - 1)) * (mean - common), 0.0)
    return PooledTest(common / (k * (1 + r)), k, df2(r, k, m), r)


def _df2(r: float, k: float, m: int) -> float:
    """Li, Raghunathan & Rubin's (1991) denominator degrees of freedom, of D1 and D3."""
    if r <= 0:
        return math.inf
    t = k * (m - 1)
    if t > 4:
        return 4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2
    return t * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2
