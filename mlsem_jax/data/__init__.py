"""Tables -> typed, checked arrays. Below report/ nothing else knows pandas."""

from mlsem_jax.data._checks import check_clusters
from mlsem_jax.data._frame import column_names
from mlsem_jax.data._pieces import read_piece
from mlsem_jax.data._prepare import TwoLevelData, prepare
from mlsem_jax.data._units import group_labels

__all__ = ["TwoLevelData", "check_clusters", "column_names", "group_labels", "prepare", "read_piece"]
