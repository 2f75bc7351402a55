"""Moments, residuals and intraclass correlations as labelled pandas objects, nested by group and level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import LevelMoments
from mlsem_jax.report._shown import Tables

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def by_group(estimation: Estimation, values: Sequence[T], convert: Callable[[T], Any] = lambda x: x) -> Any:
    """The only value where there is one group, otherwise {group label: value}."""
    labels = estimation.model.build.specification.groups
    if not labels:
        return convert(values[0])
    return Tables({label: convert(value) for label, value in zip(labels, values, strict=True)})


def by_level(estimation: Estimation, values: Sequence[Sequence[T]], convert: Callable[[T], Any]) -> Any:
    """{"within": ..., "between": ...} of the parts of each level, by group label where there are several groups; with one level its
    part alone.
    """

    def one(parts: Sequence[T]) -> Any:
        if estimation.model.build.specification.single:
            return convert(parts[0])
        return Tables({word: convert(part) for word, part in zip(("within", "between"), parts, strict=True)})

    return by_group(estimation, values, one)


def moments_frames(estimation: Estimation, values: Sequence[tuple[LevelMoments, ...]]) -> dict[str, Any]:
    """{"within": {"cov": DataFrame, "mean": Series}, "between": {...}}, by group label where there are several groups; with one
    level {"cov": DataFrame, "mean": Series}, the mean where the model has a mean structure.
    """
    means = estimation.model.build.specification.means

    def frames(level: LevelMoments) -> dict[str, Any]:
        found = _one(level)
        return Tables(found if means else {"cov": found["cov"]})

    return by_level(estimation, values, frames)


def _one(moments: LevelMoments) -> dict[str, pd.DataFrame | pd.Series]:
    import pandas as pd

    names = list(moments.names)
    return {"cov": pd.DataFrame(moments.cov, names, names), "mean": pd.Series(moments.mean, names, name="mean")}


def icc_series(estimation: Estimation, values: Sequence[dict[str, float]]) -> Any:
    """Series by variable, or {group label: Series}."""
    import pandas as pd

    return by_group(estimation, values, lambda one: pd.Series(one, name="icc", dtype=float))
