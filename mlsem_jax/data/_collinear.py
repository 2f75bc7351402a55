"""Variables that are linear combinations of others, at level 1 and at level 2, as the likelihood sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._parts import BLOCK, Part
from mlsem_jax.data._roles import Roles

SINGULAR, NEARLY = 1e-10, 1e-5
"""Smallest eigenvalue of the correlation matrix below which variables count as collinear, nearly collinear."""


class Dependence(NamedTuple):
    """A combination of variables that hardly varies: its weights (p,), whose squares sum to 1 and which go with variables scaled to
    a variance of 1, and its variance.
    """

    variance: float
    weights: np.ndarray


def check_collinear(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """DataError for variables of level 1, or of level 2 alone, that are collinear; warnings for nearly collinear ones.

    Among complete variables only: products of incomplete ones are not those of one set of rows. Cluster means of variables of
    both levels that are collinear leave the unrestricted model without a maximum, but not every model: a warning.
    """
    told: tuple[str, ...] = ()
    for found, chosen, text in _dependences(part, means, roles):
        names = [roles.variables[i] for i in chosen[np.abs(found.weights) > 1e-3]]
        where = f"{_placed(names, roles)}{part.text}"
        if found.variance < SINGULAR:
            relation = "perfectly correlated" if len(names) == 2 else "collinear: each is a combination of the others"
            raise DataError(
                f"Variables {where} are {relation}{text}. Remove one of them{_or_undecomposed(part, names, roles)}."
            )
        told += (
            f"Variables {where} are nearly collinear (smallest eigenvalue of the correlations {found.variance:.0e}): estimates may "
            "be imprecise. Consider removing one.",
        )
    return told + _alike_means(part, means, tolerance, roles)


def _dependences(part: Part, means: np.ndarray, roles: Roles) -> Iterator[tuple[Dependence, np.ndarray, str]]:
    """(Near) dependences that leave a likelihood flat or unbounded, the columns that they are among, and what they mean.

    A variable of both levels is decomposed: its between part takes up any difference between clusters, so that what counts is
    its deviation from the cluster mean, given the other variables of level 1. Variables of level 1 alone are not decomposed: they
    are collinear only if they are so in all rows, cluster means included. Nor are those of level 2 alone; and where a variable of
    both levels depends on both kinds, the two kinds must not be collinear together.
    """
    complete, rows, clusters = ~part.incomplete, part.columns.shape[1], len(part.ids)
    one = np.flatnonzero(complete & ~roles.between_only)
    x = np.flatnonzero(complete & ~roles.between_only & ~roles.both)
    z = np.flatnonzero(complete & roles.between_only)
    centred = means[z] - means[z].mean(axis=1, keepdims=True)
    within = _products(part.columns[one], means[one], part.codes)
    found = [
        (dependence(_total(part, x), rows - 1), x, ""),
        (dependence(within, rows - clusters, roles.both[one]), one, ""),
        (dependence(centred @ centred.T, clusters - 1), z, ""),
    ]
    if all(one is None for one, *_ in found) and len(x) and len(z) and roles.both.any():
        both = np.concatenate([x, z])
        found.append(
            (dependence(_total(part, both), clusters - 1), both, ", so that their effects cannot be told apart")
        )
    for strongest, chosen, text in found:
        if strongest is not None:
            yield strongest, chosen, text


def _or_undecomposed(part: Part, names: list[str], roles: Roles) -> str:
    """A second remedy for variables that are collinear within clusters but not in all rows, such as those of two partners."""
    split = [name for name in names if name in roles.within and name in roles.between]
    chosen = np.array([roles.variables.index(name) for name in names])
    if not split or dependence(_total(part, chosen), part.columns.shape[1] - 1) is not None:
        return ""
    return (
        f", or name {_shown(split)} at level: 1 alone: then {'it is' if len(split) == 1 else 'they are'} not decomposed, and only "
        "the deviations from cluster means are collinear"
    )


def _total(part: Part, chosen: np.ndarray) -> np.ndarray:
    """Cross-products of deviations from the means of all rows."""
    columns = part.columns[chosen]
    return _products(columns, columns.mean(axis=1, keepdims=True), None)


def _products(columns: np.ndarray, centres: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Cross-products (p, p) of columns (p, N) less their centres (p, J), of which codes (N,) says the one for each row; None where
    there is one for all rows, (p, 1).
    """
    out = np.zeros((len(columns), len(columns)))
    for start in range(0, columns.shape[1] if len(columns) else 0, BLOCK):
        rows = slice(start, start + BLOCK)
        centred = columns[:, rows] - (centres if codes is None else np.take(centres, codes[rows], axis=1))
        out += centred @ centred.T
    return out


def dependence(
    products: np.ndarray,
    freedom: int,
    must: np.ndarray | None = None,
    limits: tuple[float, ...] = (SINGULAR, NEARLY),
) -> Dependence | None:
    """The strongest (nearly) perfect dependence in which one of the variables `must` (p,), by default any, takes part.

    products (p, p): cross-products of deviations; limits: variances of the combination below which it counts, ascending. None
    where there is no such dependence, or where fewer units than variables make every such matrix singular, which says nothing
    about the variables.
    """
    if len(products) < 2 or freedom < len(products):
        return None
    must = np.ones(len(products), dtype=bool) if must is None else must
    scale = np.sqrt(np.diag(products))
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    for limit in limits:
        flat = values < limit
        if not flat.any() or not must.any():
            continue
        _, share, turn = np.linalg.svd(vectors[must][:, flat], full_matrices=False)
        # less than this may come from rounding, or from other variables' variance up to the limit
        if share[0] > 10 * np.sqrt(limit):
            return Dependence(float(values[flat] @ turn[0] ** 2), vectors[:, flat] @ turn[0])
    return None


def _alike_means(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> tuple[str, ...]:
    """A warning of variables of level 2 whose cluster means are collinear."""
    varying = np.ptp(means, axis=1) > 10 * tolerance
    chosen = np.flatnonzero(~part.incomplete & varying & (roles.between_only | roles.both))
    centred = means[chosen] - means[chosen].mean(axis=1, keepdims=True)
    found = dependence(centred @ centred.T, len(part.ids) - 1)
    if found is None or found.variance >= SINGULAR:
        return ()
    names = [roles.variables[i] for i in chosen[np.abs(found.weights) > 1e-3]]
    return (
        f"The cluster means of {_shown(names)}{part.text} are collinear, so that the unrestricted model has no "
        "maximum at level 2. A variable that is the cluster mean of another does not belong at level: 2 beside it.",
    )


def _placed(names: list[str], roles: Roles) -> str:
    """Names by level: "'a', 'b' at level 1 and 'c' at level 2"; the names alone in a model of one level."""
    if roles.single:
        return _shown(names)
    one, two = ([name for name in names if (name in roles.within) == here] for here in (True, False))
    shown = [f"{_shown(some)} at level {level}" for level, some in ((1, one), (2, two)) if some]
    return " and ".join(shown)


def _shown(names: list[str]) -> str:
    return listing(map(repr, names), 8)
