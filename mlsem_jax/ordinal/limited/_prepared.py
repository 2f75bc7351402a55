"""Data of one group in the units of the computation: clusters in order, continuous variables and covariates standardized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.ordinal.limited._layout import Sizes, of_variable, sizes
from mlsem_jax.ordinal.limited._records import BETWEEN_ONLY, OrdinalData


@dataclass(frozen=True)
class Prepared:
    """`values` (n, p) and `x` (n, q) in the order of `cluster` (n,); `weight` (n,) of rows within their unit, `unit_weight` (U,).

    `cluster_values` (J, p) and `cluster_x` (J, q): of between-only variables. `center`, `scale` (p,) and `x_center`, `x_scale`
    (q,): what the variables were standardized by (0 and 1 for ordered ones).
    """

    data: OrdinalData
    size: Sizes
    values: np.ndarray
    x: np.ndarray
    cluster: np.ndarray
    weight: np.ndarray
    unit_weight: np.ndarray
    cluster_values: np.ndarray
    cluster_x: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    x_center: np.ndarray
    x_scale: np.ndarray

    @property
    def two_level(self) -> bool:
        return self.data.two_level

    @property
    def units(self) -> int:
        return self.unit_weight.size

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    def between(self, variable: int) -> bool:
        return self.two_level and int(self.data.level[variable]) == BETWEEN_ONLY

    def ordered(self, variable: int) -> bool:
        return int(self.data.categories[variable]) > 0

    def level(self, variable: int) -> int:
        return int(self.data.level[variable]) if self.two_level else 0

    def column(self, variable: int) -> np.ndarray:
        """Values at the level of the variable: (J,) of a between-only one, else (n,)."""
        return (self.cluster_values if self.between(variable) else self.values)[:, variable]


def prepare(data: OrdinalData) -> Prepared:
    """Check, sort by cluster and standardize."""
    values = np.array(data.values, float)
    n = values.shape[0]
    q = 0 if data.covariates is None else data.covariates.shape[1]
    x = np.zeros((n, q)) if data.covariates is None else np.array(data.covariates, float)
    weight = np.ones(n) if data.weights is None else np.asarray(data.weights, float)
    cluster = np.arange(n) if data.cluster is None else np.asarray(data.cluster)
    order = np.argsort(cluster, kind="stable")
    values, x, weight, cluster = values[order], x[order], weight[order], cluster[order]
    _categories_seen(data, values)
    ordered = np.asarray(data.categories) > 0
    center, scale = _center_and_scale(values)
    center, scale = np.where(ordered, 0.0, center), np.where(ordered, 1.0, scale)
    x_center, x_scale = _center_and_scale(x)
    values, x = (values - center) / scale, (x - x_center) / x_scale
    if data.two_level:
        units = int(cluster.max()) + 1
        unit_weight = np.ones(units) if data.cluster_weights is None else np.asarray(data.cluster_weights, float)
        cluster_values, cluster_x = _of_clusters(values, cluster, units), _of_clusters(x, cluster, units)
    else:
        unit_weight, weight, cluster_values, cluster_x = weight, np.ones(n), values[:0], x[:0]
    return Prepared(
        data,
        sizes(data),
        values,
        x,
        cluster,
        weight,
        unit_weight,
        cluster_values,
        cluster_x,
        center,
        scale,
        x_center,
        x_scale,
    )


def _center_and_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(axis=0), 1)
    center = np.where(seen, values, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(seen, values - center, 0.0) ** 2).sum(axis=0) / count)
    return center, np.where(scale > 0, scale, 1.0)


def _of_clusters(values: np.ndarray, cluster: np.ndarray, units: int) -> np.ndarray:
    """The first value of each column in each cluster that is not missing; clusters are in order."""
    found = np.full((units, values.shape[1]), np.nan)
    for j in range(values.shape[1]):
        seen = np.flatnonzero(np.isfinite(values[:, j]))
        where, first = np.unique(cluster[seen], return_index=True)
        found[where, j] = values[seen[first], j]
    return found


def _categories_seen(data: OrdinalData, values: np.ndarray) -> None:
    for j, count in enumerate(np.asarray(data.categories)):
        seen = values[np.isfinite(values[:, j]), j]
        if not seen.size:
            raise DataError(f"Variable {data.names[j]!r} has no values.")
        if not count:
            if np.ptp(seen) == 0:
                raise DataError(f"Variable {data.names[j]!r} does not vary: take it out of the model.")
            continue
        empty = np.setdiff1d(np.arange(count), seen)
        if count < 2 or empty.size:
            raise DataError(
                f"Ordered variable {data.names[j]!r} has no rows in "
                + (f"categories {listing(empty + 1)} of {count}" if count > 1 else "a second category")
                + ": its thresholds cannot be estimated. Merge categories, or take the variable out of the model."
            )


def statistics_of(prepared: Prepared) -> list[list]:
    """The statistics of each variable."""
    return [of_variable(prepared.data, j) for j in range(len(prepared.data.names))]
