"""Which matrix a step of the search is taken with: the scoring metric, a secant approximation or the observed information."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlsem_jax.estimation._scoring import Problem

# promised gain below which steps use more than the metric
NEWTON_FROM = 1e-2
# secant steps that are taken at most: from a metric that holds nearly all the information, 5 or 6 are enough
SECANT_STEPS = 15


def damped_step(information: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """(I + damping diag I)^-1 g, scaled to unit diagonal first; directions without information are left alone."""
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = information * np.outer(scale, scale)
    scaled[np.diag_indices_from(scaled)] += damping + np.where(diagonal > 0, 0.0, 1.0)
    try:
        return scale * np.linalg.solve(scaled, scale * gradient)
    except np.linalg.LinAlgError:
        return scale * np.linalg.lstsq(scaled, scale * gradient, rcond=1e-12)[0]


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
    scaled[np.diag_indices_from(scaled)] -= tolerance
    try:
        np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return False
    return True


class Curvature:
    """The metric far from a maximum; within `near` of one the observed information, where it is positive definite.

    With missing values or random slopes the Hessian costs as much as two evaluations for every parameter. There the last stretch
    goes by secant steps, the metric learning from the change of the gradient (Broyden, Fletcher, Goldfarb and Shanno 1970), and
    the Hessian is computed once, where they end. exact: whether the last matrix was the observed information.
    """

    def __init__(self, problem: Problem, newton: bool, newton_from: float | None):
        self._problem, self._newton = problem, newton
        self._near = NEWTON_FROM if newton_from is None else newton_from
        self._secant = newton and newton_from is None and problem.hessian_is_costly
        self._learned: np.ndarray | None = None
        self._steps = 0
        self.exact = False

    @property
    def kind(self) -> str:
        """What a step with the last matrix is called."""
        return "newton" if self.exact else "scoring" if self._learned is None else "secant"

    def __call__(self, theta: np.ndarray, gradient: np.ndarray, metric: np.ndarray, iteration: int) -> np.ndarray:
        """The matrix (q, q) for the step from theta."""
        close = self.exact or self._learned is not None or iteration > 30
        if not self._newton or not (close or abs(decrement(metric, gradient)) < self._near):
            return metric
        if self._secant and not self.exact and self._steps < SECANT_STEPS:
            self._learned = metric if self._learned is None else self._learned
            self._steps += 1
            return self._learned
        hessian = self._problem.observed(theta)
        self.exact = positive_definite(hessian, 1e-14)
        self._learned, self._secant = None, self._secant and self.exact
        return hessian if self.exact else metric

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """After a step (q,) that was taken, with the change (q,) of the gradient."""
        if self._learned is None:
            return
        along, drop = self._learned @ step, -float(change @ step)
        if drop > 1e-3 * float(step @ along):
            self._learned = (
                self._learned + np.outer(change, change) / drop - np.outer(along, along) / float(step @ along)
            )

    def forget(self) -> None:
        """After a step that led nowhere: the metric at hand is a safer guide."""
        self._learned = None
