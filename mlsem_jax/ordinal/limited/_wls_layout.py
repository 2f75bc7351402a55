"""Which statistics of limited information a model is fitted to, and the data of one group that they are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import Specification
from mlsem_jax.ordinal.limited._records import (
    BETWEEN_ONLY,
    BOTH,
    WITHIN_ONLY,
    LimitedInformation,
    OrdinalData,
)


@dataclass(frozen=True)
class WlsLayout:
    """Places in a specification's variables (p), as tuples of numbers.

    responses: all but the covariates, in the order of the statistics' rows. ordered: those that are seen in categories, with the
    level whose variance is their scale. within_x, between_x: the covariates of both levels. names, kind, row, col, level: of the S
    statistics, as of `LimitedInformation`, but rows and the other variables of covariances by their places.
    """

    responses: tuple[int, ...]
    ordered: tuple[int, ...]
    scale_levels: tuple[int, ...]
    within_x: tuple[int, ...]
    between_x: tuple[int, ...]
    thresholds: int
    names: tuple[str, ...]
    kind: tuple[str, ...]
    row: tuple[int, ...]
    col: tuple[int, ...]
    level: tuple[int, ...]

    @property
    def total(self) -> int:
        return len(self.names)

    def own(self) -> np.ndarray:
        """(S,) which statistics are of one variable alone; the others are covariances of two."""
        return np.array([k != "covariance" or r == c for k, r, c in zip(self.kind, self.row, self.col, strict=True)])


def wls_layout(specification: Specification, found: LimitedInformation) -> WlsLayout:
    """The layout of a specification's statistics, which are the same in all groups."""
    variables = specification.variables
    place = {name: i for i, name in enumerate(variables)}
    responses = tuple(place[name] for name in response_names(specification))
    known = [v.name for v in specification.ordered]
    pairs = [kind == "covariance" for kind in found.kind]
    return WlsLayout(
        responses,
        tuple(place[name] for name in known),
        tuple(specification.unit_level(name) for name in known),
        tuple(place[v] for v in specification.within.covariates),
        tuple(place[v] for v in specification.between.covariates),
        max(v.categories for v in specification.ordered) - 1,
        tuple(found.names),
        tuple(str(kind) for kind in found.kind),
        tuple(responses[int(r)] for r in found.row),
        tuple(responses[int(c)] if pair else int(c) for c, pair in zip(found.col, pairs, strict=True)),
        tuple(int(level) for level in found.level),
    )


def response_names(specification: Specification) -> list[str]:
    """All observed variables but the fixed covariates."""
    covariates = {*specification.within.covariates, *specification.between.covariates}
    return [name for name in specification.variables if name not in covariates]


def ordinal_data(specification: Specification, data: TwoLevelData, group: int) -> OrdinalData:
    """The rows of one group. A covariate of both levels is split into its cluster mean, as observed, and the deviations from
    that.
    """
    names, known = response_names(specification), {v.name: v.categories for v in specification.ordered}
    place = {name: i for i, name in enumerate(specification.variables)}
    rows = data.group[data.cluster] == group
    ids, cluster = np.unique(data.cluster[rows], return_inverse=True)
    x, x_level, x_names = _covariates(specification, data.values[rows], cluster)
    weights = None if data.row_weights is None else data.row_weights[rows]
    above = data.cluster_weights[ids]
    unequal = not np.all(above == 1.0)
    if specification.single and unequal:
        weights, unequal = above[cluster] * (1.0 if weights is None else weights), False
    return OrdinalData(
        values=data.values[rows][:, [place[name] for name in names]],
        categories=np.array([known.get(name, 0) for name in names]),
        level=np.array([_level(specification, name) for name in names]),
        names=tuple(names),
        cluster=None if specification.single else cluster,
        covariates=x if len(x_names) else None,
        covariate_level=x_level if len(x_names) else None,
        covariate_names=x_names,
        weights=weights,
        cluster_weights=above if unequal else None,
        independent=cluster if specification.single and data.clustered else None,
    )


def _level(specification: Specification, name: str) -> int:
    if specification.single:
        return BOTH
    if name in specification.within_only:
        return WITHIN_ONLY
    return BETWEEN_ONLY if name in specification.between_only else BOTH


def _covariates(
    specification: Specification, values: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Columns, levels and names of the covariates of level 1, then of level 2."""
    place = {name: i for i, name in enumerate(specification.variables)}
    first, second = specification.within.covariates, specification.between.covariates
    size = np.bincount(cluster).astype(float)
    means = {v: (np.bincount(cluster, values[:, place[v]]) / size)[cluster] for v in second}
    inner = [values[:, place[v]] - means.get(v, 0.0) for v in first]
    columns = [*inner, *(means[v] for v in second)]
    stacked = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))
    return stacked, np.repeat([1, 2], [len(first), len(second)]), (*first, *second)
