"""Factors of positive semidefinite matrices of any rank, by elimination without pivoting: pure XLA, so it batches."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array


@jax.custom_jvp
def ldl(a: Array) -> tuple[Array, Array, Array]:
    """L, L^-1 (..., p, p) unit lower triangular and d (..., p) >= 0 with a = L diag(d) L', a positive semidefinite.

    A pivot within rounding of zero is zero: its column of the rest of `a` then is zero too, and nothing is eliminated. The
    derivative is that of matrices whose zero pivots stay zero.
    """
    p = a.shape[-1]
    diagonal = jnp.diagonal(a, axis1=-2, axis2=-1)
    eye = jnp.broadcast_to(jnp.eye(p, dtype=a.dtype), a.shape)
    negligible = 64 * p * jnp.finfo(a.dtype).eps

    def one(k, carry):
        rest, lower, inverse, d = carry
        column = jax.lax.dynamic_index_in_dim(rest, k, -1, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(column, k, -1)
        kept = pivot > negligible * jax.lax.dynamic_index_in_dim(diagonal, k, -1)
        below = jnp.where(kept & (jnp.arange(p) > k), column / jnp.where(kept, pivot, 1.0), 0.0)
        row = jax.lax.dynamic_index_in_dim(inverse, k, -2)
        here = jnp.arange(p) == k
        return (
            rest - below[..., :, None] * column[..., None, :],
            lower + below[..., :, None] * here,
            inverse - below[..., :, None] * row,
            jnp.where(here & kept, pivot, d),
        )

    _, lower, inverse, d = jax.lax.fori_loop(0, p, one, (a, eye, eye, jnp.zeros_like(diagonal)))
    return lower, inverse, d


@ldl.defjvp
def _ldl_jvp(primals, tangents):
    # with X = L^-1 dA L^-T: dL = L phi and dD = diag X, phi the part of X D^-1 below the diagonal
    lower, inverse, d = ldl(primals[0])
    x = inverse @ tangents[0] @ jnp.swapaxes(inverse, -1, -2)
    kept = d > 0
    phi = jnp.tril(x, -1) * jnp.where(kept, 1.0 / jnp.where(kept, d, 1.0), 0.0)[..., None, :]
    d_tangent = jnp.where(kept, jnp.diagonal(x, axis1=-2, axis2=-1), 0.0)
    return (lower, inverse, d), (lower @ phi, -phi @ inverse, d_tangent)


def root(a: Array, b: Array) -> tuple[Array, Array]:
    """R (..., p, p) with a = R R' for positive semidefinite `a` of any rank, and beta (..., p) with b = R beta.

    b must lie in the range of `a`. Columns of R, and elements of beta, that the rank leaves over are zero.
    """
    lower, inverse, d = ldl(a)
    kept = d > 0
    scale = jnp.sqrt(jnp.where(kept, d, 1.0))
    r = lower * jnp.where(kept, scale, 0.0)[..., None, :]
    beta = jnp.einsum("...ij,...j->...i", inverse, b) * jnp.where(kept, 1.0 / scale, 0.0)
    return r, beta
