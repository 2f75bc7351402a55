"""Derivatives of a covariance matrix in its core and scale by automatic differentiation, as sums of rank-one terms."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.numerics import float64

# d Sigma = sum over rows r with element[r] = t of left[r] right[r]' + right[r] left[r]', for every element t
Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
Covariance = Callable[..., Array]


@functools.partial(jax.jit, static_argnums=0)
def _slopes(covariance: Covariance, core: Array, scale: Array) -> tuple[Array, Array]:
    return jax.jacfwd(lambda c, s: covariance(jnp, c, s), (0, 1))(core, scale)


@float64
def slopes(covariance: Covariance, core: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `covariance(xp, core, scale)` (d, d) in the core (d, d, d, d) and in the scale (d, d, d).

    Compiled once for every covariance function, which is hashed, and every d.
    """
    by_core, by_scale = _slopes(covariance, jnp.asarray(core, float), jnp.asarray(scale, float))
    return np.asarray(by_core), np.asarray(by_scale)


def as_terms(slope: Float[np.ndarray, "t d d"]) -> Terms:
    """Symmetric matrices as sums over their rows: S = sum of (e_r S_r' + S_r e_r') / 2."""
    t, d = slope.shape[:2]
    used = np.any(slope != 0, axis=2).ravel()
    element, row = np.repeat(np.arange(t), d)[used], np.tile(np.arange(d), t)[used]
    return element, 0.5 * np.eye(d)[row], slope[element, row]
