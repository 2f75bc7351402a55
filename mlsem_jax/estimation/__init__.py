"""Starting values, maximisation, reference models: from data and a specification to a maximum of the likelihood."""

from mlsem_jax.estimation._fitting import Estimation, Fitted, estimate_model, fit_build, make_statistics
from mlsem_jax.estimation._options import FitOptions
from mlsem_jax.estimation._references import exogenous, held, independence, moments_of_data, saturated, unstructured
from mlsem_jax.estimation._scoring import Maximum, Problem, damped_step, maximise, positive_definite

__all__ = [
    "Estimation",
    "FitOptions",
    "Fitted",
    "Maximum",
    "Problem",
    "damped_step",
    "estimate_model",
    "exogenous",
    "fit_build",
    "held",
    "independence",
    "make_statistics",
    "maximise",
    "moments_of_data",
    "positive_definite",
    "saturated",
    "unstructured",
]
