"""Loadings of one factor along principal axes, or through an indicator that dominates it: where searches for other maxima begin."""

from __future__ import annotations

import numpy as np

# principal axes that are tried, and steps of the iteration for communalities
AXES, AXIS_STEPS = 3, 5


def axis_of(correlation: np.ndarray, axis: int) -> np.ndarray:
    """Loadings (p,) of a factor of variance 1 for a correlation matrix (p, p), of which the diagonal is not used: along one of the
    first principal axes, or (axis - AXES = 0, 1, ...) through one of the indicators that correlate most with the others.
    """
    shared = np.array(correlation)
    np.fill_diagonal(shared, 0.0)
    loading = np.zeros(len(shared))
    if axis >= AXES:
        most = int(
            np.argsort(-np.abs(shared).max(axis=0) - 1e-3 * (shared**2).sum(axis=0))[min(axis - AXES, len(shared) - 1)]
        )
        own = np.sqrt(max(float(np.abs(shared[most]).max()), 1e-6))
        loading = shared[most] / own
        loading[most] = own
        return loading
    for _ in range(AXIS_STEPS):
        values, vectors = np.linalg.eigh(shared + np.diag(loading**2))
        loading = np.sqrt(max(values[-1 - axis], 1e-6)) * vectors[:, -1 - axis]
    return loading * (np.sign(loading.sum()) or 1.0)
