"""Ordered variables: their likelihood by integration over latent variables, and statistics of limited information."""

from mlsem_jax.ordinal._limited_information import limited_information
from mlsem_jax.ordinal._ml_design import integral, ordinal_layout, ordinal_term
from mlsem_jax.ordinal._ml_layout import Layout
from mlsem_jax.ordinal._ml_probabilities import marginal_probabilities, probabilities_at_scores
from mlsem_jax.ordinal._ml_scores import ordinal_scores
from mlsem_jax.ordinal._ml_stack import stack_terms
from mlsem_jax.ordinal._ml_start import covariate_moments, latent_moments
from mlsem_jax.ordinal._ml_term import OrdinalTerm, WeightedOrdinal
from mlsem_jax.ordinal._records import BETWEEN_ONLY, BOTH, WITHIN_ONLY, LimitedInformation, OrdinalData
from mlsem_jax.ordinal._wls_layout import WlsLayout, ordinal_data, response_names, wls_layout
from mlsem_jax.ordinal._wls_term import WeightedLeastSquaresTerm, implied_of, implied_statistics

__all__ = [
    "BETWEEN_ONLY",
    "BOTH",
    "LimitedInformation",
    "OrdinalData",
    "WITHIN_ONLY",
    "limited_information",
    "Layout",
    "OrdinalTerm",
    "WeightedLeastSquaresTerm",
    "WeightedOrdinal",
    "WlsLayout",
    "covariate_moments",
    "implied_of",
    "implied_statistics",
    "integral",
    "latent_moments",
    "marginal_probabilities",
    "ordinal_data",
    "ordinal_layout",
    "ordinal_scores",
    "ordinal_term",
    "probabilities_at_scores",
    "response_names",
    "stack_terms",
    "wls_layout",
]
