"""What a search climbs: a model, its statistics and its constraints as a function of theta, and the records of a fit."""

from mlsem_jax.estimation.problem._constraints import Constraints, bounds_of, constraints_of
from mlsem_jax.estimation.problem._options import FitOptions
from mlsem_jax.estimation.problem._problem import Maximum, Point, Problem, Report, Sample
from mlsem_jax.estimation.problem._records import Estimated, Estimation, Fitted, given_covariates
from mlsem_jax.estimation.problem._reduction import Reduction, make_statistics, own_roles, patterns_of, slope_columns
from mlsem_jax.estimation.problem._references import (
    covariates_of,
    covariates_of_baseline,
    exogenous,
    held,
    independence,
    moments_of_data,
    observed_of,
    rows_suffice,
    saturated,
    saturated_given_covariates,
    split_covariates,
    unstructured,
)

__all__ = [
    "Constraints",
    "Estimated",
    "Estimation",
    "FitOptions",
    "Fitted",
    "Maximum",
    "Point",
    "Problem",
    "Reduction",
    "Report",
    "Sample",
    "bounds_of",
    "constraints_of",
    "covariates_of",
    "covariates_of_baseline",
    "exogenous",
    "given_covariates",
    "held",
    "independence",
    "make_statistics",
    "moments_of_data",
    "observed_of",
    "own_roles",
    "patterns_of",
    "rows_suffice",
    "saturated",
    "saturated_given_covariates",
    "slope_columns",
    "split_covariates",
    "unstructured",
]
