"""Which statistics there are, their names, and where each lies in the parameters of its variable or pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.ordinal.limited._records import BETWEEN_ONLY, BOTH, WITHIN_ONLY, OrdinalData


@dataclass(frozen=True)
class Statistic:
    """One statistic, and its index into the theta of the problem it is estimated in."""

    name: str
    kind: str
    row: int
    col: int
    level: int
    at: int


@dataclass(frozen=True)
class Sizes:
    """Of blocks: thresholds, slopes, their length together."""

    thresholds: int
    slopes: int

    @property
    def block(self) -> int:
        return self.thresholds + 3 + self.slopes


def sizes(data: OrdinalData) -> Sizes:
    covariates = 0 if data.covariates is None else data.covariates.shape[1]
    return Sizes(max(int(data.categories.max()) - 1, 1), covariates)


def depends(data: OrdinalData, variable: int) -> np.ndarray:
    """Which covariates (q,) a variable depends on: those of the levels where it has a part."""
    count = sizes(data).slopes
    if not data.two_level or not count:
        return np.ones(count, bool)
    levels = np.ones(count, int) if data.covariate_level is None else np.asarray(data.covariate_level)
    without = {BOTH: 0, WITHIN_ONLY: 2, BETWEEN_ONLY: 1}[int(data.level[variable])]
    return levels != without


def of_variable(data: OrdinalData, variable: int) -> list[Statistic]:
    """Thresholds or mean and variances, then slopes."""
    size, name, level = sizes(data), data.names[variable], int(data.level[variable])
    top = 2 if data.two_level and level != WITHIN_ONLY else 1
    found = []
    categories = int(data.categories[variable])
    for k in range(categories - 1):
        found.append(Statistic(f"{name}|t{k + 1}", "threshold", variable, k, top, k))
    if not categories:
        found.append(Statistic(f"{name}~1", "mean", variable, 0, top, size.thresholds))
        part, at = ("b", 2) if data.two_level and level == BETWEEN_ONLY else ("w", 1)
        found.append(Statistic(f"{name}~{part}~{name}", "covariance", variable, variable, at, size.thresholds + 1))
    if data.two_level and level == BOTH:
        found.append(Statistic(f"{name}~b~{name}", "covariance", variable, variable, 2, size.thresholds + 2))
    return found + _slopes(data, variable)


def _slopes(data: OrdinalData, variable: int) -> list[Statistic]:
    size, names = sizes(data), data.covariate_names
    found = []
    for i in np.flatnonzero(depends(data, variable)):
        level = int(data.covariate_level[i]) if data.two_level and data.covariate_level is not None else 1
        part = {1: "w~", 2: "b~"}[level] if names.count(names[i]) > 1 else ""
        name = f"{data.names[variable]}~{part}{names[i]}"
        found.append(Statistic(name, "slope", variable, int(i), level, size.thresholds + 3 + int(i)))
    return found


def parts(data: OrdinalData, first: int, second: int) -> tuple[int, ...]:
    """Levels at which two variables covary: 0 within, 1 between; with one level 0."""
    if not data.two_level:
        return (0,)
    levels = {int(data.level[first]), int(data.level[second])}
    return tuple(part for part, absent in ((0, BETWEEN_ONLY), (1, WITHIN_ONLY)) if absent not in levels)


def of_pair(data: OrdinalData, first: int, second: int) -> list[Statistic]:
    """Covariances of `second` with `first`, which comes before it; `at` counts from the end of the blocks: 0 or 1."""
    names, found = data.names, []
    for part in parts(data, first, second):
        name = f"{names[second]}~{'wb'[part]}~{names[first]}"
        found.append(Statistic(name, "covariance", second, first, part + 1, part))
    return found
