"""Several imputations together."""

from mlsem_jax.inference.pooling._poolable import check_poolable, difference_of_models
from mlsem_jax.inference.pooling._pooled_measures import (
    TESTS,
    PooledComparison,
    TestName,
    pooled_likelihood_ratio,
    pooled_measures,
    pooled_wald,
)
from mlsem_jax.inference.pooling._pooled_tests import PooledTest
from mlsem_jax.inference.pooling._pooling import (
    Pooled,
    pooled_estimates,
    pooled_rsquare,
    pooled_standardized,
    pooled_vcov,
    rubin,
)

__all__ = [
    "Pooled",
    "PooledComparison",
    "PooledTest",
    "TESTS",
    "TestName",
    "check_poolable",
    "difference_of_models",
    "pooled_estimates",
    "pooled_likelihood_ratio",
    "pooled_measures",
    "pooled_rsquare",
    "pooled_standardized",
    "pooled_vcov",
    "pooled_wald",
    "rubin",
]
