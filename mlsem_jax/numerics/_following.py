"""The precision of what one is given: functions of the JAX layer outside and inside other programs."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def follows_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Compute in the precision of the arguments.

    Called with concrete arrays some of which are float64, run with 64-bit types and return NumPy arrays where JAX's global
    setting is 32 bits (outside, JAX would round them); with float32 arrays, run in 32 bits. Under a transformation the caller's
    setting holds.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        leaves = [x for x in jax.tree.leaves((args, kwargs)) if hasattr(x, "dtype")]
        traced = any(isinstance(x, jax.core.Tracer) for x in leaves)
        wide = any(x.dtype == np.float64 for x in leaves)
        if traced or jax.config.jax_enable_x64 or not wide:
            return function(*args, **kwargs)
        with jax.enable_x64(True):
            return jax.tree.map(_to_numpy, function(*args, **kwargs))

    return wrapped


def _to_numpy(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, jax.Array) and not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def warn_single_precision(dtype: Any, what: str) -> None:
    """Say that 32 bits do not reach the usual tolerance."""
    if dtype == np.float32:
        warnings.warn(
            f"{what} runs in float32: estimates are good to about a hundredth of a standard error and chi-square to about one "
            "decimal. For full precision pass float64 arrays, or set jax.config.update('jax_enable_x64', True).",
            stacklevel=3,
        )
