"""The compiled programs that run a search on many lanes: vmapped on one device, or split over the local devices.

On a CPU the lanes of a call go through in packs whose arrays fit its second-level cache: packs of 500 lanes take three times as
long a lane as packs of 30, and a slow lane holds up its own pack only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mlsem_jax.estimation.batch._batch_starts import moment_starts
from mlsem_jax.estimation.search import SearchState, Settings, resume, search_traced
from mlsem_jax.estimation.status import at_end

# (structure, statistics, theta0, weights): parts that lead with a lane axis, or those that all lanes share; None in the others'
# place. With weights (one per cluster) the statistics are a WeightedClusters that all lanes share.
Parts = tuple[Any, ...]


def split(parts: Parts, batched: tuple[bool, ...]) -> tuple[Parts, Parts]:
    """The parts that lead with a lane axis, and the others."""
    lanes = tuple(part if flag else None for part, flag in zip(parts, batched, strict=True))
    shared = tuple(None if flag else part for part, flag in zip(parts, batched, strict=True))
    return lanes, shared


def _one_lane(lanes: Parts, shared: Parts) -> tuple[Any, Any, Any]:
    """(structure, statistics, theta0) of one lane."""
    structure, statistics, theta, weights = (
        common if own is None else own for own, common in zip(lanes, shared, strict=True)
    )
    return structure, statistics if weights is None else statistics(weights), theta


def _in_packs(one: Callable, inputs: Any, width: int | None) -> Any:
    """One pack of `width` lanes after the other; all at once where they do not come in whole packs."""
    count = jax.tree.leaves(inputs)[0].shape[0]
    if width is None or count <= width or count % width:
        return jax.vmap(one)(inputs)
    packs = jax.tree.map(lambda x: x.reshape(count // width, width, *x.shape[1:]), inputs)
    return jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), jax.lax.map(jax.vmap(one), packs))


# both return the end of the search and its status code
def _begin(lanes: Parts, shared: Parts, limits: Settings, newton: bool, width: int | None) -> tuple[SearchState, Any]:
    def one(own):
        structure, statistics, theta = _one_lane(own, shared)
        start = moment_starts(structure, statistics) if theta is None else theta
        end = search_traced(structure, statistics, start, limits, newton)
        return end, at_end(structure, end) if newton else end.ended

    return _in_packs(one, lanes, width)


def _continue(
    lanes: Parts, shared: Parts, state: SearchState, limits: Settings, newton: bool, width: int | None
) -> tuple[SearchState, Any]:
    def one(inputs):
        own, state = inputs
        structure, statistics, _ = _one_lane(own, shared)
        end = resume(structure, statistics, state, limits, newton)
        return end, at_end(structure, end) if newton else end.ended

    return _in_packs(one, (lanes, state), width)


@functools.cache
def program(devices: tuple[jax.Device, ...], begins: bool, newton: bool, width: int | None) -> Callable:
    """The jitted search over lanes, in packs of `width` (None: all at once).

    On several devices each runs its share of the lanes in a loop of its own, without talking to the others, so that a slow lane
    holds up one device only.
    """

    def run(lanes, shared, state, limits):
        if begins:
            return _begin(lanes, shared, limits, newton, width)
        return _continue(lanes, shared, state, limits, newton, width)

    if len(devices) == 1:
        return jax.jit(run)
    mesh = Mesh(np.array(devices), ("lanes",))
    over, whole = PartitionSpec("lanes"), PartitionSpec()
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(over, whole, over, whole), out_specs=over, check_vma=False))


def place(tree: Any, devices: tuple[jax.Device, ...], lanes: bool) -> Any:
    """Arrays on the devices: split by lane, or a copy on each."""
    if len(devices) == 1:
        return jax.device_put(tree, devices[0])
    spec = PartitionSpec("lanes") if lanes else PartitionSpec()
    return jax.device_put(tree, NamedSharding(Mesh(np.array(devices), ("lanes",)), spec))
