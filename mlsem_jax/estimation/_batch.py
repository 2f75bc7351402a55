"""Thousands of fits in one call: the search of `_climb` under vmap, in chunks, with compaction of the lanes still running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.estimation._climb import RUNNING, Climb, Settings, climb, resume, settings
from mlsem_jax.models import Structure
from mlsem_jax.statistics import Statistics

# lanes of a chunk share caches on a CPU; a GPU wants many
CPU_CHUNK, GPU_CHUNK = 512, 8192
FIRST_ITERATIONS, FIRST_ROUNDS = 25, 3


class BatchMaximum(eqx.Module):
    """Where every lane of a batch ended; arrays lead with the lane axis B. status (B,) holds `Status` codes.

    value: log-likelihood, a sum over rows. information: observed at theta. decrement: the rise that the quadratic model
    still promises. Lanes that are NON_FINITE keep their starting values.
    """

    theta: Float[Array, "B q"]
    value: Float[Array, " B"]
    gradient: Float[Array, "B q"]
    information: Float[Array, "B q q"]
    decrement: Float[Array, " B"]
    iterations: Int[Array, " B"]
    status: Int[Array, " B"]

    @property
    def converged(self) -> np.ndarray:
        """(B,) whether the lane is a verified maximum, proper or not."""
        return np.isin(self.status, [code for code in Status if code.converged])


def _batched(structure: Structure, statistics: Statistics, theta: Array) -> tuple[bool, bool, bool]:
    """Which of the three lead with a lane axis."""
    mark, usual = (
        (statistics.complete.rows, 1) if statistics.complete is not None else (statistics.patterns.reference, 1)
    )
    return np.ndim(structure.between_only) == 2, np.ndim(mark) == usual + 1, np.ndim(theta) == 2


def _split(tree: Any, batched: tuple[bool, ...]) -> tuple[Any, Any]:
    """The parts that lead with a lane axis, and those shared by all lanes; each has None in the other's place."""
    lanes = tuple(part if flag else None for part, flag in zip(tree, batched, strict=True))
    shared = tuple(None if flag else part for part, flag in zip(tree, batched, strict=True))
    return lanes, shared


def _join(lanes: Any, shared: Any) -> Any:
    return tuple(common if own is None else own for own, common in zip(lanes, shared, strict=True))


@jax.jit
def _first(lanes: Any, shared: Any, limits: Settings) -> Climb:
    return jax.vmap(lambda own: climb(*_join(own, shared), limits))(lanes)


@jax.jit
def _again(lanes: Any, shared: Any, state: Climb, limits: Settings) -> Climb:
    def one(own, state):
        structure, statistics, _ = _join(own, shared)
        return resume(structure, statistics, state, limits)

    return jax.vmap(one)(lanes, state)


def _take(tree: Any, which: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[which], tree)


def _padded(which: np.ndarray, size: int) -> np.ndarray:
    """Lane numbers filled up to `size` by repeating the last: its result is computed again and dropped."""
    return np.concatenate([which, np.full(size - len(which), which[-1])])


def _sizes(count: int, chunk: int) -> int:
    """Lanes in the next call: a full chunk, or for what is left the smallest power of 8 below it that holds them all."""
    size = chunk
    while size // 8 >= max(count, 8):
        size //= 8
    return size


def chunk_size(structure: Structure, statistics: Statistics, memory: float | None = None) -> int:
    """Lanes per call: what keeps a CPU's caches warm or a GPU busy, but at most `memory` bytes (default 1 GiB)."""
    q, p = np.shape(structure.basis)[-1], np.shape(structure.between_only)[-1]
    groups, sizes = (1, 64) if statistics.complete is None else np.shape(statistics.complete.size)[-2:]
    # the observed information carries q tangents of a handful of (S + 1, p, p) arrays, the metric two (p, p, q) Jacobians
    lane = 8.0 * groups * p * p * (8 * q * (sizes + 1) + 20 * q) + 40.0 * q * q
    usual = CPU_CHUNK if jax.default_backend() == "cpu" else GPU_CHUNK
    return int(np.clip((memory or 2.0**30) // lane, 1, usual))


def fit_batch(
    structures: Structure,
    statistics: Statistics,
    theta0: Float[Array, " q"] | Float[Array, "B q"],
    *,
    decrement: float | None = None,
    iterations: int = 300,
    chunk: int | None = None,
    memory: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BatchMaximum:
    """Maximise the likelihood of every lane: many data sets, many models of the same dimensions, or both.

    structures, statistics and theta0 may each lead with a lane axis B (all their leaves) or be shared by all lanes. Computed
    in the precision of the arrays: float64 input stays float64 whatever JAX's global setting. chunk: lanes per call of the
    compiled program; memory: its budget in bytes. progress(done, total) is called after every chunk. Results are NumPy.

    A first pass gives every lane what nearly all need; those left over go on in smaller chunks, so that the slow ones keep
    nobody waiting. A lane's result does not depend on its neighbours or on the chunk size.
    """
    flags = _batched(structures, statistics, theta0)
    lanes, shared = _split((structures, statistics, theta0), flags)
    counts = {np.shape(x)[0] for x in jax.tree.leaves(lanes)}
    if len(counts) != 1:
        raise DataError(
            "fit_batch needs a leading axis of one common length on the structures, the statistics or theta0; "
            + (f"found lengths {sorted(counts)}." if counts else "none of them has one.")
        )
    total = counts.pop()
    wide = any(np.asarray(x).dtype == np.float64 for x in jax.tree.leaves((structures, statistics, theta0)))
    with jax.enable_x64(wide or jax.config.jax_enable_x64):
        size = chunk or chunk_size(structures, statistics, memory)
        shared = jax.tree.map(jax.numpy.asarray, shared)
        dtype = jax.numpy.result_type(np.float64 if wide else np.float32)
        early = settings(dtype, decrement, min(FIRST_ITERATIONS, iterations), FIRST_ROUNDS)
        late = settings(dtype, decrement, iterations)
        state = _first_pass(lanes, shared, total, size, early, progress)
        running = np.flatnonzero(state.status == RUNNING)
        while len(running):
            now, running = running[:size], running[size:]
            padded = _padded(now, _sizes(len(now), size))
            out = _to_numpy(_again(_take(lanes, padded), shared, _take(state, padded), late))
            jax.tree.map(lambda all_, some: _put(all_, now, some), state, out)  # noqa: B023
    status = np.where(state.status == RUNNING, int(Status.ITERATION_LIMIT), state.status)
    return BatchMaximum(
        state.theta, state.value, state.gradient, state.information, state.decrement, state.iterations, status
    )


def _first_pass(lanes, shared, total, size, limits, progress) -> Climb:
    """Every lane through the first limits; the state of all lanes as NumPy arrays."""
    state, done = None, 0
    while done < total:
        now = np.arange(done, min(done + size, total))
        out = _to_numpy(_first(_take(lanes, _padded(now, _sizes(len(now), size))), shared, limits))
        if state is None:
            state = jax.tree.map(lambda x: np.empty((total, *x.shape[1:]), x.dtype), out)
        jax.tree.map(lambda all_, some: _put(all_, now, some), state, out)  # noqa: B023
        done = now[-1] + 1
        if progress is not None:
            progress(int(done), total)
    return state


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def _put(target: np.ndarray, where: np.ndarray, values: np.ndarray) -> None:
    target[where] = values[: len(where)]
