"""Tails and quantiles of the normal, t, chi-square and F distributions, of arrays: scipy.stats has them too, and takes as long to
import as JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc, chdtri, fdtrc, ndtr, ndtri, stdtr, stdtrit


def normal_tail(z: Any) -> Any:
    """P(Z > z)."""
    return ndtr(-z)


def normal_cdf(z: Any) -> Any:
    """P(Z <= z)."""
    return ndtr(z)


def normal_quantile(p: Any) -> Any:
    """The z with P(Z <= z) = p."""
    return ndtri(p)


def chi_square_tail(x: Any, df: Any) -> Any:
    """P(X > x), 1 for negative x."""
    return chdtrc(df, np.maximum(x, 0.0))


def chi_square_limit(alpha: Any, df: Any) -> Any:
    """The x with P(X > x) = alpha."""
    return chdtri(df, alpha)


def t_tail(t: Any, df: Any) -> Any:
    """P(T > t); df may be infinite."""
    return stdtr(df, -np.asarray(t, float))


def t_quantile(p: Any, df: Any) -> Any:
    """The t with P(T <= t) = p; df may be infinite."""
    return stdtrit(df, p)


def f_tail(f: float, df1: float, df2: float) -> float:
    """P(F > f), 1 for negative f; df2 may be infinite."""
    f = max(f, 0.0) if f == f else f
    return float(chdtrc(df1, df1 * f) if np.isinf(df2) else fdtrc(df1, df2, f))
