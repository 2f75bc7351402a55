"""One entry for every way to the maximum: optim_method by name, an optimistix minimiser, or an optax transformation.

Whatever proposes the points, the search ends in the same place: Newton steps on the observed information (`maximise`), which
verify the maximum and make the estimates exact. So solvers differ in the path, not in what is reported.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Constraints, FitOptions, Maximum, Point, Problem, Report
from mlsem_jax.estimation.search._em import definite_start, em_points, obstacle
from mlsem_jax.estimation.search._iterates import Iterated, Iterates, iterate
from mlsem_jax.estimation.search._scoring import maximise
from mlsem_jax.estimation.search._sqp import maximise_constrained
from mlsem_jax.likelihood import gradient, log_likelihood

# promised gain at which a solver hands over to the Newton steps that verify the maximum
ENOUGH = 1e-10
# promised gain above which a solver that ended is said to have stopped short
SHORT = 1e-4


def search(
    problem: Problem, theta: np.ndarray, options: FitOptions, report: Report = None
) -> tuple[Maximum, tuple[str, ...]]:
    """The maximum that optim_method finds from theta (q,), and sentences about a method that had to be helped."""
    if problem.constraints is not None:
        return _within(problem, problem.constraints, theta, options, report)
    method = options.optim_method
    if method in ("scoring", "newton"):
        far = np.inf if method == "newton" else None
        return maximise(problem, theta, iterations=options.iter_max, newton_from=far, report=report), ()
    if method == "em":
        return _em(problem, theta, options, report)
    solver, name = as_minimiser(method)
    start = problem.evaluate(theta)
    if not np.isfinite(start.value):
        return maximise(problem, theta, iterations=options.iter_max, report=report), ()
    points, step = minimiser_points(solver, problem, start), name.strip("'()")
    end = iterate(problem, start, points, step=step, iterations=options.iter_max, enough=ENOUGH, report=report)
    notes: tuple[str, ...] = ()
    if end.best.promise > SHORT:
        why = end.shortfall or "its own criterion was met"
        notes = (f"optim_method={name} stopped early ({why}); Fisher scoring finished the search.",)
    return _finish(problem, end, options, report), notes


def _within(
    problem: Problem, constraints: Constraints, theta: np.ndarray, options: FitOptions, report: Report
) -> tuple[Maximum, tuple[str, ...]]:
    """Sequential quadratic programming, whatever the method."""
    end = maximise_constrained(problem, theta, constraints, iterations=options.iter_max, report=report)
    if options.optim_method == "scoring":
        return end, ()
    name = repr(options.optim_method) if isinstance(options.optim_method, str) else "the solver"
    note = (
        f"optim_method: {name} knows no inequality or nonlinear constraints; sequential quadratic programming was used."
    )
    return end, (note,)


def _finish(problem: Problem, walked: Iterated, options: FitOptions, report: Report) -> Maximum:
    """Newton steps from where a solver ended; one trace over both."""
    done = len(walked.trace)
    tell = None if report is None else lambda row: report(row | {"iteration": done + row["iteration"]})
    end = maximise(problem, walked.best.theta, iterations=options.iter_max, report=tell)
    return end.after(Maximum.at(walked.best, Status.ITERATION_LIMIT, walked.trace))


def _em(problem: Problem, theta: np.ndarray, options: FitOptions, report: Report) -> tuple[Maximum, tuple[str, ...]]:
    """EM, then the Newton steps that verify its maximum; scoring alone where EM cannot start."""
    start = theta if problem.structure.slope_targets is not None else definite_start(problem, theta)
    hindered = obstacle(problem, start)
    if hindered is not None:
        note = f"optim_method='em': {hindered} Fisher scoring was used instead."
        return maximise(problem, theta, iterations=options.iter_max, report=report), (note,)
    first = problem.evaluate(start)
    points = em_points(problem, first, options)
    end = iterate(problem, first, points, step="em", iterations=options.em_iter_max, report=report)
    notes: tuple[str, ...] = ()
    if end.shortfall is not None and end.best.promise > SHORT:
        why = end.shortfall if end.shortfall.startswith("EM") else f"{end.shortfall}."
        notes = (f"optim_method='em': {why} Fisher scoring finished the search.",)
    return _finish(problem, end, options, report), notes


def as_minimiser(method: Any) -> tuple[Any, str]:
    """An optimistix minimiser, and its name for messages. Raises ModelError for anything else."""
    import optimistix as optx

    if method == "bfgs":
        return optx.BFGS(rtol=1e-10, atol=1e-10), "'bfgs'"
    if isinstance(method, optx.AbstractMinimiser):
        return method, type(method).__name__
    if hasattr(method, "init") and hasattr(method, "update"):
        return optx.OptaxMinimiser(method, rtol=1e-10, atol=1e-10), "(an optax transformation)"
    raise ModelError(
        f"optim_method={method!r} is no solver: give 'scoring', 'bfgs', 'newton', 'em', an optimistix minimiser such as "
        "optimistix.LBFGS(rtol=1e-8, atol=1e-8), or an optax transformation such as optax.adam(0.1)."
    )


@jax.custom_jvp
def _loss(x: jax.Array, scaling: tuple, structure: Any, statistics: Any) -> jax.Array:
    centre, scale = scaling
    return -log_likelihood(structure, centre + scale * x, statistics)


@_loss.defjvp
def _loss_jvp(primals, tangents):
    # the gradient in closed form; everything but x is data
    x, (centre, scale), structure, statistics = primals
    slope = -scale * gradient(structure, centre + scale * x, statistics)
    return _loss(*primals), slope @ tangents[0]


def _objective(x: jax.Array, args: tuple) -> tuple[jax.Array, None]:
    """Minus the log-likelihood at centre + scale * x, in units of standard errors where the search began."""
    return _loss(x, *jax.lax.stop_gradient(args)), None


def _begin(solver: Any, x: jax.Array, args: tuple) -> Any:
    return solver.init(_objective, x, args, {}, jax.ShapeDtypeStruct((), x.dtype), None, frozenset())


def _advance(solver: Any, x: jax.Array, args: tuple, state: Any) -> tuple[jax.Array, Any, jax.Array]:
    x, state, _ = solver.step(_objective, x, args, {}, state, frozenset())
    done, _ = solver.terminate(_objective, x, args, {}, state, frozenset())
    return x, state, done


@functools.cache
def _compiled() -> tuple[Any, Any]:
    """`_begin` and `_advance`, made once. The other searches do without equinox, which takes a tenth of a second to import."""
    import equinox as eqx

    return eqx.filter_jit(_begin), eqx.filter_jit(_advance)


def minimiser_points(solver: Any, problem: Problem, start: Point) -> Iterates:
    """The accepted points of an optimistix minimiser, one a step."""
    diagonal = np.diag(start.metric)
    scale, centre = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), start.theta
    args = ((centre, scale), problem.structure, problem.statistics)
    x = jnp.zeros_like(centre)
    begin, advance = _compiled()
    state = begin(solver, x, args)
    done = False
    while not done:
        x, state, done = advance(solver, x, args, state)
        yield np.asarray(centre + scale * x)
    return None
