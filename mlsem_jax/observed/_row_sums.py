"""Sums by group and missing-value pattern of data of one level, which add up: a group is what a cluster is with two levels.

Rows are independent, so that those without missing values are reduced to a mean and a covariance whatever the others miss.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax.observed._complete import CompleteStatistics
from mlsem_jax.observed._pair_sums import PairSums, moved, reference_of
from mlsem_jax.observed._patterns import PatternStatistics, from_pairs, patterns_of_rows
from mlsem_jax.observed._pools import SizePools


def moments_by_group(sums: PairSums, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every group and variable (G, p) the number of values, their mean (NaN without values) and their scatter about it."""
    number, total, square = (np.zeros((groups, len(sums.shift))) for _ in range(3))
    group = sums.group[sums.cluster]
    np.add.at(number, group, sums.products[:, 0, 0][:, None] * sums.seen)
    np.add.at(total, group, sums.total[:, 0])
    np.add.at(square, sums.of_group, np.diagonal(sums.pattern_cross, axis1=1, axis2=2))
    with np.errstate(invalid="ignore"):
        mean = total / number
    return number, mean + sums.shift, square - np.nan_to_num(total * mean)


def reduce_row_sums(
    sums: PairSums, groups: int
) -> tuple[CompleteStatistics | None, PatternStatistics | None, SizePools | None]:
    """Statistics of the rows without missing values, of the others, and the numbers of all."""
    at = moved(sums, reference_of(sums))
    rows = np.bincount(at.group[at.cluster], at.products[:, 0, 0], groups)
    pools = SizePools(np.ones((groups, 1)), rows[:, None])
    full = np.asarray(at.seen.all(axis=1))
    complete = _complete(at, full, groups) if full.any() else None
    if full.all():
        return complete, None, pools
    # arrays without elements have no shape to work with: one effect, with a variance of 0
    return complete, from_pairs(_partial(at, ~full), np.zeros(1, int)), pools


def _complete(sums: PairSums, full: np.ndarray, groups: int) -> CompleteStatistics:
    """As clusters of size 1: see `reduce_rows`."""
    p = len(sums.shift)
    rows, mean, cov = np.zeros(groups), np.zeros((groups, p)), np.zeros((groups, p, p))
    whole = sums.observed.all(axis=1)
    for k in np.flatnonzero(full):
        g = sums.group[sums.cluster[k]]
        rows[g] = sums.products[k, 0, 0]
        mean[g] = sums.total[k, 0] / rows[g]
        cov[g] = sums.pattern_cross[whole & (sums.of_group == g)][0] / rows[g] - np.outer(mean[g], mean[g])
        mean[g] += sums.shift
    return CompleteStatistics(
        rows=rows,
        clusters=rows,
        within=np.zeros((groups, p, p)),
        size=np.ones((groups, 1)),
        count=rows[:, None],
        mean=mean[:, None],
        cov=cov[:, None],
    )


def _partial(sums: PairSums, keep: np.ndarray) -> PairSums:
    """The pairs marked, with their patterns in the order that `from_pairs` expects."""
    seen, cluster = sums.seen[keep], sums.cluster[keep]
    _, observed, of_group = patterns_of_rows(seen, sums.group[cluster])
    place = {(bytes(o), int(g)): r for r, (o, g) in enumerate(zip(sums.observed, sums.of_group, strict=True))}
    at = [place[bytes(o), int(g)] for o, g in zip(observed, of_group, strict=True)]
    return replace(
        sums,
        cluster=cluster,
        seen=seen,
        products=sums.products[keep],
        total=sums.total[keep],
        observed=observed,
        of_group=of_group,
        pattern_cross=sums.pattern_cross[at],
    )
