"""Ordered variables: their likelihood by integration over latent variables, and statistics of limited information."""

from mlsem_jax.ordinal._limited_information import limited_information
from mlsem_jax.ordinal._ml_design import integral, ordinal_layout, ordinal_term
from mlsem_jax.ordinal._ml_layout import Layout
from mlsem_jax.ordinal._ml_scores import ordinal_scores
from mlsem_jax.ordinal._ml_start import covariate_moments, latent_moments
from mlsem_jax.ordinal._ml_term import OrdinalTerm, WeightedOrdinal
from mlsem_jax.ordinal._records import BETWEEN_ONLY, BOTH, WITHIN_ONLY, LimitedInformation, OrdinalData

__all__ = [
    "BETWEEN_ONLY",
    "BOTH",
    "LimitedInformation",
    "OrdinalData",
    "WITHIN_ONLY",
    "limited_information",
    "Layout",
    "OrdinalTerm",
    "WeightedOrdinal",
    "covariate_moments",
    "integral",
    "latent_moments",
    "ordinal_layout",
    "ordinal_scores",
    "ordinal_term",
]
