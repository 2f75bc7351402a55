"""Sums over the occupied (cluster, pattern) pairs of a chunk, from patterns to clusters and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.observed import ClusterChunk

# Times that a product of matrices is cheaper, by element, than to gather and add: as long as no more than one in so many
# (cluster, pattern) pairs is occupied, a table with all of them is the faster way
DENSE = 100


class Pairs:
    """The pairs of one chunk: which cluster and pattern each belongs to. patterns: their number R."""

    def __init__(self, chunk: ClusterChunk, patterns: int):
        self._cluster, self._pattern = chunk.cluster, chunk.pattern
        self._clusters, self._patterns = chunk.group.shape[0], patterns
        self._dense = self._clusters * patterns <= DENSE * chunk.cluster.shape[0]

    def _table(self, x: Array) -> Array:
        """x (K, m) as (L, R m), zero where a pair is not occupied."""
        at = self._cluster * self._patterns + self._pattern
        table = jax.ops.segment_sum(x, at, self._clusters * self._patterns)
        return table.reshape(self._clusters, -1)

    def to_clusters(self, x: Float[Array, "K ..."], by_pattern: Float[Array, "R m n"]) -> Float[Array, "L n"]:
        """Sum over the pairs k of each cluster of x_k' by_pattern[pattern of k], x with m elements a pair."""
        x = x.reshape(len(x), -1)
        if self._dense:
            return self._table(x) @ by_pattern.reshape(-1, by_pattern.shape[-1])
        each = jnp.einsum("km,kmn->kn", x, by_pattern[self._pattern])
        return jax.ops.segment_sum(each, self._cluster, self._clusters)

    def to_patterns(self, x: Float[Array, "K ..."], by_cluster: Float[Array, "L ..."]) -> Float[Array, "R ..."]:
        """Sum over the pairs k of each pattern of the outer product of x_k and by_cluster[cluster of k]."""
        flat, flat_cluster = x.reshape(len(x), -1), by_cluster.reshape(len(by_cluster), -1)
        if self._dense:
            sums = self._table(flat).T @ flat_cluster
        else:
            each = flat[:, :, None] * flat_cluster[self._cluster][:, None, :]
            sums = jax.ops.segment_sum(each, self._pattern, self._patterns)
        return sums.reshape(self._patterns, *x.shape[1:], *by_cluster.shape[1:])
