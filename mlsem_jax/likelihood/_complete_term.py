"""Complete data as a term of the likelihood: its statistics by cluster size, and what EM and the covariates need of them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._complete import complete_curvature, complete_log_likelihood, information_of_sizes
from mlsem_jax.likelihood._coordinates import Coordinates, curvature_at, information_at
from mlsem_jax.likelihood._effects import remaining
from mlsem_jax.likelihood._term import ClusterSizes, LevelSum, Term
from mlsem_jax.models import Moments
from mlsem_jax.numerics import sweep
from mlsem_jax.observed import CompleteStatistics, SizePools


class CompleteTerm(Term):
    """Clusters without missing values, reduced by size; see `_complete` and, for many sizes, `_coordinates`."""

    data: CompleteStatistics

    @property
    def saturated(self) -> bool:
        return True

    @property
    def expected(self) -> bool:
        return True

    @property
    def curved(self) -> int:
        return 0

    @property
    def sizes(self) -> SizePools:
        return SizePools(self.data.size, self.data.count)

    @property
    def lane_mark(self) -> Array:
        return self.data.rows

    def lane_elements(self, q: int) -> float:
        # the observed information carries q tangents of a handful of (S + 1, p, p) arrays
        groups, sizes, p = np.shape(self.data.mean)[-3:]
        return 8.0 * groups * p * p * q * (sizes + 1)

    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        at_clusters = np.sum(between_only)
        rows, clusters = np.sum(self.data.rows), np.sum(self.data.clusters)
        return float(rows * (np.size(between_only) - at_clusters) + clusters * at_clusters)

    def cluster_sizes(self) -> ClusterSizes:
        size, count = np.asarray(self.data.size), np.asarray(self.data.count)
        return ClusterSizes(np.repeat(np.arange(len(size)), size.shape[1]), size.ravel(), count.ravel())

    def value_and_gradient(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Moments]:
        by_group, gradient = complete_log_likelihood(moments, between_only, self.data)
        return jnp.sum(by_group), gradient

    def gradient_near(self, moments: Moments, between_only: Float[Array, " p"]) -> Callable[[Moments], Moments]:
        gradient = complete_log_likelihood(moments, between_only, self.data)[1]
        return lambda _: gradient

    def curvature(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Coordinates | None = None
    ) -> Array:
        if at is None:
            return complete_curvature(moments, jacobian, between_only, self.data)
        return curvature_at(moments, jacobian, between_only, self.data, at)

    def expected_information(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Coordinates | None = None
    ) -> Array:
        if at is None:
            return information_of_sizes(moments, jacobian, between_only, self.sizes)
        return information_at(jacobian, between_only, self.sizes, at)

    def expected_sums(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[LevelSum, LevelSum]:
        return jax.vmap(_expected_sums, in_axes=(0, 0, 0, None, 0))(
            moments.within_cov, moments.between_cov, moments.mean, between_only, self.data
        )

    def covariate_sums(self, moments: Moments) -> tuple[LevelSum, LevelSum]:
        return _covariate_sums(moments, self.data)


def _expected_sums(within_cov, between_cov, mean, between_only, s: CompleteStatistics):
    """Sums of one group from complete clusters: posterior of u by size, K = Sigma_B D Omega^-1 (no group axis)."""
    d = jnp.where(between_only > 0, 1.0, jnp.sqrt(s.size)[:, None])
    bd = between_cov * d[:, None, :]
    omega = within_cov + d[:, :, None] * bd
    precision = sweep(omega)[0]
    gain = bd @ precision
    posterior = remaining(jnp, between_cov, bd, precision)
    r = d * (s.mean - mean)
    second = d[:, :, None] * s.cov * d[:, None, :] + r[:, :, None] * r[:, None, :]
    cluster_total = jnp.einsum("s,sij,sj->i", s.count, gain, r)
    cluster_cross = jnp.tensordot(s.count, gain @ second @ jnp.swapaxes(gain, -1, -2) + posterior, 1)
    # mean of a cluster's rows less its u; zero for between-only variables
    seen = 1 - between_only
    rest = seen[:, None] * (jnp.eye(len(mean)) / d[:, None, :] - gain)
    weight = s.count * s.size
    row_total = jnp.einsum("s,sij,sj->i", weight, rest, r)
    spread = rest @ second @ jnp.swapaxes(rest, -1, -2) + seen[:, None] * posterior * seen
    row_cross = s.within + jnp.tensordot(weight, spread, 1)
    return (s.rows, row_total, row_cross), (s.clusters, cluster_total, cluster_cross)


def _covariate_sums(moments: Moments, s: CompleteStatistics) -> tuple[LevelSum, LevelSum]:
    def sums(weight, mean):
        deviation = s.mean - mean[:, None, :]
        scatter = s.cov + deviation[..., :, None] * deviation[..., None, :]
        return (
            jnp.sum(weight, -1),
            jnp.einsum("gs,gsp->gp", weight, deviation),
            jnp.einsum("gs,gspq->gpq", weight, scatter),
        )

    _, total, cross = sums(s.count * s.size, moments.within_mean)
    return (s.rows, total, cross + s.within), sums(s.count, moments.between_mean[:, : s.mean.shape[-1]])
