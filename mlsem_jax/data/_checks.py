"""Are there enough clusters, and does every variable vary where it has to? Group by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax.data._collinear import check_collinear
from mlsem_jax.data._roles import Roles
from mlsem_jax.data._units import Units
from mlsem_jax.data._variation import check_between_only, check_between_variance, check_within_variance, tolerances


def check_clusters(n_rows: int, n_clusters: int, p_within: int, p_between: int) -> tuple[str, ...]:
    """Sentences on samples too small for an unrestricted covariance matrix of p variables at a level; () if none is.

    Without such a matrix the unrestricted likelihood has no maximum, so there is no chi-square and no fit measure; a
    restricted model may still have one. Counts are those of one group.
    """
    told = []
    if p_between >= n_clusters:
        told.append(
            f"Level 2 has {p_between} variables but only {n_clusters} clusters: the unrestricted model has no maximum, so that "
            "there is no chi-square. Use fewer variables at level: 2, or more clusters."
        )
    if p_within > n_rows - n_clusters:
        told.append(
            f"Level 1 has {p_within} variables but only {n_rows - n_clusters} degrees of freedom within clusters ({n_rows} rows "
            f"in {n_clusters} clusters): the unrestricted model has no maximum. Use fewer variables at level: 1, or more rows."
        )
    return tuple(told)


def check_structure(units: Units, cluster: str, group: str | None) -> None:
    """Each group has at least two clusters, one of them with at least two rows."""
    sizes = np.bincount(units.codes, minlength=len(units.ids))
    for g, text in _groups(units):
        size = sizes[units.group == g]
        if len(size) == 0:
            raise DataError(
                f"No row is left{text} after rows with missing values were dropped; missing='ml' keeps them."
            )
        if len(size) == 1:
            remedy = f" Leave that group out with group_label=, or do without group={group!r}." if text else ""
            raise DataError(
                f"The cluster variable {cluster!r} has a single value{text} ({units.ids[units.group == g][0]}); a two-level model "
                f"needs at least two clusters, and many more for sound estimates.{remedy}"
            )
        if size.max() == 1:
            raise DataError(
                f"Every cluster of {cluster!r}{text} has a single row ({len(size)} clusters), so that levels 1 and 2 cannot be "
                f"told apart. Does {cluster!r} number the rows instead of the clusters?"
            )


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one group. columns (p, N), incomplete (p,), codes (N,) 0..J-1, ids (J,); text names the group."""

    columns: np.ndarray
    incomplete: np.ndarray
    codes: np.ndarray
    ids: np.ndarray
    text: str

    def means(self) -> np.ndarray:
        """(p, J) cluster means of the observed values, NaN where a cluster has none."""
        size = np.bincount(self.codes, minlength=len(self.ids))
        out = np.full((len(self.columns), len(self.ids)), np.nan)
        for i, column in enumerate(self.columns):
            if self.incomplete[i]:
                seen = ~np.isnan(column)
                count = np.bincount(self.codes[seen], minlength=len(self.ids))
                total = np.bincount(self.codes[seen], column[seen], len(self.ids))
                np.divide(total, count, out=out[i], where=count > 0)
            else:
                out[i] = np.bincount(self.codes, column, len(self.ids)) / size
        return out


def check_variation(columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles) -> tuple[str, ...]:
    """Every variable varies at its level or levels, in every group, and none is a combination of others.

    columns (p, N): changed in place where a between-only variable differs within a cluster by rounding. Returns warnings.
    """
    told: tuple[str, ...] = ()
    for part, rows in _parts(columns, incomplete, units):
        tolerance = tolerances(part.columns, incomplete, roles, part.text)
        means = part.means()
        value = check_between_only(part, means, tolerance, roles)
        for i, exact in value.items():
            columns[i, rows] = exact
        check_within_variance(part, means, tolerance, roles)
        told += check_between_variance(means, tolerance, roles, part.text)
        told += check_collinear(part, means, tolerance, roles)
    return told


def _parts(columns: np.ndarray, incomplete: np.ndarray, units: Units) -> Iterator[tuple[Part, slice | np.ndarray]]:
    """Each group's rows, clusters numbered within the group, and where the rows are."""
    for g, text in _groups(units):
        if not text:
            yield Part(columns, incomplete, units.codes, units.ids, text), slice(None)
            continue
        rows, mine = np.flatnonzero(units.group[units.codes] == g), np.flatnonzero(units.group == g)
        number = np.zeros(len(units.ids), dtype=np.intp)
        number[mine] = np.arange(len(mine))
        yield Part(columns[:, rows], incomplete, number[units.codes[rows]], units.ids[mine], text), rows


def _groups(units: Units) -> list[tuple[int, str]]:
    """Group codes, and words that name each in a message."""
    return [(g, f" in group {label!r}") for g, label in enumerate(units.labels)] or [(0, "")]
