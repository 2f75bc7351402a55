"""The log-likelihood of models with plain covariance matrices as a function of theta, in NumPy: nothing is compiled.

The formulas are those that compiled programs run (`_complete`, `_coordinates`, `_patterns`, by their `xp`), but for derivatives of
the moments in theta and of what clusters with missing values see of the moments, which here are closed forms as well
(`PlainMoments`, `PlainPatterns`); tests hold both equal. Compiling takes a thousand times as long as one evaluation of a small
model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import numpy as np

from mlsem_jax._typing import Float
from mlsem_jax.likelihood._complete import complete_log_likelihood, gradient_in_covariance, groups_of
from mlsem_jax.likelihood._complete_term import CompleteTerm
from mlsem_jax.likelihood._coordinates import Coordinates, coordinates, curvature_at, information_at
from mlsem_jax.likelihood._evaluate import Evaluation
from mlsem_jax.likelihood._pairs import held_as_table
from mlsem_jax.likelihood._pattern_term import PatternTerm
from mlsem_jax.likelihood._plain_patterns import PlainPatterns
from mlsem_jax.likelihood._plain_scores import cluster_scores_by_pattern
from mlsem_jax.likelihood._term import Statistics, Term, first_data
from mlsem_jax.models import Moments, PlainMoments, PlainParts, Structure
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.observed import ClusterStatistics, CompleteStatistics, PatternStatistics, SizePools

# elements of the derivatives of the moments (levels, groups, p, p, q) beyond which compiled programs are faster, compiling included
LARGEST = 2**19
# elements of such arrays by cluster and by pattern, missing values. Of the tutorial's model with 200, 1000 and 2000 clusters
# (40,000 to 400,000 elements) a fit takes 75, 149 and 224 ms here and 58, 114 and 149 compiled, after 14 processor seconds for the
# compiler, which come back after some hundred fits. With 2.3 million a compiled Hessian, by chunks in the cache, takes a fifth
LARGEST_PATTERNS = 2**20
# elements of the clusters' gradients in the moments that are held at a time: 32 MB
TOGETHER = 2**22


def _known(statistics: Statistics) -> bool:
    """Whether every term has a closed form here, and there is one of each kind at most."""
    kinds = [type(term) for term in statistics.terms]
    plain = set(kinds) <= {CompleteTerm, PatternTerm} and len(set(kinds)) == len(kinds) and statistics.saturated
    return plain and (PatternTerm not in kinds or statistics.pools is not None)


def _elements(s: PatternStatistics, q: int) -> int:
    """Elements of the largest arrays of a Hessian: derivatives of A by cluster and of W by pattern, along q directions, and where
    these are gathered by pair that.
    """
    p, u, patterns = np.shape(s.observed)[-1], len(s.effects), len(s.rows)
    clusters, pairs = np.size(s.clusters.weight), np.size(s.clusters.cluster)
    gathered = 0 if held_as_table(clusters, patterns, pairs, p) else pairs * p * u
    return q * (clusters * u * u + patterns * p * p + gathered)


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
    """A structure and data that are complete or have missing values, in NumPy. Log-likelihoods are sums over rows; theta (q,)."""

    def __init__(self, structure: Structure, statistics: Statistics, plain: PlainMoments | None = None):
        self.plain = PlainMoments(structure) if plain is None else plain
        self._z = np.asarray(structure.between_only, float)
        complete: CompleteStatistics | None = first_data(statistics, CompleteTerm)
        patterns: PatternStatistics | None = first_data(statistics, PatternTerm)
        self._data = None if complete is None else groups_of(complete)
        self._sizes = None if complete is None else groups_of(SizePools(complete.size, complete.count))
        self._patterns = None if patterns is None else PlainPatterns(patterns)
        # what the metric is of
        self._pools: Any = self._sizes if patterns is None else groups_of(_pools(statistics))
        self._last: tuple[np.ndarray, _Here | None] | None = None

    @classmethod
    def of(
        cls, structure: Structure, statistics: Statistics, plain: Callable[[], PlainMoments] | None = None
    ) -> ClosedForm | None:
        """None where there is no such form, or the model or the data are too large for it. plain: makes the structure's moments,
        where they need not be made anew.
        """
        if not _known(statistics) or not PlainMoments.serves(structure):
            return None
        groups, p = np.shape(structure.levels[0].nu.base)
        q, patterns = structure.basis.shape[1], first_data(statistics, PatternTerm)
        size = len(structure.levels) * groups * p * p * q
        served = size <= LARGEST and (patterns is None or _elements(patterns, q) <= LARGEST_PATTERNS)
        return cls(structure, statistics, None if plain is None else plain()) if served else None

    def moments(self, theta: Float[np.ndarray, " q"]) -> Moments:
        return self.plain(theta).as_moments()

    def value(self, theta: Float[np.ndarray, " q"]) -> float:
        """-inf outside the domain."""
        moments, total = self.plain(theta), 0.0
        if self._data is not None:
            total += float(np.sum(complete_log_likelihood(moments, self._z, self._data, np)[0]))
        if self._patterns is not None and np.isfinite(total):
            total += -np.inf if coordinates(moments, self._z) is None else self._patterns.value(moments)
        return total

    def evaluate(self, theta: Float[np.ndarray, " q"]) -> Evaluation | None:
        """Value, gradient (q,) and metric (q, q): the expected information of every cluster size, or with missing values of the
        pools of sizes; None outside the domain.
        """
        around = self.around(theta)
        return None if around is None else Evaluation(around[0], around[1], around[2]())

    def around(
        self, theta: Float[np.ndarray, " q"]
    ) -> tuple[float, Float[np.ndarray, " q"], Callable[[], Float[np.ndarray, "q q"]]] | None:
        """As `evaluate`, with the metric as a function that computes it: steps by the Hessian need none."""
        here = self._here(theta)
        if here is None:
            return None
        return here.value, _chain(here.slope, here.jacobian), partial(self._metric, here)

    def _metric(self, here: _Here) -> Float[np.ndarray, "q q"]:
        # on the edge of the domain a search sees by the numbers that they are not finite
        with np.errstate(divide="ignore", invalid="ignore"):
            return information_at(here.jacobian, self._z, self._pools, here.at, np)

    def expected_information(self, theta: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q q"] | None:
        """(q, q); None outside the domain."""
        moments, jacobian = self.plain.with_jacobian(theta)
        at = coordinates(moments, self._z)
        if at is None:
            return None
        total = np.zeros((len(theta), len(theta)))
        if self._sizes is not None:
            total += information_at(jacobian, self._z, self._sizes, at, np)
        if self._patterns is not None:
            total += self._patterns.information(moments, jacobian)
        return total

    def observed_information(self, theta: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q q"] | None:
        """Minus the Hessian (q, q); None outside the domain."""
        here = self._here(theta)
        if here is None:
            return None
        total = self.plain.curvature(theta, here.slope)
        if self._data is not None:
            total = total + curvature_at(here.moments, here.jacobian, self._z, self._data, here.at, np)
        if self._patterns is not None:
            total = total + self._patterns.curvature(here.moments, here.jacobian)
        return -(total + total.T) / 2

    def _here(self, theta: Float[np.ndarray, " q"]) -> _Here | None:
        """What several functions of theta begin with; the last one asked for is remembered. None outside the domain, and where
        clusters with missing values have no density.
        """
        if self._last is not None and np.array_equal(self._last[0], theta):
            return self._last[1]
        moments, jacobian = self.plain.with_jacobian(theta)
        at, value, slopes = coordinates(moments, self._z), 0.0, []
        if at is not None and self._data is not None:
            by_group, slope = complete_log_likelihood(moments, self._z, self._data, np)
            value, slopes = float(np.sum(by_group)), [slope]
        if at is not None and self._patterns is not None and np.isfinite(value):
            value += self._patterns.value(moments)
            slopes.append(self._patterns.slope(moments))
        found = None
        if at is not None and all(slope is not None for slope in slopes):
            found = _Here(moments, jacobian, at, value, reduce(PlainParts.plus, slopes))
        self._last = np.array(theta), found
        return found

    def term_scores(
        self, theta: Float[np.ndarray, " q"], term: Term
    ) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, "L q"]]:
        """Log-likelihood and score of every cluster of a term with cross-products by pair: equal to `likelihood.term_scores`."""
        assert isinstance(term, PatternTerm)  # of the terms that have a closed form the one that tells clusters apart
        return cluster_scores_by_pattern(term.data, *self.plain.with_jacobian(theta))

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
    p, q = slope.shape[-2:]  # of a group there may be no cluster
    return gradient.reshape(len(gradient), p * p) @ slope.reshape(p * p, q)


def _pools(statistics: Statistics) -> SizePools:
    assert statistics.pools is not None  # there are none with random slopes alone
    return statistics.pools


def _chain(slope: PlainParts, jacobian: PlainParts) -> Float[np.ndarray, " q"]:
    """Sum over levels, groups and elements of d loglik/d moments times d moments/d theta."""
    out = 0.0
    for by_moment, by_theta in zip(slope.levels, jacobian.levels, strict=True):
        # the derivatives in a parameter lie side by side
        q = by_theta.cov.shape[-1]
        out = out + by_theta.cov.transpose(3, 0, 1, 2).reshape(q, -1) @ by_moment.cov.ravel()
        out = out + by_theta.mean.transpose(2, 0, 1).reshape(q, -1) @ by_moment.mean.ravel()
    return out
