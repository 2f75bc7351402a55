"""Scores of rows and clusters as tables under the user's own labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import FactorScores
from mlsem_jax.report._moments import by_group

if TYPE_CHECKING:
    import pandas as pd


def scores_table(scores: FactorScores, data: TwoLevelData, level: int, se: bool) -> pd.DataFrame:
    """Factor scores indexed by the data's rows (level 1) or by cluster ids (level 2); `<name>.se` columns if se."""
    import pandas as pd

    index = data.row_index if level == 1 else pd.Index(data.cluster_ids, name=data.cluster_name)
    names, values = list(scores.names), scores.values
    if se:
        names, values = [*names, *(f"{name}.se" for name in names)], np.concatenate([values, scores.se], axis=1)
    return pd.DataFrame(values, index=index, columns=names)


def cluster_scores_table(estimation: Estimation, scores: np.ndarray) -> pd.DataFrame:
    """Scores (J, q) by cluster id and free parameter."""
    import pandas as pd

    build, data = estimation.model.build, estimation.data
    columns = [build.names[i] for i in build.kept]
    return pd.DataFrame(scores, index=pd.Index(data.cluster_ids, name=data.cluster_name), columns=columns)


def cluster_series(estimation: Estimation, values: np.ndarray, name: str) -> pd.Series:
    """One number per cluster, by cluster id."""
    import pandas as pd

    data = estimation.data
    return pd.Series(values, pd.Index(data.cluster_ids, name=data.cluster_name), name=name)


def rsquare_series(estimation: Estimation, values: list[tuple[dict[str, float], dict[str, float]]]) -> Any:
    """{"within": Series, "between": Series}, or that by group label."""
    import pandas as pd

    def both(pair: tuple[dict[str, float], dict[str, float]]) -> dict[str, pd.Series]:
        return {
            level: pd.Series(shares, name="rsquare", dtype=float)
            for level, shares in zip(("within", "between"), pair, strict=True)
        }

    return by_group(estimation, values, both)
