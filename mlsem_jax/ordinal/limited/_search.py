"""Newton's method within bounds, for problems of a few unknowns; NumPy around a compiled function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

GRADIENT = 1e-9
MOVE = 3e-7  # a Newton step this short leaves an error of its square
MOST = 100
HALVINGS = 40

Terms = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


def maximise(terms: Terms, start: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, bool, int]:
    """Where `terms` (value, gradient, Hessian) is largest between the bounds, whether that was reached, and evaluations.

    Coordinates at a bound, with the gradient pointing out, stay there.
    """
    theta = np.clip(start, low, high)
    value, gradient, hessian = terms(theta)
    count = 1
    while count < MOST:
        held = ((theta <= low) & (gradient <= 0)) | ((theta >= high) & (gradient >= 0))
        if held.all() or np.max(np.abs(gradient[~held])) <= GRADIENT:
            return theta, True, count
        move = np.where(held, 0.0, _ascent(gradient, hessian, ~held))
        move = _inside(theta, move, low, high)
        if np.max(np.abs(move)) <= MOVE and np.all(np.linalg.eigvalsh(hessian[np.ix_(~held, ~held)]) < 0):
            return theta + move, True, count
        for _ in range(HALVINGS):
            found = terms(theta + move)
            count += 1
            if np.isfinite(found[0]) and np.isfinite(found[1]).all() and found[0] >= value - 1e-12 * abs(value):
                break
            move = move / 2
        else:
            return theta, bool(np.max(np.abs(move)) < 1e-9), count
        theta = theta + move
        value, gradient, hessian = found
    return theta, False, count


def _ascent(gradient: np.ndarray, hessian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """A Newton step on the concave quadratic with the sizes of the Hessian's eigenvalues."""
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-8))[free]
    values, vectors = np.linalg.eigh(hessian[np.ix_(free, free)] * scale[:, None] * scale)
    sizes = np.maximum(np.abs(values), 1e-6 * max(np.abs(values).max(), 1e-12))
    move = np.zeros_like(gradient)
    move[free] = scale * (vectors @ ((vectors.T @ (scale * gradient[free])) / sizes))
    return move


def _inside(theta: np.ndarray, move: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A step past a bound goes nine tenths of the way, and to the bound when it is near."""
    bound = np.where(move > 0, high, low)
    past = (theta + move - bound) * np.sign(move) > 0
    room = bound - theta
    near = np.abs(room) <= 1e-3 * np.maximum(np.abs(bound), 1e-3)
    return np.where(past, np.where(near, room, 0.9 * room), move)
