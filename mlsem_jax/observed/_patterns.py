"""Sufficient statistics by missing-value pattern and cluster, for clusters with missing values and for random slopes.

The rows are read once. What is kept per pattern is its cross-products, per occupied (cluster, pattern) pair its count and sum;
with random slopes of covariates x also their products with (1, x). Clusters come in chunks of equal, padded length, so that a
likelihood evaluation needs memory for one chunk only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.observed._complete import bucket

if TYPE_CHECKING:
    from mlsem_jax.observed._pair_sums import PairSums


class ClusterChunk(Record):
    """Clusters of one chunk (axis C of chunks in front): L clusters and their pairs, padded to length K.

    group, between_pattern (C, L): group and pattern of the between-only variables of a cluster; between (C, L, p): those
    variables, less the reference, 0 where missing; weight (C, L): how often a cluster counts, 0 for padding. cluster, pattern
    (C, K): the pair's cluster within the chunk and its row pattern; products (C, K, a, a): sum over its rows of t t' with
    t = (1, x), x the covariates with random slopes; total (C, K, a, p): sum of t y' (y less the reference, 0 where missing);
    cross (C, K, p, p): sum of y y', or None where only the reduced statistics are needed.
    """

    group: Int[Array, "C L"]
    between_pattern: Int[Array, "C L"]
    between: Float[Array, "C L p"]
    weight: Float[Array, "C L"]
    cluster: Int[Array, "C K"]
    pattern: Int[Array, "C K"]
    products: Float[Array, "C K a a"]
    total: Float[Array, "C K a p"]
    cross: Float[Array, "C K p p"] | None = None


class PatternStatistics(Record):
    """Row patterns (R), patterns of between-only variables (Rb) and the clusters in chunks.

    observed (R, p), group (R,), rows (R,), total (R, p), cross (R, p, p) of rows less the reference, 0 where missing;
    between_observed (Rb, p), between_group (Rb,). reference (p,): subtracted from all values. effects (e,): columns of
    the variables of both levels, those with a random cluster effect. seen variables only: a pattern
    is 0 for between-only variables, a between pattern 0 for the others.
    """

    observed: Float[Array, "R p"]
    group: Int[Array, " R"]
    rows: Float[Array, " R"]
    total: Float[Array, "R p"]
    cross: Float[Array, "R p p"]
    between_observed: Float[Array, "Rb p"]
    between_group: Int[Array, " Rb"]
    reference: Float[Array, " p"]
    effects: Int[Array, " e"]
    clusters: ClusterChunk


# clusters of a chunk: at most CHUNK, fewer with many variables and pairs, so that a (K, p, p) array, of ELEMENTS at most, stays in
# a core's cache. The Hessian holds a handful of such arrays for every parameter
CHUNK, ELEMENTS = 4096, 2**16


def pattern_statistics(
    values: np.ndarray,
    cluster: np.ndarray,
    group: np.ndarray,
    between_only: np.ndarray,
    *,
    reference: np.ndarray,
    slope_columns: np.ndarray | None = None,
    effects: np.ndarray | None = None,
    by_pair: bool = False,
    weights: np.ndarray | None = None,
    cluster_weights: np.ndarray | None = None,
) -> PatternStatistics:
    """One pass over the rows. values (N, p) with NaN; cluster (N,) codes 0..J-1; group (J,); between_only (p,) bool.

    slope_columns: columns of the covariates that have random slopes (missing only in groups without them). effects: columns of the
    variables of both levels (default: all that are not between-only). by_pair keeps the
    cross-products of every pair, which cluster scores need. weights (N,), cluster_weights (J,): how often a row counts within its
    cluster, and a cluster among all. Rows without any observed level-1 value have no effect.
    """
    z = np.asarray(between_only, bool)
    count = len(group)
    slopes = np.zeros(0, int) if slope_columns is None else slope_columns
    order = np.argsort(cluster, kind="stable") if np.any(cluster[1:] < cluster[:-1]) else slice(None)
    values, cluster = values[order], cluster[order]
    counted = np.ones(len(values)) if weights is None else weights[order]
    seen = ~np.isnan(values)
    between, between_seen = _between_values(values, seen, cluster, z, count, reference)
    keep = seen[:, ~z].any(axis=1)
    values, seen, cluster, counted = values[keep], seen[keep] & ~z, cluster[keep], counted[keep]
    y = np.where(seen, values - reference, 0.0)
    row_pattern, observed, pattern_group = patterns_of_rows(seen, group[cluster])
    between_pattern, between_observed, between_group = patterns_of_rows(between_seen, group)
    # missing are only covariates that the whole group does not have
    t = np.concatenate([np.ones((len(y), 1)), np.nan_to_num(values[:, slopes])], axis=1)
    pairs, products, total, cross = _by_pair(y, t, counted, cluster * len(observed) + row_pattern, by_pair)
    often = counted if cluster_weights is None else counted * cluster_weights[cluster]
    chunks = _chunks(
        group,
        between_pattern,
        between,
        pairs // len(observed),
        pairs % len(observed),
        products,
        total,
        cross,
        cluster_weights,
    )
    return _padded(
        (observed, pattern_group, *_by_pattern(y, often, row_pattern, len(observed))),
        (between_observed, between_group),
        np.asarray(reference, float),
        np.flatnonzero(~z) if effects is None else np.asarray(effects),
        chunks,
    )


def _by_pair(
    y: np.ndarray, t: np.ndarray, counted: np.ndarray, code: np.ndarray, cross_too: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The codes (L,) of the pairs of cluster and pattern that there are, and their weighted sums of products t t' (L, a, a), t y'
    (L, a, p) and, if asked for, y y' (L, p, p). y (N, p), 0 where missing; t (N, a), 1 first; counted, code (N,).
    """
    a, p = t.shape[1], y.shape[1]
    pairs, pair = np.unique(code, return_inverse=True)
    sorter = np.argsort(pair, kind="stable")
    starts = np.searchsorted(pair[sorter], np.arange(len(pairs)))
    ys, ts, ws = y[sorter], t[sorter], (counted[:, None] * t)[sorter]
    total = np.stack([_add(ws[:, [i]] * ys, starts) for i in range(a)], axis=1)
    products = np.stack([_add(ws[:, [i]] * ts, starts) for i in range(a)], axis=1)
    if not cross_too:
        return pairs, products, total, None
    cross = np.empty((len(pairs), p, p))
    for i in range(p):
        cross[:, i, :] = _add(ws[:, [0]] * ys[:, [i]] * ys, starts)
    return pairs, products, total, cross


def _by_pattern(
    y: np.ndarray, often: np.ndarray, pattern: np.ndarray, patterns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted rows (R,), sums of y (R, p) and of y y' (R, p, p) by pattern. y (N, p), 0 where missing; often, pattern (N,)."""
    order = np.argsort(pattern, kind="stable")
    starts = np.searchsorted(pattern[order], np.arange(patterns))
    ys, weighted = y[order], (often[:, None] * y)[order]
    cross = np.empty((patterns, y.shape[1], y.shape[1]))
    for i in range(y.shape[1]):
        cross[:, i, :] = _add(weighted[:, [i]] * ys, starts)
    return np.bincount(pattern, often, minlength=patterns), _add(weighted, starts), cross


def from_pairs(sums: PairSums, effects: np.ndarray) -> PatternStatistics:
    """The same from sums about the reference, whose patterns are those of their pairs, in order."""
    known = ~np.isnan(sums.between)
    between_pattern, between_observed, between_group = patterns_of_rows(known, sums.group)
    code, *_ = patterns_of_rows(sums.seen, sums.group[sums.cluster])
    total = np.zeros((len(sums.observed), len(sums.shift)))
    np.add.at(total, code, sums.total[:, 0])
    chunks = _chunks(
        sums.group,
        between_pattern,
        np.where(known, sums.between, 0.0),
        sums.cluster,
        code,
        sums.products,
        sums.total,
        sums.cross if sums.slopes else None,
    )
    rows = np.bincount(code, sums.products[:, 0, 0], len(sums.observed))
    of_patterns = (sums.observed, sums.of_group, rows, total, sums.pattern_cross)
    return _padded(of_patterns, (between_observed, between_group), sums.shift, np.asarray(effects), chunks)


def _padded(rows: tuple, between: tuple, reference: np.ndarray, effects: np.ndarray, clusters: ClusterChunk):
    """Patterns of rows (observed, group, rows, total, cross) and of clusters (observed, group), padded to shared lengths."""
    length, length_between = bucket(len(rows[0])), bucket(len(between[0]))
    observed, group, count, total, cross = (_pad(x, length) for x in rows)
    between_observed, between_group = (_pad(x, length_between) for x in between)
    return PatternStatistics(
        observed=observed.astype(float),
        group=group,
        rows=count,
        total=total,
        cross=cross,
        between_observed=between_observed.astype(float),
        between_group=between_group,
        reference=reference,
        effects=effects,
        clusters=clusters,
    )


def _add(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(rows, starts, axis=0) if len(starts) else np.zeros((0, *rows.shape[1:]))


def _pad(x: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)])


def _between_values(values, seen, cluster, z, count, reference):
    """Value of every between-only variable by cluster (0 where missing) and whether it is known."""
    out, known = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]), bool)
    for column in np.flatnonzero(z):
        at = np.flatnonzero(seen[:, column])
        out[cluster[at], column] = values[at, column] - reference[column]
        known[cluster[at], column] = True
    return out, known


def patterns_of_rows(seen: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pattern of every row (a pattern belongs to one group), the patterns (R, p) and their groups (R,)."""
    bits = np.packbits(seen, axis=1)
    # one key per row: the bits of the pattern, then the group
    key = np.zeros((len(seen), -(-bits.shape[1] // 8) * 8 + 8), np.uint8)
    key[:, : bits.shape[1]] = bits
    key[:, -8:] = np.ascontiguousarray(group.astype(np.int64)).view(np.uint8).reshape(-1, 8) if len(seen) else 0
    words = np.ascontiguousarray(key).view(np.uint64)
    code = np.zeros(len(seen), np.int64)
    for column in range(words.shape[1]):
        _, inner = np.unique(words[:, column], return_inverse=True)
        _, code = np.unique(code * (inner.max(initial=0) + 1) + inner, return_inverse=True)
    _, first = np.unique(code, return_index=True)
    return code, seen[first], group[first]


def chunk_length(variables: int, pairs: float) -> int:
    """Clusters of a chunk, a power of two, for so many pairs a cluster; devices without such caches take as many as CHUNK."""
    fitting = 2 ** int(np.log2(max(ELEMENTS / (variables**2 * max(pairs, 1.0)), 16)))
    return min(CHUNK, fitting) if jax.default_backend() == "cpu" else CHUNK


def _chunks(
    group, between_pattern, between, pair_cluster, pair_pattern, products, total, cross, weights=None
) -> ClusterChunk:
    """Clusters in order, in chunks of at most `chunk_length`, each with its pairs; all padded to the longest."""
    count = len(group)
    most = chunk_length(between.shape[1], len(pair_cluster) / max(count, 1))
    number = -(-count // most)
    size = bucket(count) if number == 1 else most
    edges = np.minimum(np.arange(number + 1) * size, count)
    pair_edges = np.searchsorted(pair_cluster, edges)
    longest = int(np.diff(pair_edges).max(initial=1))
    width = bucket(longest) if longest <= 256 else -(-longest // 256) * 256

    def split(x, edge, length, fill=0):
        out = np.full((number, length, *x.shape[1:]), fill, x.dtype)
        for i in range(number):
            out[i, : edge[i + 1] - edge[i]] = x[edge[i] : edge[i + 1]]
        return out

    return ClusterChunk(
        group=split(np.asarray(group), edges, size),
        between_pattern=split(between_pattern, edges, size),
        between=split(between, edges, size),
        weight=split(np.ones(count) if weights is None else np.asarray(weights, float), edges, size, 0.0),
        cluster=split(pair_cluster - edges[np.searchsorted(edges, pair_cluster, side="right") - 1], pair_edges, width),
        pattern=split(pair_pattern, pair_edges, width),
        products=split(products, pair_edges, width),
        total=split(total, pair_edges, width),
        cross=None if cross is None else split(cross, pair_edges, width),
    )
