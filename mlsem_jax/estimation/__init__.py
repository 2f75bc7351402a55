"""Starting values, maximisation, reference models: from data and a specification to a maximum of the likelihood."""

from mlsem_jax.estimation._batch import BatchMaximum, fit_batch
from mlsem_jax.estimation._batch_starts import moment_starts, start_at
from mlsem_jax.estimation._constraints import bounds_of
from mlsem_jax.estimation._diagnosis import improper_parameters
from mlsem_jax.estimation._differentiable import Estimate, estimate_structure, no_reference, no_start, optimum
from mlsem_jax.estimation._fit_build import fit_build, fit_reference
from mlsem_jax.estimation._fit_data import Start, estimate_model, refit
from mlsem_jax.estimation._given import (
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
from mlsem_jax.estimation._model import Model, Source, make_model, model_of
from mlsem_jax.estimation._model_ordinal import make_ordinal_model, ordinal_statistics, statistics_of_rows
from mlsem_jax.estimation._nearby import maxima_nearby
from mlsem_jax.estimation._options import FitOptions
from mlsem_jax.estimation._problem import Maximum, Point, Problem
from mlsem_jax.estimation._records import Estimated, Estimation, Fitted
from mlsem_jax.estimation._reduction import Reduction, make_statistics, patterns_of, slope_columns
from mlsem_jax.estimation._reference_fits import moment_log_likelihood
from mlsem_jax.estimation._references import (
    covariates_of_baseline,
    exogenous,
    held,
    independence,
    moments_of_data,
    saturated,
    unstructured,
)
from mlsem_jax.estimation._scoring import maximise
from mlsem_jax.estimation._search_again import estimated_again, search_again
from mlsem_jax.estimation._simulate import Rows, simulate
from mlsem_jax.estimation._stacking import at_averages, stack
from mlsem_jax.estimation._starts import starting_values
from mlsem_jax.estimation._status import is_maximum
from mlsem_jax.estimation._traced_search import search_traced
from mlsem_jax.estimation._traced_state import Settings, scaled_inverse, settings
from mlsem_jax.estimation._verify import fit_warnings, verified

__all__ = [
    "BatchMaximum",
    "Estimate",
    "Estimated",
    "Estimation",
    "FitOptions",
    "Fitted",
    "Maximum",
    "Model",
    "Point",
    "Problem",
    "Reduction",
    "Rows",
    "Settings",
    "Source",
    "Start",
    "as_key",
    "at_averages",
    "as_theta",
    "check_flag",
    "check_model",
    "check_positive",
    "check_progress",
    "check_settings",
    "check_statistics",
    "check_whole",
    "search_traced",
    "covariates_of_baseline",
    "estimate_model",
    "estimate_structure",
    "estimated_again",
    "exogenous",
    "fit_batch",
    "fit_build",
    "fit_reference",
    "fit_warnings",
    "held",
    "improper_parameters",
    "independence",
    "is_maximum",
    "make_model",
    "make_ordinal_model",
    "model_of",
    "ordinal_statistics",
    "statistics_of_rows",
    "make_statistics",
    "kind_of",
    "maximise",
    "moment_log_likelihood",
    "maxima_nearby",
    "moment_starts",
    "start_at",
    "moments_of_data",
    "no_reference",
    "no_start",
    "optimum",
    "patterns_of",
    "refit",
    "saturated",
    "scaled_inverse",
    "search_again",
    "settings",
    "simulate",
    "slope_columns",
    "stack",
    "starting_values",
    "unstructured",
    "verified",
    "bounds_of",
]
