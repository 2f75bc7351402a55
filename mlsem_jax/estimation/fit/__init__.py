"""One fit from data to maximum."""

from mlsem_jax.estimation.fit._begin_ordinal import begin_ordinal, moments_at
from mlsem_jax.estimation.fit._fit_build import fit_build, fit_reference
from mlsem_jax.estimation.fit._fit_data import Start, estimate_model, refit, sample_as_moments
from mlsem_jax.estimation.fit._fit_ordinal import ordinal_maximum
from mlsem_jax.estimation.fit._reference_fits import fit_unstructured, moment_log_likelihood
from mlsem_jax.estimation.fit._stacking import at_averages, stack

__all__ = [
    "Start",
    "at_averages",
    "begin_ordinal",
    "estimate_model",
    "fit_build",
    "fit_reference",
    "fit_unstructured",
    "moment_log_likelihood",
    "moments_at",
    "ordinal_maximum",
    "refit",
    "sample_as_moments",
    "stack",
]
