"""Missing values: which rows stay, and between-only variables filled in from other rows of the cluster."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._roles import Roles

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


def without_empty_rows(columns: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """The mask `keep` (N,) without the rows that have no value at all, and how many those are."""
    empty = keep & np.isnan(columns).all(axis=0)
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
