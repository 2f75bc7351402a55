"""What a fitted measurement model says of its scales: reliability by level, invariance."""

from mlsem_jax.measurement._constructs import Construct, Scale, constructs
from mlsem_jax.measurement._exploratory import RotationReport, rotated, rotation_reports
from mlsem_jax.measurement._exploratory_start import exploratory_start
from mlsem_jax.measurement._parallel import correlation_eigenvalues, drawn_covariances, level_covariances
from mlsem_jax.measurement._redrawn import through_unrotated
from mlsem_jax.measurement._reliability import (
    COLUMNS,
    Coefficients,
    harmonic_mean_size,
    reliability,
    reliability_quantity,
)
from mlsem_jax.measurement._sam_parts import parts_of
from mlsem_jax.measurement._sam_steps import TwoSteps, two_steps
from mlsem_jax.measurement._sam_test import two_step_tests
from mlsem_jax.measurement._steps import (
    ACROSS_LEVELS,
    CONSTRAINED,
    OVER_GROUPS,
    Adapt,
    across_levels,
    group_equal_of,
    matched_factors,
    with_free_means,
    with_free_variances,
)

__all__ = [
    "ACROSS_LEVELS",
    "Adapt",
    "COLUMNS",
    "CONSTRAINED",
    "OVER_GROUPS",
    "RotationReport",
    "TwoSteps",
    "parts_of",
    "across_levels",
    "through_unrotated",
    "two_step_tests",
    "two_steps",
    "group_equal_of",
    "matched_factors",
    "with_free_means",
    "with_free_variances",
    "Coefficients",
    "Construct",
    "Scale",
    "constructs",
    "correlation_eigenvalues",
    "drawn_covariances",
    "exploratory_start",
    "harmonic_mean_size",
    "level_covariances",
    "reliability",
    "reliability_quantity",
    "rotated",
    "rotation_reports",
]
