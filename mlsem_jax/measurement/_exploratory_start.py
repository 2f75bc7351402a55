"""Where the unrotated model begins: factors along principal axes, turned so that the loadings above the diagonal are zero."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Start, starting_values
from mlsem_jax.models import Build, ExploratoryBlock

# steps of the iteration for communalities, which stay below the largest share
STEPS, MOST = 20, 0.95
# least variance of an axis, so that no factor begins at nothing
LEAST = 0.01


def exploratory_start(blocks: tuple[ExploratoryBlock, ...]) -> Start:
    """A function of the unrotated build and of unrestricted moments to natural parameters (k,)."""

    def start(built: Build, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        natural = starting_values(built, *sample)
        place = {name: i for i, name in enumerate(built.specification.variables)}
        for block in blocks:
            at = [place[item] for item in block.items]
            cov = np.asarray(sample[block.level - 1][block.group - 1])[np.ix_(at, at)]
            found = _echelon(cov, len(block.factors))
            if found is not None:
                _fill(natural, built, block, *found)
        return natural

    return start


def _fill(natural: np.ndarray, built: Build, block: ExploratoryBlock, loadings: np.ndarray, unique: np.ndarray) -> None:
    """In place."""
    for row, i in zip(built.specification.parameters, built.index, strict=True):
        if i < 0 or (row.level, row.group) != (block.level, block.group) or row.start is not None:
            continue
        if row.op == "=~" and row.lhs in block.factors:
            natural[i] = loadings[block.items.index(row.rhs), block.factors.index(row.lhs)]
        elif row.op == "~~" and row.lhs == row.rhs and row.lhs in block.items:
            natural[i] = unique[block.items.index(row.lhs)]


def _echelon(cov: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Loadings (p, m) with zeros above the diagonal, and unique variances (p,); None where a variance is not positive."""
    variances = np.diag(cov)
    if not np.all(variances > 0):
        return None
    sd = np.sqrt(variances)
    r = cov / np.outer(sd, sd)
    shared = np.abs(r - np.eye(len(r))).max(axis=0) ** 2
    loadings = np.zeros((len(r), m))
    for _ in range(STEPS):
        values, vectors = np.linalg.eigh(r - np.eye(len(r)) + np.diag(shared))
        loadings = vectors[:, ::-1][:, :m] * np.sqrt(np.maximum(values[::-1][:m], LEAST))
        shared = np.minimum((loadings**2).sum(1), MOST)
    q = np.linalg.qr(loadings[:m].T)[0]
    turned = loadings @ q
    turned = turned * np.where(turned.sum(0) < 0, -1.0, 1.0)
    return turned * sd[:, None], (1 - shared) * variances
