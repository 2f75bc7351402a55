"""How well a model fits: tests and indices, and models against each other."""

from mlsem_jax.inference.fit._by_level import LEVELS, fit_measures_by_level, tied_levels
from mlsem_jax.inference.fit._chi_square import ChiSquare, RobustTests, baseline_chi_square, chi_square, robust_tests
from mlsem_jax.inference.fit._comparable import check_comparable
from mlsem_jax.inference.fit._fit_measures import (
    Measures,
    lavaan_measures,
    measures_together,
    relative_indices,
    rmsea_measures,
    srmr_measures,
)
from mlsem_jax.inference.fit._fit_measures_psychonetrics import Convention, criteria_measures, fit_measures
from mlsem_jax.inference.fit._incomplete import TESTS, robust_by_name
from mlsem_jax.inference.fit._likelihood_ratio import Comparison, Method, difference_factor, likelihood_ratio
from mlsem_jax.inference.fit._wald import WaldTest, tested, wald

__all__ = [
    "lavaan_measures",
    "ChiSquare",
    "Comparison",
    "Convention",
    "LEVELS",
    "Measures",
    "Method",
    "RobustTests",
    "TESTS",
    "WaldTest",
    "baseline_chi_square",
    "check_comparable",
    "chi_square",
    "criteria_measures",
    "difference_factor",
    "fit_measures",
    "fit_measures_by_level",
    "likelihood_ratio",
    "measures_together",
    "relative_indices",
    "rmsea_measures",
    "robust_by_name",
    "robust_tests",
    "srmr_measures",
    "tested",
    "tied_levels",
    "wald",
]
