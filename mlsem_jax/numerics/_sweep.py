"""Inverse and log-determinant by Gauss-Jordan sweeps: pure XLA, so it batches without LAPACK.

Batched LAPACK calls (cholesky, solve, triangular_solve, eigh) that run at the same time in one CPU program deadlock in jaxlib
0.10, so nothing that may be vmapped calls them while 0.10 is supported: the newest that Python 3.11 gets. Measured on 2026-11-28
by benchmarks/batched_lapack.py on two cores: 0.10.2 came back in none of three tries, 0.11.2 and 0.12.0.1 in all. A sweep needs p
rank-one updates of the matrix and no pivoting, because the matrices of this library are either symmetric positive definite or
I - B with B acyclic, all leading minors of which are 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array

# the largest matrices whose sweeps are unrolled on a GPU, and the environment variable that says otherwise
UNROLLED, SWITCH = 8, "MLSEM_JAX_UNROLLED_SWEEPS"


@jax.custom_jvp
def sweep(a: Array) -> tuple[Array, Array, Array]:
    """Inverse, log-determinant and smallest relative pivot of (..., p, p).

    The pivots are relative to the diagonal of `a`. For symmetric `a` every pivot is positive exactly when `a` is positive
    definite; where one is not, the log-determinant is +inf. For the triangular-by-permutation I - B only the inverse is used.
    """
    if a.shape[-1] > unrolled_up_to():
        return _as_loop(a)
    return jax.lax.platform_dependent(a, cuda=_unrolled, rocm=_unrolled, default=_as_loop)


def unrolled_up_to() -> int:
    """The largest matrices whose sweeps are unrolled where they run on a GPU: a loop costs it a launch for every operation of every
    step, however small the matrices are. 0 on machines without one, where nothing can run that would be. The environment variable
    MLSEM_JAX_UNROLLED_SWEEPS says otherwise: a number, 0 for loops everywhere.
    """
    asked = os.environ.get(SWITCH)
    if asked is not None and asked.isdecimal():
        return int(asked)
    return 0 if jax.default_backend() == "cpu" else UNROLLED


def _as_loop(a: Array) -> tuple[Array, Array, Array]:
    return _ended(a, jax.lax.fori_loop(0, a.shape[-1], _step(a), _begun(a)))


def _unrolled(a: Array) -> tuple[Array, Array, Array]:
    carry, step = _begun(a), _step(a)
    for k in range(a.shape[-1]):
        # else a compiler that fuses may compute what a step made again for each of its elements in the next
        carry = jax.lax.optimization_barrier(step(k, carry))
    return _ended(a, carry)


def _begun(a: Array) -> tuple[Array, Array, Array]:
    zero = jnp.zeros(a.shape[:-2], a.dtype)
    return a, zero, zero + jnp.inf


def _ended(a: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    inverse, logdet, smallest = carry
    return inverse, jnp.where(smallest > a.shape[-1] * jnp.finfo(a.dtype).eps, logdet, jnp.inf), smallest


def _step(whole: Array) -> Callable[[Any, tuple[Array, Array, Array]], tuple[Array, Array, Array]]:
    """The k-th pivot of a matrix: what it makes of the swept matrix, the log-determinant and the smallest pivot so far."""
    p = whole.shape[-1]
    diagonal = jnp.diagonal(whole, axis1=-2, axis2=-1)

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

    return one


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
