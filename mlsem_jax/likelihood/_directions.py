"""Derivatives along many directions at once; the directions are the leading axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float


def with_tangents(function: Callable, primal: Any, tangents: Any) -> tuple[Any, Any]:
    """The value of a function, and its derivatives along tangents with a leading axis (q)."""
    return jax.vmap(lambda t: jax.jvp(function, (primal,), (t,)), out_axes=(None, 0))(tangents)


def traces(a: Float[Array, "q ... p p"], b: Float[Array, "r ... p p"]) -> Float[Array, "q r"]:
    """Sum over the middle axes of tr(a_q b_r): one product of matrices."""
    return a.reshape(a.shape[0], -1) @ jnp.swapaxes(b, -1, -2).reshape(b.shape[0], -1).T
