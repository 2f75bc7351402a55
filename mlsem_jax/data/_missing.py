"""Missing values: which rows stay, and between-only variables filled in from other rows of the cluster."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._roles import Roles
from mlsem_jax.data._units import Units

Missing = Literal["listwise", "ml"]
MISSING_COVARIATE = "missing fixed covariate"
SYNONYMS: dict[str, Missing] = {"listwise": "listwise", "ml": "ml", "fiml": "ml", "direct": "ml"}


def missing_option(word: object) -> Missing:
    """The treatment that a user's word for `missing` means."""
    found = SYNONYMS.get(str(word).lower())
    if found is not None:
        return found
    if str(word).lower() in ("ml.x", "fiml.x", "direct.x", "ml_x", "fiml_x"):
        hint = " To keep rows with missing covariates, use missing='ml' with fixed_x=False."
    else:
        hint = ""
    raise DataError(
        f"missing={word!r} is not available for two-level models; use 'listwise' (rows with a missing value are dropped) "
        f"or 'ml' (also called 'fiml' or 'direct': every observed value is used).{hint}"
    )


def check_finite(columns: np.ndarray, roles: Roles, labels: np.ndarray) -> np.ndarray:
    """(p,) True for the rows of `columns` (p, N) that hold a missing value; DataError for infinite ones.

    `labels` (N,) name the observations in the message.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        suspect = ~np.isfinite(columns.sum(axis=1))
    incomplete = np.zeros(len(columns), dtype=bool)
    for i in np.flatnonzero(suspect):
        infinite = np.flatnonzero(np.isinf(columns[i]))
        if len(infinite):
            name = roles.variables[i]
            rows = "row" if len(infinite) == 1 else "rows"
            raise DataError(
                f"Variable {roles.placed(name)} is infinite in {len(infinite)} {rows} ({listing(labels[infinite])}). "
                f"Correct the values, or mark them as missing: data[{name!r}].replace([inf, -inf], nan)."
            )
        incomplete[i] = np.isnan(columns[i]).any()
    return incomplete


def check_values(columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles) -> None:
    """DataError for a variable without any value in a group whose model has it. columns (p, N), NaN where missing."""
    for g, label in enumerate(units.labels):
        own, here = roles.of_group(g), units.by_row == g
        for i in np.flatnonzero(incomplete):
            name = roles.variables[i]
            if name in own.variables and here.any() and np.isnan(columns[i, here]).all():
                raise DataError(
                    f"Variable {own.placed(name)} has no observed value in group {label!r}. Check how it was read or merged; if it "
                    f"was not asked there, write 'group:' blocks and leave it out of that of {label!r}."
                )


def fill_between(columns: np.ndarray, incomplete: np.ndarray, codes: np.ndarray, roles: Roles) -> None:
    """In place: a cluster's value of a between-only variable is the first one observed among its rows."""
    for i in np.flatnonzero(incomplete & roles.between_only):
        column = columns[i]
        gaps = np.isnan(column) & (codes >= 0)
        seen = np.flatnonzero(~np.isnan(column) & (codes >= 0))[::-1]
        value = np.full(codes.max(initial=-1) + 1, np.nan)
        value[codes[seen]] = column[seen]  # the last assignment wins: the first row, for `seen` runs backwards
        column[gaps] = value[codes[gaps]]


def usable_rows(
    columns: np.ndarray, incomplete: np.ndarray, keep: np.ndarray, roles: Roles, missing: Missing
) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """(N,) mask of the rows to use, and how many of those in `keep` leave for which reason."""
    if missing == "listwise":
        deciding, reason = incomplete, "missing values (listwise)"
    else:
        deciding, reason = incomplete & roles.conditioning, MISSING_COVARIATE
    usable = keep.copy()
    for i in np.flatnonzero(deciding):
        usable &= ~np.isnan(columns[i])
    dropped = int(keep.sum() - usable.sum())
    if keep.any() and not usable.any():
        raise DataError(_nothing_left(columns, deciding, keep, roles, missing))
    return usable, ((reason, dropped),) if dropped else ()


def known_values(values: np.ndarray, absent: np.ndarray | None, group: np.ndarray) -> np.ndarray:
    """(N, p) whether there is a value. values (N, p), NaN where missing; absent (G, p): variables that a group does not have,
    whatever the values; group (N,): of the rows, -1 for rows of none.
    """
    known = ~np.isnan(values)
    return known if absent is None else known & ~(absent[group] & (group >= 0)[:, None])


def blank_absent(columns: np.ndarray, units: Units, roles: Roles) -> None:
    """In place: 0 in the rows of groups that do not have a variable, whatever the column (p, N) holds there."""
    if roles.absent is not None:
        by_row = units.by_row
        columns[(roles.absent[by_row] & (by_row >= 0)[:, None]).T] = 0.0


def rows_with_values(columns: np.ndarray, units: Units, roles: Roles) -> np.ndarray:
    """(N,) rows with a value at level 1: the others carry no information. columns (p, N)."""
    return np.any(known_values(columns.T, roles.absent, units.by_row)[:, ~roles.between_only], axis=1)


def without_empty_rows(known: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """The mask `keep` (N,) without the rows that have no value at all, known (N, p), and how many those are."""
    empty = keep & ~known.any(axis=1)
    count = int(empty.sum())
    if count == keep.sum():
        raise DataError("No row has a value of any variable of the model. Check how the data were read or merged.")
    return keep & ~empty, (("no value of any variable", count),) if count else ()


def _nothing_left(columns: np.ndarray, deciding: np.ndarray, keep: np.ndarray, roles: Roles, missing: Missing) -> str:
    share = {roles.variables[i]: np.isnan(columns[i][keep]).mean() for i in np.flatnonzero(deciding)}
    worst = sorted(share, key=lambda name: -share[name])
    empty = [name for name in worst if share[name] == 1]
    if empty:
        return (
            f"Variable {roles.placed(empty[0])} has no observed value, so that no row is left"
            + (f" (nor have {listing(map(repr, empty[1:]))})" if empty[1:] else "")
            + ". Check how it was read or merged, or leave it out of the model."
        )
    shown = listing(f"{name!r} {share[name]:.0%}" for name in worst)
    remedy = " Use missing='ml' to keep incomplete rows." if missing == "listwise" else ""
    return f"No row is complete: missing are {shown} of the rows.{remedy}"


def drop_warnings(
    dropped: tuple[tuple[str, int], ...], cluster: str | None, group: str | None, incomplete: np.ndarray, roles: Roles
) -> tuple[str, ...]:
    """Sentences about rows that the user may not expect to lose; listwise deletion and group_label were asked for."""
    count = dict(dropped)
    told = []
    if n := count.get("missing cluster id"):
        told.append(f"{n} {_rows(n)} dropped: the cluster variable {cluster!r} is missing.")
    if n := count.get("missing group"):
        told.append(f"{n} {_rows(n)} dropped: the grouping variable {group!r} is missing.")
    if n := count.get(MISSING_COVARIATE):
        names = [roles.variables[i] for i in np.flatnonzero(roles.conditioning & incomplete)]
        told.append(
            f"{n} {_rows(n)} dropped: a fixed covariate ({listing(names)}) is missing. With fixed_x=False they would be kept."
        )
    return tuple(told)


def _rows(count: int) -> str:
    return "row was" if count == 1 else "rows were"
