"""The compiled programs: one to search with and one for scores, of each kind of variable and pair.

All variables have blocks of one length (thresholds padded, unused elements present), so that all problems of a kind share a
program.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array
from mlsem_jax.numerics import known_option
from mlsem_jax.ordinal.limited import _pairs, _single
from mlsem_jax.ordinal.limited._blocks import Rows, block

# halves the time to compile, and costs none that can be measured to run
QUICK_TO_COMPILE = ("xla_cpu_use_fusion_emitters", False)


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


def _with_free(kind: str, slopes: int, theta: Array, rows: Rows, where: np.ndarray) -> Callable[[Array], Array]:
    return lambda free: unit_values(kind, slopes, theta.at[where].set(free), rows)


def _search_terms(kind: str, slopes: int, theta: Array, rows: Rows) -> tuple[Array, Array, Array]:
    """Of a pair: sum over the units, gradient (e,) and Hessian (e, e) by its covariances."""
    pair = KINDS[kind].covariances
    where = np.array(pair) + theta.shape[0] - 2
    values = _with_free(kind, slopes, theta, rows, where)

    def slopes_and_value(free):
        value, push = jax.linearize(lambda v: jnp.sum(rows.multiplicity * values(v)), free)
        gradient = jax.vmap(push)(jnp.eye(len(pair), dtype=free.dtype))
        return gradient, (gradient, value)

    hessian, (gradient, value) = jax.jacfwd(slopes_and_value, has_aux=True)(theta[where])
    return value, gradient, hessian


def _scores(kind: str, slopes: int, theta: Array, rows: Rows) -> tuple[Array, Array]:
    """Log-likelihood of every unit (U,), and its derivatives by all elements of theta (U, length of theta)."""
    size = (theta.shape[0] - 2) // 2 if KINDS[kind].covariances else theta.shape[0]
    where = live(kind, size, slopes)
    values, push = jax.linearize(_with_free(kind, slopes, theta, rows, where), theta[where])
    derivatives = jax.vmap(push, out_axes=-1)(jnp.eye(where.size, dtype=theta.dtype))
    return values, jnp.zeros((*values.shape, theta.shape[0]), theta.dtype).at[:, where].set(derivatives)


@lru_cache
def _compiled(function: Callable, kind: str, slopes: int) -> Callable:
    return jax.jit(partial(function, kind, slopes), compiler_options=known_option(*QUICK_TO_COMPILE))


def search_terms(kind: str, slopes: int, theta: np.ndarray, rows: Rows) -> tuple[float, np.ndarray, np.ndarray]:
    value, gradient, hessian = jax.device_get(_compiled(_search_terms, kind, slopes)(theta, rows))
    return float(value), gradient, hessian


def scores(kind: str, slopes: int, theta: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    values, derivatives = jax.device_get(_compiled(_scores, kind, slopes)(theta, rows))
    return values, derivatives


search_terms.__doc__, scores.__doc__ = _search_terms.__doc__, _scores.__doc__


_COMPILED: set[Any] = set()  # kinds and shapes of what was called before


def compile_ahead(problems: list[tuple[str, np.ndarray, Rows]], slopes: int) -> None:
    """Compile what problems (kind, theta, rows) need, at the same time: XLA compiles without Python's lock. The first problem of
    each kind and shape is evaluated, and the numbers are thrown away.
    """
    jobs = {}
    for kind, theta, rows in problems:
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(rows))
        for function in (scores, search_terms) if KINDS[kind].covariances else (scores,):
            jobs[function, kind, slopes, theta.size, shapes] = (theta, rows)
    jobs = {key: job for key, job in jobs.items() if key not in _COMPILED}

    def run(item):
        (function, kind, *_), (theta, rows) = item
        with jax.enable_x64(True):
            function(kind, slopes, theta, rows)

    if len(jobs) > 1:
        with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
            list(pool.map(run, jobs.items()))
    _COMPILED.update(jobs)
