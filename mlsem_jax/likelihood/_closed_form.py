"""The log-likelihood of complete data and plain covariance matrices as a function of theta, in NumPy: nothing is compiled.

The formulas are those that compiled programs run (`_complete`, `_coordinates`, by their `xp`), but for the derivatives of the
moments in theta, which here are closed forms as well (`PlainMoments`); a test holds both equal. Compiling takes a thousand times as
long as one evaluation of a small model.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from mlsem_jax._typing import Float
from mlsem_jax.likelihood._complete import complete_log_likelihood, gradient_in_covariance, groups_of
from mlsem_jax.likelihood._complete_term import CompleteTerm
from mlsem_jax.likelihood._coordinates import Coordinates, coordinates, curvature_at, information_at
from mlsem_jax.likelihood._evaluate import Evaluation
from mlsem_jax.likelihood._term import Statistics
from mlsem_jax.models import Moments, PlainMoments, PlainParts, Structure
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.observed import ClusterStatistics, CompleteStatistics, SizePools

# elements of the derivatives of the moments (levels, groups, p, p, q) beyond which compiled programs are faster, compiling included
LARGEST = 2**19
# elements of the clusters' gradients in the moments that are held at a time: 32 MB
TOGETHER = 2**22


class _Here(NamedTuple):
    """The log-likelihood at some theta: the moments, their derivatives in theta, coordinates, the value, its derivatives in the
    moments.
    """

    moments: PlainParts
    jacobian: PlainParts
    at: Coordinates
    value: float
    slope: PlainParts


class ClosedForm:
    """A structure (NumPy) and complete data. Log-likelihoods are sums over rows; theta (q,)."""

    def __init__(self, structure: Structure, complete: CompleteStatistics):
        self.plain = PlainMoments(structure)
        self._z = np.asarray(structure.between_only, float)
        self._data, self._sizes = groups_of(complete), groups_of(SizePools(complete.size, complete.count))
        self._last: tuple[np.ndarray, _Here | None] | None = None

    @classmethod
    def of(cls, structure: Structure, statistics: Statistics) -> ClosedForm | None:
        """None where there is no such form, or the model is too large for it."""
        complete = statistics.only(CompleteTerm)
        groups, p = np.shape(structure.levels[0].nu.base)
        size = len(structure.levels) * groups * p * p * structure.basis.shape[1]
        served = complete is not None and size <= LARGEST and PlainMoments.serves(structure)
        return cls(structure, complete) if served else None

    def moments(self, theta: Float[np.ndarray, " q"]) -> Moments:
        return self.plain(theta).as_moments()

    def value(self, theta: Float[np.ndarray, " q"]) -> float:
        """-inf outside the domain."""
        return float(np.sum(complete_log_likelihood(self.plain(theta), self._z, self._data, np)[0]))

    def evaluate(self, theta: Float[np.ndarray, " q"]) -> Evaluation | None:
        """Value, gradient (q,) and metric (q, q), the expected information of every cluster size; None outside the domain."""
        here = self._here(theta)
        if here is None:
            return None
        metric = information_at(here.jacobian, self._z, self._sizes, here.at, np)
        return Evaluation(here.value, _chain(here.slope, here.jacobian), metric)

    def expected_information(self, theta: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q q"] | None:
        """(q, q); None outside the domain."""
        moments, jacobian = self.plain.with_jacobian(theta)
        at = coordinates(moments, self._z)
        return None if at is None else information_at(jacobian, self._z, self._sizes, at, np)

    def observed_information(self, theta: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q q"] | None:
        """Minus the Hessian (q, q); None outside the domain."""
        here = self._here(theta)
        if here is None:
            return None
        in_moments = curvature_at(here.moments, here.jacobian, self._z, self._data, here.at, np)
        total = in_moments + self.plain.curvature(theta, here.slope)
        return -(total + total.T) / 2

    def _here(self, theta: Float[np.ndarray, " q"]) -> _Here | None:
        """What several functions of theta begin with; the last one asked for is remembered. None outside the domain."""
        if self._last is None or not np.array_equal(self._last[0], theta):
            moments, jacobian = self.plain.with_jacobian(theta)
            at, here = coordinates(moments, self._z), None
            if at is not None:
                by_group, slope = complete_log_likelihood(moments, self._z, self._data, np)
                here = _Here(moments, jacobian, at, float(np.sum(by_group)), slope)
            self._last = np.array(theta), here
        return self._last[1]

    def cluster_scores(
        self, theta: Float[np.ndarray, " q"], clusters: ClusterStatistics
    ) -> tuple[Float[np.ndarray, " J"], Float[np.ndarray, "J q"]]:
        """Log-likelihood and score of every cluster: equal to `likelihood.cluster_scores`."""
        moments, jacobian = self.plain.with_jacobian(theta)
        clusters = jax.tree.map(np.asarray, clusters)
        value, score = np.zeros(len(clusters.size)), np.zeros((len(clusters.size), len(theta)))
        chunk = max(1, TOGETHER // moments.within_cov[0].size)
        for group in range(len(moments.mean)):
            own = np.flatnonzero(clusters.group == group)
            here, slopes = moments.of_group(group), jacobian.of_group(group)
            for at in np.split(own, range(chunk, len(own), chunk)):
                value[at], score[at] = self._scores(here, slopes, jax.tree.map(lambda x: x[at], clusters))  # noqa: B023
        return value, score

    def _scores(self, moments: PlainParts, slopes: PlainParts, s: ClusterStatistics) -> tuple[np.ndarray, np.ndarray]:
        """Of some clusters of one group; moments and slopes without the group axis."""
        (within, between), z = (moments.within_cov, moments.between_cov), self._z
        # without a between part the clusters' sizes do not matter
        sizes, of_size = np.unique(s.size if between.any() else np.ones(len(s.size)), return_inverse=True)
        scale = np.where(z > 0, 1.0, np.sqrt(sizes)[:, None])
        omega = np.concatenate([(within + np.diag(z))[None], within + scale[:, :, None] * between * scale[:, None]])
        precision, logdet = inverse_and_logdet(np, omega)
        inner, outer, d = precision[0], precision[1:][of_size], np.where(z > 0, 1.0, np.sqrt(s.size)[:, None])
        r = d * (s.mean - moments.within_mean - moments.between_mean)
        weighted = (outer @ r[:, :, None])[:, :, 0]
        constant = np.log(2 * np.pi) * (s.size * np.sum(1 - z) + np.sum(z))
        distance = np.einsum("ij,kij->k", inner, s.cross) + np.sum(r * weighted, axis=1)
        value = -0.5 * (constant + (s.size - 1) * logdet[0] + logdet[1:][of_size] + distance)
        of_mean = gradient_in_covariance(outer, np.ones(len(r)), r[:, :, None] * r[:, None, :])
        of_rows = gradient_in_covariance(inner[None], s.size - 1.0, s.cross)
        by_mean = d * weighted
        score = _by_cluster(of_rows + of_mean, slopes.within_cov)
        score += _by_cluster(d[:, :, None] * of_mean * d[:, None, :], slopes.between_cov)
        return value, score + by_mean @ (slopes.within_mean + slopes.between_mean)


def _by_cluster(gradient: Float[np.ndarray, "J p p"], slope: Float[np.ndarray, "p p q"]) -> Float[np.ndarray, "J q"]:
    return gradient.reshape(len(gradient), -1) @ slope.reshape(-1, slope.shape[-1])


def _chain(slope: PlainParts, jacobian: PlainParts) -> Float[np.ndarray, " q"]:
    """Sum over levels, groups and elements of d loglik/d moments times d moments/d theta."""
    out = 0.0
    for by_moment, by_theta in zip(slope.levels, jacobian.levels, strict=True):
        q = by_theta.cov.shape[-1]
        out = out + by_moment.cov.ravel() @ by_theta.cov.reshape(-1, q)
        out = out + by_moment.mean.ravel() @ by_theta.mean.reshape(-1, q)
    return out
