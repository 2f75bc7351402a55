"""Many searches in one call, and the estimate as a differentiable function."""

from mlsem_jax.estimation.batch._batch import BatchMaximum, fit_batch
from mlsem_jax.estimation.batch._batch_starts import moment_starts, start_at
from mlsem_jax.estimation.batch._differentiable import Estimate, estimate_structure, no_reference, no_start, optimum
from mlsem_jax.estimation.batch._nearby import maxima_nearby
from mlsem_jax.estimation.batch._unrestricted import fit_unrestricted

__all__ = [
    "BatchMaximum",
    "Estimate",
    "estimate_structure",
    "fit_batch",
    "fit_unrestricted",
    "maxima_nearby",
    "moment_starts",
    "no_reference",
    "no_start",
    "optimum",
    "start_at",
]
