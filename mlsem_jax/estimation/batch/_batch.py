"""Thousands of fits in one call: the traced search under vmap, in chunks, with compaction of the lanes still running."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.estimation.batch._devices import Parts, place, program, split
from mlsem_jax.estimation.search import RUNNING, SearchState, Settings, settings
from mlsem_jax.estimation.status import is_maximum
from mlsem_jax.likelihood import Statistics, WeightedClusters
from mlsem_jax.models import Structure
from mlsem_jax.numerics import anew
from mlsem_jax.ordinal import WeightedOrdinal

# lanes of a call; on a CPU they go in packs of at most PACK, the largest arrays of which take about PACK_BYTES
CPU_CHUNK, GPU_CHUNK = 512, 8192
PACK, PACK_BYTES = 64, 2.0**21
FIRST_ITERATIONS, FIRST_ROUNDS = 25, 3


class BatchMaximum(Record):
    """Where every lane of a batch ended; NumPy arrays that lead with the lane axis B. status (B,) holds `Status` codes.

    value: log-likelihood, a sum over rows. information: observed at theta, and se its standard errors (NaN unless converged), but
    for searches without Newton steps. decrement: the rise that the quadratic model still promises.
    """

    theta: Float[Array, "B q"]
    value: Float[Array, " B"]
    gradient: Float[Array, "B q"]
    information: Float[Array, "B q q"]
    se: Float[Array, "B q"]
    decrement: Float[Array, " B"]
    iterations: Int[Array, " B"]
    status: Int[Array, " B"]

    @property
    def converged(self) -> np.ndarray:
        """(B,) whether the lane is a verified maximum, proper or not."""
        return np.asarray(is_maximum(self.status))


def _batched(structure: Structure, statistics: Any, theta: Any, weights: Any) -> tuple[bool, bool, bool, bool]:
    """Which of the four lead with a lane axis."""
    many = False
    if weights is None:
        many = np.ndim(statistics.lane_mark) == 2
    return np.ndim(structure.between_only) == 2, many, theta is not None and np.ndim(theta) == 2, weights is not None


def _number_of_lanes(lanes: Parts) -> int:
    counts = {np.shape(x)[0] for x in jax.tree.leaves(lanes)}
    if len(counts) == 1:
        return counts.pop()
    found = f"found lengths {sorted(counts)}." if counts else "none of them has one."
    raise DataError(
        f"A batch needs a leading axis of one common length on the structures, the statistics or theta0; {found}"
    )


def _lane(statistics: Any) -> Statistics:
    """The statistics of one lane or of all, or their shapes where weights are to make them."""
    if isinstance(statistics, Statistics):
        return statistics
    leaves, form = jax.tree.flatten(statistics)
    return _shapes(form, tuple((np.shape(x), np.result_type(x)) for x in leaves))


@functools.lru_cache(maxsize=32)
def _shapes(form: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> Statistics:
    """The shapes of what weighted clusters with leaves of these shapes make: tracing takes a twentieth of a second."""
    statistics = jax.tree.unflatten(form, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    clusters = statistics.complete_codes.shape[0] + statistics.pattern_codes.shape[0]
    weights = jax.ShapeDtypeStruct((clusters,), np.result_type(float))
    return jax.eval_shape(lambda s, w: s(w), statistics, weights)


def pack_width(structure: Structure, statistics: Any, device: jax.Device) -> int | None:
    """Lanes that a CPU works on at a time: a power of two. None on other devices, which take all."""
    if device.platform != "cpu":
        return None
    q, p = np.shape(structure.basis)[-1], np.shape(structure.between_only)[-1]
    sized = [term.sizes for term in _lane(statistics).terms if term.sizes is not None]
    # without complete data a stand-in
    groups, sizes = np.shape(sized[0].size)[-2:] if sized else (1, 64)
    fitting = PACK_BYTES / (8.0 * groups * (sizes + 1) * q * p * p)
    return 1 << int(np.log2(np.clip(fitting, 4, PACK)))


def memory_for_lanes(device: jax.Device) -> float:
    """Bytes that the lanes of a call may take on a device: 1 GiB on a CPU, which has other work; half of what another device has
    free, because arrays are alive twice where one step's results become the next one's input, or 16 GiB if it does not say.
    """
    if device.platform == "cpu":
        return 2.0**30
    known = device.memory_stats() or {}
    if "bytes_limit" not in known:
        return 2.0**34
    return 0.5 * max(known["bytes_limit"] - known.get("bytes_in_use", 0), 2.0**28)


def chunk_size(
    structure: Structure, statistics: Any, devices: Sequence[jax.Device], memory: float | None = None
) -> int:
    """Lanes per device and call: what keeps a CPU's caches warm or a GPU busy, but at most `memory` bytes (default: by device)."""
    q, p = np.shape(structure.basis)[-1], np.shape(structure.between_only)[-1]
    groups = np.shape(structure.within.nu.base)[-2]
    # beside what the terms hold, the metric carries two (p, p, q) Jacobians and more of their size
    elements = 20.0 * q * groups * p * p + 5.0 * q * q + sum(t.lane_elements(q) for t in _lane(statistics).terms)
    most = CPU_CHUNK if devices[0].platform == "cpu" else GPU_CHUNK
    return int(np.clip((memory or min(map(memory_for_lanes, devices))) // (8.0 * elements), 1, most))


def _chunk(structure: Structure, statistics: Any, devices: Sequence[jax.Device], memory: Any, told: bool) -> int:
    """Lanes per call; where progress is told on a CPU a pack, so that it moves while a chunk would be on its way."""
    most = chunk_size(structure, statistics, devices, memory)
    return min(most, PACK) if told and devices[0].platform == "cpu" else most


def fit_batch(
    structures: Structure,
    statistics: Statistics | WeightedClusters | WeightedOrdinal,
    theta0: Float[Array, " q"] | Float[Array, "B q"] | None = None,
    *,
    weights: Float[Array, "B J"] | None = None,
    newton: bool = True,
    decrement: float | None = None,
    iterations: int = 300,
    chunk: int | None = None,
    memory: float | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BatchMaximum:
    """Maximise the likelihood of every lane: many data sets, many models of the same dimensions, or both.

    structures, statistics and theta0 may each lead with a lane axis B (all their leaves) or be shared by all lanes; theta0=None
    starts every lane from its own sample moments. weights: lanes that are one data set with other weights on its clusters, the
    statistics then being a `WeightedClusters`. Computed in the precision of the arrays: float64 input stays float64 whatever
    JAX's global setting. newton=False serves where only the value matters. chunk: lanes per device and call of the compiled
    program; memory: its budget in bytes (default: 1 GiB on a CPU, half of what a GPU has free). devices: default all local ones.
    progress(done, total) is called after every chunk, on a CPU after every pack of lanes.

    A first pass gives every lane what nearly all need; those left over go on in smaller chunks, so that the slow ones keep nobody
    waiting. A lane's result does not depend on its neighbours, the chunk size or the number of devices, but for rounding.
    """
    parts = (structures, statistics, theta0, weights)
    lanes, shared = split(parts, _batched(*parts))
    total = _number_of_lanes(lanes)
    wide = any(np.asarray(x).dtype == np.float64 for x in jax.tree.leaves(parts))
    devices = tuple(devices or jax.local_devices())
    with jax.enable_x64(wide or jax.config.jax_enable_x64):
        batch = _Batch(
            lanes,
            devices,
            shared,
            newton,
            chunk or _chunk(structures, statistics, devices, memory, told=progress is not None),
            pack_width(structures, statistics, devices[0]),
        )
        dtype = np.float64 if wide else np.float32
        early = settings(dtype, decrement, min(FIRST_ITERATIONS, iterations), FIRST_ROUNDS)
        batch.run(np.arange(total), early, progress)
        batch.run(np.flatnonzero(batch.state.status == RUNNING), settings(dtype, decrement, iterations), None)
    return _result(batch.state, batch.status)


def _result(state: SearchState, status: np.ndarray) -> BatchMaximum:
    usable = is_maximum(status)[:, None] & (state.variance > 0)
    se = np.sqrt(np.where(usable, state.variance, np.nan))
    return BatchMaximum(
        state.theta, state.value, state.gradient, state.information, se, state.decrement, state.iterations, status
    )


class _Batch:
    """The lanes of one call and, once the first pass is through, the state and the status code of each as NumPy arrays."""

    state: SearchState
    status: np.ndarray

    def __init__(
        self,
        lanes: Parts,
        devices: tuple[jax.Device, ...],
        shared: Parts,
        newton: bool,
        chunk: int,
        width: int | None,
    ):
        self.lanes, self.devices, self.newton, self.width = lanes, devices, newton, width
        self.chunk, self.begun = chunk * len(devices), False
        self.shared = place(jax.tree.map(anew, shared), devices, lanes=False)

    def run(self, which: np.ndarray, limits: Settings, progress: Callable[[int, int], None] | None) -> None:
        """Search in the lanes `which`, from the start or from where they are."""
        compiled = program(self.devices, not self.begun, self.newton, self.width)
        limits = place(limits, self.devices, lanes=False)
        parts = [which[first : first + self.chunk] for first in range(0, len(which), self.chunk)]

        def queue(now: np.ndarray) -> Any:
            padded = np.concatenate([now, np.full(self._length(len(now)) - len(now), now[-1])])
            own = place(_take(self.lanes, padded), self.devices, lanes=True)
            state = place(_take(self.state, padded), self.devices, lanes=True) if self.begun else None
            return compiled(own, self.shared, state, limits)

        done = 0
        for now, out in zip(parts, _results(queue, parts, self._threads()), strict=True):
            self._store(now, out, len(which))
            done += len(now)
            if progress is not None:
                progress(done, len(which))
        self.begun = True

    def _threads(self) -> int:
        """Calls at a time: one a core on a CPU that is one device, where the small products of a call keep one core busy."""
        single = len(self.devices) == 1 and self.devices[0].platform == "cpu"
        return (
            (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) if single else 1
        )

    def _length(self, count: int) -> int:
        """Lanes of a call: a full chunk, or for fewer the smallest eighth (of an eighth ...) of one that holds them."""
        length, least = self.chunk, len(self.devices)
        while length % 8 == 0 and length // 8 >= max(count, 8) and (length // 8) % least == 0:
            length //= 8
        return length

    def _store(self, now: np.ndarray, values: tuple[SearchState, Any], total: int) -> None:
        if not hasattr(self, "state"):
            self.state, self.status = jax.tree.map(lambda x: np.empty((total, *x.shape[1:]), x.dtype), values)
        jax.tree.map(lambda all_, some: _put(all_, now, some), (self.state, self.status), values)


def _results(queue: Callable[[np.ndarray], Any], parts: list[np.ndarray], threads: int) -> Iterator[Any]:
    """The results of all parts in order, as NumPy arrays. Every part is queued before the one ahead of it is read."""
    if threads == 1 or len(parts) < 3:
        pending: list[Any] = []
        for now in parts:
            pending.append(queue(now))
            if len(pending) > 1:
                yield jax.tree.map(np.asarray, pending.pop(0))
        yield from (jax.tree.map(np.asarray, out) for out in pending)
        return
    wide = jax.config.jax_enable_x64  # inside a context: other threads are not

    def run(now: np.ndarray) -> Any:
        with jax.enable_x64(wide):
            return jax.tree.map(np.asarray, queue(now))

    # the first and the last, which may be shorter, are compiled before any two run at the same time
    first, last = run(parts[0]), run(parts[-1])
    yield first
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(run, parts[1:-1])
    finally:
        pool.shutdown(cancel_futures=True)
    yield last


def _take(tree: Any, which: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[which], tree)


def _put(target: np.ndarray, where: np.ndarray, values: np.ndarray) -> None:
    target[where] = values[: len(where)]
