"""Clusters with missing values, or with random slopes, as a term of the likelihood; and what EM and the covariates need of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._effects import posterior
from mlsem_jax.likelihood._pattern_clusters import effects_at, pattern_moments, prior_of, rows_information
from mlsem_jax.likelihood._pattern_curvature import missing_curvature
from mlsem_jax.likelihood._pattern_information import pattern_information
from mlsem_jax.likelihood._patterns import (
    pattern_cluster_scores,
    pattern_gradient,
    pattern_log_likelihood,
    pattern_sums,
)
from mlsem_jax.likelihood._term import ClusterSizes, LevelSum, Term
from mlsem_jax.models import Moments
from mlsem_jax.observed import ClusterChunk, PatternStatistics


class PatternTerm(Term):
    """Clusters by missing-value pattern and cluster; see `_patterns`."""

    data: PatternStatistics

    @property
    def _slopes(self) -> bool:
        """Whether the statistics are of random slopes: products of the rows' covariates beside their number."""
        return self.data.clusters.products.shape[-1] > 1

    @property
    def saturated(self) -> bool:
        return not self._slopes

    @property
    def expected(self) -> bool:
        return not self._slopes

    @property
    def curved(self) -> int:
        patterns, p = np.shape(self.data.observed)[-2:]
        return patterns * p * p

    @property
    def sizes(self) -> None:
        return None

    @property
    def lane_mark(self) -> Array:
        return self.data.reference

    def lane_elements(self, q: int) -> float:
        p = np.shape(self.data.observed)[-1]
        return 8.0 * q * np.shape(self.data.clusters.weight)[-1] * p * p

    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        s, chunk = self.data, self.data.clusters
        of_rows = np.sum(np.asarray(s.rows) * np.sum(s.observed, axis=1))
        of_clusters = np.sum(np.asarray(chunk.weight) * np.sum(s.between_observed, axis=1)[chunk.between_pattern])
        return float(of_rows + of_clusters)

    def cluster_sizes(self) -> ClusterSizes:
        chunk = self.data.clusters
        rows = np.asarray(chunk.products)[..., 0, 0]
        size = [np.bincount(c, n, len(w)) for c, n, w in zip(chunk.cluster, rows, chunk.weight, strict=True)]
        return ClusterSizes(np.ravel(chunk.group), np.concatenate(size), np.ravel(chunk.weight))

    def value_and_gradient(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Moments]:
        return pattern_log_likelihood(moments, self.data)

    def gradient_near(self, moments: Moments, between_only: Float[Array, " p"]) -> Callable[[Moments], Moments]:
        sums = pattern_sums(moments, self.data)[1]
        return lambda moments: pattern_gradient(moments, sums, self.data)

    def curvature(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None) -> Array:
        return missing_curvature(moments, jacobian, self.data)

    def expected_information(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> Array:
        return pattern_information(moments, jacobian, self.data)

    def by_cluster(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Array]:
        value, score = pattern_cluster_scores(moments, jacobian, self.data)
        return value.ravel(), score.reshape(value.size, -1)

    def expected_sums(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[LevelSum, LevelSum]:
        return _expected_sums(moments, 1 - between_only, self.data)

    def covariate_sums(self, moments: Moments) -> tuple[LevelSum, LevelSum]:
        return _covariate_sums(moments, self.data)


def _expected_sums(moments: Moments, seen: Array, s: PatternStatistics):
    """Sums (G,), (G, p), (G, p, p) of the clusters that go by pattern, chunk by chunk."""
    seen_by_pattern = pattern_moments(moments, s)
    rows, between = seen_by_pattern.rows, seen_by_pattern.between
    at = effects_at(s, between.cov.shape[-1])
    groups, patterns = moments.mean.shape[0], s.rows.shape[0]

    def chunk_sums(carry, chunk: ClusterChunk):
        clusters, pattern_total, pattern_cross = carry
        # of all between variables, less their prior mean
        found = posterior(jnp, prior_of(between, chunk), rows_information(seen_by_pattern, s, chunk), at)
        effect, spread = found.mean, found.cov
        by_group = [
            jax.ops.segment_sum(x, chunk.group, groups)
            for x in (
                chunk.weight,
                chunk.weight[:, None] * effect,
                chunk.weight[:, None, None] * (effect[:, :, None] * effect[:, None, :] + spread),
            )
        ]
        often = chunk.weight[chunk.cluster]
        count = often * chunk.products[:, 0, 0]
        residual = often[:, None] * chunk.total[:, 0] - count[:, None] * rows.mean[chunk.pattern]
        u, v = effect[chunk.cluster], spread[chunk.cluster]
        mixed = residual[:, :, None] * u[:, None, :]
        change = count[:, None, None] * (u[:, :, None] * u[:, None, :] + v) - mixed - jnp.swapaxes(mixed, -1, -2)
        return (
            jax.tree.map(jnp.add, clusters, tuple(by_group)),
            pattern_total - jax.ops.segment_sum(count[:, None] * u, chunk.pattern, patterns),
            pattern_cross + jax.ops.segment_sum(change, chunk.pattern, patterns),
        ), None

    p, dtype = moments.mean.shape[1], moments.mean.dtype
    clusters = (jnp.zeros(groups, dtype), jnp.zeros((groups, p), dtype), jnp.zeros((groups, p, p), dtype))
    start = (clusters, jnp.zeros((patterns, p), dtype), jnp.zeros((patterns, p, p), dtype))
    (clusters, total, cross), _ = jax.lax.scan(chunk_sums, start, s.clusters)
    # sums of what is observed of y - u, then all of y - u given it: missing values are regressed on it
    residual = s.total - s.rows[:, None] * rows.mean
    centred = s.cross - s.total[:, :, None] * rows.mean[:, None, :] - rows.mean[:, :, None] * s.total[:, None, :]
    total = (total + residual) * s.observed
    cross = cross + centred + s.rows[:, None, None] * rows.mean[:, :, None] * rows.mean[:, None, :]
    cross = cross * s.observed[:, :, None] * s.observed[:, None, :]
    sigma = moments.within_cov[s.group]
    regress = sigma @ rows.precision
    unexplained = sigma - regress @ sigma
    full = regress @ cross @ jnp.swapaxes(regress, -1, -2) + s.rows[:, None, None] * unexplained
    by_group = tuple(
        jax.ops.segment_sum(x, s.group, groups)
        for x in (s.rows, jnp.einsum("rij,rj->ri", regress, total) * seen, full * seen[:, None] * seen)
    )
    return by_group, clusters


def _about(mean: Array, count: Array, total: Array, cross: Array) -> tuple[Array, Array, Array]:
    """Cross-products about `mean` (G, p) from those about zero."""
    outer = total[:, :, None] * mean[:, None, :]
    shift = count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return count, total, cross - outer - jnp.swapaxes(outer, -1, -2) + shift


def _covariate_sums(moments: Moments, s: PatternStatistics) -> tuple[LevelSum, LevelSum]:
    groups, p = moments.within_mean.shape
    rows = jax.tree.map(lambda x: jax.ops.segment_sum(x, s.group, groups), (s.rows, s.total, s.cross))
    chunk = s.clusters
    weight, values, group = chunk.weight.reshape(-1), chunk.between.reshape(-1, p), chunk.group.reshape(-1)
    by_cluster = (weight, weight[:, None] * values, weight[:, None, None] * values[:, :, None] * values[:, None, :])
    clusters = jax.tree.map(lambda x: jax.ops.segment_sum(x, group, groups), by_cluster)
    return (
        _about(moments.within_mean - s.reference, *rows),
        _about(moments.between_mean[:, :p] - s.reference, *clusters),
    )
