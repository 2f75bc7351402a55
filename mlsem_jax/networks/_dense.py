"""Values of the elements as matrices, and the matrices that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsem_jax.models import CovarianceKind, registered
from mlsem_jax.networks._layout import LEVELS, Block, Layout
from mlsem_jax.networks._table import Table


def dense(layout: Layout, table: Table, values: Sequence[float] | np.ndarray, group: int) -> dict[str, np.ndarray]:
    """Every matrix of the model in one group, symmetric ones in full; columns are (p, 1)."""
    out = {name: np.zeros((len(m.rows), max(len(m.cols), 1))) for name, m in layout.matrices.items()}
    for element, value in zip(table, values, strict=True):
        if element.group != group:
            continue
        matrix = layout.matrices[element.matrix]
        out[element.matrix][element.row, element.col] = value
        if matrix.symmetric:
            out[element.matrix][element.col, element.row] = value
    return out


def existing(layout: Layout, table: Table, group: int) -> dict[str, np.ndarray]:
    """By block, as `suffix`, which of its variables (d,) exist: those with a free or nonzero scale, or in kinds without one
    element in their row of the core.
    """
    out = {block.suffix: np.zeros(len(block.names), bool) for block in layout.blocks}
    own = {block.scale or block.core: block for block in layout.blocks}
    for e in table:
        if e.group == group and e.matrix in own and (e.free or e.value != 0):
            block = own[e.matrix]
            out[block.suffix][[e.row, e.col] if block.record.symmetric else e.row] = True
    return out


def covariance(
    kind: CovarianceKind, core: np.ndarray, scale: np.ndarray | None = None, exists: np.ndarray | None = None
) -> np.ndarray:
    """Sigma (d, d) from its core (d, d) and, where the kind has one, its diagonal matrix of scales (d, d).

    exists (d,): the variables that there are, by default those with elements in the core; rows of others are zero.
    """
    if kind.scale is not None:
        return kind.covariance(np, core, np.diag(np.asarray(scale)))
    exists = np.any(core != 0, axis=1) if exists is None else exists
    return kind.covariance(np, core + np.diag(np.where(exists, 0.0, kind.absent)), exists.astype(float))


def decompose(kind: CovarianceKind, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Core and diagonal matrix of scales (d, d) of a covariance matrix; zero for variables without variance.

    The others must have a positive definite matrix, but for cov and cor. The scale is the identity where a kind has none.
    """
    keep = np.flatnonzero(np.diag(cov) != 0)
    at = np.ix_(keep, keep)
    core, scale = np.zeros_like(cov), np.zeros(len(cov))
    core[at], scale[keep] = kind.decompose(cov[at])
    return core, np.eye(len(cov)) if kind.scale is None else np.diag(scale)


def derived(cov: np.ndarray) -> dict[str, np.ndarray]:
    """kappa, omega, rho (unit diagonal), SD and what else the kinds show of a covariance matrix; empty for a zero matrix.

    Variables without variance have zeros in all of them. NaN where the rest is singular or a variance negative.
    """
    exists = np.diag(cov) != 0
    if not exists.any():
        return {}
    at, out = np.ix_(exists, exists), {}
    for kind in registered():
        for name, values in kind.derived(cov[at]).items():
            out[name] = np.zeros_like(cov)
            out[name][at] = values
    return out


def sigma_of(block: Block, matrices: dict[str, np.ndarray], exists: dict[str, np.ndarray]) -> np.ndarray:
    """The covariance matrix of a block."""
    scale = None if block.scale is None else matrices[block.scale]
    return covariance(block.record, matrices[block.core], scale, exists[block.suffix])


def derived_matrices(
    layout: Layout, table: Table, matrices: dict[str, np.ndarray], group: int
) -> dict[str, np.ndarray]:
    """What follows from the matrices of one group: sigma, kappa, omega, rho and SD of every covariance matrix that is not
    zero, those of the latent variables and of the observed ones by level, and the covariance of single units' values.
    """
    out: dict[str, np.ndarray] = {}
    exists = existing(layout, table, group)
    for block in layout.blocks:
        sigma = sigma_of(block, matrices, exists)
        for name, values in {"sigma": sigma, **derived(sigma)}.items():
            if name + block.suffix not in matrices:
                out[name + block.suffix] = values
    if layout.family == "lvm":
        for level, where in LEVELS.items():
            loading = matrices["lambda" if layout.loadings != "by level" else f"lambda_{where}"].copy()
            loading[[layout.variables.index(v) for v in layout.absent(level)]] = 0.0
            beta = matrices[f"beta_{where}"]
            paths = np.linalg.inv(np.eye(len(beta)) - beta)
            eta = paths @ sigma_of(layout.block(level, "zeta_"), matrices, exists) @ paths.T
            out[f"sigma_eta_{where}"] = eta
            out[f"sigma_{where}"] = loading @ eta @ loading.T + sigma_of(
                layout.block(level, "epsilon_"), matrices, exists
            )
        if out["sigma_eta_within"].shape == out["sigma_eta_between"].shape:
            out["sigma_eta"] = out["sigma_eta_within"] + out["sigma_eta_between"]
    both = matrices | out
    out["sigma_crosssection"] = both["sigma_within"] + both["sigma_between"]
    return out
