"""The JAX layer: its model, what its functions are given, simulation."""

from mlsem_jax.estimation.layer._given import (
    as_key,
    as_theta,
    check_flag,
    check_model,
    check_positive,
    check_progress,
    check_settings,
    check_statistics,
    check_whole,
    kind_of,
)
from mlsem_jax.estimation.layer._model import Model, Source, make_model, model_of
from mlsem_jax.estimation.layer._model_ordinal import make_ordinal_model, ordinal_statistics, statistics_of_rows
from mlsem_jax.estimation.layer._search_again import estimated_again, ordinal_again, search_again
from mlsem_jax.estimation.layer._simulate import Rows, simulate

__all__ = [
    "Model",
    "Rows",
    "Source",
    "as_key",
    "as_theta",
    "check_flag",
    "check_model",
    "check_positive",
    "check_progress",
    "check_settings",
    "check_statistics",
    "check_whole",
    "estimated_again",
    "ordinal_again",
    "kind_of",
    "make_model",
    "make_ordinal_model",
    "model_of",
    "ordinal_statistics",
    "search_again",
    "simulate",
    "statistics_of_rows",
]
