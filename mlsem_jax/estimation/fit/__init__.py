"""One fit from data to maximum."""

from mlsem_jax.estimation.fit._fit_build import fit_build, fit_reference
from mlsem_jax.estimation.fit._fit_data import Start, estimate_model, refit, sample_as_moments
from mlsem_jax.estimation.fit._fit_ordinal import moments_at, ordinal_maximum, ordinal_start
from mlsem_jax.estimation.fit._reference_fits import fit_unstructured, moment_log_likelihood
from mlsem_jax.estimation.fit._stacking import at_averages, stack

__all__ = [
    "Start",
    "at_averages",
    "estimate_model",
    "fit_build",
    "fit_reference",
    "fit_unstructured",
    "moment_log_likelihood",
    "moments_at",
    "ordinal_maximum",
    "ordinal_start",
    "refit",
    "sample_as_moments",
    "stack",
]
