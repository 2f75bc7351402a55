"""The two-level Gaussian log-likelihood, written once: moments and statistics to value, gradient, information and scores."""

from mlsem_jax.likelihood._closed_form import ClosedForm
from mlsem_jax.likelihood._complete import complete_log_likelihood, groups_of, information_of_sizes
from mlsem_jax.likelihood._complete_term import CompleteTerm
from mlsem_jax.likelihood._coordinates import Coordinates, coordinates
from mlsem_jax.likelihood._covariates import covariates_log_likelihood
from mlsem_jax.likelihood._effects import EffectInformation, EffectPrior, inverse_of_observed, posterior
from mlsem_jax.likelihood._evaluate import (
    Evaluation,
    cluster_scores,
    curvature_of_moments,
    evaluate,
    expected_information,
    gradient,
    log_likelihood,
    moment_gradient,
    moments_and_jacobian,
    observed_information,
    outer_product_information,
    term_scores,
)
from mlsem_jax.likelihood._expected import (
    ExpectedStatistics,
    evaluate_expected,
    expected_complete_log_likelihood,
    expected_statistics,
)
from mlsem_jax.likelihood._identification import moment_information
from mlsem_jax.likelihood._pattern_clusters import cluster_forms
from mlsem_jax.likelihood._pattern_term import PatternTerm
from mlsem_jax.likelihood._stack import stack_statistics, stackable
from mlsem_jax.likelihood._term import ClusterSizes, LevelSum, Statistics, Term, only_data
from mlsem_jax.likelihood._weighted import WeightedClusters, moved, reordered, weighted_statistics

__all__ = [
    "ClosedForm",
    "ClusterSizes",
    "LevelSum",
    "CompleteTerm",
    "Coordinates",
    "EffectInformation",
    "EffectPrior",
    "Evaluation",
    "ExpectedStatistics",
    "PatternTerm",
    "Statistics",
    "Term",
    "WeightedClusters",
    "cluster_forms",
    "cluster_scores",
    "complete_log_likelihood",
    "coordinates",
    "covariates_log_likelihood",
    "curvature_of_moments",
    "evaluate",
    "evaluate_expected",
    "expected_complete_log_likelihood",
    "expected_information",
    "expected_statistics",
    "gradient",
    "groups_of",
    "information_of_sizes",
    "inverse_of_observed",
    "log_likelihood",
    "moment_gradient",
    "moment_information",
    "moments_and_jacobian",
    "moved",
    "reordered",
    "observed_information",
    "only_data",
    "outer_product_information",
    "posterior",
    "stack_statistics",
    "stackable",
    "term_scores",
    "weighted_statistics",
]
