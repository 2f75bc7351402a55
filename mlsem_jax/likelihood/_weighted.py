"""A data set as clusters that weights count: statistics of a bootstrap draw, or with a cluster left out, without the rows."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record, static
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.likelihood._complete_term import CompleteTerm
from mlsem_jax.likelihood._pattern_term import PatternTerm
from mlsem_jax.likelihood._term import Statistics, Term
from mlsem_jax.observed import (
    ClusterStatistics,
    CompleteStatistics,
    PatternStatistics,
    Plan,
    pooled,
    weighted_complete,
    weighted_patterns,
    weighted_pools,
    weighted_rows,
)


def weighted_statistics(clusters: ClusterStatistics, plan: Plan, weights: Float[Array, " J"]) -> Statistics:
    """Statistics in which cluster j counts weights[j] times; traceable in everything but the plan."""
    complete = weighted_complete(clusters, plan, weights)
    return Statistics((CompleteTerm(complete),), pooled(complete.size, complete.count, plan))


class WeightedClusters(Record):
    """A data set by clusters, from which weights on clusters make statistics.

    clusters and plan: those without missing values, numbered complete_codes; patterns (by pair): the others, numbered
    pattern_codes. sizes: plan of all clusters, for the scoring metric; None with random slopes.
    single: there is one level, and the rows of the clusters are what counts; mean (G, p): what a model without mean structure
    holds. base (J,): weights that the clusters have by design, which other weights multiply.
    """

    clusters: ClusterStatistics | None
    plan: Plan | None
    complete_codes: Int[Array, " Jc"]
    patterns: PatternStatistics | None
    pattern_codes: Int[Array, " Jp"]
    sizes: Plan | None
    single: bool = static(default=False)
    mean: Float[Array, "G p"] | None = None
    base: Float[Array, " J"] | None = None

    def __call__(self, weights: Float[Array, " J"]) -> Statistics:
        """Statistics in which cluster j counts weights[j] times."""
        weights = weights if self.base is None else weights * self.base
        terms: list[Term] = []
        if self.clusters is not None and self.plan is not None:
            terms.append(CompleteTerm(self._complete(weights[self.complete_codes])))
        if self.patterns is not None:
            terms.append(PatternTerm(weighted_patterns(self.patterns, weights[self.pattern_codes])))
        return Statistics(tuple(terms), None if self.sizes is None else weighted_pools(self.sizes, weights))

    def _complete(self, weights: Float[Array, " Jc"]) -> CompleteStatistics:
        assert self.clusters is not None
        assert self.plan is not None
        if not self.single:
            return weighted_complete(self.clusters, self.plan, weights)
        found = weighted_rows(self.clusters, self.plan.size.shape[0], weights)
        return found if self.mean is None else moved(found, self.mean)


def moved(statistics: CompleteStatistics, mean: Float[Array, "G p"]) -> CompleteStatistics:
    """Statistics of one level as if the data were moved to this mean: what a model without mean structure, which holds the means,
    needs of other data than those that it was made with.
    """
    rows = statistics.count * statistics.size
    own = jnp.einsum("gs,gsp->gp", rows, statistics.mean) / jnp.sum(rows, axis=1)[:, None]
    return replace(statistics, mean=statistics.mean + (mean - own)[:, None])


def reordered(statistics: Statistics, order: np.ndarray) -> Statistics:
    """Complete statistics (with or without leading axes) of the variables number `order` (p',) of these, in that order: what a
    model of the same variables in another order, or of some of them, needs.
    """
    complete = statistics.complete
    assert complete is not None, "statistics of complete data"
    within, cov = complete.within[..., order, :][..., order], complete.cov[..., order, :][..., order]
    data = replace(complete, within=within, cov=cov, mean=complete.mean[..., order])
    return replace(statistics, terms=(CompleteTerm(data), *statistics.terms[1:]))
