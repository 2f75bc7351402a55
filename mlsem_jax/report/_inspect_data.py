"""What inspect() says about the data: counts, clusters, rows, coverage and patterns of missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, ModelError
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.report._moments import by_group

if TYPE_CHECKING:
    pass


def number_of_clusters(data: TwoLevelData) -> int:
    """Distinct clusters, 0 without a cluster variable."""
    return int(data.independent.max(initial=-1)) + 1 if data.clustered else 0


def group_counts(estimation: Estimation, which: str) -> Any:
    """Rows ("nobs") or clusters ("nclusters"): a number, or {group label: number}."""
    data = estimation.data
    if which == "nclusters" and not data.clustered:
        return by_group(estimation, [0] * data.ngroups)
    of = data.group[data.cluster] if which == "nobs" else data.group
    return by_group(estimation, [int(np.sum(of == g)) for g in range(data.ngroups)])


def cluster_ids(estimation: Estimation) -> Any:
    """The user's cluster ids in the order of the library's codes (first appearance), by group."""
    data = _with_clusters(estimation)
    return by_group(estimation, [data.cluster_ids[data.group == g] for g in range(data.ngroups)])


def cluster_sizes(estimation: Estimation) -> Any:
    """Series of the number of rows of every cluster, indexed by its id."""
    import pandas as pd

    data = _with_clusters(estimation)
    size = np.bincount(data.cluster, minlength=data.nclusters)
    pick = [data.group == g for g in range(data.ngroups)]
    return by_group(estimation, [pd.Series(size[p], data.cluster_ids[p], name="cluster.size") for p in pick])


def rows_used(estimation: Estimation) -> Any:
    """DataFrame of the rows and variables that the fit used, under the user's row labels."""
    import pandas as pd

    data = _with_rows(estimation)
    frame = pd.DataFrame(data.values, index=data.row_index, columns=list(data.variables))
    of = data.group[data.cluster]
    return by_group(estimation, [frame[of == g] for g in range(data.ngroups)])


def coverage(estimation: Estimation) -> Any:
    """Share of rows in which both variables of a pair are observed (diagonal: the variable itself)."""
    import pandas as pd

    data = _with_rows(estimation)
    out, names = [], list(data.variables)
    for g in range(data.ngroups):
        seen = (~np.isnan(data.values[data.group[data.cluster] == g])).astype(float)
        out.append(pd.DataFrame(seen.T @ seen / max(len(seen), 1), names, names))
    return by_group(estimation, out)


def patterns(estimation: Estimation) -> Any:
    """Patterns of missing values, the most frequent first: 1 observed, 0 missing; indexed by the number of rows."""
    import pandas as pd

    data = _with_rows(estimation)
    out = []
    for g in range(data.ngroups):
        seen = ~np.isnan(data.values[data.group[data.cluster] == g])
        distinct, count = np.unique(seen, axis=0, return_counts=True)
        order = np.argsort(-count, kind="stable")
        index = pd.Index(count[order], name="rows")
        out.append(pd.DataFrame(distinct[order].astype(int), index=index, columns=list(data.variables)))
    return by_group(estimation, out)


def _with_clusters(estimation: Estimation) -> TwoLevelData:
    if not estimation.data.clustered:
        raise ModelError("This model of one level was fitted without cluster=: there are no clusters.")
    return estimation.data


def _with_rows(estimation: Estimation) -> TwoLevelData:
    data = estimation.data
    if data.values.shape[1] != len(data.variables):
        raise DataError("The rows are not kept in a saved fit; only a fit made in this session has them.")
    return data
