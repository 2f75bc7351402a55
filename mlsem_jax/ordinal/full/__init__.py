"""Ordered variables by full information: the likelihood as an integral over latent variables."""

from mlsem_jax.ordinal.full._design import integral, ordinal_layout, ordinal_term
from mlsem_jax.ordinal.full._layout import Layout
from mlsem_jax.ordinal.full._probabilities import marginal_probabilities, probabilities_at_scores
from mlsem_jax.ordinal.full._scores import ordinal_scores
from mlsem_jax.ordinal.full._stack import stack_terms
from mlsem_jax.ordinal.full._start import covariate_moments, latent_moments
from mlsem_jax.ordinal.full._term import OrdinalTerm, WeightedOrdinal

__all__ = [
    "Layout",
    "OrdinalTerm",
    "WeightedOrdinal",
    "covariate_moments",
    "integral",
    "latent_moments",
    "marginal_probabilities",
    "ordinal_layout",
    "ordinal_scores",
    "ordinal_term",
    "probabilities_at_scores",
    "stack_terms",
]
