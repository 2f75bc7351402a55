"""Rubin's rules: what several imputations of one data set, or several plausible values, say together (Rubin 1987, chapter 3).

Every number is pooled from each fit's own value and standard error, also standardized and `:=` ones. Where the standard errors are
those of replicate weights, their squares are the variance within imputations like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.parameters import Standardization, estimates, rsquare_quantity, standardized
from mlsem_jax.inference.variance import vcov_natural
from mlsem_jax.numerics import float64


@dataclass(frozen=True)
class Pooled:
    """Numbers (r,) from m imputations, and what they were in each (m, r).

    estimate: the mean. within: U, the mean of the squared standard errors. between: B, the variance of the estimates (divisor
    m - 1). se: the root of T = U + (1 + 1/m) B. riv: (1 + 1/m) B / U, the relative increase in variance; df: (m - 1)(1 + 1/riv)^2,
    infinite where the imputations agree; fmi: (riv + 2 / (df + 3)) / (1 + riv), the fraction of missing information.
    All but estimate are NaN for numbers that have no standard error; riv, df and fmi also where it is 0.
    """

    estimate: np.ndarray
    se: np.ndarray
    within: np.ndarray
    between: np.ndarray
    riv: np.ndarray
    df: np.ndarray
    fmi: np.ndarray
    values: np.ndarray
    errors: np.ndarray


def rubin(values: np.ndarray, se: np.ndarray, complete_df: float | None = None) -> Pooled:
    """Pool estimates and their standard errors (m, r), m of at least 2.

    complete_df: degrees of freedom that inference from complete data would have; then df are Barnard and Rubin's (1999).
    """
    m = len(values)
    mean, deviation = centred(values)
    within, between = np.mean(se**2, axis=0), np.sum(deviation**2, axis=0) / (m - 1)
    extra = (1 + 1 / m) * between
    total = within + extra
    with np.errstate(divide="ignore", invalid="ignore"):
        share = extra / total  # of the variance that is between: riv / (1 + riv)
        df = (m - 1) / share**2
        if complete_df is not None:
            seen = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
            df = np.where(np.isinf(df), seen, df * seen / (df + seen))
        fmi = share + (1 - share) * 2 / (df + 3)
        riv = np.where(total > 0, extra / within, np.nan)
    return Pooled(mean, np.sqrt(total), within, between, riv, df, fmi, values, se)


def centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the first axis and deviations from them, exactly 0 where all values are the same."""
    from_first = values - values[0]
    shift = from_first.mean(axis=0)
    return values[0] + shift, from_first - shift


def pooled_estimates(estimations: Sequence[Estimation], complete_df: float | None = None) -> Pooled:
    """The rows of the parameter table, fixed ones without standard error included, then the `:=` quantities."""
    found = [estimates(e) for e in estimations]
    pairs = [(np.append(e.values, e.defined), np.append(e.se, e.defined_se)) for e in found]
    return _pooled(pairs, complete_df)


def pooled_standardized(
    estimations: Sequence[Estimation], kind: Standardization = "std.all", complete_df: float | None = None
) -> Pooled:
    """The standardized solution of every fit, pooled."""
    found = [standardized(e, kind) for e in estimations]
    return _pooled([(s.values, s.se) for s in found], complete_df)


@float64
def pooled_rsquare(
    estimations: Sequence[Estimation], complete_df: float | None = None
) -> tuple[tuple[str, ...], Pooled]:
    """Shares of explained variance, pooled as they are; their names are as in "y1~r2", with the group and the level at the end."""
    quantities = [rsquare_quantity(e) for e in estimations]
    pairs = [
        q.with_standard_errors(e.model.natural, vcov_natural(e)) for q, e in zip(quantities, estimations, strict=True)
    ]
    return quantities[0].names, _pooled(pairs, complete_df)


def pooled_vcov(estimations: Sequence[Estimation]) -> tuple[np.ndarray, np.ndarray]:
    """Natural parameters (k,) and their covariance T = U + (1 + 1/m) B (k, k)."""
    mean, within, between = parts_of([(e.model.natural, vcov_natural(e)) for e in estimations])
    return mean, within + (1 + 1 / len(estimations)) * between


def parts_of(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (k,), variance within (k, k) and between (k, k) of estimates (k,) with their covariances (k, k)."""
    mean, deviation = centred(np.stack([values for values, _ in pairs]))
    within = np.mean([cov for _, cov in pairs], axis=0)
    return mean, within, deviation.T @ deviation / (len(pairs) - 1)


def _pooled(pairs: Sequence[tuple[np.ndarray, np.ndarray]], complete_df: float | None) -> Pooled:
    values, errors = (np.stack(part) for part in zip(*pairs, strict=True))
    return rubin(values, errors, complete_df)
