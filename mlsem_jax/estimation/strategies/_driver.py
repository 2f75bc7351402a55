"""The one loop through which every search of a fit goes: strategies propose where to search, the driver searches and ranks.

A strategy is a generator of proposals. It is sent the end of each search, in the form of the model that it proposed, so that it can
decide what to propose next; it neither searches nor ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Maximum, Problem, Report
from mlsem_jax.estimation.search import RescaledProblem, maximise, maximise_constrained
from mlsem_jax.estimation.status import FLAT
from mlsem_jax.numerics import positive_definite

# log-likelihoods of different maxima differ by more than this
HIGHER = 1e-6

# another way to search than scoring: from theta (q,), with at most so many iterations
Method = Callable[[Problem, np.ndarray, int, Report], Maximum]


@dataclass(frozen=True)
class Limits:
    """How a proposal is searched. damping: of the first step. least: a search under constraints that promises no more than this
    log-likelihood is left. method: in place of scoring, or of sequential quadratic programming under constraints. returns:
    iterations in the original form of the model from the maximum of a rescaled one, None for as many again.
    """

    iterations: int
    damping: float = 0.0
    least: float = -np.inf
    method: Method | None = None
    returns: int | None = None


@dataclass(frozen=True)
class Proposal:
    """A search that a strategy (its name, for a sentence about what found the maximum) asks for: from theta0 (q,) of a problem,
    which is the model's own or that in a rescaled form.
    """

    name: str
    problem: Problem
    theta0: np.ndarray
    limits: Limits


# yields proposals and is sent the end of each
Strategy = Generator[Proposal, Maximum, None]


def settled(maximum: Maximum) -> bool:
    """Whether a search ended at a verified maximum."""
    if not maximum.status.converged:
        return False
    if not len(maximum.theta) or (maximum.jacobian is not None and len(maximum.jacobian)):
        return True
    return maximum.information is not None and positive_definite(maximum.information, FLAT)


def better(best: Maximum, end: Maximum) -> Maximum:
    """The better of two ends, with the iterations of both: a verified maximum before anything else, then the higher."""

    def rank(maximum: Maximum) -> tuple[bool, float]:
        return settled(maximum), maximum.value if np.isfinite(maximum.value) else -np.inf

    (found, value), (known, high) = rank(end), rank(best)
    wins = (found and not known) or (found == known and value > high + HIGHER)
    return end.after(best) if wins else best.after(end)


class Driver:
    """The best end so far, how many searches there were, and the name of the strategy whose search was the best."""

    def __init__(self, first: Maximum, report: Report = None):
        self.best, self.searches, self.found_by = first, 1, ""
        self._report = report

    @property
    def settled(self) -> bool:
        return settled(self.best)

    @property
    def known(self) -> float:
        """The highest maximum found, minus infinity where none was."""
        return self.best.value if self.settled else -np.inf

    def run(self, strategy: Strategy) -> None:
        """Every search that a strategy proposes."""
        end: Any = None
        while True:
            try:
                proposal = strategy.send(end)
            except StopIteration:
                return
            end = searched(proposal.problem, proposal.theta0, proposal.limits, self._report)
            self.searches += 1
            self._rank(proposal, end)

    def _rank(self, proposal: Proposal, end: Maximum) -> None:
        """Keep the better of the best end so far and that of a search, in the model's own form."""
        before, other = self.best, proposal.problem
        if isinstance(other, RescaledProblem):
            # an unfinished search is followed to the model's own form only where it rises above all others
            if not end.status.converged and (self.settled or not end.value > before.value + HIGHER):
                self.best = before.after(end)
                return
            end = _in_own_form(other, end, proposal.limits, self._report)
        self.best = better(before, end)
        if self.best.theta is not before.theta:
            self.found_by = proposal.name


def searched(problem: Problem, theta: np.ndarray, limits: Limits, report: Report = None) -> Maximum:
    """The end of the search from theta (q,), under constraints from the point nearest to it that meets the bounds."""
    if limits.method is not None:
        return limits.method(problem, theta, limits.iterations, report)
    if problem.constraints is None:
        return maximise(problem, theta, iterations=limits.iterations, damping=limits.damping, report=report)
    start = problem.constraints.nearest(theta)
    try:
        return maximise_constrained(
            problem, start, problem.constraints, iterations=limits.iterations, report=report, least=limits.least
        )
    except ModelError:  # far from where they hold, linearised constraints may contradict each other
        return Maximum.at(problem.evaluate(start), Status.STALLED)


def _in_own_form(other: RescaledProblem, end: Maximum, limits: Limits, report: Report) -> Maximum:
    """The end of a search of a rescaled model in the model's own form, after a search on from there."""
    theta = other.back(end.theta)
    if theta is None or not np.all(np.isfinite(theta)):
        # loadings relative to a marker that does not load at all are infinite
        nowhere = Maximum(
            np.full_like(end.theta, np.nan), -np.inf, end.gradient, None, None, np.inf, 0, Status.NO_MAXIMUM
        )
        return nowhere.after(end)
    onward = Limits(limits.iterations if limits.returns is None else limits.returns)
    if not end.status.converged:
        # from anywhere but a maximum the way on leads along the valley that the rescaled form avoids
        onward = Limits(1)
    return searched(other.original, theta, onward, report).after(end)
