"""Derivatives along many directions at once; the directions are the leading axis."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float

# elements of an array that are no burden: 32 MB in double precision
ELEMENTS = 2**22
# multiplications of a product of matrices up to which OpenBLAS starts no threads
ONE_THREAD = 2**18


def over_groups(xp: ModuleType, function: Callable, *by_group: Any) -> Any:
    """What a function makes of the parts of each group, along a leading axis (G): mapped in JAX; in NumPy one after the other, the
    parts being arrays or lists by group, or None for all of them, and what it makes arrays or tuples of such.
    """
    if xp is jnp:
        return jax.vmap(function)(*by_group)
    groups = range(len(by_group[0]))
    return _stacked([function(*(None if part is None else part[g] for part in by_group)) for g in groups])


def _stacked(parts: list[Any]) -> Any:
    if isinstance(parts[0], tuple):
        return tuple(_stacked(list(some)) for some in zip(*parts, strict=True))
    # one group is what most fits have
    return np.asarray(parts[0])[None] if len(parts) == 1 else np.stack(parts)


def with_tangents(function: Callable, primal: Any, tangents: Any) -> tuple[Any, Any]:
    """The value of a function, and its derivatives along tangents with a leading axis (q)."""
    return jax.vmap(lambda t: jax.jvp(function, (primal,), (t,)), out_axes=(None, 0))(tangents)


def product(a: Float[Array, "q k"], b: Float[Array, "k r"]) -> Float[Array, "q r"]:
    """a b; in NumPy in pieces that BLAS gives to one thread: where others use the machine, threads that wait for each other make
    a product of half a millisecond one of 80.
    """
    flops = a.shape[0] * a.shape[1] * b.shape[1]
    if not isinstance(a, np.ndarray) or flops <= ONE_THREAD:
        return a @ b
    pieces = -(-flops // ONE_THREAD)
    if a.shape[1] >= b.shape[1]:
        return sum(a[:, i] @ b[i] for i in _slices(a.shape[1], pieces))
    return np.concatenate([a @ b[:, i] for i in _slices(b.shape[1], pieces)], axis=1)


def _slices(length: int, pieces: int) -> list[slice]:
    step = max(1, -(-length // pieces))
    return [slice(i, i + step) for i in range(0, length, step)]


def traces(a: Float[Array, "q ... p p"], b: Float[Array, "r ... p p"]) -> Float[Array, "q r"]:
    """Sum over the middle axes of tr(a_q b_r): one product of matrices."""
    return product(a.reshape(a.shape[0], -1), b.swapaxes(-1, -2).reshape(b.shape[0], -1).T)


def jacobian_in_parts(function: Callable, x: Float[Array, " q"], size: int) -> Float[Array, "r q"]:
    """Forward-mode Jacobian of (q,) to (r,), as many directions at a time as keep `size`, the elements of the largest array that
    one direction makes, below ELEMENTS in all.
    """
    q = x.shape[0]
    together = max(n for n in range(1, q + 1) if q % n == 0 and (n == 1 or n * size <= ELEMENTS))
    push = jax.linearize(function, x)[1]
    eye = jnp.eye(q, dtype=x.dtype)
    return (jax.vmap(push)(eye) if together == q else jax.lax.map(push, eye, batch_size=together)).T
