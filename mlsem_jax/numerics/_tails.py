"""Tails and quantiles of the normal, t, chi-square and F distributions, of arrays: scipy.stats has them too, and takes as long to
import as JAX.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np


@functools.cache
def _special() -> ModuleType:
    """Imported by the first tail: with the parts of NumPy that it loads it takes as long as equinox."""
    import scipy.special

    return scipy.special


def normal_tail(z: Any) -> Any:
    """P(Z > z)."""
    return _special().ndtr(-z)


def normal_cdf(z: Any) -> Any:
    """P(Z <= z)."""
    return _special().ndtr(z)


def normal_quantile(p: Any) -> Any:
    """The z with P(Z <= z) = p."""
    return _special().ndtri(p)


def chi_square_tail(x: Any, df: Any) -> Any:
    """P(X > x), 1 for negative x."""
    return _special().chdtrc(df, np.maximum(x, 0.0))


def noncentral_chi_square(x: float, df: float, noncentrality: float) -> float:
    """P(X <= x)."""
    return float(_special().chndtr(x, df, noncentrality))


def chi_square_limit(alpha: Any, df: Any) -> Any:
    """The x with P(X > x) = alpha."""
    return _special().chdtri(df, alpha)


def t_tail(t: Any, df: Any) -> Any:
    """P(T > t); df may be infinite."""
    return _special().stdtr(df, -np.asarray(t, float))


def t_quantile(p: Any, df: Any) -> Any:
    """The t with P(T <= t) = p; df may be infinite."""
    return _special().stdtrit(df, p)


def f_tail(f: float, df1: float, df2: float) -> float:
    """P(F > f), 1 for negative f; df2 may be infinite."""
    f = max(f, 0.0) if f == f else f
    return float(_special().chdtrc(df1, df1 * f) if np.isinf(df2) else _special().fdtrc(df1, df2, f))
