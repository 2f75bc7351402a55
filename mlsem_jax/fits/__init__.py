"""What users hold after a fit: estimates, tests, intervals, tables, pictures as methods of `Fit` and `PooledFit`."""

from mlsem_jax.fits._fit import Fit, check_fit
from mlsem_jax.fits._pooled import PooledFit

__all__ = [
    "Fit",
    "PooledFit",
    "check_fit",
]
