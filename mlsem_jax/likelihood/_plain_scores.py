"""Log-likelihood and score of every cluster with missing values, in NumPy: what `pattern_cluster_scores` gives."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from mlsem_jax._typing import Float
from mlsem_jax.likelihood._effects import EffectPosterior, by_effects
from mlsem_jax.likelihood._pairs import sums_by
from mlsem_jax.likelihood._pattern_clusters import PatternMoments
from mlsem_jax.likelihood._patterns import outside_effects, row_terms
from mlsem_jax.likelihood._plain_chunk import plain_chunk
from mlsem_jax.likelihood._plain_normal import EffectSums, Normal, normal, outer
from mlsem_jax.likelihood._plain_patterns import PlainPatterns
from mlsem_jax.models import PlainParts
from mlsem_jax.observed import PatternStatistics

# elements of the cross-products of pairs that are held at a time: 8 MB, of a dozen such arrays
TOGETHER = 2**20


def cluster_scores_by_pattern(
    data: PatternStatistics, moments: PlainParts, jacobian: PlainParts
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, "L q"]]:
    """Log-likelihood and score of every cluster, each counted once, zeros for padding; from cross-products by pair."""
    assert data.clusters.cross is not None
    chunks, *_ = np.shape(data.clusters.weight)
    together = max(1, TOGETHER * chunks // max(1, data.clusters.cross.size))
    found = []
    for first in range(0, chunks, together):
        part = jax.tree.map(lambda x: x[first : first + together], data.clusters)  # noqa: B023
        found.append(_of_chunks(replace(data, clusters=part), moments, jacobian))
    values, scores = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(scores)


def _of_chunks(
    data: PatternStatistics, moments: PlainParts, jacobian: PlainParts
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, "L q"]]:
    given = plain_chunk(data)
    patterns, chunk, q = PlainPatterns(given), given.chunk, jacobian.mean.shape[-1]
    value, score = np.zeros(given.padded), np.zeros((given.padded, q))
    found = patterns.at(moments)
    if found is None:
        value[given.place], score[given.place] = -np.inf, np.nan
        return value, score
    seen, after, count = found.moments, found.after, len(chunk.group)
    rows, at = _pairs(patterns, seen, after), chunk.pattern
    of_rows = row_terms(
        rows.precision, seen.rows.logdet[at], seen.rows.mean[at], given.s.observed[at], rows.number, chunk.total[:, 0],
        chunk.cross,
    )  # fmt: skip
    by_rows = sums_by(np, of_rows, chunk.cluster, count)
    value[given.place] = by_rows + after.value + outside_effects(seen.between, chunk, np)
    parts = _by_moment(patterns, rows, seen, after)
    for group in range(len(moments.mean)):
        here = np.flatnonzero(chunk.group == group)
        score[given.place[here]] = _chained([x[here] for x in parts], jacobian.of_group(group))
    return value, score


def _pairs(patterns: PlainPatterns, seen: PatternMoments, after: EffectPosterior) -> Normal:
    """The rows of every (cluster, pattern) pair."""
    chunk = patterns.chunk
    number, effect = chunk.products[:, 0, 0], patterns.in_rows(after.mean)[chunk.cluster]
    second = patterns.in_rows(after.cov + outer(after.mean, after.mean), square=True)[chunk.cluster]
    effects = EffectSums(number[:, None] * effect, outer(chunk.total[:, 0], effect), number[:, None, None] * second)
    mean, precision = seen.rows.mean[chunk.pattern], seen.rows.precision[chunk.pattern]
    return normal(number, mean, chunk.total[:, 0], chunk.cross, precision, effects)


def _by_moment(
    patterns: PlainPatterns, rows: Normal, seen: PatternMoments, after: EffectPosterior
) -> tuple[np.ndarray, ...]:
    """Derivatives of every cluster in Sigma_W, Sigma_B (L, p, p) and the means within and between (L, p)."""
    chunk, effects = patterns.chunk, by_effects(after)
    count, own = len(chunk.group), chunk.between_pattern
    crossed = outer(effects.prior.mean, chunk.between)
    bend, by_map = patterns.given_z(seen, effects.prior.cov, effects.prior.mean, crossed, own)
    mean, precision = seen.between.mean[own], seen.between.precision[own]
    z = normal(np.ones(count), mean, chunk.between, outer(chunk.between, chunk.between), precision)
    in_mean = sums_by(np, rows.in_mean, chunk.cluster, count)
    return sums_by(np, rows.in_cov, chunk.cluster, count), bend + z.in_cov, in_mean, in_mean + z.in_mean - by_map


def _chained(parts: list[np.ndarray], jacobian: PlainParts) -> np.ndarray:
    """Scores (L, q) from derivatives by cluster (L, ...) in the within and between covariances and means of one group."""
    within, between, mean, between_mean = parts
    p, q = jacobian.levels[0].mean.shape
    out = within.reshape(len(within), p * p) @ jacobian.within_cov.reshape(-1, q) + mean @ jacobian.within_mean
    if len(jacobian.levels) > 1:
        out = out + between.reshape(len(between), p * p) @ jacobian.between_cov.reshape(-1, q)
        out = out + between_mean @ jacobian.between_mean
    return out
