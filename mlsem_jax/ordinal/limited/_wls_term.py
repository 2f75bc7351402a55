"""Weighted least squares on thresholds and (polychoric) covariances as a term: its value is minus half the chi-square.

The implied statistics are those of latent responses given the covariates, standardized by the within scale of ordered variables
(Muthen 1984; of two levels Asparouhov & Muthen 2007): with d = 1 / sqrt(within variance), (tau - mean) d, slopes d, and
covariances d d' at both levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record, static
from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood import ClusterSizes, LevelSum, Term, moments_and_jacobian
from mlsem_jax.models import LevelMoments, Moments, Structure
from mlsem_jax.numerics import inverse
from mlsem_jax.ordinal.limited._wls_layout import WlsLayout


class Standardized(Record):
    """Of the latent responses given the covariates, by group: thresholds (G, p, t), means (G, p), slopes and covariances of both
    levels; inside: whether all variances that are scales are positive.
    """

    thresholds: Float[Array, "G p t"]
    mean: Float[Array, "G p"]
    slopes: tuple[Float[Array, "G p q"], ...]
    cov: tuple[Float[Array, "G p p"], ...]
    inside: Array


def standardized(moments: Moments, layout: WlsLayout) -> Standardized:
    """The moments that statistics are estimates of."""
    assert moments.ordered is not None
    p = moments.levels[0].mean.shape[1]
    given = [_given(level, x, p) for level, x in zip(moments.levels, (layout.within_x, layout.between_x), strict=False)]
    mean = sum(part[0] for part in given)
    variance = jnp.ones_like(mean)
    for place, level in zip(layout.ordered, layout.scale_levels, strict=True):
        variance = variance.at[:, place].set(given[level - 1][2][:, place, place])
    d = 1.0 / jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    at = np.array(layout.ordered)
    thresholds = (moments.ordered.thresholds - mean[:, :, None]) * d[:, :, None]
    mean = mean.at[:, at].set(0.0)
    slopes = tuple(part[1] * d[:, :, None] for part in given)
    cov = tuple(part[2] * d[:, :, None] * d[:, None, :] for part in given)
    return Standardized(thresholds, mean, slopes, cov, jnp.all(variance > 0))


def _given(level: LevelMoments, x: tuple[int, ...], p: int) -> tuple[Array, Array, Array]:
    """Intercepts (G, p), slopes (G, p, q) and covariances (G, p, p) of one level given its covariates."""
    cov, mean, at = level.cov[:, :p, :p], level.mean[:, :p], np.array(x, int)
    if not x:
        return mean, jnp.zeros((*mean.shape, 0), mean.dtype), cov
    slopes = cov[:, :, at] @ jax.vmap(inverse)(cov[:, at][:, :, at])
    return mean - jnp.einsum("gpq,gq->gp", slopes, mean[:, at]), slopes, cov - slopes @ cov[:, at]


def implied_statistics(moments: Moments, layout: WlsLayout) -> tuple[Float[Array, "G S"], Array]:
    """Implied statistics in the order of the layout, and whether the moments lie inside the domain."""
    found = standardized(moments, layout)
    parts = {"threshold": found.thresholds, "mean": found.mean[:, :, None]}
    parts |= {f"slope{i + 1}": x for i, x in enumerate(found.slopes)}
    parts |= {f"covariance{i + 1}": x for i, x in enumerate(found.cov)}
    start, widths = {}, {}
    total = 0
    for name, part in parts.items():
        start[name], widths[name] = total, part.shape[2]
        total += part.shape[1] * part.shape[2]
    flat = jnp.concatenate([part.reshape(part.shape[0], -1) for part in parts.values()], axis=1)
    index = []
    for kind, row, col, level in zip(layout.kind, layout.row, layout.col, layout.level, strict=True):
        name = kind if kind in parts else f"{kind}{level}"
        column = col - len(layout.within_x) if kind == "slope" and level == 2 else col
        index.append(start[name] + row * widths[name] + column)
    return flat[:, np.array(index)], found.inside


class WeightedLeastSquaresTerm(Term):
    """target (G, S): the statistics. weight (G, S, S): V with chi-square = sum of (s - sigma)' V (s - sigma). acov (G, S, S):
    covariance matrix of the statistics. rows (G,): number of rows. clusters: as of `Statistics`.
    """

    target: Float[Array, "G S"]
    weight: Float[Array, "G S S"]
    acov: Float[Array, "G S S"]
    rows: Float[Array, " G"]
    clusters: ClusterSizes
    layout: WlsLayout = static()

    @property
    def saturated(self) -> bool:
        """Its unrestricted model is the statistics themselves, no free moments that a search could find."""
        return False

    @property
    def expected(self) -> bool:
        return True

    @property
    def curved(self) -> int:
        return 0

    @property
    def sizes(self) -> None:
        return None

    @property
    def lane_mark(self) -> Array:
        return self.rows

    def lane_elements(self, q: int) -> float:
        return float(np.shape(self.target)[-1] * (q + np.shape(self.target)[-1]))

    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        return float(np.size(self.target))

    def cluster_sizes(self) -> ClusterSizes:
        return self.clusters

    def _value(self, moments: Moments) -> Array:
        sigma, inside = implied_statistics(moments, self.layout)
        left = self.target - sigma
        return jnp.where(inside, -0.5 * jnp.einsum("gs,gst,gt->", left, self.weight, left), -jnp.inf)

    def implied(self, moments: Moments, jacobian: Moments) -> tuple[Float[Array, "G S"], Float[Array, "G S q"]]:
        """Implied statistics and their derivatives along the jacobian."""
        sigma, push, _ = jax.linearize(lambda m: implied_statistics(m, self.layout), moments, has_aux=True)
        return sigma, jax.vmap(push, in_axes=-1, out_axes=-1)(jacobian)

    def value_and_gradient(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Moments]:
        return jax.value_and_grad(self._value)(moments)

    def scored(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]
    ) -> tuple[Array, Array, Array]:
        """Value, gradient, and the Gauss-Newton matrix in the place of outer products: the units' scores are of the statistics."""
        sigma, slope = self.implied(moments, jacobian)
        weighted = jnp.einsum("gst,gtq->gsq", self.weight, slope)
        gradient = jnp.einsum("gs,gsq->q", self.target - sigma, weighted)
        return self._value(moments), gradient, jnp.einsum("gsq,gsr->qr", slope, weighted)

    def gradient_near(self, moments: Moments, between_only: Float[Array, " p"]) -> Callable[[Moments], Moments]:
        known = self.value_and_gradient(moments, between_only)[1]
        return lambda near: known

    def curvature(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None) -> Array:
        q = jax.tree.leaves(jacobian)[0].shape[-1]

        def along(step: Array) -> Array:
            return self._value(jax.tree.map(lambda m, j: m + j @ step, moments, jacobian))

        return jax.hessian(along)(jnp.zeros(q))

    def expected_information(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> Array:
        return self.scored(moments, jacobian, between_only)[2]

    def expected_sums(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[LevelSum, LevelSum]:
        raise TypeError("Least squares have no expected sums: EM is for maximum likelihood.")

    def covariate_sums(self, moments: Moments) -> tuple[LevelSum, LevelSum]:
        raise TypeError("Statistics of limited information are ones given the covariates.")


@jax.jit
def implied_of(
    structure: Structure, theta: Float[Array, " q"], term: WeightedLeastSquaresTerm
) -> tuple[Float[Array, "G S"], Float[Array, "G S q"]]:
    """Implied statistics of a model and their derivatives in theta."""
    return term.implied(*moments_and_jacobian(structure, theta))
