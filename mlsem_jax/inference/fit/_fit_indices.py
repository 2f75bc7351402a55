"""Fit indices, one function each. T, d: chi-square and degrees of freedom of the model; T0, d0: of the baseline.

n is the number of units that an index divides by (rows N in lavaan's convention, clusters J in psychonetrics'), G the number
of groups. Nothing is NaN but what has no meaning: the p-value of a test without degrees of freedom, and relative indices whose
baseline fits perfectly (0 / 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mlsem_jax.numerics import chi_square_limit, chi_square_tail, noncentral_chi_square

CLOSE, NOT_CLOSE = 0.05, 0.08


def ratio(top: float, bottom: float) -> float:
    """top / bottom, NaN where the denominator is zero."""
    return top / bottom if bottom != 0 else math.nan


def pvalue(t: float, d: float) -> float:
    """Upper tail of the chi-square distribution; NaN without degrees of freedom, where there is no test."""
    return float(chi_square_tail(t, d)) if d > 0 else math.nan


def noncentral_cdf(t: float, d: float, noncentrality: float) -> float:
    """P(X <= t) of the noncentral chi-square distribution; by Sankaran's (1959) normal approximation where the series fails."""
    if t <= 0:
        return 0.0
    value = noncentral_chi_square(t, d, noncentrality)
    if math.isfinite(value):
        return value
    h = 1 - 2 * (d + noncentrality) * (d + 3 * noncentrality) / (3 * (d + 2 * noncentrality) ** 2)
    p = (d + 2 * noncentrality) / (d + noncentrality) ** 2
    m = (h - 1) * (1 - 3 * h)
    mean = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    z = ((t / (d + noncentrality)) ** h - mean) / (h * math.sqrt(2 * p) * (1 + 0.5 * m * p))
    return 0.5 * math.erfc(-z / math.sqrt(2))


def noncentrality_limit(t: float, d: float, probability: float) -> float:
    """The noncentrality at which T lies at this quantile of the distribution; 0 where T is small even without any."""
    if not math.isfinite(t):
        return t
    if d <= 0 or noncentral_cdf(t, d, 0.0) < probability:
        return 0.0
    upper = max(t, 10.0)
    while noncentral_cdf(t, d, upper) > probability:
        upper *= 2
    return _root(lambda x: noncentral_cdf(t, d, x) - probability, 0.0, upper, 1e-10 * max(1.0, t))


def _root(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Root of a decreasing function between low and high, by Ridders' (1979) method."""
    f_low, f_high, last = function(low), function(high), math.inf
    while True:
        middle = (low + high) / 2
        f_middle = function(middle)
        scale = math.sqrt(f_middle**2 - f_low * f_high)
        x = middle if scale == 0 else middle + (middle - low) * f_middle / scale
        f = function(x)
        if f == 0 or abs(x - last) <= tolerance + 1e-13 * abs(x) or high - low <= tolerance:
            return x
        last = x
        for at, value in sorted(((middle, f_middle), (x, f))):
            if value > 0:
                low, f_low = max((low, f_low), (at, value))
            else:
                high, f_high = min((high, f_high), (at, value))


def cfi(excess: float, excess0: float) -> float:
    """Comparative fit index (Bentler 1990). excess: T - d, or T - c d for the population index under non-normality."""
    top, bottom = max(excess, 0.0), max(excess, excess0, 0.0)
    return 1.0 if bottom == 0 else 1.0 - top / bottom


def rni(excess: float, excess0: float) -> float:
    """Relative noncentrality index (McDonald & Marsh 1990): CFI without its limits."""
    return 1.0 - ratio(excess, excess0)


def tli(excess: float, d: float, excess0: float, d0: float) -> float:
    """Tucker & Lewis (1973), also called the non-normed fit index; 1 without degrees of freedom."""
    return 1.0 if d == 0 else 1.0 - ratio(excess * d0, excess0 * d)


def nfi(t: float, t0: float) -> float:
    """Normed fit index (Bentler & Bonett 1980)."""
    return ratio(t0 - t, t0)


def pnfi(t: float, d: float, t0: float, d0: float) -> float:
    """Parsimony normed fit index (James, Mulaik & Brett 1982)."""
    return ratio(d, d0) * nfi(t, t0)


def ifi(t: float, d: float, t0: float) -> float:
    """Incremental fit index (Bollen 1989)."""
    return ratio(t0 - t, t0 - d)


def rfi(t: float, d: float, t0: float, d0: float) -> float:
    """Relative fit index (Bollen 1986); 1 without degrees of freedom."""
    return 1.0 if d == 0 else ratio(ratio(t0, d0) - t / d, ratio(t0, d0))


def rmsea(t: float, d: float, n: float, groups: int, c: float = 1.0) -> float:
    """Root mean square error of approximation (Steiger & Lind 1980); sqrt(G) as in Steiger (1998).

    c: the scaling factor, for the index that estimates the population RMSEA from a chi-square inflated by c
    (Brosseau-Liard, Savalei & Li 2012).
    """
    return math.sqrt(groups * max(t / d - c, 0.0) / n) if d > 0 else 0.0


def rmsea_limit(t: float, d: float, n: float, groups: int, probability: float, c: float = 1.0) -> float:
    """Confidence limit: .95 gives the lower one of a 90 % interval and .05 the upper. t is the chi-square that follows the
    noncentral distribution (the scaled one where c is not 1).
    """
    return math.sqrt(groups * max(c, 0.0) * noncentrality_limit(t, d, probability) / (n * d)) if d > 0 else 0.0


def rmsea_close(t: float, d: float, n: float, groups: int, value: float = CLOSE, c: float = 1.0) -> float:
    """p-value of the hypothesis RMSEA <= value (Browne & Cudeck 1993)."""
    if d <= 0 or c <= 0:
        return math.nan
    noncentrality = n * d * value**2 / (groups * c)
    tail = 1.0 - noncentral_cdf(t, d, noncentrality)
    if tail > 1e-4 or t <= 0:
        return tail
    from scipy.stats import ncx2  # slow to import, and only a small tail needs it for its digits

    return float(ncx2.sf(t, d, noncentrality))


def rmsea_not_close(t: float, d: float, n: float, groups: int, value: float = NOT_CLOSE, c: float = 1.0) -> float:
    """p-value of the hypothesis RMSEA >= value (MacCallum, Browne & Sugawara 1996)."""
    return noncentral_cdf(t, d, n * d * value**2 / (groups * c)) if d > 0 and c > 0 else math.nan


def gfi(noncentrality: float, n: float, variables: int) -> float:
    """Goodness of fit as a function of the estimated noncentrality T - d (Steiger 1989; Maiti & Mukherjee 1990), at most 1."""
    return min(1.0, n * variables / (n * variables + 2 * noncentrality))


def critical_n(t: float, d: float, n: float, alpha: float) -> float:
    """Critical N (Hoelter 1983): the n at which this misfit is just significant; NaN without degrees of freedom."""
    return ratio(float(chi_square_limit(alpha, d)), t / n) + 1 if d > 0 else math.nan


def mfi(t: float, d: float, n: float) -> float:
    """Noncentrality index of McDonald (1989)."""
    return math.exp(-(t - d) / (2 * n))


def ecvi(t: float, q: int, n: float) -> float:
    """Expected cross-validation index (Browne & Cudeck 1989): of the fit function's value, n in place of n - 1."""
    return (t + 2 * q) / n


def aic(logl: float, q: int) -> float:
    """Akaike (1974)."""
    return -2 * logl + 2 * q


def aic_corrected(logl: float, q: int, n: float) -> float:
    """AIC with the correction for small samples of Hurvich & Tsai (1989); not meaningful for n <= q + 1."""
    return aic(logl, q) + ratio(2 * q * (q + 1), n - q - 1)


def bic(logl: float, q: int, n: float) -> float:
    """Schwarz (1978)."""
    return -2 * logl + q * math.log(n)


def bic_adjusted(logl: float, q: int, n: float) -> float:
    """BIC adjusted for sample size (Sclove 1987)."""
    return -2 * logl + q * math.log((n + 2) / 24)


def ebic(logl: float, q: int, n: float, variables: int, gamma: float) -> float:
    """Extended BIC (Chen & Chen 2008; Foygel & Drton 2010)."""
    return bic(logl, q, n) + 4 * q * gamma * math.log(variables)
