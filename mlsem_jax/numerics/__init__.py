"""Small-matrix algebra that vmaps. No statistics words here."""

from mlsem_jax.numerics._following import follows_precision, warn_single_precision
from mlsem_jax.numerics._ldl import root
from mlsem_jax.numerics._precision import float64
from mlsem_jax.numerics._sweep import inverse, solve, sweep

__all__ = ["float64", "follows_precision", "inverse", "root", "solve", "sweep", "warn_single_precision"]
