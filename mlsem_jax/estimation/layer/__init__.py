"""The JAX layer: its model, what its functions are given, simulation.

The model is imported when it is asked for: it is an equinox module, and a fit of `ml.sem` needs none.
"""

from typing import TYPE_CHECKING

from mlsem_jax._later import found_later
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

if TYPE_CHECKING:
    from mlsem_jax.estimation.layer._model import Model, Source, make_model, model_of, with_exogenous
    from mlsem_jax.estimation.layer._model_ordinal import make_ordinal_model, ordinal_statistics, statistics_of_rows
    from mlsem_jax.estimation.layer._search_again import estimated_again, ordinal_again, search_again
    from mlsem_jax.estimation.layer._simulate import Rows, simulate

_LATER = {
    "_model": ("Model", "Source", "make_model", "model_of", "with_exogenous"),
    "_model_ordinal": ("make_ordinal_model", "ordinal_statistics", "statistics_of_rows"),
    "_search_again": ("estimated_again", "ordinal_again", "search_again"),
    "_simulate": ("Rows", "simulate"),
}
LATER = {name: f"{__name__}.{home}" for home, names in _LATER.items() for name in names}

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
    "with_exogenous",
]

__getattr__ = found_later(__name__, LATER, globals())
