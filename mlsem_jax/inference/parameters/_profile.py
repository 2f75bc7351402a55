"""Profile-likelihood intervals of parameters and `:=` quantities.

A limit at confidence level c is the largest (or smallest) value of a quantity g among all theta whose log-likelihood is within
half the c quantile of chi-square(1) of its maximum: the values that a likelihood-ratio test does not reject (Venzon &
Moolgavkar 1988; Neale & Miller 1997). Unlike estimate +- z se it does not depend on the parametrisation, and it follows the
skewness that variances with few clusters have.

Each step solves the quadratic model of that problem: with a the gradient of the log-likelihood, I its observed information, b the
gradient of g towards the side looked at and l* the log-likelihood wanted, the step is I^-1 (a + t b) with
t^2 = (a'I^-1 a + 2 (l - l*)) / b'I^-1 b. The first one is the Wald interval; near the limit steps converge quadratically.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.estimation import Estimation, Point, Problem
from mlsem_jax.inference.parameters._quantities import Quantity, estimated
from mlsem_jax.inference.variance import beyond_linear, refuse_limited, vcov_natural
from mlsem_jax.numerics import damped_step, float64, normal_quantile, positive_definite

ITERATIONS = 60
# squared length of a step in standard errors, and distance from the log-likelihood wanted, at which a limit is found: the last step
# is Newton's, so what it leaves is the square of that
SHORT, ON_LEVEL = 1e-10, 1e-7
# standard errors from the estimate beyond which the likelihood is taken never to fall far enough
FAR = 100.0
# a log-likelihood this much above the maximum is another maximum, not rounding
HIGHER = 1e-5


@dataclass(frozen=True)
class Profile:
    """Profile-likelihood intervals. names, estimate, se (r,), levels (m,); lower, upper (r, m): infinite where the likelihood never
    falls far enough, NaN where the search failed. notes: a sentence for each of those.
    """

    names: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    levels: tuple[float, ...]
    lower: np.ndarray
    upper: np.ndarray
    notes: tuple[str, ...]


@float64
def profile(
    estimation: Estimation,
    parameters: Sequence[str] | None = None,
    levels: Sequence[float] = (0.95,),
    progress: Callable[[int, int], None] | None = None,
    quantity: Quantity | None = None,
) -> Profile:
    """Intervals of the named numbers of a quantity (default: all of the natural parameters and `:=` quantities).
    progress(done, total) is told of each side.

    Raises ModelError for unknown names, for fits without a maximum, and under bounds, inequalities and nonlinear constraints.
    """
    _refuse(estimation)
    model = estimation.model
    quantity = estimated(model.build) if quantity is None else quantity
    every = quantity.names
    values, se = quantity.with_standard_errors(model.natural, vcov_natural(estimation))
    at = [_position(estimation, quantity, name) for name in (every if parameters is None else parameters)]
    order, values_at = np.argsort(levels), _in_theta(estimation, quantity, at)
    limits = np.full((2, len(at), len(levels)), np.nan)
    notes: list[str] = []
    for i, r in enumerate(at):
        for side, sign in enumerate((-1.0, 1.0)):
            search = _Search(estimation, values_at, r, sign, float(values[r]), float(se[r]))
            for m in order:
                limits[side, i, m], note = search.limit(levels[m])
                if note:
                    notes.append(f"{every[r]}: {note}")
            if progress is not None:
                progress(2 * i + side + 1, 2 * len(at))
    names = tuple(every[r] for r in at)
    return Profile(names, values[at], se[at], tuple(levels), limits[0], limits[1], tuple(notes))


def _refuse(estimation: Estimation) -> None:
    refuse_limited(
        estimation, "Profile intervals do not exist", "take those of parameter_estimates(), or estimator='ML'."
    )
    model = estimation.model
    if not model.maximum.status.converged:
        raise ModelError(
            f"A profile interval needs a maximum of the likelihood, and this fit has none: {model.maximum.status.sentence} "
            f"{model.maximum.status.advice}"
        )
    if model.build.specification.blocks:
        raise ModelError(
            "Rotated parameters have no profile intervals: a likelihood-ratio test of one is a test of where the rotation ends. "
            "fit.bootstrap() has intervals of them, parameter_estimates() those of their standard errors."
        )
    if texts := beyond_linear(estimation):
        raise ModelError(
            f"Profile intervals are computed under linear equality constraints only; this model has {listing(texts)}. Fit it "
            "without them, or take the intervals of parameter_estimates()."
        )


def _position(estimation: Estimation, quantity: Quantity, name: str) -> int:
    """Which of the numbers a name or label stands for; a name may be spelled with spaces, as in "f =~ y2"."""
    every = quantity.names
    name = name if name in every else name.replace(" ", "")
    if name in every:
        return every.index(name)
    if not quantity.plain:
        raise ModelError(f"There is no quantity {name!r}; there are {listing(every)}.{nearest(name, every)}")
    labels = estimation.model.build.labels
    if name in labels:
        return labels[name]
    known = [*every, *(label for label in labels if label not in every)]
    if name in {row.name for row in estimation.model.build.specification.parameters}:
        raise ModelError(f"{name!r} is fixed in this model: it has no interval. Free it first, with NA* or start().")
    raise ModelError(f"{name!r} is no free parameter or := quantity of this fit.{nearest(name, known)}")


# theta (q,) -> value, gradient (q,) and Hessian (q, q) of the quantity at a position; 0 for a Hessian of zeros
At = Callable[[np.ndarray, int], tuple[float, np.ndarray, np.ndarray | float]]


def _in_theta(estimation: Estimation, quantity: Quantity, chosen: Sequence[int]) -> At:
    """What a search asks of natural parameters, which are linear in theta, and of other numbers, in one compiled program."""
    build = estimation.model.build
    offset, basis = build.offset, build.basis
    curved = [r for r in chosen if r >= quantity.plain]
    others = quantity.chosen(curved)

    def at(theta: np.ndarray, which: int) -> tuple[float, np.ndarray, np.ndarray | float]:
        if which < quantity.plain:
            return float(offset[which] + basis[which] @ theta), basis[which], 0.0
        i = curved.index(which)
        value, jacobian, hessian = others.curvature(offset + basis @ theta)
        return float(value[i]), jacobian[i] @ basis, basis.T @ hessian[i] @ basis

    return at


class _Search:
    """One side of one quantity: its limits at rising levels, each search starting at the limit before."""

    def __init__(self, estimation: Estimation, at: At, which: int, sign: float, estimate: float, se: float):
        model = estimation.model
        self.problem: Problem = model.problem
        self.top, self.estimate, self.sign, self.se = model.value, estimate, sign, se
        self.theta, self.t = model.theta, 0.0
        self.quantity, self.which = at, which

    def at(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray | float]:
        """The quantity times the sign, its gradient (q,) and its Hessian (q, q)."""
        value, gradient, hessian = self.quantity(theta, self.which)
        return self.sign * value, self.sign * gradient, self.sign * hessian

    def limit(self, level: float) -> tuple[float, str]:
        """The limit at a confidence level, and a sentence where there is none."""
        words = f"the {'upper' if self.sign > 0 else 'lower'} limit of the {level:.4g} interval"
        if not self.se > 0:
            return np.nan, f"{words} does not exist: the likelihood does not bend along it."
        lowest = self.top - 0.5 * normal_quantile(0.5 + level / 2) ** 2
        for _ in range(ITERATIONS):
            here = self.problem.evaluate(self.theta)
            found = self.at(self.theta)
            if here.value > self.top + HIGHER:
                return np.nan, (
                    f"on the way to {words} the likelihood rises above the maximum of the fit: {here.value:.6f} > {self.top:.6f}. "
                    "Fit again from other start() values."
                )
            step, length = self._step(here, found, lowest)
            if length < SHORT and abs(here.value - lowest) < ON_LEVEL:
                return self.sign * self.at(self.theta + step)[0], ""
            if found[0] - self.sign * self.estimate > FAR * self.se and here.value > lowest:
                return (
                    self.sign * np.inf,
                    f"{words} is infinite: the likelihood falls too little as far as was searched.",
                )
            moved = self._move(here.value, found[0], step, lowest)
            if moved is None:
                break
            self.theta = moved
        return np.nan, f"the search for {words} did not end; a bootstrap interval may be at hand."

    def _step(self, here: Point, found, lowest: float) -> tuple[np.ndarray, float]:
        """The step (q,) of the quadratic model and its squared length in standard errors."""
        gradient = here.gradient
        _, towards, bend = found
        information = self.problem.observed(self.theta) - self.t * bend
        if not positive_definite(information, 1e-10):
            information = here.metric
        back, along = damped_step(information, gradient, 0.0), damped_step(information, towards, 0.0)
        self.t = np.sqrt(max(gradient @ back + 2 * (here.value - lowest), 0.0) / max(towards @ along, 1e-300))
        step = back + self.t * along
        return step, float(step @ information @ step)

    def _move(self, value: float, quantity: float, step: np.ndarray, lowest: float) -> np.ndarray | None:
        """The longest of step, step/2, ... that raises the quantity less twice what log-likelihoods below the wanted one cost."""
        price = 2.0 / max(self.t, 1e-3 / self.se)

        def merit(value: float, quantity: float) -> float:
            return quantity - price * max(0.0, lowest - value)

        least = merit(value, quantity) - 1e-9 * self.se
        for length in 0.5 ** np.arange(30):
            theta = self.theta + length * step
            there = self.problem.evaluate(theta).value
            if np.isfinite(there) and merit(there, self.at(theta)[0]) > least:
                return theta
        return None
