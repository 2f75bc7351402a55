"""Ordered variables: their likelihood by integration over latent variables."""

from mlsem_jax.ordinal._ml_design import integral, ordinal_layout, ordinal_term
from mlsem_jax.ordinal._ml_layout import Layout
from mlsem_jax.ordinal._ml_scores import ordinal_scores
from mlsem_jax.ordinal._ml_start import covariate_moments, latent_moments
from mlsem_jax.ordinal._ml_term import OrdinalTerm, WeightedOrdinal

__all__ = [
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
