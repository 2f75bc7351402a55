"""Scores of rows and clusters as tables under the user's own labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import CategoryProbabilities, FactorScores
from mlsem_jax.report._moments import by_level

if TYPE_CHECKING:
    import pandas as pd


def scores_table(scores: FactorScores, data: TwoLevelData, level: int, se: bool) -> pd.DataFrame:
    """Factor scores indexed by the data's rows (level 1) or by cluster ids (level 2); `<name>.se` columns if se."""
    import pandas as pd

    index = data.row_index if level == 1 else units_index(data)
    names, values = list(scores.names), scores.values
    if se:
        names, values = [*names, *(f"{name}.se" for name in names)], np.concatenate([values, scores.se], axis=1)
    return pd.DataFrame(values, index=index, columns=names)


def beside_data(scores: pd.DataFrame, data: TwoLevelData) -> pd.DataFrame:
    """The rows that were scored, with cluster and group columns, and their scores behind."""
    import pandas as pd

    categories = dict(data.ordered)
    columns: dict[str, Any] = {}
    if data.cluster_name:
        columns[data.cluster_name] = data.cluster_ids[data.cluster]
    if data.group_labels and data.group_name:
        columns[data.group_name] = np.array(data.group_labels, object)[data.group[data.cluster]]
    if data.values.shape[1] != len(data.variables):
        raise DataError("The rows are not kept in a saved fit: give them as newdata=.")
    for name, values in zip(data.variables, np.where(data.known, data.values, np.nan).T, strict=True):
        columns[name] = _as_typed(values, categories[name]) if name in categories else values
    if clash := [name for name in scores if name in columns]:
        raise ModelError(f"append_data=True: the data have columns with the names of scores, {listing(clash)}.")
    return pd.concat([pd.DataFrame(columns, index=data.row_index), scores], axis=1)


def _as_typed(codes: np.ndarray, categories: tuple[Any, ...]) -> list[Any]:
    """Categories of an ordered variable as the user wrote them."""
    return [np.nan if np.isnan(code) else categories[int(code)] for code in codes]


def probabilities_table(found: CategoryProbabilities, data: TwoLevelData) -> pd.DataFrame:
    """Probabilities of categories, indexed by the data's rows; a column 'u=1' for category 1 of variable u."""
    import pandas as pd

    return pd.DataFrame(found.values, index=data.row_index, columns=[f"{name}={c}" for name, c in found.columns])


def units_index(data: TwoLevelData) -> pd.Index:
    """The labels of the clusters; of the rows where each row is a unit."""
    import pandas as pd

    return pd.Index(data.cluster_ids, name=data.cluster_name or None)


def cluster_scores_table(estimation: Estimation, scores: np.ndarray) -> pd.DataFrame:
    """Scores (J, q) by cluster id and free parameter."""
    import pandas as pd

    build, data = estimation.model.build, estimation.data
    columns = [build.names[i] for i in build.kept]
    return pd.DataFrame(scores, index=units_index(data), columns=columns)


def cluster_series(estimation: Estimation, values: np.ndarray, name: str) -> pd.Series:
    """One number per cluster, by cluster id."""
    import pandas as pd

    return pd.Series(values, units_index(estimation.data), name=name)


def rsquare_series(estimation: Estimation, values: list[tuple[dict[str, float], ...]]) -> Any:
    """{"within": Series, "between": Series}, or that by group label; with one level the Series alone."""
    import pandas as pd

    return by_level(estimation, values, lambda shares: pd.Series(shares, name="rsquare", dtype=float))
