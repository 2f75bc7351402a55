"""The two-level Gaussian log-likelihood, written once: moments and statistics to value, gradient, information and scores."""

from mlsem_jax.likelihood._complete import MomentGradient, complete_information, complete_log_likelihood
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
)

__all__ = [
    "Evaluation",
    "MomentGradient",
    "cluster_scores",
    "complete_information",
    "complete_log_likelihood",
    "evaluate",
    "expected_information",
    "gradient",
    "log_likelihood",
    "moment_gradient",
    "moments_and_jacobian",
    "observed_information",
]
