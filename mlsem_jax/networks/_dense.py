"""Values of the elements as matrices, and the matrices that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsem_jax.networks._kinds import covariance, derived
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
        if matrix.symmetric and not matrix.name.startswith("lowertri_"):
            out[element.matrix][element.col, element.row] = value
    return out


def sigma_of(block: Block, matrices: dict[str, np.ndarray]) -> np.ndarray:
    """The covariance matrix of a block."""
    return covariance(block.kind, matrices[block.core], None if block.scale is None else matrices[block.scale])


def derived_matrices(layout: Layout, matrices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What follows from the matrices of one group: sigma, kappa, omega, rho and SD of every covariance matrix that is not
    zero, those of the latent variables and of the observed ones by level, and the covariance of single units' values.
    """
    out: dict[str, np.ndarray] = {}
    for block in layout.blocks:
        sigma = sigma_of(block, matrices)
        for name, values in {"sigma": sigma, **derived(sigma)}.items():
            if name + block.suffix not in matrices:
                out[name + block.suffix] = values
    if layout.family == "lvm":
        for level, where in LEVELS.items():
            loading = matrices["lambda" if layout.loadings != "by level" else f"lambda_{where}"].copy()
            loading[[layout.variables.index(v) for v in layout.absent(level)]] = 0.0
            beta = matrices[f"beta_{where}"]
            paths = np.linalg.inv(np.eye(len(beta)) - beta)
            eta = paths @ sigma_of(layout.block(level, "zeta_"), matrices) @ paths.T
            out[f"sigma_eta_{where}"] = eta
            out[f"sigma_{where}"] = loading @ eta @ loading.T + sigma_of(layout.block(level, "epsilon_"), matrices)
        if out["sigma_eta_within"].shape == out["sigma_eta_between"].shape:
            out["sigma_eta"] = out["sigma_eta_within"] + out["sigma_eta_between"]
    both = matrices | out
    out["sigma_crosssection"] = both["sigma_within"] + both["sigma_between"]
    return out
