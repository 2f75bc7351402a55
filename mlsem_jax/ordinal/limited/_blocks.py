"""The parameters of a variable, the rows of a problem, and sums of rows over units."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array
from mlsem_jax.ordinal.limited._kernels import FAR


class Block(NamedTuple):
    """Stage 1 of one variable: thresholds (K - 1,) padded with FAR, mean, within and between variance, slopes (q,).

    Ordered: mean 0 and within variance 1. Continuous: thresholds are not used. A variable with one part, within-only or
    between-only, has its variance in `within`.
    """

    tau: Array
    mean: Array
    within: Array
    between: Array
    slopes: Array


def block(theta: Array, slopes: int) -> Block:
    """From one vector: thresholds, mean, within and between variance, slopes."""
    k = theta.shape[0] - 3 - slopes
    return Block(theta[:k], theta[k], theta[k + 1], theta[k + 2], theta[k + 3 :])


class Rows(NamedTuple):
    """Rows of a problem by unit, padded. Shapes: rows `...` are (U,) where a row is a unit, else (segments, length): each segment
    holds some of the rows of one unit.

    - `first`, `second`: (...) values, codes as integers. `x`: (..., q). `weight`: (...), 0 for padding.
    - `segment`: (segments,) the unit of a segment, or None. `multiplicity`: (U,) how many units are like this one.
    - `between`, `between_x`: (U,), (U, q) value and covariates of a between-only variable.
    - `counts`: (blocks, size, cells) of pairs of codes by unit, in place of rows. `grid`: nodes of the two cluster effects.
    - `rule`: Legendre nodes and weights for bivariate probabilities.
    """

    multiplicity: Array
    first: Any = None
    second: Any = None
    x: Any = None
    weight: Any = None
    segment: Any = None
    between: Any = None
    between_x: Any = None
    counts: Any = None
    grid: Any = None
    rule: Any = None


def total(rows: Rows, values: Array) -> Array:
    """Weighted sums of (segments, length) over the rows of each unit: (U,)."""
    by_segment = jnp.sum(rows.weight * values, axis=-1)
    units = rows.multiplicity.shape[0]
    return jax.ops.segment_sum(by_segment, rows.segment, num_segments=units, indices_are_sorted=True)


def spread(rows: Rows, values: Array) -> Array:
    """Values of units (U,) for their rows: (segments, 1)."""
    return values[rows.segment][:, None]


def edges(tau: Array) -> Array:
    """Thresholds between minus and plus FAR: (K + 1,)."""
    far = jnp.full(1, FAR, tau.dtype)
    return jnp.concatenate([-far, tau, far])


def limits(b: Block, codes: Array, center: Array, scale: Array | float = 1.0) -> tuple[Array, Array]:
    """Ends of the intervals of the codes, standardized: (tau - center) / scale."""
    all_edges = edges(b.tau)
    return (all_edges[codes] - center) / scale, (all_edges[codes + 1] - center) / scale
