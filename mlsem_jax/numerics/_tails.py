"""Tails and quantiles of the normal and the chi-square distribution, of arrays: scipy.stats has them too, and takes as long to
import as JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import chdtrc, chdtri, ndtr, ndtri


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
