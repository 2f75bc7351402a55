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
from mlsem_jax.estimation._scoring import Maximum, Problem, maximise
from mlsem_jax.estimation._sides import Report, after

# saddles that are left before a search is given up, and iterations of the search from each
SADDLES, FROM_SADDLE = 3, 100
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
