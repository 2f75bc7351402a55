"""Sums by cluster and missing-value pattern that add up, also where the rows of a cluster lie in several data sets.

All are sums about a point that is near the mean, so that two sets of rows are added by adding numbers; the point moves by
arithmetic. Whether a cluster is without missing values is known when all rows are: until then it goes by pattern like the others.
What the likelihood needs of single clusters and patterns is their number and sum; cross-products are by pattern, and with random
slopes, whose scoring metric is made of the scores of clusters, by cluster and pattern.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.observed._complete import CompleteStatistics, reduce_means
from mlsem_jax.observed._patterns import PatternStatistics, from_pairs, patterns_of_rows
from mlsem_jax.observed._pools import SizePools, pool_sizes


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums about `shift` (p,) of y, 0 where missing, and t = (1, x) with the covariates x of random slopes.

    By cluster: group (J,), between (J, p) value of the between-only variables less the shift, NaN where unknown; rows (J,), and
    blank (J,) those of them without any level-1 value. By pair: cluster (K,), seen (K, p), products (K, a, a) sum of t t', total
    (K, a, p) of t y'. cross (K', p, p), sum of y y', of the pairs that are `kept` apart: all with random slopes, else those of
    clusters that may have to go, because a variable marked in needed (p,) is unknown so far. By pattern and group: observed (R, p),
    of_group (R,) and pattern_cross (R, p, p), sum of y y' over the other pairs.
    """

    shift: np.ndarray
    group: np.ndarray
    between: np.ndarray
    rows: np.ndarray
    blank: np.ndarray
    cluster: np.ndarray
    seen: np.ndarray
    products: np.ndarray
    total: np.ndarray
    cross: np.ndarray
    observed: np.ndarray
    of_group: np.ndarray
    pattern_cross: np.ndarray
    needed: np.ndarray
    slopes: bool

    @property
    def undecided(self) -> np.ndarray:
        """(J,) clusters in which a variable that is needed is unknown."""
        return np.isnan(self.between[:, self.needed]).any(axis=1)

    @property
    def kept(self) -> np.ndarray:
        """(K,) pairs that have cross-products of their own."""
        return self.undecided[self.cluster] | self.slopes

    @property
    def square(self) -> np.ndarray:
        """(p,) sum of squares about the shift."""
        of_rows, of_patterns = (np.diagonal(x, axis1=1, axis2=2).sum(axis=0) for x in (self.cross, self.pattern_cross))
        return of_rows + of_patterns

    @property
    def size(self) -> np.ndarray:
        """(J,) rows of the clusters with at least one level-1 value."""
        return np.bincount(self.cluster, self.products[:, 0, 0], len(self.group))


def pair_sums(
    values: np.ndarray,
    cluster: np.ndarray,
    group: np.ndarray,
    between_only: np.ndarray,
    slope_columns: np.ndarray,
    needed: np.ndarray,
    shift: np.ndarray | None = None,
) -> PairSums:
    """One pass over rows (N, p) with NaN where missing. cluster (N,) codes 0..J-1; group (J,); between_only (p,) bool; needed
    (p,) bool, those of them without which a cluster is of no use. shift: the point to sum about, by default the mean of what is
    observed. A cluster's between-only value is the first that it has.
    """
    z, count, p = np.asarray(between_only, bool), len(group), values.shape[1]
    known = ~np.isnan(values)
    if shift is None:
        shift = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    between = np.full((count, p), np.nan)
    for column in np.flatnonzero(z):
        at = np.flatnonzero(known[:, column])[::-1]
        between[cluster[at], column] = values[at, column] - shift[column]  # the last assignment wins: the first row
    seen = known & ~z
    keep = seen.any(axis=1)
    rows = np.bincount(cluster, minlength=count)
    blank = rows - np.bincount(cluster[keep], minlength=count)
    values, seen, cluster = values[keep], seen[keep], cluster[keep]
    y = np.where(seen, values - shift, 0.0)
    t = np.concatenate([np.ones((len(y), 1)), values[:, slope_columns]], axis=1)
    code, observed, of_group = patterns_of_rows(seen, group[cluster])
    pair, place = np.unique(cluster * max(len(observed), 1) + code, return_inverse=True)
    apart = np.isnan(between[:, needed]).any(axis=1)[cluster] | bool(len(slope_columns))
    which = np.unique(place[apart], return_inverse=True)[1]
    return PairSums(
        shift,
        np.asarray(group),
        between,
        rows,
        blank,
        pair // max(len(observed), 1),
        observed[pair % max(len(observed), 1)],
        _sums(place, len(pair), t, t),
        _sums(place, len(pair), t, y),
        _sums(which, int(which.max(initial=-1)) + 1, y[apart], y[apart]),
        observed,
        of_group,
        _sums(code, len(observed), np.where(apart[:, None], 0.0, y), y),
        np.asarray(needed, bool),
        bool(len(slope_columns)),
    )


def _sums(place: np.ndarray, count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of a b' (count, ., .) over the rows of each place, none of which is empty."""
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(count))
    a, b = a[order], b[order]
    out = np.empty((count, a.shape[1], b.shape[1]))
    for i in range(a.shape[1] if count else 0):
        out[:, i] = np.add.reduceat(a[:, [i]] * b, starts, axis=0)
    return out


def moved(sums: PairSums, shift: np.ndarray) -> PairSums:
    """The same sums about another point."""
    by = shift - sums.shift
    if not by.any():
        return sums
    step = by * sums.seen
    total = sums.total - sums.products[:, 0, :, None] * step[:, None, :]
    kept, count = sums.kept, sums.products[:, 0, 0]
    cross = _moved_cross(sums.cross, sums.total[kept, 0], count[kept], step[kept])
    code = _pattern_of_pair(sums)[~kept]
    number = np.bincount(code, count[~kept], len(sums.observed))
    first = np.zeros((len(sums.observed), len(by)))
    np.add.at(first, code, sums.total[~kept, 0])
    pattern_cross = _moved_cross(sums.pattern_cross, first, number, by * sums.observed)
    return replace(sums, shift=shift, between=sums.between - by, total=total, cross=cross, pattern_cross=pattern_cross)


def _moved_cross(cross: np.ndarray, total: np.ndarray, count: np.ndarray, step: np.ndarray) -> np.ndarray:
    mixed = total[:, :, None] * step[:, None, :]
    return cross - mixed - np.swapaxes(mixed, 1, 2) + count[:, None, None] * step[:, :, None] * step[:, None, :]


def _pattern_of_pair(sums: PairSums) -> np.ndarray:
    """(K,) the place of every pair's pattern and group in `observed` and `of_group`."""
    seen = np.concatenate([sums.observed, sums.seen])
    code = patterns_of_rows(seen, np.concatenate([sums.of_group, sums.group[sums.cluster]]))[0]
    place = np.empty(code.max(initial=-1) + 1, int)
    place[code[: len(sums.observed)]] = np.arange(len(sums.observed))
    return place[code[len(sums.observed) :]]


def add_sums(a: PairSums, b: PairSums, places: np.ndarray) -> PairSums:
    """Sums over both sets of rows. places (J_b,): the cluster of `a` that each of `b` continues, or J_a, J_a + 1, ... if new."""
    if not len(a.cluster) and not len(a.group):
        a = replace(a, shift=b.shift)
    b = moved(b, a.shift)
    old, count = len(a.group), max(len(a.group), int(places.max(initial=-1)) + 1)
    group, rows, blank = (np.zeros(count, int) for _ in range(3))
    between = np.full((count, len(a.shift)), np.nan)
    group[:old], between[:old] = a.group, a.between
    group[places] = b.group
    between[places] = np.where(np.isnan(between[places]), b.between, between[places])
    for out, mine, theirs in ((rows, a.rows, b.rows), (blank, a.blank, b.blank)):
        out[:old] = mine
        np.add.at(out, places, theirs)
    cluster, seen = np.concatenate([a.cluster, places[b.cluster]]), np.concatenate([a.seen, b.seen])
    code, observed, _ = patterns_of_rows(seen, np.zeros(len(seen), int))
    pair, place = np.unique(cluster * max(len(observed), 1) + code, return_inverse=True)
    to = place[: len(a.cluster)], place[len(a.cluster) :]

    def both(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        out = np.zeros((len(pair), *mine.shape[1:]))
        out[to[0]] = mine  # the pairs of one set are distinct
        out[to[1]] += theirs
        return out

    kinds, pattern, of_group = patterns_of_rows(
        np.concatenate([a.observed, b.observed]), np.concatenate([a.of_group, b.of_group])
    )
    pattern_cross = np.zeros((len(pattern), *a.pattern_cross.shape[1:]))
    pattern_cross[kinds[: len(a.observed)]] = a.pattern_cross
    pattern_cross[kinds[len(a.observed) :]] += b.pattern_cross
    joined = PairSums(
        a.shift,
        group,
        between,
        rows,
        blank,
        pair // max(len(observed), 1),
        observed[pair % max(len(observed), 1)],
        both(a.products, b.products),
        both(a.total, b.total),
        a.cross[:0],
        pattern,
        of_group,
        pattern_cross,
        a.needed,
        a.slopes,
    )
    return _with_cross(joined, [(to[0][a.kept], a.cross), (to[1][b.kept], b.cross)])


def _with_cross(sums: PairSums, parts: list[tuple[np.ndarray, np.ndarray]]) -> PairSums:
    """With cross-products of pairs, given by the pairs' places: apart for those that are kept so, by pattern for the others."""
    kept, code = sums.kept, _pattern_of_pair(sums)
    new = np.cumsum(kept) - 1
    cross, pattern_cross = np.zeros((int(kept.sum()), *sums.pattern_cross.shape[1:])), sums.pattern_cross.copy()
    for place, products in parts:
        stay = kept[place]
        cross[new[place[stay]]] += products[stay]  # the pairs of one part are distinct
        np.add.at(pattern_cross, code[place[~stay]], products[~stay])
    return replace(sums, cross=cross, pattern_cross=pattern_cross)


def only_clusters(sums: PairSums, keep: np.ndarray) -> PairSums:
    """Without the other clusters (J,), whose cross-products must be kept apart if they have rows."""
    inside = keep[sums.cluster]
    return replace(
        sums,
        **{name: getattr(sums, name)[keep] for name in ("group", "between", "rows", "blank")},
        cluster=(np.cumsum(keep) - 1)[sums.cluster[inside]],
        **{name: getattr(sums, name)[inside] for name in ("seen", "products", "total")},
        cross=sums.cross[inside[sums.kept]],
    )


def reference_of(sums: PairSums) -> np.ndarray:
    """(p,) the mean over rows of what is observed; of a between-only variable over the rows of clusters whose value is known."""
    n = sums.products[:, 0, 0] @ sums.seen
    total = sums.total[:, 0].sum(axis=0)
    known = ~np.isnan(sums.between)
    n_between = sums.rows @ known
    total_between = sums.rows @ np.where(known, sums.between, 0.0)
    return sums.shift + (total + total_between) / np.maximum(n + n_between, 1)


def reduce_sums(
    sums: PairSums, groups: int, between_only: np.ndarray, effects: np.ndarray
) -> tuple[CompleteStatistics | None, PatternStatistics | None, SizePools | None]:
    """Statistics of the clusters without missing values (none with random slopes), of the others, and the sizes of all."""
    z = np.asarray(between_only, bool)
    full = (sums.seen | z).all(axis=1)
    partial = np.bincount(sums.cluster, ~full, len(sums.group)) > 0
    incomplete = partial | (sums.blank > 0) | np.isnan(sums.between[:, z]).any(axis=1) | sums.slopes
    size = sums.size
    present = size > 0
    nothing = np.zeros((int(present.sum()), 0)), np.zeros((groups, 0, 0))
    sizes = reduce_means(sums.group[present], size[present], *nothing, np.ones(len(nothing[0])))
    pools = None if sums.slopes else pool_sizes(sizes)
    complete = None
    at = moved(sums, reference_of(sums))
    pattern_cross = at.pattern_cross.copy()
    np.add.at(pattern_cross, _pattern_of_pair(at)[at.kept], at.cross)
    if not incomplete.all():
        pattern_cross, within = _pooled_within(at, pattern_cross, groups, z)
        complete = _complete(at, ~incomplete, within, z)
    if not incomplete.any():
        return complete, None, pools
    patterns = from_pairs(_of_clusters(at, incomplete, pattern_cross, z), effects)
    return complete, patterns, pools


def _pooled_within(
    sums: PairSums, pattern_cross: np.ndarray, groups: int, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-products by pattern, those of rows without missing values about their cluster's mean taken out; and these by group.

    They enter the likelihood as one sum over all clusters, complete or not, and are not kept by cluster.
    """
    full = (sums.seen | z).all(axis=1)
    within = np.zeros((groups, *pattern_cross.shape[1:]))
    scaled = sums.total[full, 0] / np.sqrt(sums.products[full, 0, 0])[:, None]
    group = sums.group[sums.cluster[full]]
    for r in np.flatnonzero((sums.observed | z).all(axis=1)):
        here = scaled[group == sums.of_group[r]]
        spread = here.T @ here
        within[sums.of_group[r]] += pattern_cross[r] - spread
        pattern_cross[r] = spread
    return pattern_cross, within


def _complete(sums: PairSums, which: np.ndarray, within: np.ndarray, z: np.ndarray) -> CompleteStatistics:
    mine = which[sums.cluster]
    mean = np.zeros((len(sums.group), len(z)))
    mean[sums.cluster[mine]] = sums.total[mine, 0] / sums.products[mine, 0, 0][:, None]
    mean = np.where(z, sums.between, mean)[which] + sums.shift
    return reduce_means(sums.group[which], sums.size[which], mean, within, np.ones(int(which.sum())))


def _of_clusters(sums: PairSums, which: np.ndarray, pattern_cross: np.ndarray, z: np.ndarray) -> PairSums:
    """The clusters marked, and the patterns that they have; cross-products of rows without missing values are theirs alone."""
    some = only_clusters(sums, which) if not which.all() else sums
    _, observed, of_group = patterns_of_rows(some.seen, some.group[some.cluster])
    both = np.concatenate([sums.observed, observed]), np.concatenate([sums.of_group, of_group])
    code, *_ = patterns_of_rows(*both)
    place = np.empty(code.max(initial=-1) + 1, int)
    place[code[: len(sums.observed)]] = np.arange(len(sums.observed))
    cross = pattern_cross[place[code[len(sums.observed) :]]]
    if not which.all():
        full = (some.seen | z).all(axis=1)
        scaled = some.total[full, 0] / np.sqrt(some.products[full, 0, 0])[:, None]
        group = some.group[some.cluster[full]]
        for r in np.flatnonzero((observed | z).all(axis=1)):
            here = scaled[group == of_group[r]]
            cross[r] = here.T @ here
    return replace(some, observed=observed, of_group=of_group, pattern_cross=cross)
