"""The log-likelihood as a sum of terms, one for each kind of data: the protocol that everything above the likelihood knows.

A term holds a part of the data, reduced to what its likelihood needs, and says what it makes of the model's moments: value,
gradient, curvature, expected information, scores by cluster, expected sums for EM; and facts about itself, by which callers decide
instead of asking what kind of data there are. All values are sums over the rows and clusters of the term; log-likelihoods have
their 2 pi constant. `docs/extend/term.md` says how to add one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.models import Moments
from mlsem_jax.numerics import concrete
from mlsem_jax.observed import SizePools

# count (G,), total (G, p), cross-products (G, p, p), of the rows and of the clusters
LevelSum = tuple[Array, Array, Array]


def chain(gradient: Moments, jacobian: Moments) -> Array:
    """Sum over groups and elements of d loglik/d moments times d moments/d theta: (q,)."""
    terms = jax.tree.map(lambda g, j: jnp.tensordot(g, j, g.ndim), gradient, jacobian)
    return sum(jax.tree.leaves(terms))


class ClusterSizes(Record):
    """One entry a set of clusters: group (n,), size (n,) and count (n,), as NumPy arrays."""

    group: Int[np.ndarray, " n"]
    size: Float[np.ndarray, " n"]
    count: Float[np.ndarray, " n"]


class Term(Record):
    """A summand of the log-likelihood. between_only (p,) marks the variables of level 2 alone, here and in a Structure; jacobian:
    derivatives of the moments in theta along a new last axis (q).
    """

    @property
    @abstractmethod
    def saturated(self) -> bool:
        """Whether the unrestricted model of these data is one of free moments, so that chi-square and h1 mean something."""

    @property
    @abstractmethod
    def expected(self) -> bool:
        """Whether there is an expected information in closed form."""

    @property
    @abstractmethod
    def curved(self) -> int:
        """0 where `curvature` is the whole second derivative in the moments; else the number of elements that one derivative of
        `gradient_near` moves. With missing values and random slopes: what a closed form for complete data does not cover.
        """

    @property
    @abstractmethod
    def sizes(self) -> SizePools | None:
        """The clusters' sizes, where the expected information depends on nothing else."""

    @property
    @abstractmethod
    def lane_mark(self) -> Array:
        """An array with one axis in the term of one data set; with two it leads with a lane axis."""

    @abstractmethod
    def lane_elements(self, q: int) -> float:
        """Numbers that one lane of a batch holds at a time beyond the moments' Jacobian, for q parameters."""

    @abstractmethod
    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        """Number of values that the likelihood is of, those of fixed covariates included; NumPy arrays only."""

    @abstractmethod
    def cluster_sizes(self) -> ClusterSizes:
        """Sizes of all clusters; NumPy arrays only."""

    @abstractmethod
    def value_and_gradient(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Moments]:
        """Log-likelihood (scalar), -inf outside its domain, and its derivatives in each of the moments."""

    @abstractmethod
    def gradient_near(self, moments: Moments, between_only: Float[Array, " p"]) -> Callable[[Moments], Moments]:
        """A function of the moments with the value of the gradient at `moments`, the derivative of which is what `curvature` leaves
        out of the second derivative.
        """

    @abstractmethod
    def curvature(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None) -> Array:
        """Second derivative (q, q) of the log-likelihood in the moments along the jacobian. at: the moments' `Coordinates`."""

    def curvature_and_near(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> tuple[Array, Callable[[Moments], Moments]]:
        """`curvature` and `gradient_near`, for terms that compute most of both at once."""
        return self.curvature(moments, jacobian, between_only, at), self.gradient_near(moments, between_only)

    @abstractmethod
    def expected_information(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> Array:
        """Expected information (q, q) along the jacobian, positive semidefinite. at: the moments' `Coordinates`."""

    def by_cluster(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Array]:
        """Log-likelihood (L,) and score (L, q) of every cluster, zeros for padding. Terms whose clusters are summed have none: the
        scores of complete data are asked of their cluster layer (`cluster_scores`).
        """
        raise TypeError(f"The clusters of a {type(self).__name__} are summed: it has no scores by cluster.")

    @property
    def own_scores(self) -> bool:
        """Whether `by_cluster` gives every cluster of the data, in their order."""
        return False

    def scored(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]
    ) -> tuple[Array, Array, Array]:
        """Log-likelihood (scalar), gradient (q,) and the clusters' summed outer products of scores (q, q)."""
        value, slope = self.value_and_gradient(moments, between_only)
        score = self.by_cluster(moments, jacobian, between_only)[1]
        return value, chain(slope, jacobian), score.T @ score

    @abstractmethod
    def expected_sums(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[LevelSum, LevelSum]:
        """E-step: expected sums of the rows less their cluster's effect, and of the effects, about the moments' means."""

    @abstractmethod
    def covariate_sums(self, moments: Moments) -> tuple[LevelSum, LevelSum]:
        """Sums of the values at rows about the within mean and at clusters about the between mean, of the variables of one level
        alone; what it holds for the others means nothing.
        """


class Statistics(Record):
    """All that the likelihood needs of a data set: its log-likelihood is the sum of the terms'.

    pools: the sizes of all clusters in a few representative ones, for the scaling matrix of a scoring step at a cost that does not
    grow with the number of sizes. None (random slopes): the outer product of the terms' scores serves.
    """

    terms: tuple[Term, ...]
    pools: SizePools | None = None

    def __repr__(self) -> str:
        """Kinds of terms; where they are numbers, how much they are of."""
        kinds = ", ".join(type(term).__name__ for term in self.terms) if isinstance(self.terms, tuple) else ""
        data = self.complete if kinds and concrete(self.terms) else None
        if data is None or np.ndim(data.rows) not in (1, 2):
            return f"<mlsem_jax statistics: {kinds}>"
        rows, clusters = (np.unique(np.sum(np.asarray(x), axis=-1)) for x in (data.rows, data.clusters))
        of = f" in {clusters[0]:.10g} clusters" if len(clusters) == 1 else ""
        size = f"{rows[0]:.10g}" if len(rows) == 1 else f"{rows[0]:.10g} to {rows[-1]:.10g}"
        many = f"{np.shape(data.rows)[0]} data sets, each of" if np.ndim(data.rows) == 2 else "of"
        return f"<mlsem_jax statistics {many} {size} rows{of}: {kinds}>"

    def only(self, kind: type) -> Any:
        """`only_data` of these statistics."""
        return only_data(self, kind)

    def first(self, kind: type) -> Any:
        """`first_data` of these statistics."""
        return first_data(self, kind)

    @property
    def complete(self) -> Any:
        """The `CompleteStatistics` of the clusters without missing values, None where there are none."""
        return next((getattr(term, "data", None) for term in self.terms if term.sizes is not None), None)

    @property
    def saturated(self) -> bool:
        return all(term.saturated for term in self.terms)

    @property
    def rough(self) -> bool:
        """Whether the scoring metric is the outer products of scores of a likelihood that is an integral."""
        return any(term.own_scores for term in self.terms)

    @property
    def expected(self) -> bool:
        return all(term.expected for term in self.terms)

    @property
    def curved(self) -> int:
        return sum(term.curved for term in self.terms)

    @property
    def pooling(self) -> bool:
        """Whether the pools hold fewer sizes than there are, so that the scoring metric is not the expected information."""
        return self.pools is not None and any(
            term.sizes is None or np.shape(term.sizes.size)[-1] > np.shape(self.pools.size)[-1] for term in self.terms
        )

    @property
    def many_sizes(self) -> bool:
        """Whether sums over the distinct sizes cost more than the pools."""
        return self.pools is not None and any(
            term.sizes is not None and np.shape(term.sizes.size)[-1] > np.shape(self.pools.size)[-1]
            for term in self.terms
        )

    @property
    def lane_mark(self) -> Array:
        """An array with one axis in statistics of one data set; with two they lead with a lane axis."""
        return self.terms[0].lane_mark

    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        return sum(term.n_values(between_only) for term in self.terms)

    def cluster_sizes(self) -> ClusterSizes:
        """Sizes of all clusters of all terms."""
        parts = [term.cluster_sizes() for term in self.terms]
        return ClusterSizes(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("group", "size", "count")))


def only_data(statistics: Statistics, kind: type) -> Any:
    """The data of the only term if it is of this kind, else None: for closed forms that exist for one kind of data."""
    terms = statistics.terms
    return getattr(terms[0], "data", None) if len(terms) == 1 and isinstance(terms[0], kind) else None


def first_data(statistics: Statistics, kind: type) -> Any:
    """The data of the first term of this kind, None where there is none: for what describes data of one kind."""
    return next((getattr(term, "data", None) for term in statistics.terms if isinstance(term, kind)), None)
