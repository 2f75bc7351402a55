"""Small-matrix algebra that vmaps, the delta method, and tails of distributions."""

from mlsem_jax.numerics._compile_options import known_option
from mlsem_jax.numerics._concrete import concrete
from mlsem_jax.numerics._delta_method import delta_errors, delta_variances
from mlsem_jax.numerics._following import (
    anew,
    float_type,
    follows_precision,
    in_type,
    outside_level,
    warn_single_precision,
    working_type,
)
from mlsem_jax.numerics._known import derivative_where, root_where, scaled_tangent
from mlsem_jax.numerics._ldl import root
from mlsem_jax.numerics._precision import float64
from mlsem_jax.numerics._scaled import damped_step, decrement, positive_definite
from mlsem_jax.numerics._sweep import inverse, inverse_and_logdet, solve, sweep
from mlsem_jax.numerics._tails import (
    chi_square_limit,
    chi_square_tail,
    f_tail,
    noncentral_chi_square,
    normal_cdf,
    normal_quantile,
    normal_tail,
    t_quantile,
    t_tail,
)

__all__ = [
    "concrete",
    "anew",
    "chi_square_limit",
    "chi_square_tail",
    "noncentral_chi_square",
    "damped_step",
    "decrement",
    "delta_errors",
    "delta_variances",
    "normal_cdf",
    "normal_quantile",
    "normal_tail",
    "f_tail",
    "t_quantile",
    "t_tail",
    "derivative_where",
    "float64",
    "float_type",
    "follows_precision",
    "in_type",
    "inverse",
    "inverse_and_logdet",
    "known_option",
    "outside_level",
    "positive_definite",
    "root",
    "root_where",
    "scaled_tangent",
    "solve",
    "sweep",
    "warn_single_precision",
    "working_type",
]
