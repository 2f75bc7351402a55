"""Steps and tests by an information matrix that is scaled to unit diagonal first, so that units do not matter (NumPy)."""

from __future__ import annotations

import numpy as np


def damped_step(information: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """(I + damping diag I)^-1 g, scaled to unit diagonal first; directions without information are left alone. gradient: (q,), or
    several as columns (q, n).
    """
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = information * np.outer(scale, scale)
    scaled.flat[:: len(scaled) + 1] += damping + np.where(diagonal > 0, 0.0, 1.0)
    of_gradient = scale if gradient.ndim == 1 else scale[:, None]
    try:
        return of_gradient * np.linalg.solve(scaled, of_gradient * gradient)
    except np.linalg.LinAlgError:
        return of_gradient * np.linalg.lstsq(scaled, of_gradient * gradient, rcond=1e-12)[0]


def decrement(curvature: np.ndarray, gradient: np.ndarray) -> float:
    """The Newton decrement g' C^-1 g / 2: the rise of the log-likelihood that the quadratic model promises."""
    return 0.5 * float(gradient @ damped_step(curvature, gradient, 0.0))


def positive_definite(information: np.ndarray, tolerance: float = 1e-10) -> bool:
    """Whether all eigenvalues of the matrix, scaled to unit diagonal, exceed `tolerance`."""
    diagonal = np.diag(information)
    if not np.all(np.isfinite(information)) or np.any(diagonal <= 0):
        return False
    scale = 1.0 / np.sqrt(diagonal)
    scaled = information * np.outer(scale, scale)
    scaled.flat[:: len(scaled) + 1] -= tolerance
    try:
        np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return False
    return True
