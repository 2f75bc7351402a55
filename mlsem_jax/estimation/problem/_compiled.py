"""Compiled functions of a structure, theta and statistics, which every fit of the same dimensions shares."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mlsem_jax.numerics import known_option

# arrays of at most this many elements travel together: a call and a transfer cost by the array, not by the byte
SMALL = 4096


@dataclass(frozen=True)
class Layout:
    """Where the leaves of a tree are in packed arrays: for each leaf its array, the place of its first element there and its
    shape. Equal layouts are one compiled program.
    """

    tree: Any
    leaves: tuple[tuple[int, int, tuple[int, ...]], ...]

    def unpack(self, arrays: list[jax.Array]) -> Any:
        out = []
        for which, start, shape in self.leaves:
            count = math.prod(shape)
            whole = arrays[which].size == count
            out.append((arrays[which] if whole else arrays[which][start : start + count]).reshape(shape))
        return jax.tree.unflatten(self.tree, out)


def pack(tree: Any) -> tuple[list[np.ndarray], Layout]:
    """The leaves of a tree as few arrays: one for the small leaves of each dtype, one for each large leaf."""
    leaves, treedef = jax.tree.flatten(tree)
    parts: list[list[np.ndarray]] = []
    places, shared, length = [], {}, {}
    for leaf in map(np.asarray, leaves):
        key = leaf.dtype if leaf.size <= SMALL else len(parts)
        if key not in shared:
            shared[key], length[key] = len(parts), 0
            parts.append([])
        places.append((shared[key], length[key], leaf.shape))
        parts[shared[key]].append(leaf.ravel())
        length[key] += leaf.size
    return [part[0] if len(part) == 1 else np.concatenate(part) for part in parts], Layout(treedef, tuple(places))


def device_of_single_fits() -> Any:
    """Where the programs of one fit run: on a CPU, also on a machine with a GPU, where every step of a loop costs a launch and
    every evaluation a transfer; on the device that the user made JAX's default (`jax.default_device`) if there is one. None: JAX's
    own choice is the right one, or JAX was started without CPUs.
    """
    if jax.default_backend() == "cpu" or jax.config.jax_default_device is not None:
        return None
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names others alone
        return None


def sent(tree: Any) -> Any:
    """The arrays of a tree where single fits run, in double precision whoever asks first."""
    with jax.enable_x64(True):
        return jax.device_put(tree, device_of_single_fits())


# XLA's option for the programs of single fits, which are compiled for a few dozen calls: with jaxlib 0.10 on CPUs the fusion
# emitters take a third of the time of a first fit and make these programs no faster (batches, whose programs run longer, keep
# them). Integrals over many nodes run 1.4 times as long without them, and a first fit is the quicker all the same: processor
# seconds of benchmarks/ordinal.py without and with them 11.3 and 16.9 (binary), 22.4 and 24.5 (two-level factor model; warm 10.0
# and 7.3), 37.5 and 42.2 (the same with four times the rows). jaxlib 0.11 dropped the option, and another backend does not know it.
QUICK_TO_COMPILE = ("xla_cpu_use_fusion_emitters", False)


@functools.lru_cache(maxsize=256)
def on_arrays(function: Callable, layout: Layout) -> Callable:
    """`function(structure, theta, statistics, ...)`, compiled, as a function of packed structure and statistics and of the rest.

    A search calls it many times with the same trees: taking them apart once, and into few arrays, is a third of the time
    of a small fit. One compiled program per function, tree and shapes, as with the tree itself as argument.
    """

    def run(arrays, theta, *more):
        structure, statistics = layout.unpack(arrays)
        return function(structure, theta, statistics, *more)

    return jax.jit(run, compiler_options=known_option(*QUICK_TO_COMPILE))
