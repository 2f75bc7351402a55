"""The compiled functions that every fit of the same dimensions shares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from mlsem_jax import likelihood
from mlsem_jax.models import Structure

evaluate = jax.jit(likelihood.evaluate)
log_likelihood = jax.jit(likelihood.log_likelihood)
observed_information = jax.jit(likelihood.observed_information)
expected_information = jax.jit(likelihood.expected_information)
cluster_scores = jax.jit(likelihood.cluster_scores)
pattern_scores = jax.jit(likelihood.pattern_scores)


@jax.jit
def implied_moments(structure: Structure, theta):
    """Model-implied moments by group at theta."""
    return structure(theta)


@functools.lru_cache(maxsize=256)
def on_leaves(kernel: Callable, treedef: Any) -> Callable:
    """`kernel(structure, theta, statistics)`, compiled, as a function of the leaves of (structure, statistics) and theta.

    A search calls a kernel many times with the same trees; taking them apart once instead of on every call is a third of the
    time of a small fit. One compiled program per kernel, tree and shapes, as with the tree itself as argument.
    """

    @jax.jit
    def run(leaves, theta):
        structure, statistics = jax.tree.unflatten(treedef, leaves)
        return kernel(structure, theta, statistics)

    return run
