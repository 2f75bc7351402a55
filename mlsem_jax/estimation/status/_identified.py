"""Is the model identified at all? Decided by matrices whose rank does not depend on how near to a maximum a search came.

Along an exactly flat curve theta(t) the observed information is v'Iv = g'theta'' (v the tangent, g the gradient): it is zero at a
perfect maximum only, and where a search stopped it is of the size of the gradient left, which is far from the rounding of a
Hessian where a model fits badly. The expected information is J'VJ, J the Jacobian of the implied moments in theta, and J v = 0 at
every point of the curve: its smallest eigenvalue is rounding, wherever the search stopped (Rothenberg 1971; Bekker, Merckens &
Wansbeek 1994). At single points, as where all loadings of a factor are zero, J may lose rank in a model that is identified, so
points beside the end and near the starting values must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.estimation.problem import Maximum, Problem
from mlsem_jax.estimation.starts import parameter_scales, perturbed, starting_values
from mlsem_jax.estimation.status._diagnosis import FLAT
from mlsem_jax.models import Build
from mlsem_jax.numerics import positive_definite

# eigenvalue of the expected information, scaled to unit diagonal, below which it counts as singular: rounding is about 1e-15, a
# hundred times that where variables are nearly collinear
SINGULAR_RANK = 1e-11
# eigenvalue of the observed information, scaled to unit diagonal, above which no direction is exactly flat: at the end of a search
# such a direction shows at most the gradient in units of standard errors, the root of twice the decrement or 5e-7
CURVED = 1e-4
# weight of a parameter in a flat direction, in units of standard errors and relative to the largest, that counts
TAKES_PART = 1e-3
# points near the starting values that are looked at
NEAR_START = 3

# a matrix (q, q) at theta (q,)
Matrix = Callable[[np.ndarray], np.ndarray]


def rank_matrices(problem: Problem) -> list[Matrix]:
    """Matrices that are singular exactly where the parameters are not identified, cheapest first: the scoring metric; with missing
    values also the expected information under the data's patterns; with random slopes the outer product of the clusters' scores
    or, for fewer clusters than that has rows, the cross-product of the Jacobian of the moments.
    """
    statistics = problem.plain_statistics
    if statistics.pools is not None:
        return [_metric(problem), *([problem.expected] if problem.hessian_is_costly else [])]
    if statistics.expected:  # of least squares: the Gauss-Newton matrix
        return [_metric(problem)]
    clusters = np.count_nonzero(statistics.cluster_sizes().count)
    return [_metric(problem)] if clusters > 2 * problem.q else [problem.of_moments]


def _metric(problem: Problem) -> Matrix:
    return lambda theta: problem.evaluate(theta).metric


def unidentified(problem: Problem, end: Maximum) -> list[str]:
    """Names of the parameters that the model, or these data whatever their values, leave open at the end of a search; empty where
    the model is identified.
    """
    if not len(end.theta) or _curved(end):
        return []
    for matrix in rank_matrices(problem):
        here = matrix(end.theta)
        if not np.all(np.isfinite(here)) or _full_rank(here, end.jacobian):
            continue
        others = [m for m in map(matrix, _elsewhere(problem, end.theta)) if np.all(np.isfinite(m))]
        if others and not any(positive_definite(m, SINGULAR_RANK) for m in others):
            return _open(here, end.jacobian, problem.build.theta_names)
    return []


def _open(matrix: np.ndarray, jacobian: np.ndarray | None, names: list[str]) -> list[str]:
    """Names of the parameters that take part in the null space of the matrix (q, q) within that of a jacobian (c, q)."""
    scale = 1.0 / np.sqrt(np.where(np.diag(matrix) > 0, np.diag(matrix), 1.0))
    z = np.eye(len(matrix))
    if jacobian is not None and len(jacobian):
        from scipy.linalg import null_space  # slow to import, and few models have constraints

        z = null_space(jacobian * scale)
    values, vectors = np.linalg.eigh(z.T @ (matrix * np.outer(scale, scale)) @ z)
    null = z @ vectors[:, values < FLAT]
    weight = np.abs(null).max(axis=1, initial=0.0)
    return [name for name, w in zip(names, weight, strict=True) if w > TAKES_PART * weight.max()]


def _curved(end: Maximum) -> bool:
    """Whether the observed information rules out an exactly flat direction."""
    return end.status.converged and end.observed is not None and _full_rank(end.observed, end.jacobian, CURVED)


def _full_rank(matrix: np.ndarray, jacobian: np.ndarray | None, tolerance: float = SINGULAR_RANK) -> bool:
    """Whether the matrix (q, q) is positive definite along all directions that constraints with this Jacobian (c, q) leave."""
    if jacobian is None or not len(jacobian):
        return positive_definite(matrix, tolerance)
    from scipy.linalg import null_space  # slow to import, and few models have constraints

    z = null_space(jacobian)
    return not z.shape[1] or positive_definite(z.T @ matrix @ z, tolerance)


def _elsewhere(problem: Problem, theta: np.ndarray) -> Iterator[np.ndarray]:
    """A point beside theta (q,), then points near the starting values."""
    away = np.random.default_rng(0).uniform(0.02, 0.05, len(theta))
    unit = parameter_scales(problem.build, problem.sample)[0]
    yield theta + away * np.where(theta == 0, unit, theta)
    yield from _near_start(problem)


def _near_start(problem: Problem) -> np.ndarray:
    """Points (NEAR_START, q) near the starting values."""
    start = starting_values(problem.build, *problem.sample)[problem.build.kept]
    return perturbed(problem, start, NEAR_START)


def identified_elsewhere(problem: Problem) -> bool:
    """Whether the parameters are identified at some of a few points near the starting values. A search that ended where the
    likelihood is flat has then let parameters run off; without such a point the model or the data leave them open.
    """
    matrices = rank_matrices(problem)
    return any(all(positive_definite(matrix(at), FLAT) for matrix in matrices) for at in _near_start(problem))


def remedy(build: Build, names: list[str]) -> str:
    """What identifies a model that leaves these parameters open: the scale of the factors that have none, or else some value."""
    loads: dict[tuple[str, int, int], dict[int, str]] = {}
    scaled: set[tuple[str, int, int]] = set()
    variances: set[tuple[str, int, int]] = set()
    for row, i in zip(build.specification.parameters, build.index, strict=True):
        factor, is_open = (row.lhs, row.level, row.group), i >= 0 and build.names[i] in names
        if row.op == "=~" and not row.free and row.value:
            scaled.add(factor)
        elif row.op == "=~" and is_open:
            loads.setdefault(factor, {})[int(i)] = row.rhs
        elif row.op == "~~" and row.lhs == row.rhs and is_open:
            variances.add(factor)
    free: list[tuple[str, int, int]] = []
    for factor in loads:
        # equal loadings carry the scale of one factor to the others
        if factor in variances - scaled and not any(loads[factor].keys() & loads[other].keys() for other in free):
            free.append(factor)
    if not free:
        return "Fix one of them, such as a loading or a variance, at a value or at another parameter's, or drop what needs it."
    where = {1: "within", 2: "between"}
    words = [
        f"{f} at the {where[level]} level ({f} ~~ 1*{f}, or {f} =~ 1*{next(iter(loads[f, level, g].values()))})"
        for f, level, g in free
    ]
    return f"Fix the variance or one loading of each factor that has no scale: {listing(dict.fromkeys(words))}."
