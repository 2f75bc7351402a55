"""Rotation criteria: a value to be made small, and its derivatives in the loadings.

Loadings L (..., p, m). Written without conjugates and absolute values, so that derivatives by complex steps are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlsem_jax.models import Rotation

Criterion = Callable[[Any], tuple[Any, Any]]


def criterion_of(rotation: Rotation) -> Criterion:
    """loadings -> value (...,) and gradient (..., p, m)."""
    if rotation.criterion == "geomin":
        return lambda x: geomin(x, rotation.epsilon)
    if rotation.criterion == "oblimin":
        return lambda x: oblimin(x, rotation.gamma)
    if rotation.criterion == "varimax":
        return varimax
    wanted = np.array(rotation.target, float)
    return lambda x: target(x, wanted)


def geomin(x: Any, epsilon: float) -> tuple[Any, Any]:
    """Sum over rows of the geometric mean of L^2 + epsilon (Yates 1987; Browne 2001)."""
    square = x**2 + epsilon
    means = np.exp(np.log(square).mean(-1, keepdims=True))
    return means.sum((-2, -1)), 2 / x.shape[-1] * x / square * means


def oblimin(x: Any, gamma: float) -> tuple[Any, Any]:
    """Covariances of squared columns, less gamma times the product of their means; gamma 0: quartimin (Jennrich & Sampson 1966)."""
    square = x**2
    others = square.sum(-1, keepdims=True) - square
    others = others - gamma * others.mean(-2, keepdims=True)
    return (square * others).sum((-2, -1)) / 4, x * others


def varimax(x: Any) -> tuple[Any, Any]:
    """Minus the variances of squared columns (Kaiser 1958)."""
    square = x**2
    centred = square - square.mean(-2, keepdims=True)
    return -(centred**2).sum((-2, -1)) / 4, -x * centred


def target(x: Any, wanted: np.ndarray) -> tuple[Any, Any]:
    """Squared distance to the specified cells of a target (Browne 1972)."""
    known = np.isfinite(wanted)
    away = np.where(known, x - np.where(known, wanted, 0.0), 0.0)
    return (away**2).sum((-2, -1)), 2 * away
