"""Tables, summaries and pictures of results."""

from mlsem_jax.report._codec import StorageError
from mlsem_jax.report._moments import by_group, icc_series, moments_frames
from mlsem_jax.report._progress import progress
from mlsem_jax.report._storage import load, save
from mlsem_jax.report._summary import Summary, summarise
from mlsem_jax.report._tables import add_tests, parameter_table, standardized_table
from mlsem_jax.report._test_tables import comparison_table, wald_table

__all__ = [
    "StorageError",
    "Summary",
    "add_tests",
    "by_group",
    "comparison_table",
    "icc_series",
    "load",
    "moments_frames",
    "parameter_table",
    "progress",
    "save",
    "standardized_table",
    "summarise",
    "wald_table",
]
