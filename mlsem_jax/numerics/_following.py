"""The precision of what one is given: functions of the JAX layer outside and inside other programs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
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


def anew(x: Any) -> Any:
    """A NumPy array as a copy: JAX remembers one that a living 32-bit trace has closed over as 32 bits, by identity, and would
    hand that to a 64-bit program ("expected parameter of size 24 (s64) but got ... (s32)").
    """
    return x.copy() if isinstance(x, np.ndarray) else x


def _to_numpy(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, jax.Array) and not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def float_type(*trees: Any) -> Any:
    """The floating type of all arrays of these pytrees together, before JAX rounds them to the setting that holds here."""
    kinds = [x.dtype for x in jax.tree.leaves(trees) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]
    return np.result_type(*kinds) if kinds else np.dtype(float)


def working_type(*trees: Any) -> Any:
    """The floating type that JAX computes with all arrays of these pytrees in, in the setting that holds here."""
    given = float_type(*trees)
    return given if jax.config.jax_enable_x64 or given != np.float64 else np.dtype(np.float32)


def in_type(dtype: Any, tree: T) -> T:
    """The pytree with all its floating arrays in one type; NumPy arrays are copied, see `anew`."""

    def one(x: Any) -> Any:
        x = x if hasattr(x, "dtype") else jnp.asarray(x)
        return x.astype(dtype) if x.dtype != dtype and jnp.issubdtype(x.dtype, jnp.floating) else anew(x)

    return jax.tree.map(one, tree)


_REACH = {
    "ml.log_likelihood": "differences of log-likelihoods below about a millionth of their size are rounding",
    "ml.simulate": "the data sets are drawn, and will be fitted, in single precision",
}
_ESTIMATES = "estimates are good to about a hundredth of a standard error and chi-square to about one decimal"


def warn_single_precision(dtype: Any, what: str) -> None:
    """Say that 32 bits do not reach the usual tolerance; under a transformation while it traces, once for each compilation."""
    if dtype == np.float32:
        warnings.warn(
            f"{what} runs in float32: {_REACH.get(what, _ESTIMATES)}. For full precision set "
            "jax.config.update('jax_enable_x64', True); outside of transformations float64 arrays are enough.",
            stacklevel=outside_level(),
        )


def outside_level() -> int:
    """The stack level, for the function that calls this one, of the nearest caller outside of this library and JAX."""
    # JAX calls what it traces through contextlib and functools
    packages = (str(folder) + os.sep for folder in (Path(__file__).parents[1], Path(jax.__file__).parent))
    inside = (*packages, contextlib.__file__, functools.__file__)
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    return level
