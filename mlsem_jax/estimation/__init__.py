"""Starting values, maximisation, reference models: from data and a specification to a maximum of the likelihood.

What makes and draws from models of the JAX layer is imported when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mlsem_jax.estimation.batch import (
    BatchMaximum,
    Estimate,
    estimate_structure,
    fit_batch,
    maxima_nearby,
    moment_starts,
    no_reference,
    no_start,
    optimum,
    start_at,
)
from mlsem_jax.estimation.fit import (
    Start,
    at_averages,
    estimate_model,
    fit_build,
    fit_reference,
    moment_log_likelihood,
    refit,
    stack,
)
from mlsem_jax.estimation.layer import (
    LATER,
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
from mlsem_jax.estimation.problem import (
    Estimated,
    Estimation,
    FitOptions,
    Fitted,
    Maximum,
    Point,
    Problem,
    Reduction,
    bounds_of,
    covariates_of,
    covariates_of_baseline,
    exogenous,
    held,
    independence,
    make_statistics,
    moments_of_data,
    observed_of,
    own_roles,
    patterns_of,
    saturated,
    slope_columns,
    split_covariates,
    unstructured,
)
from mlsem_jax.estimation.search import Settings, maximise, scaled_inverse, search_traced, settings
from mlsem_jax.estimation.starts import starting_values
from mlsem_jax.estimation.status import fit_warnings, improper_parameters, is_maximum, verified

if TYPE_CHECKING:
    from mlsem_jax.estimation.layer import (
        Model,
        Rows,
        Source,
        estimated_again,
        make_model,
        make_ordinal_model,
        model_of,
        ordinal_statistics,
        search_again,
        simulate,
        statistics_of_rows,
    )

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
    "covariates_of",
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
    "observed_of",
    "optimum",
    "own_roles",
    "patterns_of",
    "refit",
    "saturated",
    "scaled_inverse",
    "search_again",
    "settings",
    "simulate",
    "slope_columns",
    "split_covariates",
    "stack",
    "starting_values",
    "unstructured",
    "verified",
    "bounds_of",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(LATER[name]), name)
    globals()[name] = value
    return value
