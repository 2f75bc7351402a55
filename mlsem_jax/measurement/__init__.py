"""What a fitted measurement model says of its scales: reliability by level."""

from mlsem_jax.measurement._constructs import Construct, Scale, constructs
from mlsem_jax.measurement._reliability import (
    COLUMNS,
    Coefficients,
    harmonic_mean_size,
    reliability,
    reliability_quantity,
)

__all__ = [
    "COLUMNS",
    "Coefficients",
    "Construct",
    "Scale",
    "constructs",
    "harmonic_mean_size",
    "reliability",
    "reliability_quantity",
]
