"""Variables that are linear combinations of others, at level 1 (within clusters) and at level 2 (cluster means)."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._roles import Roles
from mlsem_jax.data._variation import BLOCK, Rows

SINGULAR, NEARLY = 1e-10, 1e-5
"""Smallest eigenvalue of the correlation matrix below which variables count as collinear, nearly collinear."""


def check_collinear(part: Rows, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """DataError for variables of level 1, or of level 2 alone, that are collinear; warnings for nearly collinear ones.

    Among complete variables only: products of incomplete ones are not those of one set of rows. Cluster means of variables of
    both levels that are collinear leave the unrestricted model without a maximum, but not each model: a warning.
    """
    whole = ~part.incomplete
    n_rows, n_clusters = part.columns.shape[1], len(part.ids)
    one = np.flatnonzero(whole & ~roles.between_only)
    told = _judge(_products_within(part, means, one), one, n_rows - n_clusters, roles, f"level 1{part.text}")

    centred = means - means.mean(axis=1, keepdims=True)
    only = np.flatnonzero(whole & roles.between_only)
    told += _judge(centred[only] @ centred[only].T, only, n_clusters - 1, roles, f"level 2{part.text}")
    spread = np.ptp(means, axis=1) > 10 * tolerance
    all_two = np.flatnonzero(whole & spread & (roles.between_only | roles.both))
    if len(all_two) > len(only) and not told:
        try:
            _judge(centred[all_two] @ centred[all_two].T, all_two, n_clusters - 1, roles, f"level 2{part.text}")
        except DataError as found:
            told += (f"Of the cluster means: {found}",)
    return told


def _products_within(part: Rows, means: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Cross-products of deviations from the cluster means."""
    total = np.zeros((len(chosen), len(chosen)))
    for start in range(0, part.columns.shape[1], BLOCK):
        rows = slice(start, start + BLOCK)
        centred = part.columns[chosen, rows] - means[chosen][:, part.codes[rows]]
        total += centred @ centred.T
    return total


def _judge(products: np.ndarray, chosen: np.ndarray, freedom: int, roles: Roles, where: str) -> tuple[str, ...]:
    """Smallest eigenvalue of the correlation matrix; nothing is said where too few units make every matrix singular."""
    if len(chosen) < 2 or freedom < len(chosen):
        return ()
    scale = np.sqrt(np.diag(products))
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    if values[0] > NEARLY:
        return ()
    part_of = np.abs(vectors[:, 0]) > 1e-3
    names = [roles.variables[i] for i in chosen[part_of]]
    shown = listing(map(repr, names), 8)
    if values[0] > SINGULAR:
        return (
            f"Variables {shown} at {where} are nearly collinear (smallest eigenvalue of the correlations {values[0]:.1e}): "
            "estimates may be imprecise. Consider removing one.",
        )
    relation = "are perfectly correlated" if len(names) == 2 else "are collinear: each is a combination of the others"
    raise DataError(f"Variables {shown} at {where} {relation}. Remove one of them.")
