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
from types import ModuleType, SimpleNamespace
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
        if len(moments.levels) == 1:
            return _checked(np.linalg.inv(np.linalg.cholesky(moments.within_cov)), roots)
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
    return x.reshape(len(x), -1)[:, _lower(x.shape[-1])[0]]


@functools.lru_cache(64)
def _half_diagonal(p: int) -> np.ndarray:
    """(p (p + 1) / 2,): 1/2 in the places of diagonal elements, 1 elsewhere."""
    rows, columns = np.tril_indices(p)
    return np.where(rows == columns, 0.5, 1.0)


@functools.lru_cache(64)
def _lower(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the elements of the lower triangle in a flattened matrix (p, p), and of their mirrors."""
    rows, columns = np.tril_indices(p)
    return rows * p + columns, columns * p + rows


def _folded(x: Array) -> Array:
    """The elements (q, p (p + 1) / 2) whose product with `_vech(y)` is the sum over all elements of x times symmetric y."""
    below, above = _lower(x.shape[-1])
    flat = x.reshape(len(x), -1)
    # on the diagonal an element and its mirror are one
    return (flat[:, below] + flat[:, above]) * np.asarray(_half_diagonal(x.shape[-1]), x.dtype)


def _turned(jacobian: Moments | PlainParts, at: Coordinates) -> tuple[Array, Array | None, Array]:
    """Derivatives of Sigma_W, Sigma_B (G, q, p, p) and of the mean (G, q, p) in the coordinates; of a model of one level None for
    those of Sigma_B.
    """
    t = at.transform[:, None]
    across = t.swapaxes(-1, -2)
    within = t @ jacobian.within_cov.transpose(0, 3, 1, 2) @ across
    if len(jacobian.levels) == 1:
        return within, None, jacobian.within_mean.transpose(0, 2, 1) @ across[:, 0]
    mean = (jacobian.within_mean + jacobian.between_mean).transpose(0, 2, 1)
    return within, t @ jacobian.between_cov.transpose(0, 3, 1, 2) @ across, mean @ across[:, 0]


def _pairs(xp: ModuleType, roots: Array, between_only: Array, s: Any) -> tuple[Array, Array, Array, Array]:
    """With c = 1/n + d and counts as weights: 1/c (S, p); sum of 1/c (p,); sums of n^-m / (c_i c_j), m = 0, 1, 2, the within
    contrasts included in the last (p, p, 3); n^-m times the counts (S, 3).
    """
    y = 1.0 - between_only
    weight = _powers(xp, s)
    inverse = 1.0 / xp.where(between_only > 0, 1.0, 1.0 / s.size[:, None] + roots)
    pair = [(weight[:, m, None] * inverse).T @ inverse for m in range(3)]
    pair[2] = pair[2] + s.contrasts * y[:, None] * y[None, :]
    return inverse, s.count @ inverse, xp.stack(pair, axis=-1), weight


def _powers(xp: ModuleType, s: Any) -> Array:
    """n^-m, m = 0, 1, 2, times the counts (S, 3); kept with plain records."""
    weight = getattr(s, "powers", None)
    if weight is None:
        weight = s.count[:, None] * s.size[:, None] ** -xp.arange(3.0)
        if isinstance(s, SimpleNamespace):
            s.powers = weight
    return weight


def _weighed(w: Array, b: Array | None, pair: Array) -> tuple[Array, Array | None]:
    """What `_vech` (q, p (p + 1) / 2) of the directions of Sigma_W and of Sigma_B, w and b, is multiplied by in the expected
    information, the half included. pair (p, p, 3): of `_pairs`.
    """
    p = pair.shape[0]
    each = pair.reshape(p * p, 3)[_lower(p)[0]] * np.asarray(_half_diagonal(p), w.dtype)[:, None]
    if b is None:
        return w * each[:, 2], None
    return w * each[:, 2] + b * each[:, 1], w * each[:, 1] + b * each[:, 0]


def _expected(xp: ModuleType, w: Array, b: Array | None, m: Array, roots: Array, between_only: Array, s: Any) -> Array:
    """Expected information (q, q) of one group along the directions w, b (q, p, p) of Sigma_W, Sigma_B and m (q, p) of the mean."""
    _, single, pair, _ = _pairs(xp, roots, between_only, s)
    w, b = _vech(w), None if b is None else _vech(b)
    on_w, on_b = _weighed(w, b, pair)
    total = w @ on_w.T + (m * single) @ m.T
    return total if b is None or on_b is None else total + b @ on_b.T


def _observed(xp: ModuleType, w, b, m, transform, roots, mean, between_only, s: CompleteStatistics) -> Array:
    """Minus the second derivative (q, q) of the log-likelihood of one group in its moments, along directions as in `_expected`."""
    inverse, single, pair, weight = _pairs(xp, roots, between_only, SizePools(s.size, s.count) if xp is jnp else s)
    r = (s.mean - mean) @ transform.T
    scatter = (
        inverse[:, :, None] * (transform @ s.cov @ transform.T + r[:, :, None] * r[:, None, :]) * inverse[:, None, :]
    )
    size, p = inverse.shape
    # sums of n^-m scatter_ki / (c_i c_j c_k) as [j, k, i], and of n^-m residual_j / (c_i c_j) as [i, j]; with one level m = 2, 1
    powers = [(weight[:, n, None] * inverse).T for n in range(3)]
    flat, residual = scatter.reshape(size, p * p), inverse * r
    y = 1.0 - between_only
    last = (powers[2] @ flat).reshape(p, p, p) + y[:, None, None] * (transform @ s.within @ transform.T)

    # what the directions do to the gradient in Sigma, one product of matrices for each j: [j, q, k]
    def along(by_row: Array, sums: Array, weighed: Array) -> Array:
        # half the log-determinant's part taken off
        return _folded(xp.transpose(by_row @ sums, (1, 2, 0))) - weighed

    low_w, low_b = _vech(w), None if b is None else _vech(b)
    of_w, of_b = _weighed(low_w, low_b, pair)
    mixed = m @ xp.sum(w * (powers[1] @ residual), axis=-1).T
    if b is None:
        on_w = along(xp.moveaxis(w, 1, 0), last, of_w)
        return low_w @ on_w.T + (m * single) @ m.T + mixed + mixed.T
    first, second = ((power @ flat).reshape(p, p, p) for power in powers[:2])
    by_row = xp.moveaxis(xp.concatenate([w, b], axis=-1), 1, 0)
    on_w = along(by_row, xp.concatenate([last, second], axis=1), of_w)
    on_b = along(by_row, xp.concatenate([second, first], axis=1), of_b)
    mixed = mixed + m @ xp.sum(b * (powers[0] @ residual), axis=-1).T
    return low_w @ on_w.T + low_b @ on_b.T + (m * single) @ m.T + mixed + mixed.T


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
