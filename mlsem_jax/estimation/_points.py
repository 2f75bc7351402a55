"""The loop that all solvers but scoring share: a solver proposes points, the loop evaluates, records and reports them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation._curvature import damped_step
from mlsem_jax.estimation._scoring import Problem, entry


@dataclass(frozen=True)
class Point:
    """A point of the parameter space: theta (q,), log-likelihood, gradient (q,), scoring metric (q, q), and the rise of the
    log-likelihood that the metric promises.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    metric: np.ndarray
    decrement: float

    @classmethod
    def at(cls, problem: Problem, theta: np.ndarray) -> Point:
        value, gradient, metric = problem.evaluate(theta)
        usable = np.isfinite(value) and np.all(np.isfinite(gradient)) and np.all(np.isfinite(metric))
        decrement = 0.5 * float(gradient @ damped_step(metric, gradient, 0.0)) if usable else np.inf
        return cls(theta, value if usable else -np.inf, gradient, metric, decrement)


# a solver: yields points to evaluate, is sent the evaluation, returns a sentence if it ended short of its own criteria
Points = Generator[np.ndarray, Point, str | None]


@dataclass(frozen=True)
class Walk:
    """Where a solver ended: its best point, the trace, and why it stopped short (None: by its own criteria)."""

    best: Point
    trace: list[dict]
    shortfall: str | None


def walk(
    problem: Problem,
    start: Point,
    points: Points,
    *,
    step: str,
    iterations: int,
    enough: float = 0.0,
    report: Callable[[dict], None] | None = None,
) -> Walk:
    """Run a solver from start until it ends, the promised gain falls below `enough`, or after `iterations` points.

    step: what the trace calls its steps.
    """
    best, here = start, None
    trace: list[dict] = []
    for iteration in range(1, iterations + 1):
        try:
            candidate = next(points) if here is None else points.send(here)
        except StopIteration as end:
            return Walk(best, trace, end.value)
        here = Point.at(problem, np.asarray(candidate, float))
        trace.append(entry(iteration, step, here.value, here.decrement, here.gradient))
        if report is not None:
            report(trace[-1])
        if not np.isfinite(here.value):
            return Walk(best, trace, "it left the region where the likelihood is finite")
        if here.value >= best.value:
            best = here
        if here.decrement < enough:
            return Walk(best, trace, None)
    return Walk(best, trace, f"it reached its limit of {iterations} iterations")
