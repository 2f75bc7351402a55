"""Statistics of limited information as labelled pandas objects."""

from __future__ import annotations

from typing import Any

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import LimitedByGroup, LimitedMoments
from mlsem_jax.report._moments import by_level
from mlsem_jax.report._shown import Tables


def limited_frames(estimation: Estimation, values: LimitedByGroup) -> dict[str, Any]:
    """{"within": {"cov"}, "between": {"cov", "mean", "th"}}, by group label where there are several groups; with one level
    {"cov", "mean", "th"}. "slopes" where there are covariates. Two-level variables of level 1 alone have their thresholds and
    means there.
    """
    top = 0 if estimation.model.build.specification.single else 1

    def frames(part: LimitedMoments, upper: bool) -> dict[str, Any]:
        import pandas as pd

        names = list(part.names)
        out: dict[str, Any] = {"cov": pd.DataFrame(part.cov, names, names)}
        if upper or part.mean or part.thresholds:
            zeros = dict.fromkeys(v for v in names if upper or f"{v}|t1" in part.thresholds) | part.mean
            means = {v: part.mean.get(v, 0.0) for v in names if v in zeros}
            out["mean"] = pd.Series(means, name="mean", dtype=float)
            out["th"] = pd.Series(part.thresholds, name="th", dtype=float)
        if part.slopes:
            table = pd.Series(part.slopes).unstack()
            out["slopes"] = table.loc[[v for v in names if v in table.index]]
        return Tables(out)

    marked = [tuple((part, i == top) for i, part in enumerate(levels)) for levels in values]
    return by_level(estimation, marked, lambda pair: frames(*pair))
