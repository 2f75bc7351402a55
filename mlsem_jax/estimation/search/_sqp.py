"""Maximum likelihood under nonlinear equalities, inequalities and bounds: sequential quadratic programming.

Each step maximises the quadratic model of the log-likelihood under the linearised constraints (Nocedal & Wright 2006, chapter
18); the subproblem is solved exactly as a least-distance problem by non-negative least squares (Lawson & Hanson 1974, chapter
23). Steps are accepted by the l1 merit function. Linear equalities never come here: they are eliminated when a model is built.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Constraints, Maximum, Point, Problem, Report
from mlsem_jax.estimation.search._rules import DECREMENT, LEAST_SHARE, is_done, rounding
from mlsem_jax.estimation.search._scoring import ITERATIONS, METRIC_ONLY, NEWTON_FROM, entry, tell

# an inequality with a residual below this, relative to the size of its gradient, is active
ACTIVE = 1e-7
# a violation that counts as none; and beside a decrement of NEARLY_DONE, where no step lowers the merit function, as rounding
MET, NEARLY_MET, NEARLY_DONE = 1e-10, 1e-8, 1e-9
# times that a step is halved
HALVINGS = 40


def quadratic_step(
    curvature: np.ndarray, gradient: np.ndarray, residual: np.ndarray, jacobian: np.ndarray, equality: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Maximise g'd - d'Cd/2 subject to J d + r = 0 (equalities) and >= 0 (the others): step (q,) and multipliers (c,).

    None where the linearised constraints contradict each other.
    """
    from scipy.linalg import null_space  # slow to import, and few models have constraints

    diagonal = np.diag(curvature)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    c, g, j = curvature * np.outer(scale, scale), gradient * scale, jacobian * scale
    je, re = j[equality], residual[equality]
    d0 = np.linalg.lstsq(je, -re, rcond=None)[0] if len(je) else np.zeros(len(g))
    if len(je) and np.abs(je @ d0 + re).max() > 1e-8 * max(1.0, np.abs(re).max()):
        return None
    z = null_space(je) if len(je) else np.eye(len(g))
    m = z.T @ c @ z
    floor = 1e-10 * max(np.trace(m) / max(len(m), 1), 1e-300)
    values, vectors = np.linalg.eigh(m)
    root = vectors / np.sqrt(np.maximum(values, floor))
    target = root.T @ (z.T @ (g - c @ d0))
    ji, ri = j[~equality], residual[~equality]
    u, dual = target, np.zeros(len(ri))
    if len(ri):
        a = ji @ z @ root
        b = -ri - ji @ d0 - a @ target
        solved = _least_distance(a, b)
        if solved is None:
            return None
        u, dual = target + solved[0], solved[1]
    d = d0 + z @ (root @ u)
    multipliers = np.zeros(len(residual))
    multipliers[~equality] = dual
    if len(je):
        multipliers[equality] = np.linalg.lstsq(je.T, c @ d - g - ji.T @ dual, rcond=None)[0]
    return scale * d, multipliers


def _least_distance(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Shortest x with a x >= b, and the multipliers: the dual is a non-negative least-squares problem."""
    from scipy.optimize import nnls  # slow to import, and few models have constraints

    if np.all(b <= 0):
        return np.zeros(a.shape[1]), np.zeros(len(b))
    size = max(np.abs(b).max(), 1e-300)
    e = np.vstack([a.T, b / size])
    f = np.zeros(len(e))
    f[-1] = 1.0
    y, _ = nnls(e, f, maxiter=50 * len(b) + 100)
    r = f - e @ y
    if r[-1] <= 1e-14:
        return None
    return -size * r[:-1] / r[-1], size * y / r[-1]


def maximise_constrained(
    problem: Problem,
    theta: np.ndarray,
    constraints: Constraints,
    *,
    iterations: int = ITERATIONS,
    report: Report = None,
    least: float = -np.inf,
) -> Maximum:
    """Climb to a constrained maximum from theta (q,), feasible or not.

    least: a search that promises no more than this log-likelihood is left, its status ITERATION_LIMIT.
    """
    here = problem.evaluate(theta)
    residual, jacobian = constraints.evaluate(theta)
    multipliers, penalty = np.zeros(len(residual)), 0.0
    trace: list[dict] = []
    status, promise = Status.ITERATION_LIMIT, np.inf
    if not np.isfinite(here.value):
        return Maximum.at(here, Status.NON_FINITE)
    for iteration in range(1, iterations + 1):
        curvature = here.metric
        if promise < NEWTON_FROM or iteration > METRIC_ONLY:
            curvature = _lagrangian(problem, constraints, here, multipliers, jacobian)
        solved = quadratic_step(curvature, here.gradient, residual, jacobian, constraints.equality)
        if solved is None:
            names = listing(constraints.texts)
            raise ModelError(f"The constraints contradict each other near the current estimates: {names}.")
        step, multipliers = solved
        violation = _violation(residual, constraints.equality)
        promise = 0.5 * float(step @ curvature @ step)
        tell(trace, report, entry(iteration, "sqp", here, promise) | {"violation": violation})
        if is_done(np, promise, DECREMENT) and violation < MET:
            status = Status.CONVERGED
            break
        if promises_less(here.value, promise, least) and violation < MET:
            break
        penalty = max(penalty, 1.5 * np.abs(multipliers).max(initial=0.0), 1.0)
        moved = _along(problem, constraints, here, step, violation, penalty)
        if moved is None:
            status = Status.CONVERGED if promise < NEARLY_DONE and violation < NEARLY_MET else Status.STALLED
            break
        here = problem.evaluate(moved)
        residual, jacobian = constraints.evaluate(moved)
    holds = _holding(constraints, residual, jacobian, multipliers)
    if status is Status.CONVERGED and np.any(holds & ~constraints.equality):
        status = Status.BOUNDARY
    at = problem.with_hessian(here)
    return Maximum.at(at, status, trace, promise, jacobian=jacobian[holds], multipliers=multipliers[holds])


def promises_less(value: float, promise: float, least: float) -> bool:
    """Whether a search that is close to its end will stay below `least`, by a promise taken twice."""
    return promise < NEWTON_FROM and value + 2.0 * promise < least


def _holding(
    constraints: Constraints, residual: np.ndarray, jacobian: np.ndarray, multipliers: np.ndarray
) -> np.ndarray:
    """Which constraints (c,) hold as equalities: those that are, and active inequalities that the maximum presses against."""
    near = residual < ACTIVE * np.maximum(np.linalg.norm(jacobian, axis=1), 1.0)
    return constraints.equality | (near & (multipliers >= 0))


def _violation(residual: np.ndarray, equality: np.ndarray) -> float:
    return float(np.abs(residual[equality]).sum() + np.maximum(-residual[~equality], 0.0).sum())


def _lagrangian(
    problem: Problem, constraints: Constraints, here: Point, multipliers: np.ndarray, jacobian: np.ndarray
) -> np.ndarray:
    """Curvature of the Lagrangian where it is positive definite on the tangent space of what is active, else the metric."""
    from scipy.linalg import null_space  # slow to import, and few models have constraints

    w = problem.observed(here.theta) - constraints.curvature(here.theta, multipliers)
    active = jacobian[constraints.equality | (multipliers > 0)]
    z = null_space(active) if len(active) else np.eye(len(here.theta))
    if z.shape[1] and np.linalg.eigvalsh(z.T @ w @ z)[0] <= 0:
        return here.metric
    # curvature across the active constraints does not move the solution but keeps the subproblem convex
    if np.linalg.eigvalsh(w)[0] <= 0 and len(active):
        size = np.abs(np.linalg.eigvalsh(w)).max() / max(np.linalg.norm(active) ** 2, 1e-300)
        w = w + active.T @ active * (10 * size)
    return w if np.linalg.eigvalsh(w)[0] > 0 else here.metric


def _along(
    problem: Problem, constraints: Constraints, here: Point, step: np.ndarray, violation: float, penalty: float
) -> np.ndarray | None:
    """The longest of step, step/2, ... that lowers the l1 merit function -loglik + penalty * violation."""
    merit = -here.value + penalty * violation
    predicted = max(float(here.gradient @ step) + penalty * violation, 0.0)
    for length in 0.5 ** np.arange(HALVINGS):
        trial = here.theta + length * step
        value = problem.value(trial)
        if np.isfinite(value):
            trial_merit = -value + penalty * _violation(constraints.residuals(trial), constraints.equality)
            if merit - trial_merit >= LEAST_SHARE * length * predicted - 10 * float(rounding(np, merit)):
                return trial
    return None
