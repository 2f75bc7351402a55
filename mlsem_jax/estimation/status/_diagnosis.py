"""What is wrong at the end point of a search, in words: flat directions, a singular edge, improper parameters."""

from __future__ import annotations

import jax
import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Fitted, Maximum, Problem
from mlsem_jax.estimation.status._status import MATRICES, Improper, tolerance
from mlsem_jax.likelihood import PatternTerm, Statistics, cluster_forms
from mlsem_jax.models import Cell, LevelStructure, Moments, Parameter, Structure, level_matrices
from mlsem_jax.numerics import positive_definite

# eigenvalue of the information, scaled to unit diagonal, below which a direction counts as flat: rounding of the Hessian is
# about 1e-13 there, and parameters that are identified by a real data set stay above 1e-8
FLAT = 1e-9
# eigenvalue of Sigma_W + n Sigma_B, scaled to unit diagonal, below which an unfinished search counts as running off
SINGULAR = 1e-5
# eigenvalue of a cluster's covariance matrix relative to its within part, below which the same is said: of proper models it is 1
# at least, and a search that stops at its limit is often still on the way
SINGULAR_CLUSTER = 1e-3
# eigenvalue of an inverse covariance matrix, scaled to unit diagonal, below which an unfinished search counts as running off
SINGULAR_NETWORK = 1e-2
# an unfinished search crawls along a valley if after so many steps so little is left to gain, and the information scaled to unit
# diagonal has a condition number beyond the inverse of the last
VALLEY_LENGTH, VALLEY_GAIN, VALLEY_CURVATURE = 100, 0.1, 1e-4

LEVELS = {1: "within", 2: "between"}


_cluster_forms = jax.jit(cluster_forms)


def flat_directions(maximum: Maximum, names: list[str]) -> tuple[list[str], bool]:
    """Names of the parameters in flat directions of the information, and whether a direction curves upwards."""
    information, jacobian = maximum.information, maximum.jacobian
    if information is None or not len(information) or not np.all(np.isfinite(information)):
        return [], False
    z = np.eye(len(information))
    if jacobian is not None and len(jacobian):
        from scipy.linalg import null_space  # slow to import, and few models have constraints

        z = null_space(jacobian)
    reduced = z.T @ information @ z
    diagonal = np.diag(reduced)
    if positive_definite(reduced, FLAT):
        return [], False
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, np.maximum(np.abs(diagonal), 1e-300)))
    values, vectors = np.linalg.eigh(reduced * np.outer(scale, scale))
    if values.min(initial=0.0) < -1e-6:
        return [], True
    flat = z @ (scale[:, None] * vectors[:, values < FLAT])
    if not flat.shape[1]:
        return [], False
    size = np.abs(flat / np.maximum(np.abs(flat).max(0), 1e-300)).max(1)
    return [name for name, weight in zip(names, size, strict=True) if weight > 0.05], False


def running_off(maximum: Maximum, names: list[str]) -> list[str]:
    """Names of the parameters that an unfinished search moves along a valley without end: the information is nearly flat in one
    direction, little is left to gain, and the steps do not get shorter. Empty where that is not the case.
    """
    information = maximum.observed
    if maximum.status is not Status.ITERATION_LIMIT or len(maximum.trace) < VALLEY_LENGTH:
        return []
    if information is None or not len(information) or not np.all(np.isfinite(information)):
        return []
    # a last step that landed on a steep side of the valley promises the way back to its floor: then what was gained lately counts
    lately = maximum.value - maximum.trace[-VALLEY_LENGTH]["loglik"]
    if min(maximum.decrement, lately) > VALLEY_GAIN:
        return []
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.maximum(np.abs(diagonal), 1e-300))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    if abs(values[0]) > VALLEY_CURVATURE * values[-1]:
        return []
    along = np.abs(vectors[:, 0])
    return [name for name, weight in zip(names, along, strict=True) if weight > 0.2]


def gain_outside_flat(maximum: Maximum) -> float:
    """The rise of the log-likelihood that the quadratic model promises in the directions that are not flat."""
    information, gradient = maximum.information, maximum.gradient
    if information is None or not np.all(np.isfinite(information)) or not np.all(np.isfinite(gradient)):
        return np.inf
    diagonal = np.diag(information)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, np.maximum(np.abs(diagonal), 1e-300)))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    along = vectors.T @ (scale * gradient)
    curved = np.abs(values) > FLAT
    return 0.5 * float(np.sum(along[curved] ** 2 / np.abs(values[curved])))


def largest_clusters(statistics: Statistics, groups: int) -> np.ndarray:
    """Size of the largest cluster of each group (G,)."""
    largest = np.ones(groups)
    every = statistics.cluster_sizes()
    np.maximum.at(largest, every.group, np.where(every.count > 0, every.size, 1.0))
    return largest


def singular_edge(problem: Problem, theta: np.ndarray) -> str | None:
    """Whether some implied covariance matrix is nearly singular at theta, in words that name level and variables.

    Sigma_W + n Sigma_B is positive definite for every size in the data when it is for n = 0 and for the largest, so those two
    are looked at; with random slopes, in place of the latter, the covariance matrix of every cluster, which depends on covariates.
    """
    moments, specification = problem.moments(theta), problem.build.specification
    variables = specification.variables
    p = len(variables)
    sizes = largest_clusters(problem.statistics, specification.ngroups)
    z = problem.build.between_only > 0
    at_means = np.flatnonzero(z) if specification.slopes else np.arange(p)
    for g in range(specification.ngroups):
        d = np.where(z, 1.0, np.sqrt(sizes[g]))
        within, between = moments.within_cov[g], moments.between_cov[g][:p, :p]
        size = np.diag(within) + d**2 * np.abs(np.diag(between))
        for words, matrix, at in (
            ("covariance matrix" if specification.single else "within covariance matrix", within, np.flatnonzero(~z)),
            ("covariance matrix of the cluster means", within + d[:, None] * between * d, at_means),
        ):
            if not np.all(np.isfinite(matrix)):
                return f"The {words} is no longer finite."
            block = matrix[np.ix_(at, at)]
            own = (np.diag(within) if matrix is within else size)[at]
            scale = 1.0 / np.sqrt(np.maximum(np.abs(own), 1e-300))
            values, vectors = np.linalg.eigh(block * np.outer(scale, scale))
            if len(at) and (values[0] < SINGULAR or np.diag(block).min() <= 0):
                names = [variables[i] for i, weight in zip(at, np.abs(vectors[:, 0]), strict=True) if weight > 0.2]
                group = f" in group {specification.groups[g]}" if specification.groups else ""
                return f"The {words}{group} tends to a singular one in {listing(names)}."
    return _singular_cluster(problem, moments) if specification.slopes else None


def _singular_cluster(problem: Problem, moments: Moments) -> str | None:
    """Whether the covariance matrix of some cluster's rows is nearly singular relative to their within part, in words: with
    A = Z' W Z = R R', the eigenvalues of I + R' S R (see `likelihood`).
    """
    patterns = problem.statistics.first(PatternTerm)
    if patterns is None or not len(np.asarray(patterns.clusters.weight)):
        return None
    a, s = (np.asarray(x).reshape(-1, *x.shape[2:]) for x in _cluster_forms(moments, patterns))
    if not np.all(np.isfinite(a)) or not np.all(np.isfinite(s)):
        return "The covariance matrix of a cluster is no longer finite."
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    values, vectors = np.linalg.eigh(np.eye(a.shape[-1]) + np.swapaxes(root, 1, 2) @ s @ root)
    worst = int(np.argmin(values[:, 0]))
    if values[worst, 0] >= SINGULAR_CLUSTER:
        return None
    along = np.abs(root[worst] @ vectors[worst, :, 0]) / np.sqrt(np.maximum(np.diag(a[worst]), 1e-300))
    specification = problem.build.specification
    effects = [specification.variables[i] for i in np.asarray(patterns.effects)]
    effects += [slope.name for slope in specification.slopes]
    names = [name for name, weight in zip(effects, along, strict=True) if weight > 0.2 * along.max()]
    return (
        f"The covariance matrix of a cluster's rows, given its covariates, tends to a singular one in {listing(names)}: "
        "that of the between level and the random slopes is none that variables can have. bounds='pos.var' keeps variances at or "
        "above zero."
    )


def singular_network(structure: Structure, natural: np.ndarray) -> bool:
    """Whether a covariance matrix written by its inverse (prec) or by partial correlations (ggm) runs off to a singular one.

    Its inverse then grows without bound, and scaled to unit diagonal it tends to a singular matrix itself.
    """
    for arrays in structure.levels:
        for matrix in ("psi", "theta"):
            choice = getattr(arrays, matrix).kind
            inverts = choice is not None and choice.kind.inverts
            for group in range(len(np.asarray(arrays.nu.base)) if inverts else 0):
                if choice.kind.runs_off(_core(arrays, matrix, group, natural), SINGULAR_NETWORK):
                    return True
    return False


def _core(arrays: LevelStructure, matrix: str, group: int, natural: np.ndarray) -> np.ndarray:
    filled = getattr(arrays, matrix).core
    index, base = np.asarray(filled.index)[group], np.asarray(filled.base)[group]
    return np.where(index >= 0, natural[np.maximum(index, 0)], base) if len(natural) else base


def improper_parameters(model: Fitted, found: Improper) -> list[str]:
    """Sentences about what `found` holds: every negative variance, and of matrices that are not positive semidefinite every
    correlation beyond 1 or, where there is none, all variables that are involved.
    """
    specification, natural, out = model.build.specification, model.natural, []
    for row, index in zip(specification.parameters, model.build.index, strict=True):
        place, cell = _place(row), row.cell
        if place is None or cell is None or row.lhs != row.rhs:
            continue
        if found.negative[place, row.group - 1, cell.row]:
            what = "residual variance" if row.lhs in specification.variables else "variance"
            if row.follows:
                out.append(_explained(model, row, cell))
                continue
            out.append(
                f"Improper solution: the {what} of {row.lhs}{_at(model, row.level, row.group)} is "
                f"estimated at {natural[index]:.4g}. If this is a variance near zero, fix it ({row.lhs} ~~ 0*{row.lhs}) or use "
                f"bounds='pos.var'; a likelihood-ratio test of a variance at zero has a mixture of chi-squares as its reference."
            )
    for place, group in np.argwhere(found.indefinite):
        out += _impossible(model, int(place), int(group), found.correlation[place, group])
    return out


def _explained(model: Fitted, row: Parameter, cell: Cell) -> str:
    """A sentence about a residual variance that follows from a scale and is negative."""
    x = level_matrices(model.build.structure, model.natural, row.level, row.group - 1)
    value = (x.psi if cell.matrix == "psi" else x.theta)[cell.row, cell.col]
    return (
        f"Improper solution: the residual variance of {row.lhs}{_at(model, row.level, row.group)}, which follows from its scale, "
        f"is {value:.4g}: the model explains more than all of the variance of its latent response. Simplify the model, or leave "
        f"{row.lhs} out."
    )


def _place(row: Parameter) -> int | None:
    """Which of the covariance matrices that can be improper a row of the table belongs to, by an element or a scale."""
    place = None if row.cell is None else (LEVELS[row.level], row.cell.matrix.removesuffix("_scale"))
    return MATRICES.index(place) if place in MATRICES else None


def _at(model: Fitted, level: int, group: int) -> str:
    """ " at the within level, group a"; what there is one of is not named."""
    specification = model.build.specification
    groups = specification.groups
    if specification.single:
        return f" in group {groups[group - 1]}" if groups else ""
    return f" at the {LEVELS[level]} level" + (f", group {groups[group - 1]}" if groups else "")


def _impossible(model: Fitted, place: int, group: int, correlation: np.ndarray) -> list[str]:
    """Sentences about a matrix of correlations that no variables can have."""
    level, matrix = MATRICES[place]
    single = model.build.specification.single
    where, here = _at(model, 1 + ("within", "between").index(level), group + 1), "" if single else " at this level"
    rows = [row for row in model.build.specification.parameters if _place(row) == place and row.group == group + 1]
    names = {row.cell.row: row.lhs for row in rows if row.cell is not None and row.lhs == row.rhs}
    free = np.asarray(getattr(getattr(model.build.structure, level), matrix).core.index)[group] >= 0
    out = []
    beyond = np.tril(np.abs(correlation) > 1 + tolerance(correlation.dtype), -1)
    for i, j in np.argwhere(beyond).tolist():
        if free[i, j]:
            out.append(
                f"Improper solution: the correlation of {names[j]} and {names[i]}{where} is estimated at "
                f"{correlation[i, j]:.4g}. They may be one variable{here}: merge them, or leave one out."
            )
    if not out:
        values, vectors = np.linalg.eigh(correlation)
        involved = [names[i] for i in np.flatnonzero(np.abs(vectors[:, 0]) > 0.2).tolist()]
        out.append(
            f"Improper solution: the covariance matrix of {listing(involved)}{where} is not positive semidefinite "
            f"(smallest eigenvalue of the correlations {values[0]:.3g}). Simplify {'the model' if single else 'this level'}, or "
            f"collect more {'data' if single else 'clusters'}."
        )
    return out
