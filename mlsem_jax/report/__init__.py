"""Tables, summaries and pictures of results."""

from mlsem_jax.report._progress import progress
from mlsem_jax.report._summary import Summary, summarise
from mlsem_jax.report._tables import add_tests, parameter_table

__all__ = ["Summary", "add_tests", "parameter_table", "progress", "summarise"]
