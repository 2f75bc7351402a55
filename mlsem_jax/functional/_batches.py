"""`ml.estimate_batch`: thousands of data sets, or thousands of models of the same dimensions, in one call."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax import estimation
from mlsem_jax._errors import DataError, ModelError, ModelWarning
from mlsem_jax._status import Status
from mlsem_jax.estimation import (
    BatchMaximum,
    Estimate,
    Model,
    fit_batch,
    fit_unrestricted,
    is_maximum,
    no_reference,
    search_again,
)
from mlsem_jax.functional._reduced import AnyStatistics, reduced
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Structure
from mlsem_jax.numerics import float_type, follows_precision, warn_single_precision
from mlsem_jax.report import bar, notice_if_slow

# of a search; a limit that the user lowered is an answer, and nothing is searched again
ITERATIONS = 300


def estimate_batch(
    model: Model | Structure,
    stats: AnyStatistics | Sequence[AnyStatistics],
    *,
    theta0: Any = None,
    chisq: bool = False,
    iterations: int = ITERATIONS,
    chunk: int | None = None,
    memory: float | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> Estimate:
    """Estimates of a whole batch: data sets, models, or both.

    **Arguments:**

    - `model`: from [`mlsem_jax.model`][], or a `Structure`; every array leaf of the structure may lead with the batch axis.
    - `stats`: statistics, every leaf leading with the batch axis, or of one data set for a batch of models. A list of
      statistics is made a batch here, for data sets that differ in cluster sizes, patterns of missing values or answers.
    - `theta0`: starting values, with or without the batch axis; by default every lane starts from its own sample moments.
    - `chisq`: also maximise the unrestricted model of every lane.
    - `chunk`, `memory`: lanes per device and call, or a budget in bytes that decides them.
    - `devices`: default all local devices. With `jax.distributed` every process passes the same arguments, fits its share of the
      lanes on its own devices, and gets all results.
    - `progress`: show a bar on stderr, or call `progress(done, total)`.

    **Returns:** an `Estimate` of NumPy arrays with the batch axis in front; `status` holds one `Status` code a lane. A lane that
    cannot be fitted has its own status and harms no other. Lanes whose search ends without a maximum are searched again one at a
    time, by everything that [`mlsem_jax.sem`][] tries, at most 500 of them (a warning says how many were left); `again` marks
    them. That is done for a model of `ml.model` with data sets without missing values, in double precision and with the default
    number of iterations. A search that ends at a maximum is not doubted, so that where the likelihood has several a lane may end
    at a lower one than `ml.sem` does.
    """
    what = "ml.estimate_batch"
    estimation.check_model(model, what, lanes=True)
    _check_options(chisq, iterations, chunk, memory, devices, progress)
    statistics = reduced(model, stats, what, lanes=True)
    if theta0 is not None:
        theta0 = estimation.as_theta(model, theta0, what, name="theta0", lanes=True)
    _check_lanes(model, statistics, theta0, what)
    named = model if isinstance(model, Model) else None
    structure, saturated = (named.structure, named.saturated) if named is not None else (model, None)
    if named is not None:
        named.check_estimable()
    if theta0 is None and statistics.only(CompleteTerm) is None:
        if named is None:
            raise estimation.no_start(what)
        theta0 = named.start
    warn_single_precision(float_type(structure, statistics, theta0), what)
    if chisq and (saturated is None or not statistics.saturated):
        raise no_reference(model)
    share = _Share(structure, statistics, theta0)
    how: dict[str, Any] = {"iterations": iterations, "chunk": chunk, "memory": memory, "devices": devices}
    fit, unrestricted = (functools.partial(search, **how) for search in (fit_batch, fit_unrestricted))
    report = bar if progress is True else (progress or None)
    with nullcontext() if progress else notice_if_slow():
        end = fit(*share.mine(structure, statistics, theta0), progress=report)
    again = None
    if named is not None and iterations == ITERATIONS and np.ndim(statistics.lane_mark) == 2:
        end, again = _again(named, share.mine(structure, statistics, None)[1], end)
    chi, df = None, None
    if chisq and named is not None and saturated is not None:
        (own, data, _), reference = share.mine(structure, statistics, None), share.mine(saturated, statistics, None)[0]
        start = None if statistics.only(CompleteTerm) is not None else _reference_starts(own, reference, end.theta)
        h1 = unrestricted(reference, data, start)
        tested = end.converged & h1.converged
        chi = np.full(len(tested), np.nan)
        h0 = end.value[tested]
        chi[tested] = 2 * (np.maximum(h1.value[tested], h0) - h0)
        df = np.full(len(chi), named.df)
    return share.gathered(_estimate(end, chi, df, again))


def _reference_start(structure: Structure, saturated: Structure, theta: jax.Array) -> jax.Array:
    return estimation.start_at(saturated, structure(theta))


@follows_precision
def _reference_starts(structure: Structure, saturated: Structure, theta: np.ndarray) -> np.ndarray:
    """Starting values (B, r) of the unrestricted models where the statistics say nothing of them: the moments of the restricted
    ones at theta (B, q), where their searches ended.
    """
    many = [0 if np.ndim(s.between_only) == 2 else None for s in (structure, saturated)]
    return np.asarray(jax.jit(jax.vmap(_reference_start, (*many, 0)))(structure, saturated, theta))


def _again(model: Model, statistics: Statistics, end: BatchMaximum) -> tuple[BatchMaximum, np.ndarray]:
    """The ends, where a search failed those of another like that of a single fit; and which lanes that were."""
    end, again, left = search_again(model, statistics, end)
    if left:
        warnings.warn(
            ModelWarning(
                f"{int(again.sum())} lanes without a maximum were searched again one at a time; {left} more were not. Where "
                "that many fail the model asks too much of the data: look at status."
            ),
            stacklevel=3,
        )
    return end, again


def _estimate(end: BatchMaximum, chisq: np.ndarray | None, df: np.ndarray | None, again: np.ndarray | None) -> Estimate:
    return Estimate(
        end.theta,
        end.value,
        end.gradient,
        end.information,
        end.se,
        end.status,
        end.iterations,
        end.decrement,
        chisq,
        df,
        again,
    )


def _check_options(chisq: Any, iterations: Any, chunk: Any, memory: Any, devices: Any, progress: Any) -> None:
    estimation.check_flag("chisq", chisq)
    estimation.check_whole("iterations", iterations, 1)
    if chunk is not None:
        estimation.check_whole("chunk", chunk, 1)
    if memory is not None:
        estimation.check_positive("memory", memory, "a budget in bytes")
    listed = isinstance(devices, Sequence) and not isinstance(devices, str) and len(devices) > 0
    if devices is not None and not (listed and all(isinstance(device, jax.Device) for device in devices)):
        raise DataError(f"devices must be a list of devices, such as jax.local_devices()[:2], not {devices!r}.")
    estimation.check_progress(progress)


def _check_lanes(model: Model | Structure, statistics: Statistics, theta0: Any, what: str) -> None:
    """DataError where the arguments are traced, hold no lane axis, none of positive length, or different ones."""
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((model, statistics, theta0))):
        raise ModelError(
            f"{what} decides by the numbers it is given how to go on, so that it cannot be jitted, mapped or differentiated. "
            "Inside of JAX transformations use jax.vmap(ml.estimate, (None, 0))(model, stats)."
        )
    structure = model.structure if isinstance(model, Model) else model
    # each has one axis where it is of one data set or model
    marks = {"the model": structure.between_only, "stats": statistics.lane_mark, "theta0": theta0}
    lanes = {name: np.shape(x)[0] for name, x in marks.items() if x is not None and np.ndim(x) == 2}
    if not lanes:
        raise DataError(
            f"{what} fits many data sets, models or both; here is one of each. Use ml.estimate(model, stats), or pass a "
            "list of the statistics of several data sets."
        )
    if len(set(lanes.values())) > 1 or 0 in lanes.values():
        shown = ", ".join(f"{name} of {count}" for name, count in lanes.items())
        raise DataError(
            f"A batch needs one leading axis of one common length, 1 or more; its lengths are: {shown}. Check what was stacked."
        )


class _Share:
    """This process's part of the lanes: all of them unless `jax.distributed` runs several processes."""

    def __init__(self, structure: Structure, statistics: Statistics, theta0: Any):
        mark = statistics.lane_mark
        ranks = (np.ndim(structure.between_only) == 2, np.ndim(mark) == 2, theta0 is not None and np.ndim(theta0) == 2)
        parts = (structure.between_only, mark, theta0)
        self.total = next((np.shape(part)[0] for part, flag in zip(parts, ranks, strict=True) if flag), 0)
        self.processes, self.index = jax.process_count(), jax.process_index()
        self.length = -(-self.total // self.processes)

    def mine(self, structure: Structure, statistics: Statistics, theta0: Any) -> tuple[Structure, Statistics, Any]:
        if self.processes == 1:
            return structure, statistics, theta0
        # every process takes equally many; the last ones repeat a lane to fill up
        lanes = np.minimum(np.arange(self.index * self.length, (self.index + 1) * self.length), self.total - 1)
        mark = statistics.lane_mark
        flags = (np.ndim(structure.between_only) == 2, np.ndim(mark) == 2, theta0 is not None and np.ndim(theta0) == 2)
        parts = (structure, statistics, theta0)
        own = [
            jax.tree.map(lambda x: np.asarray(x)[lanes], part) if flag else part
            for part, flag in zip(parts, flags, strict=True)
        ]
        return own[0], own[1], own[2]

    def gathered(self, own: Estimate) -> Estimate:
        if self.processes == 1:
            return own
        from jax.experimental import multihost_utils

        _wait_for_all()
        with jax.enable_x64(True):
            all_ = multihost_utils.process_allgather(jax.tree.map(jnp.asarray, own), tiled=True)
        return jax.tree.map(lambda x: np.asarray(x)[: self.total], all_)


def _wait_for_all() -> None:
    """Until every process is here: the collectives of CPUs give up after 30 seconds, and shares may differ by hours."""
    from jax._src import distributed  # the coordination service has no public barrier

    client = distributed.global_state.client
    if client is not None:
        client.wait_at_barrier(f"mlsem_jax/{next(_barriers)}", timeout_in_ms=7 * 24 * 3600 * 1000)


_barriers = itertools.count()


def summarise(estimate: Estimate) -> str:
    """One line: lanes, and how many ended how."""
    codes, counts = np.unique(np.asarray(estimate.status), return_counts=True)
    shown = ", ".join(f"{count} {Status(int(code)).name.lower()}" for code, count in zip(codes, counts, strict=True))
    converged = int(np.sum(np.asarray(is_maximum(np.asarray(estimate.status)))))
    return f"{len(estimate.status)} lanes, {converged} converged ({shown})"
