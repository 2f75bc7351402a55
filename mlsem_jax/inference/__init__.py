"""What the estimates mean: information and standard errors, tests, fit measures, indices, scores."""

from mlsem_jax.inference._by_level import fit_measures_by_level
from mlsem_jax.inference._estimates import Estimates, estimates
from mlsem_jax.inference._fit_measures_psychonetrics import Convention, fit_measures
from mlsem_jax.inference._likelihood_ratio import Comparison, Method, likelihood_ratio
from mlsem_jax.inference._moments import LevelMoments, h1, icc, implied
from mlsem_jax.inference._standardized import Standardization, Standardized, rsquare, standardized
from mlsem_jax.inference._vcov import information, invert, scores, vcov_natural, vcov_theta
from mlsem_jax.inference._wald import WaldTest, wald

__all__ = [
    "Comparison",
    "Convention",
    "Estimates",
    "LevelMoments",
    "Method",
    "Standardization",
    "Standardized",
    "WaldTest",
    "estimates",
    "fit_measures",
    "fit_measures_by_level",
    "h1",
    "icc",
    "implied",
    "information",
    "invert",
    "likelihood_ratio",
    "rsquare",
    "scores",
    "standardized",
    "vcov_natural",
    "vcov_theta",
    "wald",
]
