"""Expected and observed information at a cost that does not grow with the number of distinct cluster sizes.

With T Sigma_W T' = I and T Sigma_B T' = diag(d) for the variables of both levels, and the between-only variables first taken out
of them by regression, the covariance matrix of a cluster's means is diagonal for every size n at once,

    T (Sigma_W / n + Sigma_B) T' = diag(1 / n + d),      1 in the places of between-only variables.

(a symmetric-definite pencil; Golub & Van Loan 2013, section 8.7). Then every sum over sizes is a sum of scalars by element, done
once at each point for all pairs of parameters. T and d are computed outside the compiled programs by LAPACK, one small symmetric
eigenproblem a group; they are not differentiated: the Hessian is the closed second derivative in the moments, chained by the
structure's Jacobian, plus the structure's own curvature. Like the log-likelihood, information is a sum over rows and clusters.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import over_groups
from mlsem_jax.models import Moments, PlainParts
from mlsem_jax.observed import CompleteStatistics, SizePools


class Coordinates(NamedTuple):
    """transform (G, p, p): T; roots (G, p): d, 0 in the places of between-only variables."""

    transform: Float[Array, "G p p"]
    roots: Float[Array, "G p"]


def coordinates(moments: Moments | PlainParts, between_only: np.ndarray) -> Coordinates | None:
    """The coordinates of moments (NumPy arrays); None where Sigma_W or the block of between-only variables is not positive
    definite, or where they are not finite.
    """
    z = np.asarray(between_only) > 0
    transform, roots = np.zeros_like(moments.within_cov), np.zeros_like(moments.mean)
    try:
        if not z.any():
            root = np.linalg.inv(np.linalg.cholesky(moments.within_cov))
            pencil = root @ moments.between_cov @ np.swapaxes(root, 1, 2)
            roots, vectors = np.linalg.eigh((pencil + np.swapaxes(pencil, 1, 2)) / 2)
            transform = np.swapaxes(vectors, 1, 2) @ root
            return _checked(transform, roots)
        of_y, of_z, of_both = _blocks(z.tobytes())
        for g, (within, between) in enumerate(zip(moments.within_cov, moments.between_cov, strict=True)):
            root = np.linalg.inv(np.linalg.cholesky(within[of_y]))
            root_z = np.linalg.inv(np.linalg.cholesky(between[of_z]))
            # what z explains of the between part of y, z in units of its own root
            k = between[of_both] @ root_z.T
            pencil = root @ (between[of_y] - k @ k.T) @ root.T
            roots[g, ~z], vectors = np.linalg.eigh((pencil + pencil.T) / 2)
            t_y = vectors.T @ root
            transform[g][of_y], transform[g][of_z], transform[g][of_both] = t_y, root_z, -t_y @ k @ root_z
    except np.linalg.LinAlgError:
        return None
    return _checked(transform, roots)


@functools.lru_cache(64)
def _blocks(between_only: bytes) -> tuple[Any, Any, Any]:
    """Indices of the block of the variables that are not between-only, of those that are, and of the one across."""
    z = np.frombuffer(between_only, bool)
    return np.ix_(~z, ~z), np.ix_(z, z), np.ix_(~z, z)


def _checked(transform: np.ndarray, roots: np.ndarray) -> Coordinates | None:
    return Coordinates(transform, roots) if np.all(np.isfinite(transform)) and np.all(np.isfinite(roots)) else None


def _vech(x: Array) -> Array:
    """The lower triangles (q, p (p + 1) / 2) of symmetric matrices (q, p, p)."""
    rows, columns = _lower(x.shape[-1])
    return x[:, rows, columns]


@functools.lru_cache(64)
def _half_diagonal(p: int) -> np.ndarray:
    """(p (p + 1) / 2,): 1/2 in the places of diagonal elements, 1 elsewhere."""
    rows, columns = _lower(p)
    return np.where(rows == columns, 0.5, 1.0)


@functools.lru_cache(64)
def _lower(p: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tril_indices(p)


def _folded(x: Array) -> Array:
    """The elements (q, p (p + 1) / 2) whose product with `_vech(y)` is the sum over all elements of x times symmetric y."""
    rows, columns = _lower(x.shape[-1])
    # on the diagonal an element and its mirror are one
    return (x[:, rows, columns] + x[:, columns, rows]) * np.asarray(_half_diagonal(x.shape[-1]), x.dtype)


def _turned(jacobian: Moments | PlainParts, at: Coordinates) -> tuple[Array, Array, Array]:
    """Derivatives of Sigma_W, Sigma_B (G, q, p, p) and of the mean (G, q, p) in the coordinates."""
    t = at.transform[:, None]
    within, between = (part.transpose(0, 3, 1, 2) for part in (jacobian.within_cov, jacobian.between_cov))
    mean = (jacobian.within_mean + jacobian.between_mean).transpose(0, 2, 1)
    across = t.swapaxes(-1, -2)
    return t @ within @ across, t @ between @ across, mean @ across[:, 0]


def _pairs(xp: ModuleType, roots: Array, between_only: Array, s: Any) -> tuple[Array, Array, Array, Array]:
    """With c = 1/n + d and counts as weights: 1/c (S, p); sum of 1/c (p,); sums of n^-m / (c_i c_j), m = 0, 1, 2, the within
    contrasts included in the last (p, p, 3); n^-m times the counts (S, 3).
    """
    y = 1.0 - between_only
    inverse = 1.0 / xp.where(between_only > 0, 1.0, 1.0 / s.size[:, None] + roots)
    weight = s.count[:, None] * s.size[:, None] ** -xp.arange(3.0)
    pair = [(weight[:, m, None] * inverse).T @ inverse for m in range(3)]
    pair[2] = pair[2] + s.contrasts * y[:, None] * y[None, :]
    return inverse, s.count @ inverse, xp.stack(pair, axis=-1), weight


def _expected(xp: ModuleType, w: Array, b: Array, m: Array, roots: Array, between_only: Array, s: SizePools) -> Array:
    """Expected information (q, q) of one group along the directions w, b (q, p, p) of Sigma_W, Sigma_B and m (q, p) of the mean."""
    _, single, pair, _ = _pairs(xp, roots, between_only, s)
    on_w = _folded(w * pair[..., 2] + b * pair[..., 1])
    on_b = _folded(w * pair[..., 1] + b * pair[..., 0])
    return 0.5 * (_vech(w) @ on_w.T + _vech(b) @ on_b.T) + (m * single) @ m.T


def _observed(xp: ModuleType, w, b, m, transform, roots, mean, between_only, s: CompleteStatistics) -> Array:
    """Minus the second derivative (q, q) of the log-likelihood of one group in its moments, along directions as in `_expected`."""
    inverse, single, pair, weight = _pairs(xp, roots, between_only, SizePools(s.size, s.count) if xp is jnp else s)
    r = (s.mean - mean) @ transform.T
    scatter = (
        inverse[:, :, None] * (transform @ s.cov @ transform.T + r[:, :, None] * r[:, None, :]) * inverse[:, None, :]
    )
    size, p = inverse.shape
    # sums of n^-m scatter_ki / (c_i c_j c_k) as [j, k, i], and of n^-m residual_j / (c_i c_j) as [i, j]
    triple = [((weight[:, n, None] * inverse).T @ scatter.reshape(size, p * p)).reshape(p, p, p) for n in range(3)]
    cross = [(weight[:, n, None] * inverse).T @ (inverse * r) for n in range(2)]
    y = 1.0 - between_only
    triple[2] = triple[2] + y[:, None, None] * (transform @ s.within @ transform.T)

    by_row = xp.moveaxis(xp.concatenate([w, b], axis=-1), 1, 0)  # [j, q, k]: one product of matrices for each j

    # what the directions do to the gradient in Sigma, half the log-determinant's part taken off
    def along(upper: int, lower: int) -> Array:
        product = by_row @ xp.concatenate([triple[upper], triple[lower]], axis=1)
        return _folded(xp.transpose(product, (1, 2, 0)) - 0.5 * (w * pair[..., upper] + b * pair[..., lower]))

    on_w, on_b = along(2, 1), along(1, 0)
    mixed = m @ (xp.sum(w * cross[1], axis=-1) + xp.sum(b * cross[0], axis=-1)).T
    return _vech(w) @ on_w.T + _vech(b) @ on_b.T + (m * single) @ m.T + mixed + mixed.T


def information_at(
    jacobian: Moments | PlainParts,
    between_only: Float[Array, " p"],
    sizes: SizePools | list[Any],
    at: Coordinates,
    xp: ModuleType = jnp,
) -> Float[Array, "q q"]:
    """Expected information (q, q) of clusters of these sizes: equal to `information_of_sizes`."""

    def group(w, b, m, roots, sizes):
        return _expected(xp, w, b, m, roots, between_only, sizes)

    return xp.sum(over_groups(xp, group, *_turned(jacobian, at), at.roots, sizes), axis=0)


def curvature_at(
    moments: Moments | PlainParts,
    jacobian: Moments | PlainParts,
    between_only: Float[Array, " p"],
    s: CompleteStatistics | list[Any],
    at: Coordinates,
    xp: ModuleType = jnp,
) -> Float[Array, "q q"]:
    """Second derivative (q, q) of the log-likelihood in the moments along the jacobian: equal to `complete_curvature`."""

    def group(w, b, m, transform, roots, mean, s):
        return _observed(xp, w, b, m, transform, roots, mean, between_only, s)

    turned = _turned(jacobian, at)
    return -xp.sum(over_groups(xp, group, *turned, at.transform, at.roots, moments.mean, s), axis=0)
