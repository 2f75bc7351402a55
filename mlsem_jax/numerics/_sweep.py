"""Inverse and log-determinant by Gauss-Jordan sweeps: pure XLA, so it batches without LAPACK.

Batched LAPACK calls (cholesky, solve, triangular_solve, eigh) that run at the same time in one CPU program deadlock in jaxlib
0.10, so nothing that may be vmapped calls them while 0.10 is supported: the newest that Python 3.11 gets. Measured on 2026-11-28
by benchmarks/batched_lapack.py on two cores: 0.10.2 came back in none of three tries, 0.11.2 and 0.12.0.1 in all. A sweep needs p
rank-one updates of the matrix and no pivoting, because the matrices of this library are either symmetric positive definite or
I - B with B acyclic, all leading minors of which are 1.
"""

from __future__ import annotations

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array


@jax.custom_jvp
def sweep(a: Array) -> tuple[Array, Array, Array]:
    """Inverse, log-determinant and smallest relative pivot of (..., p, p).

    The pivots are relative to the diagonal of `a`. For symmetric `a` every pivot is positive exactly when `a` is positive
    definite; where one is not, the log-determinant is +inf. For the triangular-by-permutation I - B only the inverse is used.
    """
    p = a.shape[-1]
    diagonal = jnp.diagonal(a, axis1=-2, axis2=-1)

    def one(k, carry):
        a, logdet, smallest = carry
        row = jax.lax.dynamic_index_in_dim(a, k, -2, keepdims=True)
        column = jax.lax.dynamic_index_in_dim(a, k, -1, keepdims=True)
        pivot = jax.lax.dynamic_index_in_dim(row, k, -1, keepdims=True)
        here = jnp.arange(p) == k
        # the pivot's own row and column are replaced, not updated: they may be of any size
        rest = jnp.where(here[:, None] | here[None, :], 0.0, a)
        a = rest - jnp.where(here[:, None], -1.0, column) * (jnp.where(here[None, :], 1.0, row) / pivot)
        d = pivot[..., 0, 0]
        relative = d / jax.lax.dynamic_index_in_dim(diagonal, k, -1, keepdims=False)
        # a negative diagonal over a negative pivot must not look positive
        relative = jnp.where(d > 0, relative, -jnp.abs(relative))
        return a, logdet + jnp.log(jnp.abs(d)), jnp.minimum(smallest, relative)

    zero = jnp.zeros(a.shape[:-2], a.dtype)
    inverse, logdet, smallest = jax.lax.fori_loop(0, p, one, (a, zero, zero + jnp.inf))
    return inverse, jnp.where(smallest > p * jnp.finfo(a.dtype).eps, logdet, jnp.inf), smallest


@sweep.defjvp
def _sweep_jvp(primals, tangents):
    # d A^-1 = -A^-1 dA A^-1 and d log|A| = tr(A^-1 dA)
    inverse, logdet, smallest = sweep(primals[0])
    inverse_tangent = -inverse @ tangents[0] @ inverse
    logdet_tangent = jnp.sum(inverse * jnp.swapaxes(tangents[0], -1, -2), axis=(-2, -1))
    return (inverse, logdet, smallest), (inverse_tangent, logdet_tangent, jnp.zeros_like(smallest))


def inverse(a: Array) -> Array:
    """Inverse of (..., p, p) by sweeps; see `sweep` for the matrices that this is right for."""
    return sweep(a)[0]


def solve(a: Array, b: Array) -> Array:
    """a^-1 b for symmetric positive definite a (..., q, q) and b (..., q), scaled to unit diagonal before the sweep.

    The scaling makes the result independent of the units of the unknowns up to rounding.
    """
    scale = 1.0 / jnp.sqrt(jnp.diagonal(a, axis1=-2, axis2=-1))
    scaled = a * scale[..., :, None] * scale[..., None, :]
    return scale * jnp.einsum("...ij,...j->...i", sweep(scaled)[0], scale * b)


def inverse_and_logdet(xp: ModuleType, a: Array) -> tuple[Array, Array]:
    """Inverse (..., p, p) and log-determinant (...) of symmetric matrices, +inf where one is not positive definite: by LAPACK in
    NumPy, which nothing maps, and by sweeps in JAX.

    In NumPy all are given up where one is not positive definite.
    """
    if xp is jnp:
        return sweep(a)[:2]
    if np.all(np.isfinite(a)):
        try:
            root = np.linalg.cholesky(a)
            return np.linalg.inv(a), 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        except np.linalg.LinAlgError:  # of one of them
            pass
    return np.full_like(a, np.nan), np.full(a.shape[:-2], np.inf)
