"""What the likelihood needs of the data: sufficient statistics by cluster and reduced, as pytrees of arrays."""

from mlsem_jax.observed._anova import make_definite, moments_of_group, sample_moments
from mlsem_jax.observed._complete import (
    ClusterStatistics,
    CompleteStatistics,
    bucket,
    cluster_statistics,
    reduce,
    reduce_rows,
    row_statistics,
    whole,
)
from mlsem_jax.observed._draws import draw_statistics
from mlsem_jax.observed._merging import ClusterMeans, merge, mergeable, reduce_merged, row_means, stack_complete
from mlsem_jax.observed._pair_sums import PairSums, add_sums, only_clusters, pair_sums, reduce_sums
from mlsem_jax.observed._patterns import ClusterChunk, PatternStatistics, pattern_statistics
from mlsem_jax.observed._pools import SizePools, pool_sizes
from mlsem_jax.observed._row_sums import moments_by_group, reduce_row_sums
from mlsem_jax.observed._weighted import (
    Plan,
    plan_sizes,
    pooled,
    traced_clusters,
    weighted_complete,
    weighted_patterns,
    weighted_pools,
    weighted_rows,
)

__all__ = [
    "ClusterChunk",
    "ClusterMeans",
    "ClusterStatistics",
    "CompleteStatistics",
    "PairSums",
    "PatternStatistics",
    "Plan",
    "SizePools",
    "add_sums",
    "bucket",
    "cluster_statistics",
    "draw_statistics",
    "make_definite",
    "merge",
    "mergeable",
    "moments_of_group",
    "moments_by_group",
    "only_clusters",
    "pair_sums",
    "pattern_statistics",
    "plan_sizes",
    "pool_sizes",
    "pooled",
    "reduce",
    "reduce_merged",
    "reduce_row_sums",
    "reduce_rows",
    "reduce_sums",
    "row_means",
    "row_statistics",
    "sample_moments",
    "stack_complete",
    "traced_clusters",
    "weighted_complete",
    "weighted_patterns",
    "weighted_pools",
    "weighted_rows",
    "whole",
]
