"""Tables -> typed, checked arrays. Below report/ nothing else knows pandas."""

from mlsem_jax.data._checks import check_clusters
from mlsem_jax.data._collinear import dependence
from mlsem_jax.data._frame import column_names, factors_of, read_columns, with_products
from mlsem_jax.data._ids import factorize
from mlsem_jax.data._imputations import data_sets, plausible_tables, several
from mlsem_jax.data._memory import give_back
from mlsem_jax.data._missing import MISSING_COVARIATE, missing_option
from mlsem_jax.data._number_text import Notation, notation
from mlsem_jax.data._ordered import OrderedColumn, read_known, read_ordered
from mlsem_jax.data._pieces import Piece, chunks, comes_in_chunks, kind_of_ids, plain_ids, read_piece, rounding
from mlsem_jax.data._prepare import prepare
from mlsem_jax.data._roles import Roles
from mlsem_jax.data._simulation import SHAPES, RowMoments, Rows, Shape, as_data, check_shape, draw_rows, punch_holes
from mlsem_jax.data._survey import Survey, SurveyColumns
from mlsem_jax.data._two_level_data import TwoLevelData
from mlsem_jax.data._units import group_labels
from mlsem_jax.data._vale_maurelli import check_margins, cubics_of, margins_of

__all__ = [
    "as_data",
    "MISSING_COVARIATE",
    "missing_option",
    "read_columns",
    "Notation",
    "Piece",
    "Roles",
    "OrderedColumn",
    "TwoLevelData",
    "read_known",
    "read_ordered",
    "check_clusters",
    "chunks",
    "column_names",
    "factors_of",
    "data_sets",
    "plausible_tables",
    "several",
    "comes_in_chunks",
    "dependence",
    "factorize",
    "give_back",
    "group_labels",
    "kind_of_ids",
    "notation",
    "plain_ids",
    "prepare",
    "read_piece",
    "rounding",
    "RowMoments",
    "Rows",
    "SHAPES",
    "check_margins",
    "cubics_of",
    "margins_of",
    "Shape",
    "Survey",
    "SurveyColumns",
    "check_shape",
    "draw_rows",
    "punch_holes",
    "with_products",
]
