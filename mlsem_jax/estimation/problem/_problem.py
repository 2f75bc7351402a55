"""One model, its statistics and its constraints as a function of theta: what every search climbs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from mlsem_jax import likelihood
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem._compiled import Layout, on_arrays, pack, sent
from mlsem_jax.estimation.problem._constraints import Constraints
from mlsem_jax.likelihood import Statistics, Term
from mlsem_jax.models import Build, Moments, Structure
from mlsem_jax.numerics import decrement
from mlsem_jax.observed import ClusterStatistics

# within covariances (G, p, p), between covariances (G, p, p) and means (G, p) that starting values follow
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
# told every row of the trace of every search
Report = Callable[[dict], None] | None

_cluster_scores = jax.jit(likelihood.cluster_scores)
_term_scores = jax.jit(likelihood.term_scores)


@dataclass(frozen=True)
class Point:
    """The log-likelihood (a sum over rows) around theta (q,): its value, gradient (q,) and two matrices (q, q).

    metric: what scoring steps are taken with, positive semidefinite everywhere: the expected information of the pooled cluster
    sizes, or with random slopes the outer products of the clusters' scores. observed: minus the Hessian, where it was computed.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    metric: np.ndarray
    observed: np.ndarray | None = None

    @functools.cached_property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all() and np.isfinite(self.metric).all())

    @functools.cached_property
    def promise(self) -> float:
        """The rise of the log-likelihood that the metric promises; infinite where the point is not finite."""
        return decrement(self.metric, self.gradient) if self.finite else np.inf


@dataclass(frozen=True)
class Maximum:
    """Where a search ended. metric, observed (q, q): as of `Point`, None where not computed. decrement: the rise of the
    log-likelihood that is still promised.

    jacobian (c, q), multipliers (c,): of the nonlinear equalities and active inequalities that hold at theta, if any.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    metric: np.ndarray | None
    observed: np.ndarray | None
    decrement: float
    iterations: int
    status: Status
    trace: list[dict] = field(default_factory=list)
    jacobian: np.ndarray | None = None
    multipliers: np.ndarray | None = None

    @classmethod
    def at(
        cls,
        point: Point,
        status: Status,
        trace: list[dict] | None = None,
        decrement: float = np.inf,
        **more: Any,
    ) -> Maximum:
        """The end of a search at a point, after as many iterations as its trace has rows."""
        rows = trace or []
        known = (point.theta, point.value, point.gradient, point.metric, point.observed)
        return cls(*known, decrement, len(rows), status, rows, **more)

    @property
    def information(self) -> np.ndarray | None:
        """The observed information, or where that was not computed the metric."""
        return self.metric if self.observed is None else self.observed

    def after(self, first: Maximum) -> Maximum:
        """This end, with the iterations of another search before it."""
        rows = first.trace + [row | {"iteration": len(first.trace) + row["iteration"]} for row in self.trace]
        return replace(self, iterations=first.iterations + self.iterations, trace=rows)


class Problem:
    """A build and its statistics, with what a search has to know besides: the sample moments that starting values follow, and the
    constraints that the basis does not satisfy by itself. theta is q long everywhere; only here is it padded for compiled programs.
    """

    def __init__(
        self,
        build: Build,
        statistics: Statistics,
        sample: Sample | None = None,
        constraints: Constraints | None = None,
    ):
        self.build, self.constraints = build, constraints
        self._statistics, self._sample = statistics, sample
        self.q = build.free
        self._last: Point | None = None

    @property
    def sample(self) -> Sample:
        if self._sample is None:
            raise ValueError(
                "A problem without sample moments has no starting values: Problem(build, statistics, sample)."
            )
        return self._sample

    def under(self, constraints: Constraints | None) -> Problem:
        """The same with other constraints."""
        return Problem(self.build, self._statistics, self._sample, constraints)

    @property
    def plain_statistics(self) -> Statistics:
        """As they were given, NumPy arrays as a rule."""
        return self._statistics

    @functools.cached_property
    def _packed(self) -> tuple[list[jax.Array], Layout]:
        """Structure and statistics, sent to the device when a program first needs them."""
        arrays, layout = pack((self.build.padded_structure, self._statistics))
        return sent(arrays), layout

    @functools.cached_property
    def structure(self) -> Structure:
        """On the device."""
        return sent(jax.tree.map(np.asarray, self.build.structure))

    @functools.cached_property
    def _padded_structure(self) -> Structure:
        return sent(jax.tree.map(np.asarray, self.build.padded_structure))

    @functools.cached_property
    def statistics(self) -> Statistics:
        """On the device."""
        return sent(jax.tree.map(np.asarray, self._statistics))

    @property
    def hessian_is_costly(self) -> bool:
        """Whether the Hessian is differentiated forward instead of in closed form: with missing values or random slopes."""
        return self._statistics.curved > 0

    @property
    def metric_is_rough(self) -> bool:
        """Whether the metric is the outer products of scores of a likelihood that is an integral: Newton's steps from the start,
        with the metric where the Hessian is indefinite, then take a fifth of the iterations.
        """
        return self._statistics.rough

    @functools.cached_property
    def _many_sizes(self) -> bool:
        """Whether sums over the distinct cluster sizes cost more than an eigenproblem at every point (see `coordinates`)."""
        return self._statistics.many_sizes

    @functools.cached_property
    def _closed(self) -> likelihood.ClosedForm | None:
        """In NumPy, where the model is small and plain and has no random slopes: a first fit then waits for no compiler."""
        return likelihood.ClosedForm.of(self.build.structure, self._statistics)

    def _run(self, function: Callable, theta: np.ndarray, sums_over_sizes: bool = False):
        """The function of structure, theta and statistics. One that sums over the distinct cluster sizes is given coordinates where
        there are many; None where no such coordinates exist, which is where the likelihood is zero.
        """
        more: tuple[Any, ...] = ()
        if sums_over_sizes and self._many_sizes:
            at = likelihood.coordinates(self.moments(theta), self.build.between_only)
            if at is None:
                return None
            more = (at,)
        arrays, layout = self._packed
        return jax.device_get(on_arrays(function, layout)(arrays, self.build.padded(theta), *more))

    def natural(self, theta: np.ndarray) -> np.ndarray:
        """Natural parameters (k,)."""
        return self.build.natural(theta)

    def moments(self, theta: np.ndarray) -> Moments:
        """Model-implied moments by group (NumPy)."""
        if self._closed is not None:
            return self._closed.moments(theta)
        return jax.tree.map(np.asarray, self._run(_moments, theta))

    def evaluate(self, theta: np.ndarray) -> Point:
        """The point, without its observed information; the last one asked for is remembered."""
        theta = np.asarray(theta, float)
        if self._last is None or not np.array_equal(self._last.theta, theta, equal_nan=True):
            out, q = self._evaluation(theta), self.q
            if out is None:
                self._last = Point(theta, -np.inf, np.full(q, np.nan), np.full((q, q), np.nan))
            else:
                self._last = Point(theta, float(out.value), out.gradient[:q], out.metric[:q, :q])
        return self._last

    def _evaluation(self, theta: np.ndarray) -> likelihood.Evaluation | None:
        if self._closed is not None:
            return self._closed.evaluate(theta)
        return self._run(likelihood.evaluate, theta, sums_over_sizes=True)

    def with_hessian(self, point: Point) -> Point:
        """The point with its observed information."""
        return point if point.observed is not None else replace(point, observed=self.observed(point.theta))

    def value(self, theta: np.ndarray) -> float:
        """Log-likelihood alone."""
        if self._closed is not None:
            return self._closed.value(theta)
        return float(self._run(likelihood.log_likelihood, theta))

    def observed(self, theta: np.ndarray) -> np.ndarray:
        """Observed information (q, q)."""
        if self._closed is not None:
            return self._square(self._closed.observed_information(theta))
        return self._square(self._run(likelihood.observed_information, theta, sums_over_sizes=True))

    def expected(self, theta: np.ndarray) -> np.ndarray:
        """Expected information (q, q), of every cluster size."""
        if self._closed is not None:
            return self._square(self._closed.expected_information(theta))
        return self._square(self._run(likelihood.expected_information, theta, sums_over_sizes=True))

    def of_moments(self, theta: np.ndarray) -> np.ndarray:
        """Cross-product (q, q) of the Jacobian of the implied moments, singular where these leave parameters open."""
        return self._square(self._run(_moment_information, theta))

    def cluster_scores(self, theta: np.ndarray, clusters: ClusterStatistics) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood (J,) and score (J, q) of every cluster without missing values."""
        if self._closed is not None:
            return self._closed.cluster_scores(theta, clusters)
        value, score = _cluster_scores(self._padded_structure, self.build.padded(theta), clusters)
        return np.asarray(value), np.asarray(score)[:, : self.q]

    def term_scores(self, theta: np.ndarray, term: Term) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood (L,) and score (L, q) of every cluster of a term that tells them apart."""
        if self._closed is not None and isinstance(term, likelihood.PatternTerm):
            return self._closed.pattern_scores(theta, term)
        value, score = _term_scores(self._padded_structure, self.build.padded(theta), term)
        return np.asarray(value), np.asarray(score)[:, : self.q]

    def _square(self, information: np.ndarray | None) -> np.ndarray:
        q = self.q
        return np.full((q, q), np.nan) if information is None else information[:q, :q]


def _moments(structure: Structure, theta: jax.Array, statistics: Statistics) -> Moments:
    return structure(theta)


def _moment_information(structure: Structure, theta: jax.Array, statistics: Statistics) -> jax.Array:
    return likelihood.moment_information(structure, theta)
