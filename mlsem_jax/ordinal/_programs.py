"""The compiled programs: one to search with and one for scores, of each kind of variable and pair.

All variables have blocks of one length (thresholds padded, unused elements present), so that all problems of a kind share a program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array
from mlsem_jax.ordinal import _pairs, _single
from mlsem_jax.ordinal._blocks import Rows, block


class Kind(NamedTuple):
    """A log-likelihood by unit; which elements of the blocks it depends on (`o`: thresholds and slopes, `c`: mean, variance and
    slopes, capitals: the between variance too); which covariances of a pair (0 within, 1 between).
    """

    unit_values: Callable
    blocks: str
    covariances: tuple[int, ...] = ()


KINDS = {
    "ordered rows": Kind(_single.ordered_rows, "o"),
    "continuous rows": Kind(_single.continuous_rows, "c"),
    "ordered clusters": Kind(_single.ordered_clusters, "O"),
    "continuous clusters": Kind(_single.continuous_clusters, "C"),
    "ordered-ordered rows": Kind(_pairs.ordered_ordered_rows, "oo", (0,)),
    "continuous-ordered rows": Kind(_pairs.continuous_ordered_rows, "co", (0,)),
    "continuous-continuous rows": Kind(_pairs.continuous_continuous_rows, "cc", (0,)),
    "ordered-ordered table": Kind(_pairs.ordered_ordered_table, "OO", (0, 1)),
    "ordered-ordered table, within": Kind(_pairs.ordered_ordered_table, "Oo", (0,)),
    "ordered-ordered clusters": Kind(_pairs.ordered_ordered_clusters, "OO", (0, 1)),
    "ordered-ordered within": Kind(_pairs.ordered_ordered_within, "Oo", (0,)),
    "continuous-ordered clusters": Kind(_pairs.continuous_ordered_clusters, "CO", (0, 1)),
    "continuous-ordered within": Kind(_pairs.continuous_ordered_within, "Co", (0,)),
    "within continuous-ordered": Kind(_pairs.continuous_ordered_clusters, "cO", (0,)),
    "continuous-continuous clusters": Kind(_pairs.continuous_continuous_clusters, "CC", (0, 1)),
    "continuous-continuous within": Kind(_pairs.continuous_continuous_clusters, "Cc", (0,)),
    "ordered-ordered between": Kind(_pairs.ordered_between_ordered, "Oo", (1,)),
    "ordered-continuous between": Kind(_pairs.ordered_between_continuous, "Oc", (1,)),
    "continuous-ordered between": Kind(_pairs.continuous_between_ordered, "Co", (1,)),
    "continuous-continuous between": Kind(_pairs.continuous_between_continuous, "Cc", (1,)),
}


def live(kind: str, size: int, slopes: int) -> np.ndarray:
    """Indices into theta of what the log-likelihood depends on; theta holds blocks of length `size`, then two covariances."""
    thresholds = size - 3 - slopes
    found: list[int] = []
    blocks = KINDS[kind].blocks
    for i, letter in enumerate(blocks):
        own = list(range(thresholds)) if letter in "oO" else [thresholds, thresholds + 1]
        own += [thresholds + 2] if letter.isupper() else []
        found += [i * size + e for e in own + list(range(size - slopes, size))]
    return np.array(found + [len(blocks) * size + e for e in KINDS[kind].covariances])


def unit_values(kind: str, slopes: int, theta: Array, rows: Rows) -> Array:
    """Log-likelihood by unit (U,)."""
    spec = KINDS[kind]
    if not spec.covariances:
        return spec.unit_values(block(theta, slopes), rows)
    size = (theta.shape[0] - 2) // 2
    first, second = block(theta[:size], slopes), block(theta[size:-2], slopes)
    return spec.unit_values(first, second, theta[-2:], rows)


@partial(jax.jit, static_argnames=("kind", "slopes"))
def search_terms(kind: str, slopes: int, theta: Array, rows: Rows) -> tuple[Array, Array, Array]:
    """Sum over the units, gradient (e,) and Hessian (e, e) by what is estimated: all live elements of one variable, the
    covariances of a pair.
    """
    pair = KINDS[kind].covariances
    size = (theta.shape[0] - 2) // 2 if pair else theta.shape[0]
    where = np.array(pair) + 2 * size if pair else live(kind, size, slopes)

    def objective(free):
        return jnp.sum(rows.multiplicity * unit_values(kind, slopes, theta.at[where].set(free), rows))

    free = theta[where]
    if not pair:
        value, gradient = jax.value_and_grad(objective)(free)
        return value, gradient, jax.jacfwd(jax.grad(objective))(free)

    def first(free):
        value, push = jax.linearize(objective, free)
        return jax.vmap(push)(jnp.eye(len(pair), dtype=free.dtype)), value

    hessian, (gradient, value) = jax.jacfwd(lambda free: (lambda g, v: (g, (g, v)))(*first(free)), has_aux=True)(free)
    return value, gradient, hessian


@partial(jax.jit, static_argnames=("kind", "slopes"))
def scores(kind: str, slopes: int, theta: Array, rows: Rows) -> Array:
    """Derivatives of the log-likelihood of every unit by all elements of theta (U, length of theta)."""
    pair = KINDS[kind].covariances
    size = (theta.shape[0] - 2) // 2 if pair else theta.shape[0]
    where = live(kind, size, slopes)
    derivative = jax.jacfwd(lambda free: unit_values(kind, slopes, theta.at[where].set(free), rows))(theta[where])
    units = rows.multiplicity.shape[0]
    return jnp.zeros((units, theta.shape[0]), derivative.dtype).at[:, where].set(derivative)
