"""One model to its maximum: starting values, the search, the moments there."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation.problem import FitOptions, Fitted, Problem, Report, Sample, constraints_of
from mlsem_jax.estimation.search import maximise
from mlsem_jax.estimation.starts import (
    best_means,
    shrunk_covariances,
    simple_start,
    starting_values,
    toward_maximum,
    with_starts,
)
from mlsem_jax.estimation.strategies import STRONG, Saturated, maximum_of
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build


def fit_build(
    build: Build,
    statistics: Statistics,
    sample: Sample,
    *,
    start: np.ndarray | None = None,
    options: FitOptions | None = None,
    report: Report = None,
    unrestricted: Sample | None = None,
    saturated: Saturated | None = None,
) -> Fitted:
    """Maximise from the given natural parameters, or from starting values by the sample moments.

    unrestricted: moments of the saturated model, in the form of sample, which other starting values follow if the first ones fail;
    saturated: computes them where they are not known yet, None where there are none.
    """
    options = options or FitOptions()
    near = unrestricted or toward_maximum(statistics, sample)
    problem = Problem(build, statistics, near, constraints_of(build, options.bounds))
    theta = _begin(problem, sample, start, options)
    maximum, notes = maximum_of(problem, theta, options, report, saturated)
    return Fitted(problem, maximum, problem.moments(maximum.theta), notes)


def fit_reference(build: Build, statistics: Statistics, sample: Sample, start: np.ndarray | None = None) -> Fitted:
    """As `fit_build`, for models of which only the log-likelihood matters: scoring alone, to where that is exact, which needs no
    program for the Hessian.
    """
    problem = Problem(build, statistics, sample)
    theta = _begin(problem, sample, start)
    maximum = maximise(problem, theta, newton=False)
    if not maximum.status.converged:
        again = maximise(problem, simple_start(problem, theta), newton=False, damping=STRONG)
        maximum = again if again.status.converged else maximum
    return Fitted(problem, maximum, problem.moments(maximum.theta))


def _begin(problem: Problem, sample: Sample, start: np.ndarray | None, options: FitOptions | None = None) -> np.ndarray:
    """theta (q,) to begin with, of natural parameters that were given or of starting values, where the likelihood is finite."""
    build = problem.build
    if start is not None:
        return start[build.kept]
    # what the user asked to begin from; other searches, where the first one fails, are not bound to it
    begun = build if options is None else with_starts(build, options.start)
    theta = starting_values(begun, *sample)[build.kept]
    for trial in shrunk_covariances(build, theta):
        if np.isfinite(problem.evaluate(trial).value):
            break
    # the log-likelihood is quadratic in the means
    return best_means(problem, trial)
