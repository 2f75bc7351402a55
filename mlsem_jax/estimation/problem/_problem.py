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
from mlsem_jax.estimation.problem._compiled import sent
from mlsem_jax.estimation.problem._constraints import Constraints
from mlsem_jax.estimation.problem._evaluators import Compiled, Evaluator
from mlsem_jax.likelihood import Statistics, Term
from mlsem_jax.models import Build, Moments, Structure, plain_moments
from mlsem_jax.numerics import decrement
from mlsem_jax.observed import ClusterStatistics

# within covariances (G, p, p), between covariances (G, p, p) and means (G, p) that starting values follow
Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
# told every row of the trace of every search
Report = Callable[[dict], None] | None


@dataclass(frozen=True)
class Point:
    """The log-likelihood (a sum over rows) around theta (q,): its value, gradient (q,) and two matrices (q, q).

    metric: what scoring steps are taken with, positive semidefinite everywhere: the expected information of the pooled cluster
    sizes, or with random slopes the outer products of the clusters' scores; where it costs as much as the rest it is computed
    when it is asked for: `metric_of` is it, or computes it. observed: minus the Hessian, where it was computed.
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    metric_of: np.ndarray | Callable[[], np.ndarray]
    observed: np.ndarray | None = None

    @functools.cached_property
    def metric(self) -> np.ndarray:
        return self.metric_of() if callable(self.metric_of) else self.metric_of

    @functools.cached_property
    def inside(self) -> bool:
        """Whether value and gradient are finite."""
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all())

    @functools.cached_property
    def finite(self) -> bool:
        return self.inside and bool(np.isfinite(self.metric).all())

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
    constraints that the basis does not satisfy by itself. theta is q long everywhere.
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
    def compiled(self) -> Compiled:
        return Compiled(self.build, self._statistics)

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        """In NumPy, where the model is small and plain and has no random slopes: a first fit then waits for no compiler."""
        plain = functools.partial(plain_moments, self.build)
        return likelihood.ClosedForm.of(self.build.structure, self._statistics, plain) or self.compiled

    @functools.cached_property
    def structure(self) -> Structure:
        """On the device."""
        return sent(jax.tree.map(np.asarray, self.build.structure))

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

    def natural(self, theta: np.ndarray) -> np.ndarray:
        """Natural parameters (k,)."""
        return self.build.natural(theta)

    def moments(self, theta: np.ndarray) -> Moments:
        """Model-implied moments by group (NumPy)."""
        return self.evaluator.moments(theta)

    def evaluate(self, theta: np.ndarray) -> Point:
        """The point, without its observed information; the last one asked for is remembered."""
        theta = np.asarray(theta, float)
        if self._last is None or not np.array_equal(self._last.theta, theta, equal_nan=True):
            around, q = self.evaluator.around(theta), self.q
            if around is None:
                around = -np.inf, np.full(q, np.nan), np.full((q, q), np.nan)
            self._last = Point(theta, *around)
        return self._last

    def with_hessian(self, point: Point) -> Point:
        """The point with its observed information."""
        return point if point.observed is not None else replace(point, observed=self.observed(point.theta))

    def value(self, theta: np.ndarray) -> float:
        """Log-likelihood alone."""
        return self.evaluator.value(theta)

    def observed(self, theta: np.ndarray) -> np.ndarray:
        """Observed information (q, q); NaN outside the domain of the likelihood."""
        return self._or_nan(self.evaluator.observed_information(theta))

    def expected(self, theta: np.ndarray) -> np.ndarray:
        """Expected information (q, q), of every cluster size; NaN outside the domain of the likelihood."""
        return self._or_nan(self.evaluator.expected_information(theta))

    def of_moments(self, theta: np.ndarray) -> np.ndarray:
        """Cross-product (q, q) of the Jacobian of the implied moments, singular where these leave parameters open."""
        return self.compiled.of_moments(theta)

    def cluster_scores(self, theta: np.ndarray, clusters: ClusterStatistics) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood (J,) and score (J, q) of every cluster without missing values."""
        return self.evaluator.cluster_scores(theta, clusters)

    def term_scores(self, theta: np.ndarray, term: Term) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood (L,) and score (L, q) of every cluster of a term that tells them apart."""
        return self.evaluator.term_scores(theta, term)

    def _or_nan(self, information: np.ndarray | None) -> np.ndarray:
        return np.full((self.q, self.q), np.nan) if information is None else information
