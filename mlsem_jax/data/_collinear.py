"""Variables that are linear combinations of others, at level 1 (within clusters) and at level 2 (cluster means)."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._parts import BLOCK, Part
from mlsem_jax.data._roles import Roles

SINGULAR, NEARLY = 1e-10, 1e-5
"""Smallest eigenvalue of the correlation matrix below which variables count as collinear, nearly collinear."""


def check_collinear(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """DataError for variables of level 1, or of level 2 alone, that are collinear; warnings for nearly collinear ones.

    Among complete variables only: products of incomplete ones are not those of one set of rows. Cluster means of variables of
    both levels that are collinear leave the unrestricted model without a maximum, but not every model: a warning.
    """
    complete = ~part.incomplete
    n_rows, n_clusters = part.columns.shape[1], len(part.ids)
    centred = means - means.mean(axis=1, keepdims=True)

    told: tuple[str, ...] = ()
    one = np.flatnonzero(complete & ~roles.between_only)
    two = np.flatnonzero(complete & roles.between_only)
    for chosen, products, freedom, where in (
        (one, _products_within(part, means, one), n_rows - n_clusters, "level 1"),
        (two, centred[two] @ centred[two].T, n_clusters - 1, "level 2"),
    ):
        smallest, names = _dependence(products, chosen, freedom, roles)
        if smallest < SINGULAR:
            relation = "perfectly correlated" if len(names) == 2 else "collinear: each is a combination of the others"
            raise DataError(f"Variables {_shown(names)} at {where}{part.text} are {relation}. Remove one of them.")
        if smallest < NEARLY:
            told += (
                f"Variables {_shown(names)} at {where}{part.text} are nearly collinear (smallest eigenvalue of the correlations "
                f"{smallest:.0e}): estimates may be imprecise. Consider removing one.",
            )

    varying = np.ptp(means, axis=1) > 10 * tolerance
    all_two = np.flatnonzero(complete & varying & (roles.between_only | roles.both))
    smallest, names = _dependence(centred[all_two] @ centred[all_two].T, all_two, n_clusters - 1, roles)
    if smallest < SINGULAR:
        told += (
            f"The cluster means of {_shown(names)}{part.text} are collinear, so that the unrestricted model has no "
            "maximum at level 2. A variable that is the cluster mean of another does not belong at level: 2 beside it.",
        )
    return told


def _products_within(part: Part, means: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Cross-products of deviations from the cluster means."""
    total = np.zeros((len(chosen), len(chosen)))
    for start in range(0, part.columns.shape[1], BLOCK):
        rows = slice(start, start + BLOCK)
        centred = part.columns[chosen, rows] - means[chosen][:, part.codes[rows]]
        total += centred @ centred.T
    return total


def _dependence(products: np.ndarray, chosen: np.ndarray, freedom: int, roles: Roles) -> tuple[float, list[str]]:
    """Smallest eigenvalue of the correlations, and the variables of its eigenvector.

    Infinite where fewer units than variables make every such matrix singular, which says nothing about the variables.
    """
    if len(chosen) < 2 or freedom < len(chosen):
        return np.inf, []
    scale = np.sqrt(np.diag(products))
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    return float(values[0]), [roles.variables[i] for i in chosen[np.abs(vectors[:, 0]) > 1e-3]]


def _shown(names: list[str]) -> str:
    return listing(map(repr, names), 8)
