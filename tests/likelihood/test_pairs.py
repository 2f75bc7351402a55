"""Sums over (cluster, pattern) pairs are the same by products of matrices and by gathering."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mlsem_jax.likelihood import _pairs
from mlsem_jax.numerics import float64
from mlsem_jax.observed import pattern_statistics


@pytest.mark.parametrize("dense", [0, 10**9], ids=["gathered", "dense"])
@float64
def test_sums_over_pairs_equal_a_loop(dense, own_programs, monkeypatch):
    """Every pair adds to its own cluster and its own pattern; the padding of clusters, pairs and patterns adds nothing."""
    monkeypatch.setattr(_pairs, "DENSE", dense)
    rng = np.random.default_rng(3)
    values = np.where(rng.random((40, 4)) < 0.4, np.nan, rng.normal(size=(40, 4)))
    s = pattern_statistics(
        values, np.repeat(np.arange(8), 5), np.zeros(8, int), np.zeros(4, bool), reference=np.zeros(4)
    )
    chunk = jax.tree.map(lambda x: np.asarray(x)[0], s.clusters)
    patterns, clusters = len(s.rows), len(chunk.group)
    table, by_cluster = rng.normal(size=(patterns, 4, 3)), rng.normal(size=(clusters, 2, 2))
    to_clusters, to_patterns = np.zeros((clusters, 3)), np.zeros((patterns, 1, 4, 2, 2))
    for x, cluster, pattern in zip(chunk.total, chunk.cluster, chunk.pattern, strict=True):
        to_clusters[cluster] += x[0] @ table[pattern]
        to_patterns[pattern] += x[:, :, None, None] * by_cluster[cluster]
    occupied = chunk.products[:, 0, 0] > 0
    kept = SimpleNamespace(
        **{f: getattr(chunk, f)[occupied] for f in ("cluster", "pattern", "products", "total")}, group=chunk.group
    )
    for pairs in (_pairs.Pairs(chunk, patterns), _pairs.Pairs(kept, patterns, np)):
        # rounding of sums of a few terms of size one
        np.testing.assert_allclose(pairs.to_clusters("total", table), to_clusters, rtol=0, atol=1e-13)
        np.testing.assert_allclose(pairs.to_patterns("total", by_cluster), to_patterns, rtol=0, atol=1e-13)
