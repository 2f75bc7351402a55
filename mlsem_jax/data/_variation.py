"""Variance within and between clusters: what each variable must have at its level or levels."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._magnitude import rounding_error
from mlsem_jax.data._parts import BLOCK, Part
from mlsem_jax.data._roles import Roles


def tolerances(columns: np.ndarray, incomplete: np.ndarray, roles: Roles, text: str) -> np.ndarray:
    """(p,) the difference that counts as rounding. DataError for variables that are constant or have no value at all."""
    out = np.empty(len(columns))
    for i, name in enumerate(roles.variables):
        column = columns[i][~np.isnan(columns[i])] if incomplete[i] else columns[i]
        if not len(column):
            raise DataError(
                f"Variable {roles.placed(name)} has no observed value{text}. Check how it was read or merged, or leave "
                "it out of the model."
            )
        low, high = column.min(), column.max()
        if low == high:
            raise DataError(
                f"Variable {roles.placed(name)} is constant{text} (always {low + 0.0:g}); a variable without "
                "variance cannot be in the model. Remove it."
            )
        out[i] = rounding_error(low, high)
    return out


def check_within_variance(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> None:
    """Variables of level 1 differ within at least one cluster."""
    flat = _flat(part, means, tolerance, roles)
    if not flat:
        return
    name = flat[0]
    others = f" The same holds for {listing(map(repr, flat[1:]))}." if len(flat) > 1 else ""
    remedy = "Remove it from level: 1 and keep it at level: 2" if name in roles.between else "Move it to level: 2"
    raise DataError(
        f"Variable {roles.placed(name)} does not vary within any cluster{part.text}: it is a property of clusters. "
        f"{remedy}.{others}"
    )


def _flat(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> list[str]:
    """Variables of level 1 that are constant within every cluster."""
    return [
        name for i, name in enumerate(roles.within) if not _varies(part.columns[i], part.codes, means[i], tolerance[i])
    ]


def _varies(column: np.ndarray, codes: np.ndarray, means: np.ndarray, tolerance: float) -> bool:
    """Whether some row differs from its cluster's mean; stops at the first block of rows where one does."""
    for start in range(0, len(column), BLOCK):
        rows = slice(start, start + BLOCK)
        if (np.abs(column[rows] - means[codes[rows]]) > tolerance).any():
            return True
    return False


def check_between_only(part: Part, means: np.ndarray, tolerance: np.ndarray, roles: Roles) -> dict[int, np.ndarray]:
    """Between-only variables are constant within clusters.

    Returns, by variable, the values (N,) that replace those which differ by rounding.
    """
    first = np.empty(len(part.ids), dtype=np.intp)
    first[part.codes[::-1]] = np.arange(len(part.codes))[::-1]  # the last assignment wins: a cluster's first row
    exact: dict[int, np.ndarray] = {}
    varying: dict[str, np.ndarray] = {}
    for i in np.flatnonzero(roles.between_only):
        value = part.columns[i][first][part.codes]
        off = np.abs(part.columns[i] - value)
        if (off > tolerance[i]).any():
            varying[roles.variables[i]] = np.unique(part.codes[off > tolerance[i]])
        elif (off > 0).any():
            exact[int(i)] = value
    if varying:
        flat = [name for name in _flat(part, means, tolerance, roles) if name not in roles.between]
        raise DataError(_varying_message(varying, flat, int(roles.between_only.sum()), part))
    return exact


def _varying_message(varying: dict[str, np.ndarray], flat: list[str], n_only: int, part: Part) -> str:
    (name, clusters), *others = varying.items()
    message = (
        f"Variable {name!r} at level 2 varies within {len(clusters)} of {len(part.ids)} clusters{part.text} "
        f"({listing(part.ids[clusters])}); a variable that stands at level 2 alone must be a property of clusters."
    )
    if others:
        message += f" The same holds for {listing(repr(other) for other, _ in others)}."
    if len(clusters) <= len(part.ids) / 2:
        return f"{message} Correct its values in those clusters, or use its cluster means."
    if flat:
        message += (
            f" Are the levels swapped? {listing(map(repr, flat))} at level 1 {_verb(flat)} not vary within clusters."
        )
    elif len(varying) == n_only > 1:
        message += " Are the levels swapped? Everything that stands at level 2 alone varies within clusters."
    return f"{message} If not, add {name!r} to level: 1 too, or use its cluster means."


def _verb(names: list[str]) -> str:
    return "does" if len(names) == 1 else "do"


def check_between_variance(means: np.ndarray, tolerance: np.ndarray, roles: Roles, text: str) -> tuple[str, ...]:
    """Warns of variables of both levels whose cluster means are all alike."""
    names = [
        name
        for i, name in enumerate(roles.variables)
        if roles.both[i] and np.nanmax(means[i]) - np.nanmin(means[i]) <= 10 * tolerance[i]
    ]
    if not names:
        return ()
    one = len(names) == 1
    return (
        f"{'Variable' if one else 'Variables'} {listing(map(repr, names))} {'has' if one else 'have'} no variance between clusters"
        f"{text}: all cluster means are equal. Remove {'it' if one else 'them'} from level: 2, for the maximum lies at a negative "
        "or zero between variance.",
    )
