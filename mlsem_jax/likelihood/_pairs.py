"""Sums over the occupied (cluster, pattern) pairs of a chunk, from patterns to clusters and back."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import ELEMENTS, product
from mlsem_jax.observed import ClusterChunk

# Times that a product of matrices is cheaper, by element, than to gather and add: as long as no more than one in so many
# (cluster, pattern) pairs is occupied, a table with all of them is the faster way
DENSE = 100


def sums_by(xp: ModuleType, x: Array, which: Array, count: int) -> Array:
    """Sums (count, ...) of the entries x (n, ...) that have the same number in `which` (n,)."""
    if xp is jnp:
        return jax.ops.segment_sum(x, which, count)
    if count == 1:
        return x.sum(axis=0, keepdims=True)
    out = np.zeros((count, *x.shape[1:]))
    if len(which):
        order = np.argsort(which, kind="stable")
        ordered = which[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        out[ordered[starts]] = np.add.reduceat(x[order], starts, axis=0)
    return out


def _flat(x: Array) -> Array:
    """(n, m) of (n, ...), also where n is 0."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def held_as_table(clusters: int, patterns: int, pairs: int, width: int) -> bool:
    """Whether sums go by tables of all pairs, occupied or not, with so many elements (width) each; 0: however large."""
    every = clusters * patterns
    return every <= DENSE * pairs and every * width <= ELEMENTS


class Pairs:
    """The pairs of one chunk: which cluster and pattern each belongs to, and what each holds. patterns: their number R.

    What the pairs hold is asked for by name: the "number" of rows, whether that is "occupied", "products" of all (1, x), the
    "first" row of these, and "total".
    """

    def __init__(self, chunk: ClusterChunk | Any, patterns: int, xp: ModuleType = jnp):
        self._xp, self._chunk = xp, chunk
        self._cluster, self._pattern = chunk.cluster, chunk.pattern
        self._clusters, self._patterns = chunk.group.shape[0], patterns
        # compiled programs see chunks that stay in a cache
        width = 0 if xp is jnp else chunk.total.shape[-1]
        self._dense = held_as_table(self._clusters, patterns, chunk.cluster.shape[0], width)
        self._tables: dict[str, Array] = {}

    def _held(self, what: str) -> Array:
        """(K, ...)."""
        products = self._chunk.products
        if what == "total":
            return self._chunk.total
        if what == "occupied":
            return (products[:, 0, 0] > 0).astype(products.dtype)
        return {"number": products[:, 0, 0], "products": products, "first": products[:, :, 0]}[what]

    def _table(self, what: str) -> Array:
        """What the pairs hold, m elements each, as (L, R m), zero where a pair is not occupied; made once."""
        if what not in self._tables:
            x = _flat(self._held(what))
            at = self._cluster * self._patterns + self._pattern
            if self._xp is np:  # every pair is there once
                table = np.zeros((self._clusters * self._patterns, x.shape[1]))
                table[at] = x
            else:
                table = jax.ops.segment_sum(x, at, self._clusters * self._patterns)
            self._tables[what] = table.reshape(self._clusters, self._patterns * x.shape[1])
        return self._tables[what]

    def to_clusters(self, what: str, by_pattern: Float[Array, "R m n"]) -> Float[Array, "L n"]:
        """Sum over the pairs k of each cluster of x_k' by_pattern[pattern of k], x what the pairs hold, m elements each."""
        if self._dense:
            return product(self._table(what), by_pattern.reshape(-1, by_pattern.shape[-1]))
        x = _flat(self._held(what))
        each = self._xp.einsum("km,kmn->kn", x, by_pattern[self._pattern])
        return sums_by(self._xp, each, self._cluster, self._clusters)

    def to_patterns(self, what: str, by_cluster: Float[Array, "L ..."]) -> Float[Array, "R ..."]:
        """Sum over the pairs k of each pattern of the outer product of x_k and by_cluster[cluster of k]."""
        x = self._held(what)
        flat_cluster = _flat(by_cluster)
        if self._dense:
            sums = product(self._table(what).T, flat_cluster)
        else:
            each = _flat(x)[:, :, None] * flat_cluster[self._cluster][:, None, :]
            sums = sums_by(self._xp, each, self._pattern, self._patterns)
        return sums.reshape(self._patterns, *x.shape[1:], *by_cluster.shape[1:])
