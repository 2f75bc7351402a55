"""Maxima near a known one: of the same data with other weights on its clusters, as replicate weights are.

The inverse of the observed information at the known maximum is close to that of every lane, so that secant steps from there need
gradients alone: neither a scoring metric nor a Hessian, which together take ten times as long as the search.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Bool, Float
from mlsem_jax.estimation.batch._batch import pack_width
from mlsem_jax.estimation.search import is_done, scaled_inverse, secant_step, settings, start, value_and_gradient
from mlsem_jax.likelihood import WeightedClusters
from mlsem_jax.models import Structure
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import WeightedOrdinal

# steps of a search; of a lane that takes more the maximum is not near
STEPS = 25
# lanes of a call on a CPU, at most
PACK = 16


@float64
def maxima_nearby(
    structure: Structure,
    clusters: WeightedClusters | WeightedOrdinal,
    weights: Float[np.ndarray, "B J"],
    theta: Float[np.ndarray, " q"],
    information: Float[np.ndarray, "q q"],
) -> tuple[Float[np.ndarray, "B q"], Bool[np.ndarray, " B"]]:
    """theta of every lane of weights, and whether its search came to an end. From theta, the maximum with all weights 1, and the
    observed information there. A lane without an end tells nothing: it has to be searched otherwise.
    """
    device, cores, width = jax.devices()[0], 1, len(weights)
    if device.platform == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        width = min(pack_width(structure, clusters, device) or PACK, PACK)
    lanes = np.concatenate([weights, np.repeat(weights[-1:], -len(weights) % width, axis=0)])
    shared = jax.device_put((structure, clusters, theta, information), device)

    def run(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True):  # of this thread
            found, done = _pack(shared, part)
            return np.asarray(found), np.asarray(done)

    first, *others = lanes.reshape(-1, width, lanes.shape[1])
    found = [run(first)]  # compiled before any two run at the same time
    if others:
        with ThreadPoolExecutor(cores) as pool:
            found += pool.map(run, others)
    theta_, done = (np.concatenate(x)[: len(weights)] for x in zip(*found, strict=True))
    return theta_, done


@jax.jit
def _pack(shared: tuple, weights: Array) -> tuple[Array, Array]:
    """The search of a pack of lanes of weights; of one length, so that any number of them shares a program."""
    structure, clusters, theta, information = shared
    inverse = scaled_inverse(information)[0]
    return jax.vmap(lambda own: climb(structure, clusters(own), theta, inverse))(weights)


def climb(structure: Structure, statistics, theta: Array, inverse: Array) -> tuple[Array, Array]:
    """theta (q,) of one lane, and whether no rise is left."""
    limits = settings(theta.dtype)
    value, gradient = value_and_gradient(structure, theta, statistics)
    begin = replace(
        start(theta),
        value=value,
        gradient=gradient,
        inverse=inverse,
        decrement=0.5 * (gradient @ inverse @ gradient),
        target=1e-5 * limits.decrement,
        near=jnp.asarray(True),
    )
    end = jax.lax.while_loop(
        lambda c: ~c.handover & (c.iterations < STEPS), lambda c: secant_step(structure, statistics, c), begin
    )
    return end.theta, is_done(jnp, end.decrement, limits.decrement) & jnp.all(jnp.isfinite(end.theta))
