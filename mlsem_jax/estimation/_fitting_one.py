"""One model to its maximum: starting values, the search, the moments there."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from mlsem_jax.estimation._constrained import constraints_of
from mlsem_jax.estimation._kernels import implied_moments
from mlsem_jax.estimation._ladder import Sample, climb_surely
from mlsem_jax.estimation._moment_starts import best_means, toward_maximum
from mlsem_jax.estimation._options import FitOptions
from mlsem_jax.estimation._other_starts import simple_start
from mlsem_jax.estimation._records import Fitted
from mlsem_jax.estimation._scoring import Problem, maximise
from mlsem_jax.estimation._starts import starting_values, with_starts
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Moments


def fit_build(
    made: Build,
    statistics: Statistics,
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    start: np.ndarray | None = None,
    newton: bool = True,
    options: FitOptions | None = None,
    report: Callable[[dict], None] | None = None,
    unrestricted: Sample | None = None,
    saturated: Callable[[], Sample | None] | None = None,
) -> Fitted:
    """Maximise from the given natural parameters, or from starting values by the sample moments.

    newton=False: scoring alone, to where the log-likelihood is exact, for models without structure. unrestricted: moments of
    the saturated model, in the form of sample, which other starting values follow if the first ones fail; saturated: computes them
    where they are not known yet, None where there are none.
    """
    options = options or FitOptions()
    problem = Problem(made, statistics)
    # what the user asked to begin from; other searches, where the first one fails, are not bound to it
    begun = with_starts(made, options.start)
    natural = starting_values(begun, *sample) if start is None else start
    theta = natural[made.kept]
    if start is None:
        theta = _safe_start(problem, begun, theta)
    notes: tuple[str, ...] = ()
    if newton:
        constraints = constraints_of(made, options.bounds)
        near = unrestricted or toward_maximum(statistics, sample)
        maximum, notes = climb_surely(problem, made, theta, near, constraints, options, report, saturated)
    else:
        maximum = maximise(problem, theta, newton=False)
        if not maximum.status.converged:
            again = maximise(problem, simple_start(made, theta, sample), newton=False, damping=10.0)
            maximum = again if again.status.converged else maximum
    return Fitted(made, problem, maximum, _moments(made, maximum.theta), notes)


def _moments(made: Build, theta: np.ndarray) -> Moments:
    padded = np.concatenate([theta, np.zeros(made.basis.shape[1] - len(theta))])
    return jax.tree.map(np.asarray, implied_moments(made.structure, padded))


def _safe_start(problem: Problem, made: Build, theta: np.ndarray) -> np.ndarray:
    """Take covariances out until the likelihood is finite, then solve for the means, in which it is quadratic."""
    rows, index = made.specification.parameters, made.index
    off = {i for row, i in zip(rows, index, strict=True) if i >= 0 and row.op == "~~" and row.lhs != row.rhs}
    is_off = np.array([k in off for k in made.kept])
    for shrink in (1.0, 0.5, 0.0):
        trial = np.where(is_off, shrink * theta, theta)
        if np.isfinite(problem.evaluate(trial)[0]):
            break
    return best_means(problem, made, trial)
