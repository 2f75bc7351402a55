"""Maximum likelihood under nonlinear equalities, inequalities and bounds: sequential quadratic programming.

Each step maximises the quadratic model of the log-likelihood under the linearised constraints (Nocedal & Wright 2006, chapter
18); the subproblem is solved exactly as a least-distance problem by non-negative least squares (Lawson & Hanson 1974, chapter
23). Steps are accepted by the l1 merit function. Linear equalities never come here: they are eliminated when a model is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax._status import Status
from mlsem_jax.estimation._curvature import NEWTON_FROM
from mlsem_jax.estimation._scoring import DECREMENT, Maximum, Problem, entry
from mlsem_jax.models import Build, is_linear, residual_function, residuals_with_jacobian

# an inequality with a residual below this, relative to the size of its gradient, is active
ACTIVE = 1e-7


@dataclass(frozen=True)
class Constraints:
    """Residuals (c,) in theta (q,): zero for equalities, non-negative for inequalities; the written ones first, then the bounds.

    general: the build whose written constraints these are, None where there are only bounds; bounds (b, q), least (b,): a theta is
    within them where bounds @ theta >= least. texts: every constraint in words.
    """

    general: Build | None
    bounds: np.ndarray
    least: np.ndarray
    equality: np.ndarray
    texts: tuple[str, ...]

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Residuals (c,)."""
        return self.evaluate(theta)[0]

    def evaluate(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (c,) and their Jacobian (c, q)."""
        simple = self.bounds @ theta - self.least
        if self.general is None:
            return simple, self.bounds
        offset, basis = _affine(self.general)
        residual, jacobian = residuals_with_jacobian(
            offset + basis @ theta, self.general.nonlinear, self.general.labels
        )
        return np.concatenate([residual, simple]), np.concatenate([jacobian @ basis, self.bounds])

    def curvature(self, theta: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
        """Hessian (q, q) of multipliers' residual."""
        written = () if self.general is None else self.general.nonlinear
        pressed = [(c, w) for c, w in zip(written, multipliers, strict=False) if w != 0 and not is_linear(c)]
        if self.general is None or not pressed:
            return np.zeros((len(theta), len(theta)))
        function = residual_function([c for c, _ in pressed], self.general.labels)
        weights = jnp.asarray([w for _, w in pressed])
        offset, basis = _affine(self.general)
        return np.asarray(jax.hessian(lambda x: weights @ function(offset + basis @ x))(jnp.asarray(theta)))


def _affine(made: Build) -> tuple[np.ndarray, np.ndarray]:
    """offset (k,), basis (k, q): natural parameters = offset + basis theta."""
    k = len(made.names)
    return made.offset[:k], made.basis[:k, : made.free]


def bounds_of(made: Build, bounds: str | dict) -> list[tuple[int, float, bool, str]]:
    """Simple bounds as (natural parameter, value, is lower, text), from the table and from the `bounds` option.

    "pos.var" keeps all variances at or above zero, "pos.ov.var" those of observed and "pos.lv.var" those of latent variables;
    a dictionary gives (lower, upper) by parameter name or label.
    """
    kinds = {"none": (), "pos.var": (True, False), "pos.ov.var": (True,), "pos.lv.var": (False,)}
    out = []
    if isinstance(bounds, str) and bounds not in kinds:
        raise ModelError(
            f"bounds={bounds!r} is not available. Allowed: {', '.join(map(repr, kinds))}, or a dictionary."
        )
    specification = made.specification
    for row, index in zip(specification.parameters, made.index, strict=True):
        if index < 0:
            continue
        for value, lower in ((row.lower, True), (row.upper, False)):
            if value is not None and np.isfinite(value):
                out.append((int(index), float(value), lower, f"{row.name} {'>' if lower else '<'} {value:g}"))
        is_variance = row.op == "~~" and row.lhs == row.rhs
        if isinstance(bounds, str) and is_variance and (row.lhs in specification.variables) in kinds[bounds]:
            out.append((int(index), 0.0, True, f"{row.name} > 0"))
    if isinstance(bounds, dict):
        for name, pair in bounds.items():
            if name not in made.labels:
                raise ModelError(f"bounds: {name!r} is no parameter of the model.{nearest(name, made.labels)}")
            for value, lower in zip(pair, (True, False), strict=True):
                if value is not None and np.isfinite(value):
                    out.append((made.labels[name], float(value), lower, f"{name} {'>' if lower else '<'} {value:g}"))
    return list(dict.fromkeys(out))


def constraints_of(made: Build, bounds: str | dict = "none") -> Constraints | None:
    """The constraints of a built model that its basis does not satisfy by itself; None if there are none."""
    simple = bounds_of(made, bounds)
    if not made.nonlinear and not simple:
        return None
    offset, basis = _affine(made)
    index = np.array([i for i, *_ in simple], int)
    sign = np.array([1.0 if lower else -1.0 for _, _, lower, _ in simple])
    value = np.array([v for _, v, _, _ in simple])
    return Constraints(
        general=made if made.nonlinear else None,
        bounds=sign[:, None] * basis[index],
        least=sign * (value - offset[index]),
        equality=np.array([c.op == "==" for c in made.nonlinear] + [False] * len(simple), bool),
        texts=tuple(c.text for c in made.nonlinear) + tuple(text for *_, text in simple),
    )


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
    iterations: int = 300,
    report: Callable[[dict], None] | None = None,
    least: float = -np.inf,
) -> Maximum:
    """Climb to a constrained maximum from theta (q,), feasible or not.

    least: a search that promises no more than this log-likelihood is left, its status ITERATION_LIMIT.
    """
    value, gradient, metric = problem.evaluate(theta)
    residual, jacobian = constraints.evaluate(theta)
    multipliers, penalty, trace = np.zeros(len(residual)), 0.0, []
    status, promise, iteration = Status.ITERATION_LIMIT, np.inf, 0
    if not np.isfinite(value):
        return Maximum(theta, value, gradient, metric, False, np.inf, 0, Status.NON_FINITE)
    for iteration in range(1, iterations + 1):
        curvature = metric
        if promise < NEWTON_FROM or iteration > 30:
            curvature = _lagrangian(problem, constraints, theta, multipliers, jacobian, residual, metric)
        solved = quadratic_step(curvature, gradient, residual, jacobian, constraints.equality)
        if solved is None:
            names = listing(constraints.texts)
            raise ModelError(f"The constraints contradict each other near the current estimates: {names}.")
        step, multipliers = solved
        violation = _violation(residual, constraints.equality)
        promise = 0.5 * float(step @ curvature @ step)
        trace.append(entry(iteration, "sqp", value, promise, gradient) | {"violation": violation})
        if report is not None:
            report(trace[-1])
        if promise < DECREMENT and violation < 1e-10:
            status = Status.CONVERGED
            break
        if promises_less(value, promise, least) and violation < 1e-10:
            break
        penalty = max(penalty, 1.5 * np.abs(multipliers).max(initial=0.0), 1.0)
        moved = _search(problem, constraints, theta, step, value, violation, penalty, float(gradient @ step))
        if moved is None:
            status = Status.CONVERGED if promise < 1e-9 and violation < 1e-8 else Status.STALLED
            break
        theta = moved
        value, gradient, metric = problem.evaluate(theta)
        residual, jacobian = constraints.evaluate(theta)
    held = _held(constraints, residual, jacobian, multipliers)
    if status is Status.CONVERGED and np.any(held & ~constraints.equality):
        status = Status.BOUNDARY
    end = Maximum(theta, value, gradient, problem.observed(theta), True, promise, iteration, status, trace)
    return replace(end, jacobian=jacobian[held], multipliers=multipliers[held])


def promises_less(value: float, promise: float, least: float) -> bool:
    """Whether a search that is close to its end will stay below `least`, by a promise taken twice."""
    return promise < NEWTON_FROM and value + 2.0 * promise < least


def _held(constraints: Constraints, residual: np.ndarray, jacobian: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Which constraints (c,) hold as equalities: those that are, and active inequalities that the maximum presses against."""
    near = residual < ACTIVE * np.maximum(np.linalg.norm(jacobian, axis=1), 1.0)
    return constraints.equality | (near & (multipliers >= 0))


def _violation(residual: np.ndarray, equality: np.ndarray) -> float:
    return float(np.abs(residual[equality]).sum() + np.maximum(-residual[~equality], 0.0).sum())


def _lagrangian(problem, constraints, theta, multipliers, jacobian, residual, metric) -> np.ndarray:
    """Curvature of the Lagrangian where it is positive definite on the tangent space of what is active, else the metric."""
    from scipy.linalg import null_space  # slow to import, and few models have constraints

    w = problem.observed(theta) - constraints.curvature(theta, multipliers)
    held = constraints.equality | (multipliers > 0)
    z = null_space(jacobian[held]) if held.any() else np.eye(len(theta))
    if z.shape[1] and np.linalg.eigvalsh(z.T @ w @ z)[0] <= 0:
        return metric
    # curvature across the active constraints does not move the solution but keeps the subproblem convex
    active = jacobian[held]
    if np.linalg.eigvalsh(w)[0] <= 0 and len(active):
        w = (
            w
            + active.T @ active * (np.abs(np.linalg.eigvalsh(w)).max() / max(np.linalg.norm(active) ** 2, 1e-300)) * 10
        )
    return w if np.linalg.eigvalsh(w)[0] > 0 else metric


def _search(problem, constraints, theta, step, value, violation, penalty, slope) -> np.ndarray | None:
    """The longest of step, step/2, ... that lowers the l1 merit function -loglik + penalty * violation."""
    merit = -value + penalty * violation
    predicted = slope + penalty * violation
    length = 1.0
    for _ in range(40):
        trial = theta + length * step
        trial_value = problem.value(trial)
        if np.isfinite(trial_value):
            trial_merit = -trial_value + penalty * _violation(constraints.residuals(trial), constraints.equality)
            if trial_merit <= merit - 1e-4 * length * max(predicted, 0.0) + 1e-12 * abs(merit):
                return trial
        length /= 2
    return None
