"""The rows that a model is fitted to, checked, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax.data._ids import factorize
from mlsem_jax.data._missing import known_values
from mlsem_jax.data._survey import Survey

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class TwoLevelData:
    """The rows that a fit uses, checked.

    values (N, p): float64, NaN where missing, columns as in `variables` (those of level 1, then the between-only ones) and
    contiguous by column; between-only variables are constant within clusters. cluster (N,): codes 0..J-1 in order of first
    appearance, over all groups; cluster_ids (J,): the user's ids; group (J,): codes 0..G-1, and group_labels their names
    (empty for one group). row_index: labels of the rows kept. rows_dropped: reasons and counts; clusters_dropped: clusters
    of which no row is left. warnings: sentences for the user, not yet issued.

    single: the data are of a model of one level. Its clusters are the units that scores are summed over, and resampled: those of
    cluster_name, where an id that occurs in two groups stands once for each; the rows where cluster_name is "".
    survey: weights, strata and replicate weights, None where there are none. ordered: the categories of the ordered variables, by
    name; their values are codes 0, 1, ... absent (G, p): variables that a group's model does not have, the values of which are 0
    there; None where all groups have all.
    """

    values: np.ndarray
    variables: tuple[str, ...]
    cluster: np.ndarray
    cluster_ids: np.ndarray
    group: np.ndarray
    group_labels: tuple[str, ...]
    between_only: np.ndarray
    row_index: pd.Index
    rows_dropped: tuple[tuple[str, int], ...]
    clusters_dropped: int
    cluster_name: str
    group_name: str | None
    warnings: tuple[str, ...]
    single: bool = False
    survey: Survey | None = None
    ordered: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    absent: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """(N, p) whether there is a value: neither missing nor of a variable that the group does not have."""
        return known_values(self.values, self.absent, self.group[self.cluster])

    @property
    def seen(self) -> np.ndarray:
        """(N,) whether a row has a level-1 value: the others carry no information."""
        return np.any(self.known[:, ~self.between_only], axis=1)

    @property
    def row_weights(self) -> np.ndarray | None:
        """(N,) weights of the rows, scaled; None where all are 1."""
        return None if self.survey is None else self.survey.rows

    @property
    def cluster_weights(self) -> np.ndarray:
        """(J,) weights of the clusters, scaled; 1 where none are given."""
        known = None if self.survey is None else self.survey.clusters
        return np.ones(self.nclusters) if known is None else known

    @property
    def weighted(self) -> bool:
        """Whether rows or clusters have weights."""
        return self.survey is not None and self.survey.columns.weighted

    def some_rows(self, keep: np.ndarray, survey: Survey | None) -> TwoLevelData:
        """The rows in the mask keep (N,), clusters numbered anew; survey: the design of all rows."""
        codes, old = factorize(self.cluster[keep])
        part = None if survey is None else survey.only(keep, old)
        ids, index = self.cluster_ids[old], self.row_index[keep]
        return replace(
            self,
            values=self.values[keep],
            cluster=codes,
            group=self.group[old],
            cluster_ids=ids,
            row_index=index,
            survey=part,
        )

    @property
    def clustered(self) -> bool:
        """Whether there is a cluster variable."""
        return bool(self.cluster_name)

    @property
    def independent(self) -> np.ndarray:
        """(J,) codes of the independent units: the clusters, joined over groups where an id lies in several."""
        return factorize(self.cluster_ids)[0] if self.single and self.clustered else np.arange(len(self.cluster_ids))

    @property
    def design(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each cluster and the group of each, which is what simulated data need; with one level, of each group."""
        if self.single:
            return np.bincount(self.group[self.cluster], minlength=self.ngroups), np.arange(self.ngroups)
        return np.bincount(self.cluster, minlength=self.nclusters), self.group

    @property
    def nrows(self) -> int:
        """Rows with at least one level-1 value: the others carry no information and are not counted."""
        if not self.has_rows:
            return len(self.values)
        return int(np.count_nonzero(self.seen))

    @property
    def has_rows(self) -> bool:
        """False in a fit that was read from a file, which holds statistics and no rows."""
        return self.values.shape[1] == len(self.variables)

    @property
    def nclusters(self) -> int:
        return len(self.cluster_ids)

    @property
    def ngroups(self) -> int:
        return max(len(self.group_labels), 1)
