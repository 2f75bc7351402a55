"""Confidence intervals from bootstrap draws (Davison & Hinkley 1997, chapter 5)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.numerics import normal_cdf, normal_quantile

Interval = Literal["perc", "basic", "bca", "bca.simple", "student", "norm"]
INTERVALS: tuple[Interval, ...] = ("perc", "basic", "bca", "bca.simple", "student", "norm")


def intervals(
    kind: str,
    estimate: np.ndarray,
    se: np.ndarray,
    draws: np.ndarray,
    draws_se: np.ndarray,
    influence: np.ndarray | None,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (r,) of r quantities.

    estimate, se (r,), the latter by the rule that made draws_se; draws, draws_se (B, r) without failed ones; influence (J, r):
    derivative of the quantities in cluster weights, from which "bca" takes its acceleration.
    """
    if kind not in INTERVALS:
        raise ModelError(f"ci={kind!r} is not available: {', '.join(map(repr, INTERVALS))}.{nearest(kind, INTERVALS)}")
    if len(draws) < 2:
        raise ModelError(f"An interval needs at least two draws that converged; there are {len(draws)}.")
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    if kind == "norm":
        half, centre = normal_quantile(tails[1]) * draws.std(0, ddof=1), 2 * estimate - draws.mean(0)
        return centre - half, centre + half
    if kind == "student":
        if np.isnan(draws_se).all():
            raise ModelError(
                "ci='student' needs standard errors of every draw, which draws of rotated solutions do not have. Use 'perc', "
                "'basic', 'bca' or 'norm'."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (draws - estimate) / draws_se
        low, high = np.nanquantile(t, tails, axis=0)
        return estimate - high * se, estimate - low * se
    if kind == "bca.simple":  # bias-corrected, not accelerated
        return _bca(estimate, draws, np.zeros((1, len(estimate))), tails)
    if kind == "bca":
        return _bca(estimate, draws, influence, tails)
    low, high = np.quantile(draws, tails, axis=0)
    return (low, high) if kind == "perc" else (2 * estimate - high, 2 * estimate - low)


def _bca(estimate: np.ndarray, draws: np.ndarray, influence: np.ndarray | None, tails: np.ndarray):
    """Bias-corrected and accelerated (Efron 1987); acceleration by the empirical influence values."""
    if influence is None:
        raise ModelError("ci='bca' needs resampled clusters, type='nonparametric'; use 'perc', 'basic' or 'student'.")
    below = (draws < estimate).mean(0) + 0.5 * (draws == estimate).mean(0)
    bias = normal_quantile(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    square = np.sum(influence**2, axis=0)
    acceleration = np.where(square > 0, np.sum(influence**3, axis=0) / 6 / np.maximum(square, 1e-200) ** 1.5, 0.0)
    z = bias + normal_quantile(tails)[:, None]
    level = normal_cdf(bias + z / (1 - acceleration * z))
    return tuple(np.array([np.quantile(draws[:, i], level[side, i]) for i in range(draws.shape[1])]) for side in (0, 1))
