"""Where searches begin."""

from mlsem_jax.estimation.starts._factor_start import PROPER, factor_start
from mlsem_jax.estimation.starts._moment_starts import WIDEST, best_means, moment_start, toward_maximum
from mlsem_jax.estimation.starts._other_starts import parameter_scales, perturbed, shrunk_covariances, simple_start
from mlsem_jax.estimation.starts._principal_axes import AXES, axis_of
from mlsem_jax.estimation.starts._starts import starting_values, with_starts

__all__ = [
    "AXES",
    "PROPER",
    "WIDEST",
    "axis_of",
    "best_means",
    "factor_start",
    "moment_start",
    "parameter_scales",
    "perturbed",
    "shrunk_covariances",
    "simple_start",
    "starting_values",
    "toward_maximum",
    "with_starts",
]
