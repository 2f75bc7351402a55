"""Ends of searches: whether one is a verified maximum, which of two is better, and whether a search can go on from there at all.

A verified maximum (converged, positive definite information) outranks any other end point, whatever their likelihoods: with
clusters of different size the unconstrained likelihood is unbounded near singular matrices (a largest cluster of its own
suffices), so a higher value on the way to nowhere is no better. Among verified maxima the highest wins.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from mlsem_jax.estimation._curvature import positive_definite
from mlsem_jax.estimation._diagnosis import FLAT
from mlsem_jax.estimation._other_starts import Sample, parameter_scales, perturbed
from mlsem_jax.estimation._scoring import Maximum, Problem, maximise
from mlsem_jax.estimation._sides import Report, after
from mlsem_jax.estimation._starts import starting_values
from mlsem_jax.models import Build

# saddles that are left before a search is given up, and iterations of the search from each
SADDLES, FROM_SADDLE = 3, 100
# points near the starting values at which the expected information is looked at
NEAR_START = 3
# log-likelihoods of different maxima differ by more than this
HIGHER = 1e-6


def settled(maximum: Maximum) -> bool:
    """Whether a search ended at a verified maximum."""
    if not maximum.status.converged:
        return False
    if maximum.jacobian is not None and len(maximum.jacobian):
        return True
    if not len(maximum.theta):
        return True
    return maximum.information is not None and positive_definite(maximum.information, FLAT)


def better(best: Maximum, end: Maximum) -> Maximum:
    """The better of two ends, with the iterations of both: a verified maximum before anything else, then the higher."""

    def rank(maximum: Maximum) -> tuple[bool, float]:
        return settled(maximum), maximum.value if np.isfinite(maximum.value) else -np.inf

    (found, value), (known, high) = rank(end), rank(best)
    wins = (found and not known) or (found == known and value > high + HIGHER)
    return after(best, end) if wins else after(end, best)


def off_saddle(problem: Problem, end: Maximum, unit: np.ndarray, report: Report = None) -> Maximum:
    """The end of a search that goes on from a saddle, to either side along the direction in which the likelihood curves upwards;
    `end` itself where that is no saddle. unit (q,): a natural unit of each parameter.
    """
    for _ in range(SADDLES):
        if not end.status.converged or end.information is None or not np.all(np.isfinite(end.information)):
            return end
        values, vectors = np.linalg.eigh(end.information * np.outer(unit, unit))
        if not len(values) or values[0] > -FLAT * values[-1]:
            return end
        here, step = end, unit * vectors[:, 0] / np.abs(vectors[:, 0]).max()
        for side, length in product((1.0, -1.0), (0.3, 0.1, 0.03, 0.01)):
            trial = here.theta + side * length * step
            if problem.value(trial) > here.value:
                end = better(end, after(here, maximise(problem, trial, iterations=FROM_SADDLE, report=report)))
                break
        if end.theta is here.theta:
            return end
    return end


def flat_everywhere(problem: Problem, made: Build, end: Maximum, sample: Sample) -> bool:
    """Whether the expected information is singular where the search converged, at a point beside it, and near the starting values
    as well: then the model itself leaves the parameters open, and no other search can do better.
    """
    if not end.status.converged or end.jacobian is not None:
        return False
    away = np.random.default_rng(0).uniform(0.02, 0.05, len(end.theta))
    unit = parameter_scales(made, sample)[0]
    for theta in (end.theta, end.theta + away * np.where(end.theta == 0, unit, end.theta)):
        value, _, metric = problem.evaluate(theta)
        if not np.isfinite(value) or positive_definite(metric, FLAT):
            return False
    return not identified_elsewhere(problem, made, sample)


def identified_elsewhere(problem: Problem, made: Build, sample: Sample) -> bool:
    """Whether the expected information is positive definite at some of a few points near the starting values. A search that ended
    where the likelihood is flat has then let parameters run off; without such a point the model or the data leave them open.
    """
    start = starting_values(made, *sample)[made.kept]
    for theta in perturbed(problem, made, start, sample, NEAR_START):
        # of complete data the metric has the rank of the information, and its program is compiled already
        information = problem.expected(theta) if problem.hessian_is_costly else problem.evaluate(theta)[2]
        if np.all(np.isfinite(information)) and positive_definite(information, FLAT):
            return True
    return False
