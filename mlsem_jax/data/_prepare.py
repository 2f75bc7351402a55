"""The one way in: a table and the names of its parts -> TwoLevelData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax.data._checks import check_constant, check_covariates, check_rows, check_structure, check_variation
from mlsem_jax.data._columns import to_float
from mlsem_jax.data._frame import Table, column_names, read_columns, with_products
from mlsem_jax.data._magnitude import check_magnitude
from mlsem_jax.data._missing import (
    Missing,
    blank_absent,
    check_finite,
    check_values,
    drop_warnings,
    fill_between,
    known_values,
    missing_option,
    rows_with_values,
    usable_rows,
    without_empty_rows,
)
from mlsem_jax.data._missing_codes import code_warnings
from mlsem_jax.data._ordered import OrderedColumn, check_categories
from mlsem_jax.data._roles import Roles, check_names
from mlsem_jax.data._survey import SurveyColumns
from mlsem_jax.data._survey_columns import RawSurvey, check_survey_names, read_survey
from mlsem_jax.data._survey_scaling import made_survey, survey_notes, with_weight
from mlsem_jax.data._two_level_data import TwoLevelData
from mlsem_jax.data._units import Units, as_one_cluster, check_cluster_ids, find_units, one_column, rows_as_clusters

if TYPE_CHECKING:
    pass


def prepare(
    data: Any,
    *,
    cluster: str | None,
    group: str | None = None,
    within: Sequence[str],
    between: Sequence[str],
    covariates_within: Sequence[str] = (),
    covariates_between: Sequence[str] = (),
    missing: str = "listwise",
    group_label: Sequence[object] | None = None,
    group_splits_clusters: bool = False,
    scoring: bool = False,
    single: bool = False,
    survey: SurveyColumns | None = None,
    ordered: Mapping[str, OrderedColumn] | None = None,
    own: Sequence[Roles] = (),
) -> TwoLevelData:
    """Read, convert and check what a model needs of a table.

    within, between: the observed variables of level 1 and of level 2, in the model's order; a name in both is a variable of
    both levels. covariates_*: those among them whose moments are held at the data's. missing: "listwise" drops rows with any
    missing value; "ml" ("fiml", "direct") keeps them, but for missing fixed covariates, and completes between-only variables
    from other rows of the cluster. group_label: the groups to use, and their order. group_splits_clusters: whether an id
    that occurs in two groups stands for two clusters; if not, it is an error. scoring: rows that only get scores from a fitted
    model, so that neither one cluster nor a variable that does not vary is an obstacle. single: for a model of one level, whose
    variables are all in within; cluster may be None there. survey: columns of weights, strata and replicate weights; rows of
    weight 0 are dropped, but stay part of the design. ordered: variables whose values are codes of categories. own: where groups
    differ in their variables, the roles in each, in the order of the groups; what a column holds in a group without it does not
    matter.

    Raises DataError, naming variable, level and remedy.
    """
    roles = Roles(
        tuple(within), tuple(between), tuple(covariates_within), tuple(covariates_between), single, tuple(own)
    )
    treatment = missing_option(missing)
    _reject_moments(data, single)
    cluster, group = _columns_of_units(data, cluster, group, roles)
    design = survey or SurveyColumns()
    check_survey_names(design, column_names(data), roles.variables)
    table = read_columns(data, [*roles.needed, *(name for name in (cluster, group) if name), *design.columns])
    if not len(table.index):
        raise DataError("The data hold no rows.")

    ordered = ordered or {}
    units = _units(table, cluster, group, group_label, group_splits_clusters or single)
    if single and cluster and not scoring:
        check_cluster_ids(table.columns[cluster], table.columns[group] if group else None, group_label)
    columns, incomplete = _checked_values(table, roles, ordered, units, treatment, scoring)
    raw = read_survey(table, design, units, cluster) if design.given else None
    keep, dropped = _rows_to_use(columns, incomplete, units, raw, roles, treatment, scoring)
    used, index = units, table.index
    if not keep.all():
        columns, used, index = columns[:, keep], units.kept(keep), index[keep]
    if ordered and not scoring:
        at = [roles.variables.index(name) for name in ordered]
        check_categories(list(ordered.values()), columns[at].T, used.group[used.codes], used.labels)

    warnings = units.warnings + drop_warnings(units.dropped + dropped, cluster, group, incomplete, roles)
    if raw is not None:
        warnings += survey_notes(raw, keep, units, dict(dropped), single, cluster)
    still = incomplete & np.isnan(columns.sum(axis=1))
    if scoring:
        check_constant(columns, still, used, roles)
    else:
        warnings += _checked(columns, still, used, roles, cluster, group)
    return TwoLevelData(
        values=columns.T,
        variables=roles.variables,
        cluster=used.codes,
        cluster_ids=used.ids if cluster else np.asarray(index),
        group=used.group,
        group_labels=used.labels,
        between_only=roles.between_only,
        row_index=index,
        rows_dropped=units.dropped + dropped,
        clusters_dropped=len(units.ids) - len(used.ids) if cluster else 0,
        cluster_name=cluster or "",
        group_name=group,
        warnings=warnings,
        single=single,
        survey=None
        if raw is None
        else made_survey(raw, keep, units, used, rows_with_values(columns, used, roles), single, bool(cluster)),
        ordered=tuple((name, column.categories) for name, column in ordered.items()),
        absent=roles.absent,
    )


def _checked_values(
    table: Table,
    roles: Roles,
    ordered: Mapping[str, OrderedColumn],
    units: Units,
    treatment: Missing,
    scoring: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The variables (p, N), and which of them have missing values (p,), before these are filled in."""
    columns = _read_values(table, roles, ordered, units)
    blank_absent(columns, units, roles)
    incomplete = check_finite(columns, roles, table.index)
    check_magnitude(columns, roles, table.index)
    if not scoring:
        check_values(columns, incomplete, units, roles)
    if treatment == "ml":
        fill_between(columns, incomplete, units.codes, roles)
    return columns, incomplete


def _rows_to_use(
    columns: np.ndarray,
    incomplete: np.ndarray,
    units: Units,
    raw: RawSurvey | None,
    roles: Roles,
    treatment: Missing,
    scoring: bool,
) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """(N,) mask of the rows that the model is fitted to, and how many leave for which reason."""
    keep, dropped = usable_rows(columns, incomplete, units.codes >= 0, roles, treatment)
    if raw is not None:
        keep, weightless = with_weight(raw, keep)
        dropped += weightless
    if roles.single and not scoring:  # with two levels a cluster may be known by them
        keep, empty = without_empty_rows(known_values(columns.T, roles.absent, units.by_row), keep)
        dropped += empty
    return keep, dropped


def _units(
    table: Table, cluster: str | None, group: str | None, group_label: Sequence[object] | None, splits: bool
) -> Units:
    """Clusters and groups of the rows, each row a cluster of its own without a cluster variable; DataError where no row has any."""
    by_group = table.columns[group] if group else None
    if cluster:
        units = find_units(table.columns[cluster], by_group, group_label, splits)
    else:
        units = rows_as_clusters(len(table.index), by_group, group_label)
    if not (units.codes >= 0).any():
        told = " ".join(("", *units.warnings))
        of = f"cluster: {_counted(units.dropped)} (cluster variable {cluster!r})" if cluster else "group: all miss it"
        raise DataError(f"No row belongs to a {of}.{told}")
    return units


def _checked(
    columns: np.ndarray, incomplete: np.ndarray, units: Units, roles: Roles, cluster: str | None, group: str | None
) -> tuple[str, ...]:
    """Sentences about data that a model is to be fitted to; DataError where none can be."""
    if roles.single:
        check_rows(units, roles, cluster, group)
    else:
        check_structure(units, str(cluster), group)
        check_covariates(units, roles)
    told: tuple[str, ...] = ()
    if group and not units.labels:
        told = (f"The grouping variable {group!r} has a single value: the data are treated as one group.",)
    own = columns
    if roles.absent is not None:
        own = np.where(known_values(columns.T, roles.absent, units.by_row).T, columns, np.nan)
    codes = code_warnings(own, roles)
    try:
        return (
            told + codes + check_variation(columns, incomplete, as_one_cluster(units) if roles.single else units, roles)
        )
    except DataError as error:  # codes shared by two variables make them collinear, for example
        raise DataError(" ".join((*codes, str(error)))) from None


def _reject_moments(data: Any, single: bool) -> None:
    """A covariance matrix is no data: the two levels cannot be told apart in it, nor can rows be counted or weighted."""
    index = getattr(data, "index", None)
    columns = (
        None if index is None else getattr(data, "columns", None)
    )  # polars warns of the cost where it is asked for these
    if index is not None and columns is not None and len(index) == len(columns) > 1 and list(index) == list(columns):
        needs = (
            "Pass the rows themselves."
            if single
            else "Two-level models need the rows themselves, one for each level-1 unit, with the column of cluster ids."
        )
        raise DataError(
            f"The data have the same names for rows and columns, as a covariance or correlation matrix has. {needs}"
        )


def _columns_of_units(data: Any, cluster: Any, group: Any, roles: Roles) -> tuple[str | None, str | None]:
    known = with_products(column_names(data), roles.variables)
    if cluster is None and not roles.single:
        ids = [
            name for name in known if name.lower().startswith(("cluster", "school", "class", "group")) or name == "id"
        ]
        ids = [name for name in ids if name not in roles.variables]
        hint = f" Perhaps cluster={ids[0]!r}?" if ids else ""
        raise DataError(f"A two-level model needs cluster=, the column that says which cluster each row is in.{hint}")
    cluster = None if cluster is None else one_column(cluster, "cluster", known)
    group = None if group is None else one_column(group, "group", known)
    check_names(roles, known, cluster, group)
    return cluster, group


def _read_values(table: Table, roles: Roles, ordered: Mapping[str, OrderedColumn], units: Units) -> np.ndarray:
    """(p, N) float64, one contiguous row a variable. What a column holds in groups without the variable is not read."""
    columns = np.empty((len(roles.variables), len(table.index)))
    absent, by_row = roles.absent, units.by_row
    for i, name in enumerate(roles.variables):
        if name not in roles.needed:
            columns[i] = 0.0
            continue
        known, column = ordered.get(name), table.columns[name]
        if absent is not None and absent[:, i].any():
            column = column.mask(absent[by_row, i] & (by_row >= 0))
        columns[i] = to_float(column, name, roles.placed(name)) if known is None else known.codes
    return columns


def _counted(dropped: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{count} with {reason}" for reason, count in dropped)
