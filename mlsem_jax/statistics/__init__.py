"""What the likelihood needs of the data: sufficient statistics by cluster and reduced, as pytrees of arrays."""

from mlsem_jax.statistics._anova import make_definite, sample_moments
from mlsem_jax.statistics._complete import (
    ClusterStatistics,
    CompleteStatistics,
    bucket,
    cluster_statistics,
    merge_clusters,
    pool_sizes,
    reduce,
)
from mlsem_jax.statistics._patterns import ClusterChunk, PatternStatistics, pattern_statistics
from mlsem_jax.statistics._statistics import Statistics

__all__ = [
    "ClusterStatistics",
    "CompleteStatistics",
    "Statistics",
    "bucket",
    "cluster_statistics",
    "make_definite",
    "merge_clusters",
    "pool_sizes",
    "reduce",
    "sample_moments",
    "ClusterChunk",
    "PatternStatistics",
    "pattern_statistics",
]
