"""Are there enough clusters, and does every variable vary where it has to? Group by group."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._collinear import check_collinear
from mlsem_jax.data._magnitude import check_spread
from mlsem_jax.data._parts import Part, groups, parts
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
    for g, text in groups(units):
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


def check_rows(units: Units, roles: Roles, cluster: str | None, group: str | None) -> None:
    """For a model of one level: more rows in each group than fixed covariates, two at least, and at least two clusters in all."""
    for g, text in groups(units):
        covariates = list(roles.of_group(g).covariates_within)
        count = int(np.sum(units.group[units.codes] == g))
        remedy = f" Leave that group out with group_label=, or do without group={group!r}." if text else ""
        if count == 0:
            raise DataError(
                f"No row is left{text} after rows with missing values were dropped; missing='ml' keeps them."
            )
        if count == 1:
            raise DataError(f"There is a single row{text}: nothing varies, so that there is nothing to fit.{remedy}")
        if covariates and count <= len(covariates):
            raise DataError(
                f"There are {len(covariates)} covariates ({listing(covariates)}) but only {count} rows{text}, so that the "
                f"covariance matrix of the covariates is singular. Use fewer covariates, or more rows.{remedy}"
            )
    if cluster is not None and len(set(units.ids.tolist())) == 1:
        raise DataError(
            f"The cluster variable {cluster!r} has a single value ({units.ids[0]}): standard errors that go by clusters need at "
            "least two of them, and many more to be sound. Leave cluster= out for standard errors that go by rows."
        )


def check_covariates(units: Units, roles: Roles) -> None:
    """Each group has more clusters than fixed covariates of level 2 alone: their covariance matrix is held at the sample's."""
    for g, text in groups(units):
        own = roles.of_group(g)
        covariates = [name for name in own.covariates_between if name not in own.within]
        count = int(np.sum(units.group == g))
        if covariates and count <= len(covariates):
            raise DataError(
                f"Level 2{text} has {len(covariates)} covariates ({listing(covariates)}) but only {count} clusters, so that the "
                "covariance matrix of the covariates is singular. Use fewer covariates at level: 2, or more clusters."
            )


def check_variation(columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles) -> tuple[str, ...]:
    """Every variable varies at its level or levels, in every group, and none is a combination of others.

    columns (p, N): changed in place where a between-only variable differs within a cluster by rounding. Returns warnings.
    """
    told: tuple[str, ...] = ()
    for part, rows in parts(columns, incomplete, units, roles):
        own = part.roles
        tolerance = tolerances(part.columns, part.incomplete, own, part.text)
        told += check_spread(part.columns, own, part.text)
        means = part.means()
        _make_constant(columns, rows, part, means, tolerance)
        check_within_variance(part, means, tolerance, own)
        told += check_between_variance(means, tolerance, own, part.text)
        told += check_collinear(part, means, tolerance, own)
    return told


def check_constant(columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles) -> None:
    """Between-only variables have one value a cluster: the one check of values that are only scored; columns in place."""
    for part, rows in parts(columns, incomplete, units, roles):
        tolerance = 1e-10 * np.nan_to_num(np.abs(part.columns)).max(axis=1)
        _make_constant(columns, rows, part, part.means(), tolerance)


def _make_constant(
    columns: np.ndarray,
    rows: slice | np.ndarray,
    part: Part,
    means: np.ndarray,
    tolerance: np.ndarray,
) -> None:
    for i, exact in check_between_only(part, means, tolerance, part.roles).items():
        columns[part.at[i], rows] = exact
