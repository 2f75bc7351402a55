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
    return by_group(estimation, [frame.loc[of == g, _own(estimation, g)] for g in range(data.ngroups)])


def _own(estimation: Estimation, group: int) -> list[str]:
    """The variables that a group has, in the order of the data's."""
    specification = estimation.model.build.specification
    return [v for v, gone in zip(specification.variables, specification.absent[group], strict=True) if not gone]


def coverage(estimation: Estimation) -> Any:
    """Share of rows in which both variables of a pair are observed (diagonal: the variable itself)."""
    import pandas as pd

    data = _with_rows(estimation)
    out = []
    for g in range(data.ngroups):
        names = _own(estimation, g)
        seen = _seen(data, g, names).astype(float)
        out.append(pd.DataFrame(seen.T @ seen / max(len(seen), 1), names, names))
    return by_group(estimation, out)


def patterns(estimation: Estimation) -> Any:
    """Patterns of missing values, the most frequent first: 1 observed, 0 missing; indexed by the number of rows."""
    import pandas as pd

    data = _with_rows(estimation)
    out = []
    for g in range(data.ngroups):
        names = _own(estimation, g)
        seen = _seen(data, g, names)
        distinct, count = np.unique(seen, axis=0, return_counts=True)
        order = np.argsort(-count, kind="stable")
        index = pd.Index(count[order], name="rows")
        out.append(pd.DataFrame(distinct[order].astype(int), index=index, columns=names))
    return by_group(estimation, out)


def _seen(data: TwoLevelData, group: int, names: list[str]) -> np.ndarray:
    """(n, v) whether the rows of a group have a value of these variables."""
    at = [data.variables.index(name) for name in names]
    return ~np.isnan(data.values[data.group[data.cluster] == group][:, at])


def _with_clusters(estimation: Estimation) -> TwoLevelData:
    if not estimation.data.clustered:
        raise ModelError("This model of one level was fitted without cluster=: there are no clusters.")
    return estimation.data


def _with_rows(estimation: Estimation) -> TwoLevelData:
    data = estimation.data
    if data.values.shape[1] != len(data.variables):
        raise DataError("The rows are not kept in a saved fit; only a fit made in this session has them.")
    return data


def cluster_codes(estimation: Estimation) -> Any:
    """The number of the cluster of every row used, from 1 in the order of `cluster.id`, by row label."""
    import pandas as pd

    data = _with_clusters(estimation)
    index = data.row_index if data.has_rows else None
    of, out = data.group[data.cluster], []
    for g in range(data.ngroups):
        first = np.flatnonzero(data.group == g)
        number = np.zeros(data.nclusters, int)
        number[first] = np.arange(1, len(first) + 1)
        mine = of == g
        out.append(pd.Series(number[data.cluster[mine]], None if index is None else index[mine], name="cluster.idx"))
    return by_group(estimation, out)


def cluster_labels(estimation: Estimation) -> Any:
    """The cluster id of every row used, by row label."""
    import pandas as pd

    data = _with_clusters(estimation)
    index = data.row_index if data.has_rows else None
    of, ids = data.group[data.cluster], data.cluster_ids[data.cluster]
    pick = [of == g for g in range(data.ngroups)]
    return by_group(
        estimation, [pd.Series(ids[p], None if index is None else index[p], name="cluster.label") for p in pick]
    )


def distinct_sizes(estimation: Estimation) -> Any:
    """The cluster sizes that there are, in order."""
    data = _with_clusters(estimation)
    size = np.bincount(data.cluster, minlength=data.nclusters)
    return by_group(estimation, [np.unique(size[data.group == g]) for g in range(data.ngroups)])


def average_size(estimation: Estimation) -> Any:
    """(N^2 - sum of squared sizes) / (N (J - 1)), the size that counts in an analysis of variance."""
    data = _with_clusters(estimation)
    size = np.bincount(data.cluster, minlength=data.nclusters).astype(float)

    def one(sizes: np.ndarray) -> float:
        total = sizes.sum()
        return float((total**2 - (sizes**2).sum()) / (total * (len(sizes) - 1))) if len(sizes) > 1 else np.nan

    return by_group(estimation, [one(size[data.group == g]) for g in range(data.ngroups)])


def row_labels(estimation: Estimation) -> Any:
    """The labels of the rows used."""
    data = _with_rows(estimation)
    of = data.group[data.cluster]
    return by_group(estimation, [data.row_index[of == g] for g in range(data.ngroups)])


def pattern_counts(estimation: Estimation) -> Any:
    """Rows of every pattern of missing values, in the order of `patterns`."""
    found = patterns(estimation)
    if isinstance(found, dict):
        return type(found)({name: table.index.to_numpy() for name, table in found.items()})
    return found.index.to_numpy()


def row_weights(estimation: Estimation) -> Any:
    """Series of the weights of rows, scaled as they count, by row label."""
    import pandas as pd

    data = _with_rows(estimation)
    if data.row_weights is None:
        raise ModelError("The rows have no weights: sampling_weights= was not given.")
    series = pd.Series(data.row_weights, data.row_index, name="sampling.weights")
    of = data.group[data.cluster]
    return by_group(estimation, [series[of == g] for g in range(data.ngroups)])


def ordered_names(estimation: Estimation) -> list[str]:
    return [variable.name for variable in estimation.model.build.specification.ordered]


def response_patterns(estimation: Estimation) -> Any:
    """The patterns of answers to the ordered variables with their number of rows (`freq`), the most frequent first."""
    data, names = _with_rows(estimation), ordered_names(estimation)
    if not names:
        raise ModelError("The model has no ordered variables.")
    rows = rows_used(estimation)
    tables = rows.values() if data.group_labels else [rows]
    return by_group(
        estimation,
        [table[names].value_counts(dropna=False).rename("freq").reset_index() for table in tables],
    )
