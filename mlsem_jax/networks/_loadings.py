"""The patterns of loadings that a user gives, and the names of latent variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mlsem_jax._arguments import shown
from mlsem_jax._errors import ModelError
from mlsem_jax.networks._layout import LEVELS

Loadings = Literal["shared", "by level", "none"]


def read_loadings(
    given: dict[str, Any], variables: tuple[str, ...], groups: tuple[str, ...]
) -> tuple[Loadings, tuple[int, int], dict[str, Any]]:
    """Whether the levels share their loadings, the numbers of latent variables by level, and the patterns given."""
    given = {name: pattern for name, pattern in given.items() if pattern is not None}
    p = len(variables)
    if not given:
        return "none", (p, p), {}
    if "lambda" in given:
        if len(given) > 1:
            raise ModelError(
                "Give lambda_ (the same loadings at both levels), or lambda_within and lambda_between, not both."
            )
        m = _width("lambda_", given["lambda"], p, groups)
        return "shared", (m, m), given
    if len(given) == 1:
        raise ModelError("lambda_within and lambda_between go together: give both, or lambda_ for both levels.")
    within, between = (_width(f"lambda_{where}", given[f"lambda_{where}"], p, groups) for where in LEVELS.values())
    return "by level", (within, between), given


def _width(name: str, pattern: Any, p: int, groups: tuple[str, ...]) -> int:
    """Number of latent variables of a pattern of loadings."""
    if isinstance(pattern, str):
        raise ModelError(
            f"{name} must be a matrix of {p} rows, one for each variable; {pattern!r} does not say how many columns."
        )
    try:
        array = np.asarray(next(iter(pattern.values()), ()) if isinstance(pattern, Mapping) else pattern)
    except ValueError:
        array = np.zeros(0)  # rows of different lengths
    if array.ndim not in (1, 2, 3) or not array.size:
        raise ModelError(
            f"{name} must be a matrix of {p} rows (variables), with a column for each latent variable; got {shown(pattern)}."
        )
    if array.ndim == 1:
        raise ModelError(
            f"{name} must have rows (variables) and columns (latent variables); for a single latent variable give a column: "
            f"[[1], [1], ...]."
        )
    first = (
        array.shape[-1]
        if array.ndim == 2 or (array.ndim == 3 and array.shape[0] == max(len(groups), 1))
        else array.shape[1]
    )
    rows = (
        array.shape[-2]
        if array.ndim == 2 or (array.ndim == 3 and array.shape[0] == max(len(groups), 1))
        else array.shape[0]
    )
    if rows != p:
        raise ModelError(f"{name} has {rows} rows, but there are {p} variables: it needs one row for each.")
    if first == p:
        raise ModelError(
            f"{name} has as many latent variables as indicators, which no data identify. To model the {p} variables "
            "themselves, leave it out."
        )
    if first > p:
        raise ModelError(f"{name} has {first} latent variables for {p} indicators; it needs fewer columns than rows.")
    return first


def latent_names(
    given: Any, widths: tuple[int, int], variables: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the latent variables by level. variables: those that take their place where there are no loadings."""
    if variables is not None:
        if given is not None:
            raise ModelError(
                "latents= names the columns of lambda_, and there is none: the variables themselves are modelled."
            )
        return variables, variables
    if given is None:
        return tuple(f"Eta_{i + 1}" for i in range(widths[0])), tuple(f"Eta_{i + 1}" for i in range(widths[1]))
    by_level = [given["within"], given["between"]] if isinstance(given, Mapping) else [given, given]
    names = tuple(map(str, by_level[0])), tuple(map(str, by_level[1]))
    for level, width in enumerate(widths):
        if len(names[level]) != width:
            raise ModelError(
                f"latents has {len(names[level])} names, but lambda has {width} columns: one name for each latent variable."
            )
        if len(set(names[level])) < width:
            raise ModelError(f"latents has a name twice: {list(names[level])}.")
    return names
