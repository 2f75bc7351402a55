"""Fits and models as files: saved fits, lavaan syntax, Mplus input."""

from mlsem_jax.report.exchange._codec import register
from mlsem_jax.report.exchange._conform import StorageError
from mlsem_jax.report.exchange._place import write
from mlsem_jax.report.exchange._storage import load, save
from mlsem_jax.report.exchange._to_lavaan import to_lavaan
from mlsem_jax.report.exchange._to_mplus import to_mplus

__all__ = [
    "StorageError",
    "load",
    "register",
    "save",
    "to_lavaan",
    "to_mplus",
    "write",
]
