"""Rows of the table whose values follow from others: residual variances from scales (delta), or scales from these (theta)."""

from __future__ import annotations

import numpy as np

from mlsem_jax.models import (
    Build,
    LevelMatrices,
    Parameter,
    Specification,
    level_matrices,
    members,
    remembered,
    residual_slopes,
)


@remembered
def following_rows(specification: Specification) -> tuple[tuple[int, Parameter], ...]:
    """These rows with their numbers, from 0."""
    return tuple((i, row) for i, row in enumerate(specification.parameters) if row.follows)


def following_values(build: Build, natural: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values of all rows (rows,), given those of the others. natural (k,)."""
    values, specification = values.copy(), build.specification
    found: dict[tuple[int, int], LevelMatrices] = {}
    for i, row in following_rows(specification):
        where = (row.level, row.group - 1)
        if where not in found:
            found[where] = level_matrices(build.structure, natural, *where)
        x = found[where]
        if row.op == "~*~":
            variance = _given_covariates(specification, x, row)
            values[i] = variance**-0.5 if variance > 0 else np.nan
        elif row.cell is not None:
            matrix = x.psi if row.cell.matrix == "psi" else x.theta
            values[i] = matrix[row.cell.row, row.cell.col]
    return values


def following_slopes(build: Build, natural: np.ndarray) -> dict[int, np.ndarray]:
    """Derivatives (k,) in the natural parameters of the residual variances that follow, by row."""
    out = {}
    for i, row in following_rows(build.specification):
        if row.op == "~~":
            slopes = residual_slopes(build.structure, natural, row.level, row.group - 1)
            assert slopes is not None
            out[i] = slopes[build.specification.variables.index(row.lhs)]
    return out


def _given_covariates(specification: Specification, x: LevelMatrices, row: Parameter) -> float:
    """The variance of a latent response given the fixed covariates."""
    names = members(specification, row.level)
    covariates = specification.group(row.group).level(row.level).covariates
    kept = np.ones(len(x.psi))
    kept[[names.index(v) for v in covariates if v in names]] = 0.0
    i = specification.variables.index(row.lhs)
    path = x.paths[i] * kept
    return float(path @ x.psi @ path + x.theta[i, i])
