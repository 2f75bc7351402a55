"""Starting values of network models: a factor solution of the unrestricted moments, written in the model's parametrisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.estimation import starting_values
from mlsem_jax.models import Build
from mlsem_jax.networks._dense import decompose, dense
from mlsem_jax.networks._layout import LEVELS, Block, Layout
from mlsem_jax.networks._table import Table
from mlsem_jax.observed import make_definite

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import Model

# share of an indicator's variance that starts as its residual variance
UNIQUE = 0.4
# eigenvalues of unrestricted moments, scaled by standard deviations, are raised to this at level 1 and at level 2
FLOOR = {1: 0.02, 2: 0.05}


def first_values(model: Model, build: Build, unrestricted: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Natural parameters (k,) to begin with, given within and between covariances and means of the unrestricted model."""
    layout, table = model.layout, model.table
    natural = starting_values(build, *unrestricted)
    values = element_values(model, build, natural)
    for group in range(1, layout.ngroups + 1):
        matrices = dense(layout, table, values, group)
        for level, cov in zip((1, 2), unrestricted[:2], strict=True):
            sd = np.sqrt(np.maximum(np.diag(unrestricted[0][group - 1]), np.diag(unrestricted[1][group - 1])))
            _level(layout, level, matrices, make_definite(cov[group - 1], sd, FLOOR[level]), held(model, level, group))
        for i, element in enumerate(table):
            if element.group == group and element.free:
                value = matrices[element.matrix][element.row, element.col]
                values[i] = value if element.start is None else element.start
    return natural_values(model, build, repaired(layout, table, values))


def held(model: Model, level: int, group: int) -> dict[int, float]:
    """The latent variables of a level whose scale is fixed, with the standard deviation that the fixed value stands for."""
    layout = model.layout
    if layout.loadings == "none" or layout.family == "varcov":
        return {}
    block = layout.block(level, "zeta_")
    name = block.scale or block.core
    scales = [e for e in model.table if (e.matrix, e.group) == (name, group) and e.row == e.col]
    return {e.row: float(block.record.deviation(np, e.value)) for e in scales if not e.free and e.value > 0}


def element_values(model: Model, build: Build, natural: np.ndarray) -> np.ndarray:
    """The value of every element, free ones from the natural parameters (k,)."""
    out = np.array([element.value for element in model.table])
    for i, element in enumerate(model.table):
        if element.free:
            out[i] = natural[build.index[model.rows[i]]]
    return out


def natural_values(model: Model, build: Build, values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Natural parameters (k,) from values of the elements; those that several elements share are averaged."""
    total, count = np.zeros(len(build.names)), np.zeros(len(build.names))
    for i, element in enumerate(model.table):
        if element.free:
            k = build.index[model.rows[i]]
            total[k] += values[i]
            count[k] += 1
    return total / np.maximum(count, 1)


def repaired(layout: Layout, table: Table, values: np.ndarray) -> np.ndarray:
    """The same values with free elements off the diagonal shrunk where a covariance matrix is not positive definite.

    Only free elements move, so a matrix that fixed elements make indefinite stays as it is.
    """
    out = values.copy()
    for group in range(1, layout.ngroups + 1):
        matrices = dense(layout, table, out, group)
        for block in layout.blocks:
            core = block.record.made_definite(matrices[block.core])
            if core is not matrices[block.core]:
                for i, e in enumerate(table):
                    if e.free and (e.matrix, e.group) == (block.core, group):
                        out[i] = core[e.row, e.col]
    return out


def _level(
    layout: Layout, level: int, matrices: dict[str, np.ndarray], cov: np.ndarray, scales: dict[int, float]
) -> None:
    """Fill the covariance matrices of one level of one group, given an unrestricted covariance matrix (p, p).

    scales: what the fixed scales of latent variables stand for; the loadings take up the difference.
    """
    if layout.family == "varcov":
        return _fill(layout.block(level), matrices, cov)
    zeta, epsilon = layout.block(level, "zeta_"), layout.block(level, "epsilon_")
    if layout.loadings == "none":
        return _fill(zeta, matrices, cov)
    name = "lambda" if layout.loadings == "shared" else f"lambda_{LEVELS[level]}"
    loading = matrices[name].copy()
    loading[[layout.variables.index(v) for v in layout.absent(level)]] = 0.0
    alone = _alone(loading)
    unique = np.where(alone, 0.0, UNIQUE * np.diag(cov))
    inverse = np.linalg.pinv(loading)
    psi = inverse @ (cov - np.diag(unique)) @ inverse.T
    psi = make_definite(psi, np.sqrt(np.maximum(np.diag(inverse @ cov @ inverse.T), 1e-12)), 0.1)
    common = np.diag(loading @ psi @ loading.T)
    variance = np.diag(cov)
    core, scale = decompose(zeta.record, psi)
    size = zeta.record.deviation(np, np.diag(core if zeta.scale is None else scale))
    change = np.array([size[i] / scales[i] if i in scales else 1.0 for i in range(len(psi))])
    matrices[name] = matrices[name] * change
    psi = psi / np.outer(change, change)
    _fill(epsilon, matrices, np.diag(np.where(alone, 0.0, np.clip(variance - common, 0.1 * variance, variance))))
    return _fill(zeta, matrices, psi)


def _alone(loading: np.ndarray) -> np.ndarray:
    """(p,) indicators that are the only one of a latent variable."""
    single = (loading != 0).sum(0) == 1
    return (loading[:, single] != 0).any(1)


def _fill(block: Block, matrices: dict[str, np.ndarray], cov: np.ndarray) -> None:
    core, scale = decompose(block.record, cov)
    matrices[block.core] = core
    if block.scale is not None:
        matrices[block.scale] = scale
