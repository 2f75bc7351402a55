"""The log-likelihood of one build and its statistics as a function of theta (q,): one interface, two ways to compute it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from mlsem_jax import likelihood
from mlsem_jax.estimation.problem._compiled import Layout, on_arrays, pack, sent
from mlsem_jax.likelihood import Statistics, Term
from mlsem_jax.models import Build, Moments, Structure
from mlsem_jax.observed import ClusterStatistics

_cluster_scores = jax.jit(likelihood.cluster_scores)
_term_scores = jax.jit(likelihood.term_scores)

Scores = tuple[np.ndarray, np.ndarray]
Around = tuple[float, np.ndarray, np.ndarray | Callable[[], np.ndarray]]


class Evaluator(Protocol):
    """What a problem asks for; log-likelihoods are sums over rows. None stands for a theta outside the domain of the likelihood."""

    def moments(self, theta: np.ndarray) -> Moments:
        """Model-implied moments by group, in NumPy."""

    def value(self, theta: np.ndarray) -> float:
        """Log-likelihood alone; -inf outside the domain."""

    def around(self, theta: np.ndarray) -> Around | None:
        """Value, gradient (q,) and metric (q, q), or what computes it."""

    def observed_information(self, theta: np.ndarray) -> np.ndarray | None:
        """(q, q)"""

    def expected_information(self, theta: np.ndarray) -> np.ndarray | None:
        """(q, q), of every cluster size."""

    def cluster_scores(self, theta: np.ndarray, clusters: ClusterStatistics) -> Scores:
        """Log-likelihood (J,) and score (J, q) of every cluster without missing values."""

    def term_scores(self, theta: np.ndarray, term: Term) -> Scores:
        """Log-likelihood (L,) and score (L, q) of every cluster of a term that tells them apart."""


class Compiled:
    """By compiled programs, whatever the model. Only here is theta padded, so that models of one width share a program."""

    def __init__(self, build: Build, statistics: Statistics):
        self._build, self._statistics = build, statistics

    @functools.cached_property
    def packed(self) -> tuple[list[jax.Array], Layout]:
        """Structure and statistics, sent to the device when a program first needs them."""
        arrays, layout = pack((self._build.padded_structure, self._statistics))
        return sent(arrays), layout

    @functools.cached_property
    def _structure(self) -> Structure:
        return sent(jax.tree.map(np.asarray, self._build.padded_structure))

    @functools.cached_property
    def _many_sizes(self) -> bool:
        """Whether sums over the distinct cluster sizes cost more than an eigenproblem at every point (see `coordinates`)."""
        return self._statistics.many_sizes

    def _run(self, function: Callable, theta: np.ndarray, sums_over_sizes: bool = False):
        """The function of structure, theta and statistics. One that sums over the distinct cluster sizes is given coordinates where
        there are many; None where no such coordinates exist, which is where the likelihood is zero.
        """
        more: tuple[Any, ...] = ()
        if sums_over_sizes and self._many_sizes:
            at = likelihood.coordinates(self.moments(theta), self._build.between_only)
            if at is None:
                return None
            more = (at,)
        arrays, layout = self.packed
        return jax.device_get(on_arrays(function, layout)(arrays, self._build.padded(theta), *more))

    def _matrix(self, function: Callable, theta: np.ndarray) -> np.ndarray | None:
        out, q = self._run(function, theta, sums_over_sizes=True), len(theta)
        return None if out is None else out[:q, :q]

    def moments(self, theta: np.ndarray) -> Moments:
        return jax.tree.map(np.asarray, self._run(_moments, theta))

    def value(self, theta: np.ndarray) -> float:
        return float(self._run(likelihood.log_likelihood, theta))

    def around(self, theta: np.ndarray) -> Around | None:
        out, q = self._run(likelihood.evaluate, theta, sums_over_sizes=True), len(theta)
        return None if out is None else (float(out.value), out.gradient[:q], out.metric[:q, :q])

    def observed_information(self, theta: np.ndarray) -> np.ndarray | None:
        return self._matrix(likelihood.observed_information, theta)

    def expected_information(self, theta: np.ndarray) -> np.ndarray | None:
        return self._matrix(likelihood.expected_information, theta)

    def of_moments(self, theta: np.ndarray) -> np.ndarray:
        """Cross-product (q, q) of the Jacobian of the implied moments, singular where these leave parameters open."""
        q = len(theta)
        return self._run(_moment_information, theta)[:q, :q]

    def cluster_scores(self, theta: np.ndarray, clusters: ClusterStatistics) -> Scores:
        value, score = _cluster_scores(self._structure, self._build.padded(theta), clusters)
        return np.asarray(value), np.asarray(score)[:, : len(theta)]

    def term_scores(self, theta: np.ndarray, term: Term) -> Scores:
        value, score = _term_scores(self._structure, self._build.padded(theta), term)
        return np.asarray(value), np.asarray(score)[:, : len(theta)]


def _moments(structure: Structure, theta: jax.Array, statistics: Statistics) -> Moments:
    return structure(theta)


def _moment_information(structure: Structure, theta: jax.Array, statistics: Statistics) -> jax.Array:
    return likelihood.moment_information(structure, theta)
