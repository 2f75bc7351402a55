"""The loop that all solvers but scoring share: a solver proposes points, the loop evaluates, records and reports them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation.problem import Point, Problem, Report
from mlsem_jax.estimation.search._scoring import entry, tell

# a solver: yields points to evaluate, is sent the evaluation, returns a sentence if it ended short of its own criteria
Iterates = Generator[np.ndarray, Point, str | None]


@dataclass(frozen=True)
class Iterated:
    """Where a solver ended: its best point, the trace, and why it stopped short (None: by its own criteria)."""

    best: Point
    trace: list[dict]
    shortfall: str | None


def iterate(
    problem: Problem,
    start: Point,
    points: Iterates,
    *,
    step: str,
    iterations: int,
    enough: float = 0.0,
    report: Report = None,
) -> Iterated:
    """Run a solver from start until it ends, the promised gain falls below `enough`, or after `iterations` points.

    step: what the trace calls its steps.
    """
    best, here = start, None
    trace: list[dict] = []
    for iteration in range(1, iterations + 1):
        try:
            candidate = next(points) if here is None else points.send(here)
        except StopIteration as end:
            return Iterated(best, trace, end.value)
        here = problem.evaluate(candidate)
        tell(trace, report, entry(iteration, step, here, here.promise))
        if not here.finite:
            return Iterated(best, trace, "it left the region where the likelihood is finite")
        if here.value >= best.value:
            best = here
        if here.promise < enough:
            return Iterated(best, trace, None)
    return Iterated(best, trace, f"it reached its limit of {iterations} iterations")
