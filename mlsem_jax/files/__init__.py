"""Tables on disk: read whatever their form is, written so that spreadsheets may open them."""

from mlsem_jax.files._csv import write_csv
from mlsem_jax.files._tables import read_table

__all__ = [
    "read_table",
    "write_csv",
]
