"""How fine the grid of two cluster effects must be."""

from __future__ import annotations

import numpy as np

from mlsem_jax.ordinal.limited._prepared import Prepared
from mlsem_jax.ordinal.limited._problems import ENDS, Problem, padded

# of the smallest standard deviation there can be: the trapezoid rule then errs by at most exp(-2 pi^2) = 3e-9
STEP = 1.0
MOST_NODES = 2**17  # of a grid; beyond, every cluster gets a grid of its own


def nodes_needed(problems: list[Problem], thetas: list[np.ndarray], prepared: Prepared) -> tuple[int, int]:
    """Of each effect, for all pairs with a table; 0 where there are none.

    The curvature of minus the log-probability of a rectangle is at most the inverse within correlation matrix R, so the
    posterior covariance matrix of the effects of a cluster of n is at least (I + n L' R^-1 L)^-1, L L' their covariance matrix.
    """
    needed = [nodes_of_pair(p, t, prepared) for p, t in zip(problems, thetas, strict=True) if "table" in p.kind]
    first, second = np.max(needed, axis=0) if needed else (0, 0)
    return padded_nodes(first, second)


def padded_nodes(first: float, second: float) -> tuple[int, int]:
    return padded(int(first), 32), padded(int(second), 32)


def nodes_of_pair(problem: Problem, theta: np.ndarray, prepared: Prepared) -> np.ndarray:
    """Of both effects (2,)."""
    size, place = prepared.size.block, prepared.size.thresholds + 2
    v1, v2 = theta[place], theta[size + place]
    within, between = theta[-2:]
    most = problem.rows.counts.sum(axis=-1).max()
    l11 = np.sqrt(v1)
    l21 = between / l11
    root = np.array([[l11, 0.0], [l21, np.sqrt(max(v2 - l21**2, 0.0))]])
    information = np.linalg.inv(np.array([[1.0, within], [within, 1.0]]))
    posterior = np.linalg.inv(np.eye(2) + most * root.T @ information @ root)
    return np.ceil(2 * ENDS / (STEP * np.sqrt(np.diag(posterior)))) + 1
