"""What a user should be told of statistics of limited information."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import Specification
from mlsem_jax.ordinal import LimitedInformation, response_names

# between variance of an ordered variable, of its within variance, that comes of its not varying within clusters
LARGE = 2.0


def refuse_perfect(found: LimitedInformation, where: str) -> None:
    """**Raises:** DataError where two variables are perfectly correlated, but for their between parts: there small variances and
    few clusters make it common, and a note is enough.
    """
    perfect = [pair for pair in found.perfect if pair[2] == 1]
    if not perfect:
        return
    first, second, level, sign = perfect[0]
    at = f" at level {level}" if np.any(found.level == 2) else ""
    more = f" So are {len(perfect) - 1} other pairs." if len(perfect) > 1 else ""
    cells = {pair[:2]: pair[2] for pair in found.empty_cells}
    why = f" ({cells[first, second]} empty cells in their table)" if (first, second) in cells else ""
    raise DataError(
        f"The polychoric correlation of {first!r} and {second!r} is {sign}{at}{why}{where}: drop one of the two.{more}"
    )


def limited_notes(
    specification: Specification, data: TwoLevelData, estimator: str, found: list[LimitedInformation]
) -> tuple[str, ...]:
    """Sentences on rows left out, few clusters, empty cells and variables without variation."""
    told: list[str] = []
    for g, one in enumerate(found):
        where = f" in group {data.group_labels[g]!r}" if data.group_labels else ""
        told += [*_few_clusters(specification, estimator, one, where), *_cells(one, where)]
        told += [*_pairwise(specification, data, g, one, where), *_between(specification, data, g, one, where)]
    if both := [v for v in specification.within.covariates if v in specification.between.covariates]:
        told.append(
            f"{listing(map(repr, both))} at both levels: at level 2 the observed cluster mean, at level 1 the deviation from it."
        )
    dropped = dict(data.rows_dropped).get("missing values (listwise)", 0)
    if dropped:
        total = len(data.values) + sum(count for _, count in data.rows_dropped)
        told.insert(
            0,
            f"{dropped} of {total} rows were dropped (listwise: they have missing values). missing='pairwise' or estimator='ML' "
            "keeps them.",
        )
    return tuple(told)


def _few_clusters(specification: Specification, estimator: str, found: LimitedInformation, where: str) -> list[str]:
    level = 1 if specification.single else 2
    count = len({r.name for r in specification.parameters if r.free and r.level == level and r.group == 1})
    if not found.clusters or found.clusters > count:
        return []
    if specification.single:
        return [
            f"There are {found.clusters} clusters{where} for {count} parameters: standard errors by clusters and the test of "
            f"estimator={estimator!r} are unreliable. Without cluster= rows count as independent."
        ]
    return [
        f"There are {found.clusters} clusters{where} for {count} parameters of level 2: the weight matrix of "
        f"estimator={estimator!r} has "
        f"rank {found.clusters} at most, and standard errors and the test are unreliable. estimator='ML' with equal loadings is "
        "steadier."
    ]


def _cells(found: LimitedInformation, where: str) -> list[str]:
    told = []
    if found.added:
        pairs = listing([f"{a!r} and {b!r}" for a, b in found.added], 5)
        told.append(f"An empty cell in the 2 x 2 table of {pairs}{where} was taken as half a row, as in lavaan.")
    added = set(found.added)
    others = [f"{a!r} and {b!r} ({count})" for a, b, count in found.empty_cells if (a, b) not in added]
    if others:
        told.append(
            f"Pairs of ordered variables have combinations of categories that nobody has{where}: {listing(others, 5)}. "
            "Their polychoric correlations rest on few rows."
        )
    return told


def _pairwise(
    specification: Specification, data: TwoLevelData, group: int, found: LimitedInformation, where: str
) -> list[str]:
    """Rows by variable and the pair with the fewest, where values are missing."""
    names = response_names(specification)
    rows = np.array(found.rows)
    columns = [specification.variables.index(name) for name in names]
    if not np.isnan(data.values[data.group[data.cluster] == group][:, columns]).any() or len(names) < 2:
        return []
    pairs = [(rows[i, j], names[i], names[j]) for i in range(len(names)) for j in range(i) if rows[i, j] > 0]
    fewest = min(pairs)
    by_variable = listing([f"{name} {rows[i, i]}" for i, name in enumerate(names)], 12)
    return [
        f"Missing values are left out pairwise{where}: rows by variable {by_variable}; the pair with the fewest, {fewest[2]!r} and "
        f"{fewest[1]!r}, has {fewest[0]}."
    ]


def _between(
    specification: Specification, data: TwoLevelData, group: int, found: LimitedInformation, where: str
) -> list[str]:
    """Variables that vary hardly within, or not at all between clusters."""
    told = []
    if pairs := [f"{a!r} and {b!r} ({sign})" for a, b, level, sign in found.perfect if level == 2]:
        told.append(
            f"Between correlations are estimated at their limit{where}: {listing(pairs, 5)}. Standard errors and the test of "
            "what hangs on "
            "them are unreliable; a model with fewer parameters at level 2, or estimator='ML', is steadier."
        )
    if found.no_between_variance:
        told.append(
            f"The between variance of {listing(map(repr, found.no_between_variance))} is estimated as zero{where}: its "
            "covariances at level 2 "
            "are zero too. Consider leaving it out of level 2."
        )
    values = dict(zip(found.names, found.values, strict=True))
    rows = data.group[data.cluster] == group
    cluster = np.unique(data.cluster[rows], return_inverse=True)[1]
    for v in specification.ordered:
        size = values.get(f"{v.name}~b~{v.name}", 0.0)
        if size < LARGE or v.name not in specification.within.observed:
            continue
        constant, several = _constant(data.values[rows, specification.variables.index(v.name)], cluster)
        told.append(
            f"{v.name!r} does not vary within {constant} of {several} clusters{where}; its between variance ({size:.3g}) is "
            "large and "
            "the standard error of it unreliable."
        )
    return told


def _constant(values: np.ndarray, cluster: np.ndarray) -> tuple[int, int]:
    """How many clusters with two rows or more have one value alone, and how many there are."""
    known = ~np.isnan(values)
    values, cluster = values[known], cluster[known]
    count = int(cluster.max(initial=-1)) + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, cluster, values)
    np.maximum.at(high, cluster, values)
    several = np.bincount(cluster, minlength=count) > 1
    return int(np.sum(several & (low == high))), int(several.sum())
