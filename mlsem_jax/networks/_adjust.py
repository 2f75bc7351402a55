"""p-values adjusted for multiple testing, under R's names."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import ModelError, nearest

METHODS = ("none", "bonferroni", "holm", "hochberg", "hommel", "BH", "fdr", "BY")


def adjust_pvalues(p: np.ndarray, method: str = "none") -> np.ndarray:
    """Adjusted p-values; NaN stays NaN and is not counted.

    bonferroni, holm (1979), hochberg (1988) and hommel (1988) hold the familywise error, BH or fdr (Benjamini & Hochberg 1995)
    and BY (Benjamini & Yekutieli 2001) the false discovery rate.
    """
    if method not in METHODS:
        raise ModelError(
            f"adjust={method!r} is not available.{nearest(method, METHODS)} Use one of {', '.join(METHODS)}."
        )
    out = np.array(p, float)
    known = np.flatnonzero(~np.isnan(out))
    n = len(known)
    if n == 0 or method == "none":
        return out
    order = known[np.argsort(out[known], kind="stable")]
    p = out[order]
    rank = np.arange(1, n + 1)
    if method == "bonferroni":
        adjusted = n * p
    elif method == "holm":
        adjusted = np.maximum.accumulate((n - rank + 1) * p)
    elif method == "hochberg":
        adjusted = _from_above((n - rank + 1) * p)
    elif method == "hommel":
        adjusted = _hommel(p)
    else:
        factor = np.sum(1 / rank) if method == "BY" else 1.0
        adjusted = _from_above(factor * n / rank * p)
    out[order] = np.minimum(adjusted, 1.0)
    return out


def _from_above(x: np.ndarray) -> np.ndarray:
    """Running minimum from the last element."""
    return np.minimum.accumulate(x[::-1])[::-1]


def _hommel(p: np.ndarray) -> np.ndarray:
    """Closed testing with Simes' test, for sorted p: the largest, over the sizes m of a subset with p_i, of its p-value.

    For subsets of the m largest p-values but for p_i, Simes' p-value is min_k m p_(k) / k (Wright 1992, appendix).
    """
    n = len(p)
    adjusted = np.full(n, np.min(n * p / np.arange(1, n + 1)))
    for m in range(n - 1, 1, -1):
        below, above = np.arange(n - m + 1), np.arange(n - m + 1, n)
        least = np.min(m * p[above] / np.arange(2, m + 1))
        bound = np.minimum(m * p, least)
        bound[above] = bound[below[-1]]
        adjusted = np.maximum(adjusted, bound)
    return np.maximum(adjusted, p)
