"""Derivatives of the log-likelihood of normal vectors by pattern, from their sums, in NumPy.

With n, t and G the number, the residual sum and the scatter of the vectors of a pattern about their mean, and W the inverse of the
observed block of their covariance matrix,

    L_r = -1/2 (n log|Sigma_rr| + tr(W G)),      dL_r = 1/2 tr((W G W - n W) dSigma) + t' W dmu.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlsem_jax._typing import Float


class Normal(NamedTuple):
    """n (R,), t (R, p), G (R, p, p) and W (R, p, p), as above."""

    number: np.ndarray
    residual: np.ndarray
    scatter: np.ndarray
    precision: np.ndarray

    @property
    def in_cov(self) -> np.ndarray:
        """Derivative in the covariance matrix (R, p, p)."""
        w = self.precision
        return 0.5 * (w @ self.scatter @ w - self.number[:, None, None] * w)

    @property
    def in_mean(self) -> np.ndarray:
        """Derivative in the mean (R, p)."""
        return (self.precision @ self.residual[:, :, None])[:, :, 0]


class EffectSums(NamedTuple):
    """Sums over vectors of the effects taken off them (R, p), of the vector times its effect (R, p, p) and of the expected effect
    times itself (R, p, p).
    """

    total: np.ndarray
    crossed: np.ndarray
    square: np.ndarray


def transposed(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def twice(x: np.ndarray) -> np.ndarray:
    """Twice the symmetric part of matrices."""
    return x + transposed(x)


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., :, None] * b[..., None, :]


def normal(
    number: Float[np.ndarray, " R"],
    mean: Float[np.ndarray, "R p"],
    total: Float[np.ndarray, "R p"],
    cross: Float[np.ndarray, "R p p"],
    precision: Float[np.ndarray, "R p p"],
    effect: EffectSums | None = None,
) -> Normal:
    """From the sums and cross-products of vectors with this mean, less their effects where they have such."""
    scatter = cross - twice(outer(total, mean)) + number[:, None, None] * outer(mean, mean)
    residual = total - number[:, None] * mean
    if effect is not None:
        scatter = scatter - twice(effect.crossed - outer(mean, effect.total)) + effect.square
        residual = residual - effect.total
    return Normal(number, residual, scatter, precision)


def second_derivative(
    d_cov: Float[np.ndarray, "q G p p"],
    d_mean: Float[np.ndarray, "q G p"],
    group: np.ndarray,
    rows: Normal,
    bend: Float[np.ndarray, "R p p"] | None = None,
    more: Float[np.ndarray, "R p"] | float = 0.0,
) -> Float[np.ndarray, "q q"]:
    """Second derivative (q, q) along directions of the covariances and means of the groups; group (R,) of every pattern.

    bend, more: what else has derivatives in the covariance matrix and in the mean that go through the same precision W.

    The sum over patterns is taken first, as a matrix (p^2, p^2) in the elements of the covariances: its cost does not grow with q.
    """
    q, groups, p = d_mean.shape
    w, curved = rows.precision, -twice(rows.in_cov)
    curved = curved - 0.5 * rows.number[:, None, None] * w
    if bend is not None:
        curved = curved - 2 * bend
    push, total = rows.in_mean + more, np.zeros((q, q))
    for g in range(groups):
        own = np.flatnonzero(group == g)
        flat = w[own].reshape(len(own), p * p)
        d, m = d_cov[:, g].reshape(q, p * p), d_mean[:, g]
        # of tr(d1 W d2 Y) the matrix [(i, j), (k, l)] is the sum of W_jk Y_li
        four = (flat.T @ curved[own].reshape(len(own), p * p)).reshape(p, p, p, p)
        cov = d @ np.transpose(four, (3, 0, 1, 2)).reshape(p * p, p * p) @ d.T
        crossed = (d @ np.transpose((flat.T @ push[own]).reshape(p, p, p), (2, 0, 1)).reshape(p * p, p)) @ m.T
        mean = m @ np.tensordot(rows.number[own], w[own], 1) @ m.T
        total += 0.5 * (cov + cov.T) - crossed - crossed.T - mean
    return total
