"""What is tried before a search gives up: simpler starts, damping, EM, and many perturbed starts.

The rungs come cheapest first, and the first verified maximum ends them (see `_ends`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation._constrained import Constraints, maximise_constrained
from mlsem_jax.estimation._constrained_search import in_doubt_within, search_within, searches_within
from mlsem_jax.estimation._diagnosis import singular_edge, singular_network
from mlsem_jax.estimation._ends import HIGHER, better, off_saddle, settled
from mlsem_jax.estimation._identified import unidentified
from mlsem_jax.estimation._moment_starts import moment_start
from mlsem_jax.estimation._options import FitOptions
from mlsem_jax.estimation._other_starts import parameter_scales, perturbed, simple_start
from mlsem_jax.estimation._rescaled import rescale, signs_at
from mlsem_jax.estimation._scoring import Maximum, Problem, maximise
from mlsem_jax.estimation._sides import climb_rescaled, in_doubt, search_sides
from mlsem_jax.estimation._solvers import Report, search
from mlsem_jax.estimation._valley import carry_on
from mlsem_jax.likelihood import CompleteTerm
from mlsem_jax.models import Build

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
# perturbed starts of the last rung
STARTS = 16
EM_ITERATIONS = 100
# iterations of the first search before others are begun, of those, and of each of the perturbed starts: what converges at all
# nearly always needs fewer
PATIENCE, AGAIN, EACH = 100, 50, 30
# unfinished searches from perturbed starts that go on, and their iterations: those that rise above everything else
CARRIED_ON, FURTHER = 2, 40
# the rung after which the costly ones come
MORE = "more iterations or Newton steps in a trust region"
SIDES = "one of several sets of starting values under the constraints"
LAST = f"one of {STARTS} perturbed sets of starting values"
HIGHER_FOUND = (
    "A search from other starting values or other signs of variances reached a higher maximum than the first one."
)


def climb_surely(
    problem: Problem,
    made: Build,
    theta: np.ndarray,
    sample: Sample,
    constraints: Constraints | None,
    options: FitOptions,
    report: Report = None,
    saturated: Callable[[], Sample | None] | None = None,
) -> tuple[Maximum, tuple[str, ...]]:
    """The maximum from theta (q,), or where that fails from what else the ladder offers; and what it took, in sentences.

    sample: moments that starting values follow; saturated: computes the unrestricted maximum-likelihood ones, where sample is not
    those.
    report: told every iteration of every search.
    """
    if constraints is not None:
        notes = _not_used(options)
        limit = PATIENCE if options.iter_max == FitOptions.iter_max else options.iter_max
        best = maximise_constrained(problem, theta, constraints, iterations=limit, report=report)
    else:
        best, notes = search(problem, made, theta, replace(options, iter_max=_patience(options)), report)
    # a limit that the user lowered is an answer, not a failure
    limited = best.status is Status.ITERATION_LIMIT and options.iter_max < FitOptions.iter_max
    if limited:
        return best, notes
    if constraints is None:
        best = off_saddle(problem, best, parameter_scales(made, sample)[0], report)
    if unidentified(problem, made, best, sample):
        # no other search can do better
        return best, notes
    if settled(best):
        higher = _highest(problem, made, theta, sample, best, constraints, report)
        return higher, (*notes, HIGHER_FOUND) if higher.value > best.value else notes
    if singular_network(made.structure, _natural(made, best.theta)):
        return best, notes
    higher, more = _climb_rungs(problem, made, theta, best, sample, constraints, options, report, saturated)
    return higher, (*notes, *more)


def _climb_rungs(
    problem: Problem,
    made: Build,
    theta: np.ndarray,
    first: Maximum,
    sample: Sample,
    constraints: Constraints | None,
    options: FitOptions,
    report: Report,
    saturated: Callable[[], Sample | None] | None,
) -> tuple[Maximum, tuple[str, ...]]:
    """The best end of the rungs' searches and of the first search, up to a rung that finds a maximum; and a sentence about it."""
    best, tried, simple = first, 1, simple_start(made, theta, sample)

    def along_valley() -> Iterator[Maximum]:
        if best.status is not Status.ITERATION_LIMIT:
            return
        if constraints is not None:
            yield search_within(problem, best.theta, constraints, report, options.iter_max)
            return
        if singular_edge(problem, made, best.theta) is None:
            # many are nearly there
            end = maximise(problem, best.theta, iterations=AGAIN, report=report)
            yield end
            if end.status is Status.ITERATION_LIMIT:
                yield carry_on(problem, made, end, report)

    for rung, ends in chain(
        _rungs(problem, made, theta, simple, sample, constraints, options, report, saturated),
        [(MORE, along_valley())],
        _last_rungs(problem, made, simple, sample, options, report) if constraints is None else (),
    ):
        for end in ends:
            tried += 1
            best = better(best, end)
        if settled(best):
            note = f"The search failed from the first starting values and reached the maximum by {rung}."
            # where one search failed, others may have missed a higher maximum
            higher = best
            if constraints is not None:
                higher = best if rung == SIDES else _highest(problem, made, theta, sample, best, constraints, report)
            elif rung != LAST and in_doubt(made, best, sample):
                higher = better(best, multistart(problem, made, simple, sample, best.value, report))
            return higher, (HIGHER_FOUND if higher.value > best.value else note,)
        # a run to nowhere says nothing of the other starts; only the costly searches are left out for it
        if rung == MORE and _hopeless(problem, made, best):
            break
    gave_up = (
        f"{tried} searches, from different starting values or by different methods, were tried: none found a maximum."
    )
    return best, (gave_up,)


def _highest(
    problem: Problem,
    made: Build,
    theta: np.ndarray,
    sample: Sample,
    best: Maximum,
    constraints: Constraints | None,
    report: Report,
) -> Maximum:
    """The maximum found where it is not in doubt, else the highest of it and those of searches on either side of the between
    factors' variances and from the sample moments themselves, however improper: on one side of zero there may be several.
    Under constraints from all starts within them.
    """
    if constraints is not None:
        if in_doubt_within(made, best, constraints, sample):
            for end in searches_within(problem, made, theta, sample, constraints, best.value, report):
                best = better(best, end)
        return best
    if not in_doubt(made, best, sample):
        return best
    for end in search_sides(problem, made, theta, sample, best.value, report):
        best = better(best, end)
    start = moment_start(problem, made, theta, sample)
    return better(best, maximise(problem, start, iterations=PATIENCE, report=report))


def _patience(options: FitOptions) -> int:
    """Iterations of the first search: what nearly all need, since a search in a valley is better begun elsewhere."""
    if options.optim_method not in ("scoring", "newton") or options.iter_max < FitOptions.iter_max:
        return options.iter_max
    return PATIENCE


def _not_used(options: FitOptions) -> tuple[str, ...]:
    if options.optim_method == "scoring":
        return ()
    name = repr(options.optim_method) if isinstance(options.optim_method, str) else "the solver"
    return (
        f"optim_method: {name} knows no inequality or nonlinear constraints; sequential quadratic programming was used.",
    )


def _rungs(
    problem: Problem,
    made: Build,
    theta: np.ndarray,
    simple: np.ndarray,
    sample: Sample,
    constraints: Constraints | None,
    options: FitOptions,
    report: Report,
    saturated: Callable[[], Sample | None] | None,
) -> Iterator[tuple[str, Iterable[Maximum]]]:
    """Name and ends of the searches of each rung, cheapest first; a search runs when its end is asked for."""
    limit = min(AGAIN, options.iter_max)
    if constraints is not None:
        yield "simpler starting values", (search_within(problem, x, constraints, report) for x in (simple,))
        yield SIDES, searches_within(problem, made, theta, sample, constraints, report=report)
        return
    yield (
        "searches from either sign of the between factors' variances",
        search_sides(problem, made, theta, sample, report=report),
    )
    exact = saturated() if saturated is not None else None
    if exact is not None:
        # a model that fits any moments, as one factor of three indicators does, has its maximum right there
        start = moment_start(problem, made, theta, exact)
        yield (
            "starting values by the moments of the unrestricted model",
            (maximise(problem, x, iterations=limit, report=report) for x in (start,)),
        )
    moments = moment_start(problem, made, theta, sample)
    for words, start in (("sample moments", moments), ("first starting values", theta)):
        other = rescale(problem, made, signs_at(made, start))
        if other is not None:
            yield (
                f"a search with factors scaled by their variances, from the {words}",
                (climb_rescaled(problem, other, other.forth(x), limit, report) for x in (start,)),
            )
    for words, start, damping in (
        ("starting values on the side of the sample moments", moments, 0.0),
        ("simpler starting values", simple, 0.0),
        ("strongly damped steps", simple, 10.0),
    ):
        yield words, (maximise(problem, x, iterations=limit, damping=damping, report=report) for x in (start,))


def _last_rungs(
    problem: Problem, made: Build, simple: np.ndarray, sample: Sample, options: FitOptions, report: Report
) -> Iterator[tuple[str, Iterable[Maximum]]]:
    """As `_rungs`, the costly ones."""
    if problem.structure.slope_targets is None and options.optim_method != "em":
        em = replace(options, optim_method="em", em_iter_max=EM_ITERATIONS, em_acceleration="squarem", iter_max=AGAIN)
        yield "EM", (search(problem, made, x, em, report)[0] for x in (simple,))
    yield (
        LAST,
        (multistart(problem, made, x, sample, report=report) for x in (simple,)),
    )


def _natural(made: Build, theta: np.ndarray) -> np.ndarray:
    """Natural parameters (k,) at theta (q,)."""
    return made.offset + made.basis[:, : made.free] @ theta


def _hopeless(problem: Problem, made: Build, end: Maximum) -> bool:
    """Whether the search ran off to a singular matrix and there are too few clusters for anything else."""
    s = problem.statistics.only(CompleteTerm)
    if s is None or end.status is Status.NON_FINITE:
        return False
    few = float(np.min(s.clusters)) <= len(made.specification.between.observed)
    return few and singular_edge(problem, made, end.theta) is not None


def multistart(
    problem: Problem, made: Build, theta: np.ndarray, sample: Sample, known: float = -np.inf, report: Report = None
) -> Maximum:
    """The best end of searches from perturbed starts, one after the other: a batch would have to be compiled first. Few iterations
    each, then more for the highest unfinished ones above the best maximum found, or known already.
    """
    starts = perturbed(problem, made, theta, sample, STARTS)
    ends = [maximise(problem, start, iterations=EACH, report=report) for start in starts]
    best = functools.reduce(better, ends)
    least = max([known, *(end.value for end in ends if settled(end))])
    unfinished = [end for end in ends if end.status is Status.ITERATION_LIMIT and end.value > least + HIGHER]
    for end in sorted(unfinished, key=lambda end: -end.value)[:CARRIED_ON]:
        best = better(best, maximise(problem, end.theta, iterations=FURTHER, report=report))
    return best
