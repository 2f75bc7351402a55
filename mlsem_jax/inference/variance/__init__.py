"""The sampling covariance of the estimates: information, scores by cluster, survey designs, the bootstrap."""

from mlsem_jax.inference.variance._casewise import loglik_by_cluster
from mlsem_jax.inference.variance._clusters import beyond_linear, refuse_constraints, weighted_clusters
from mlsem_jax.inference.variance._design import Replicates, replicates
from mlsem_jax.inference.variance._limited import (
    LimitedTest,
    baseline_test,
    limited,
    model_test,
    pieces,
    refuse_limited,
    residual_change,
)
from mlsem_jax.inference.variance._resampled import ITERATIONS, Ordered, Resampler, ordered_of, resampler
from mlsem_jax.inference.variance._scaling import (
    Scaling,
    by_moments,
    difference,
    model_scaling,
    moments_as_theta,
    parameters_of,
    test_scaling,
    unrestricted_scores,
)
from mlsem_jax.inference.variance._vcov import (
    Vcov,
    design_covariance,
    information,
    invert,
    meat,
    register_vcov,
    scores,
    unregister_vcov,
    vcov,
    vcov_natural,
    vcov_theta,
)

__all__ = [
    "ITERATIONS",
    "LimitedTest",
    "Replicates",
    "Ordered",
    "Resampler",
    "ordered_of",
    "Scaling",
    "Vcov",
    "baseline_test",
    "beyond_linear",
    "by_moments",
    "design_covariance",
    "difference",
    "information",
    "invert",
    "limited",
    "loglik_by_cluster",
    "meat",
    "model_scaling",
    "model_test",
    "moments_as_theta",
    "parameters_of",
    "pieces",
    "refuse_constraints",
    "refuse_limited",
    "residual_change",
    "register_vcov",
    "replicates",
    "resampler",
    "scores",
    "test_scaling",
    "unregister_vcov",
    "unrestricted_scores",
    "vcov",
    "vcov_natural",
    "vcov_theta",
    "weighted_clusters",
]
