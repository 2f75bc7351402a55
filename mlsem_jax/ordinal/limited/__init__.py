"""Ordered variables by limited information: thresholds, polychoric moments, weighted least squares."""

from mlsem_jax.ordinal.limited._records import (
    BETWEEN_ONLY,
    BOTH,
    WITHIN_ONLY,
    LimitedInformation,
    OrdinalData,
)
from mlsem_jax.ordinal.limited._stages import limited_information
from mlsem_jax.ordinal.limited._wls_layout import WlsLayout, ordinal_data, response_names, wls_layout
from mlsem_jax.ordinal.limited._wls_term import WeightedLeastSquaresTerm, implied_of, implied_statistics

__all__ = [
    "BETWEEN_ONLY",
    "BOTH",
    "LimitedInformation",
    "OrdinalData",
    "WITHIN_ONLY",
    "WeightedLeastSquaresTerm",
    "WlsLayout",
    "implied_of",
    "implied_statistics",
    "limited_information",
    "ordinal_data",
    "response_names",
    "wls_layout",
]
