"""Small-matrix algebra that vmaps, and tails of distributions."""

from mlsem_jax.numerics._compile_options import known_option
from mlsem_jax.numerics._following import follows_precision, warn_single_precision
from mlsem_jax.numerics._known import derivative_where, root_where, scaled_tangent
from mlsem_jax.numerics._ldl import root
from mlsem_jax.numerics._precision import float64
from mlsem_jax.numerics._sweep import inverse, solve, sweep
from mlsem_jax.numerics._tails import chi_square_limit, chi_square_tail, normal_cdf, normal_quantile, normal_tail

__all__ = [
    "chi_square_limit",
    "chi_square_tail",
    "normal_cdf",
    "normal_quantile",
    "normal_tail",
    "derivative_where",
    "float64",
    "follows_precision",
    "inverse",
    "known_option",
    "root",
    "root_where",
    "scaled_tangent",
    "solve",
    "sweep",
    "warn_single_precision",
]
