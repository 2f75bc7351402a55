"""Small-matrix algebra that vmaps. No statistics words here."""

from mlsem_jax.numerics._ldl import root
from mlsem_jax.numerics._precision import float64
from mlsem_jax.numerics._sweep import inverse, solve, sweep

__all__ = ["float64", "inverse", "root", "solve", "sweep"]
