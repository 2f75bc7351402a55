"""From the maximum of the unrotated model to the rotated one: estimates, and what says that a criterion is stationary there.

The rotated parameters maximise the same likelihood under the condition that the criterion is stationary, so their sampling
covariance is that of the information bordered by the derivatives of the conditions (Jennrich 1973; Archer & Jennrich 1973).
The conditions depend on all that the loadings are standardized by as well, which is differentiated too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.estimation import Estimation, Fitted, Problem
from mlsem_jax.measurement._rotation import Rotated, complex_slopes, rotate, stationarity
from mlsem_jax.models import Build, ExploratoryBlock, Specification, build, level_matrices, members, place
from mlsem_jax.numerics import float64

# how far the log-likelihood of the rotated parameters may be from that of the unrotated ones, beyond rounding
EQUAL = 1e-6


@dataclass(frozen=True)
class RotationReport:
    """One block: the criterion's value, how many starts ended at it, and the values of all minima found."""

    block: ExploratoryBlock
    rotated: Rotated


@float64
def rotated(estimation: Estimation, specification: Specification) -> Estimation:
    """The estimation of `unrotated(specification)` as one of the specification: rotated estimates and their conditions.

    Raises ModelError where the model treats the factors of a block differently, so that another rotation is another model.
    """
    found = [_rotate_block(estimation.model, block) for block in specification.blocks]
    transforms = [(one.block, one.rotated.transformation.T) for one in found]
    built = build(place(specification), estimation.exogenous)
    natural = transformed(estimation.model.build, estimation.model.natural, built, transforms)
    problem = Problem(built, estimation.statistics, estimation.model.problem.sample)
    theta, old = natural[built.kept], estimation.model.maximum
    point = problem.evaluate(theta)
    if not abs(point.value - old.value) <= EQUAL * max(1.0, abs(old.value)):
        raise ModelError(
            "The factors of an efa() block must be treated alike by the rest of the model, so that every rotation has the same "
            f"likelihood; here that of {listing(b.name for b in specification.blocks)} has not. Let all of them have, or none, a "
            "path or covariance with each other variable, without labels or fixed values."
        )
    jacobian = conditions_jacobian(built, natural)
    kept = _constraints_kept(estimation.model, built)
    jacobian = np.concatenate([jacobian @ built.basis, kept]) if len(kept) else jacobian @ built.basis
    maximum = replace(
        old,
        theta=theta,
        gradient=point.gradient,
        metric=point.metric,
        observed=problem.observed(theta),
        jacobian=jacobian,
        multipliers=np.zeros(len(jacobian)),
    )
    notes = tuple(note for one in found if (note := _note(one)))
    model = Fitted(problem, maximum, problem.moments(theta), (*estimation.model.notes, *notes))
    return replace(estimation, model=model, notes=(*estimation.notes, *notes))


@float64
def rotation_reports(estimation: Estimation) -> list[RotationReport]:
    """The rotations of a rotated estimation once more, from its own loadings: the same minimum, and the others there are."""
    blocks = estimation.model.build.specification.blocks
    return [_rotate_block(estimation.model, block) for block in blocks]


def _note(one: RotationReport) -> str:
    """A sentence where a criterion has several minima."""
    if len(one.rotated.minima) < 2:
        return ""
    block, found = one.block, one.rotated
    return (
        f"The {block.rotation.criterion} rotation of the efa() block {block.name!r} at level {block.level} has "
        f"{len(found.minima)} local minima at least ({listing(f'{v:.5f}' for v in found.minima)}); the lowest was found from "
        f"{found.found} of {found.starts} starts. Another of them may be what the theory is about: see fit.rotation(), or rotate "
        "to a target."
    )


def _rotate_block(fitted: Fitted, block: ExploratoryBlock) -> RotationReport:
    loadings, correlations, sd = standardized(fitted.build, fitted.natural, block)
    if bad := [item for item, value in zip(block.items, sd, strict=True) if not value > 0]:
        raise ModelError(
            f"The model's variance of {listing(map(repr, bad))} at level {block.level} is not positive, so that loadings cannot be "
            f"standardized and the efa() block {block.name!r} cannot be rotated: the items hardly vary at this level. Use "
            "bounds='pos.var', fewer factors there, or leave the level saturated."
        )
    out = rotate(as_seen(loadings @ np.linalg.cholesky(correlations), sd, block), block.rotation)
    return RotationReport(block, out)


def as_seen(loadings: np.ndarray, sd: np.ndarray, block: ExploratoryBlock) -> np.ndarray:
    """Loadings (..., p, m) of uncorrelated factors as the criterion sees them."""
    a = loadings / sd[..., None]
    return a / np.sqrt((a**2).sum(-1, keepdims=True)) if block.rotation.kaiser else a


def standardized(
    built: Build, natural: np.ndarray, block: ExploratoryBlock
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loadings (p, m), (residual) covariances of the factors (m, m) and implied standard deviations of the items (p,)."""
    specification, structure = built.specification, built.structure
    x = level_matrices(structure, natural, block.level, block.group - 1)
    names = members(specification, block.level)
    at = [names.index(f) for f in block.factors]
    variables = specification.variables
    loadings = np.stack(
        [
            x.beta[names.index(item), at] if item in names else x.lambda_[variables.index(item), at]
            for item in block.items
        ]
    )
    variances = np.diagonal(x.cov)[[variables.index(item) for item in block.items]]
    with np.errstate(invalid="ignore"):  # of improper solutions, which are told
        return loadings, x.psi[np.ix_(at, at)], np.sqrt(variances)


def conditions_jacobian(built: Build, natural: np.ndarray) -> np.ndarray:
    """Derivatives (c, k) in the natural parameters of the conditions of all blocks."""
    parts = [np.zeros((0, len(natural)))]
    for block in built.specification.blocks:
        if len(block.factors) < 2:
            continue
        rows = zip(built.specification.parameters, built.index, strict=True)
        here = {i for row, i in rows if i >= 0 and (row.level, row.group) == (block.level, block.group)}
        parts.append(
            complex_slopes(lambda x, block=block: _block_conditions(built, x, block), natural, np.array(sorted(here)))
        )
    return np.concatenate(parts)


def _block_conditions(built: Build, natural: np.ndarray, block: ExploratoryBlock) -> np.ndarray:
    loadings, correlations, sd = standardized(built, natural, block)
    scaled = loadings / sd[:, None]
    if block.rotation.kaiser:
        communality = np.sum((scaled @ correlations) * scaled, axis=1)
        scaled = scaled / np.sqrt(communality)[:, None]
    return stationarity(scaled, correlations, block.rotation)


def transformed(
    source: Build, point: np.ndarray, built: Build, transforms: list[tuple[ExploratoryBlock, np.ndarray]]
) -> np.ndarray:
    """The natural parameters (k,) of a build: those of the point of another, with eta* = H eta in every block."""
    specification, matrices = built.specification, {}
    for group in range(1, specification.ngroups + 1):
        for level in specification.numbers:
            names = members(specification, level)
            x = level_matrices(source.structure, point, level, group - 1)
            h = np.eye(len(x.beta))
            for block, transform in transforms:
                if (block.level, block.group) == (level, group):
                    at = [names.index(f) for f in block.factors]
                    h[np.ix_(at, at)] = transform
            back = np.linalg.inv(h)
            matrices[group, level] = {
                "nu": x.nu,
                "alpha": h @ x.alpha,
                "lambda": x.lambda_ @ back,
                "beta": h @ x.beta @ back,
                "psi": h @ x.psi @ h.T,
                "theta": x.theta,
            }
    natural = np.zeros(len(built.names))
    # thresholds and scales of ordered variables are as they were
    known = zip(source.specification.parameters, source.index, strict=True)
    same = {row.but(label="").name: point[i] for row, i in known if i >= 0}
    for row, i in zip(specification.parameters, built.index, strict=True):
        if i >= 0 and row.cell is not None and row.cell.matrix in ("tau", "delta"):
            natural[i] = same[row.but(label="").name]
        elif i >= 0 and row.cell is not None:
            matrix = matrices[row.group, row.level][row.cell.matrix]
            natural[i] = matrix[row.cell.row] if matrix.ndim == 1 else matrix[row.cell.row, row.cell.col]
    return natural


def _constraints_kept(fitted: Fitted, built: Build) -> np.ndarray:
    """The constraints and bounds that hold at the unrotated maximum, in the rotated theta (c, q)."""
    jacobian = fitted.maximum.jacobian
    if jacobian is None or not len(jacobian):
        return np.zeros((0, len(built.kept)))
    here = {name: i for i, name in enumerate(built.theta_names)}
    inside = {row.name for row in built.specification.parameters if any(b.has(row) for b in built.specification.blocks)}
    out = np.zeros((len(jacobian), len(built.kept)))
    for column, name in zip(jacobian.T, fitted.build.theta_names, strict=True):
        if not np.any(column):
            continue
        if name in inside or name not in here:
            raise ModelError(f"{name} belongs to an efa() block: what is rotated cannot be constrained or bounded.")
        out[:, here[name]] = column
    return out
