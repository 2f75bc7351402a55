"""Estimates and what is computed from them, with standard errors, intervals and tests of each."""

from mlsem_jax.inference.parameters._bootstrap import Bootstrap, Through, bootstrap
from mlsem_jax.inference.parameters._estimates import Estimates, estimates, row_values
from mlsem_jax.inference.parameters._influence import Influence, influence
from mlsem_jax.inference.parameters._intervals import Interval, intervals
from mlsem_jax.inference.parameters._profile import Profile, profile
from mlsem_jax.inference.parameters._quantities import (
    Quantity,
    estimated,
    parameters_and_defined,
    with_covariances,
    with_errors,
)
from mlsem_jax.inference.parameters._standardized import (
    Standardization,
    Standardized,
    rsquare,
    rsquare_quantity,
    standardized,
    standardized_quantity,
    standardized_values,
)
from mlsem_jax.inference.parameters._without_weights import Move, move

__all__ = [
    "Bootstrap",
    "Through",
    "Estimates",
    "Influence",
    "Interval",
    "Move",
    "Profile",
    "Quantity",
    "Standardization",
    "Standardized",
    "bootstrap",
    "estimated",
    "estimates",
    "influence",
    "intervals",
    "move",
    "parameters_and_defined",
    "profile",
    "row_values",
    "rsquare",
    "rsquare_quantity",
    "standardized_values",
    "standardized",
    "standardized_quantity",
    "with_covariances",
    "with_errors",
]
