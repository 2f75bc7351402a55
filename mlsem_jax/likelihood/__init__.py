"""The two-level Gaussian log-likelihood, written once: moments and statistics to value, gradient, information and scores."""

from mlsem_jax.likelihood._complete import complete_information, complete_log_likelihood
from mlsem_jax.likelihood._coordinates import (
    Coordinates,
    coordinates,
    evaluate_at,
    expected_information_at,
    observed_information_at,
)
from mlsem_jax.likelihood._covariates import covariates_log_likelihood
from mlsem_jax.likelihood._evaluate import (
    Evaluation,
    cluster_scores,
    evaluate,
    expected_information,
    gradient,
    log_likelihood,
    moment_gradient,
    moments_and_jacobian,
    observed_information,
    outer_product_information,
    pattern_scores,
)
from mlsem_jax.likelihood._expected import (
    ExpectedStatistics,
    evaluate_expected,
    expected_complete_log_likelihood,
    expected_statistics,
)
from mlsem_jax.likelihood._identification import moment_information
from mlsem_jax.likelihood._pattern_clusters import cluster_forms
from mlsem_jax.likelihood._pattern_curvature import missing_curvature
from mlsem_jax.likelihood._patterns import (
    pattern_cluster_scores,
    pattern_gradient,
    pattern_log_likelihood,
    pattern_sums,
)

__all__ = [
    "Coordinates",
    "Evaluation",
    "ExpectedStatistics",
    "cluster_forms",
    "cluster_scores",
    "complete_information",
    "complete_log_likelihood",
    "coordinates",
    "covariates_log_likelihood",
    "evaluate",
    "evaluate_at",
    "evaluate_expected",
    "expected_complete_log_likelihood",
    "expected_information",
    "expected_information_at",
    "expected_statistics",
    "gradient",
    "log_likelihood",
    "missing_curvature",
    "moment_gradient",
    "moment_information",
    "moments_and_jacobian",
    "observed_information",
    "observed_information_at",
    "outer_product_information",
    "pattern_cluster_scores",
    "pattern_gradient",
    "pattern_log_likelihood",
    "pattern_scores",
    "pattern_sums",
]
