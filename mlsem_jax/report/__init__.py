"""Tables, summaries and pictures of results."""

from mlsem_jax.report._progress import progress
from mlsem_jax.report._tables import add_tests, parameter_table

__all__ = ["add_tests", "parameter_table", "progress"]
