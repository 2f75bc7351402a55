"""Data sets for the bootstrap: weights on clusters or drawn statistics, never rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._record import Record
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import BatchMaximum, Estimation, fit_batch
from mlsem_jax.inference.variance._clusters import held_means, weighted_clusters
from mlsem_jax.likelihood import CompleteTerm, Statistics, WeightedClusters, moved
from mlsem_jax.models import Build, Moments, Structure
from mlsem_jax.observed import ClusterStatistics, Plan, draw_statistics, plan_sizes, pooled
from mlsem_jax.ordinal import WeightedOrdinal

# a draw that takes more iterations has no maximum nearby: a loading that runs off, as a rule
ITERATIONS = 100


class Resampler(Record):
    """What data sets are drawn from, without the rows: it can be sent to other processes. source: clusters to draw among, with the
    order (J,) in which they are drawn, the first cluster and the number of clusters of each one's group; or moments to draw
    statistics from, with the clusters' plan and how many there are of each size. unit (C,): what is drawn for each cluster of the
    source, where several are drawn together; mean (G, p): what drawn data are moved to, where the model holds the means. often
    (C,): how often each drawn unit counts (default: once).
    """

    source: WeightedClusters | WeightedOrdinal | None = None
    order: np.ndarray | None = None
    first: np.ndarray | None = None
    count: np.ndarray | None = None
    moments: Moments | None = None
    plan: Plan | None = None
    unit: np.ndarray | None = None
    mean: np.ndarray | None = None
    often: np.ndarray | None = None

    def lanes(self, key: Any, n: int, start: int = 0) -> dict[str, Any]:
        """Statistics and weights of data sets start, start + 1, ... for `fit_batch`; data set i depends on the key and i alone."""
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(start + jnp.arange(n))
        if self.source is None:
            return {"statistics": jax.tree.map(np.asarray, _draw(keys, self.moments, self.plan, self.count, self.mean))}
        weights = np.asarray(_weights(keys, self.order, self.first, self.count, self.often))
        return {"statistics": self.source, "weights": weights if self.unit is None else weights[:, self.unit]}

    def search(
        self, structure: Structure, theta: np.ndarray, lanes: dict[str, Any], ordered: Ordered | None, **more: Any
    ) -> BatchMaximum:
        """The maxima of data sets from theta (q,): one search each. Of ordered variables (`ordered_of`) one that ends without a
        maximum is searched again by what a single fit tries, which keeps variances that tend to zero off it.
        """
        end = fit_batch(structure, theta0=theta, iterations=ITERATIONS, **lanes, **more)
        if ordered is None or not isinstance(self.source, WeightedOrdinal):
            return end
        from mlsem_jax.estimation import ordinal_again  # with the JAX layer, which a fit does not import

        source, (built, link) = self.source, ordered

        def lane(i: int) -> Any:
            return jax.tree.map(np.asarray, source(lanes["weights"][i]))

        return ordinal_again(built, lane, theta, link, end)[0]


# a build of ordered variables and its link
Ordered = tuple[Build, str]


def ordered_of(estimation: Estimation) -> Ordered | None:
    """What `Resampler.search` needs of a fit of ordered variables; None of others."""
    model = estimation.model
    return (model.build, estimation.options.link) if model.build.specification.ordered else None


def resampled(estimation: Estimation, n: int, key: Any, type: str) -> dict[str, Any]:
    """The statistics and weights that make n data sets, for `fit_batch`. key: of jax.random; draw i depends on it and i alone."""
    return resampler(estimation, type).lanes(key, n)


def resampler(estimation: Estimation, type: str) -> Resampler:
    """What the draws of a bootstrap of this type are made of. Clusters are drawn within groups; with strata n_h - 1 of the n_h of
    each, which then count n_h / (n_h - 1) times (Rao & Wu 1988).
    """
    if type != "nonparametric" and estimation.data.survey is not None:
        raise ModelError(
            f"type={type!r} draws from the model, which knows nothing of weights and strata. Use type='nonparametric'."
        )
    if type == "parametric":
        return _parametric(estimation)
    source = weighted_clusters(estimation)
    if type == "bollen.stine":
        if not isinstance(source, WeightedClusters) or source.patterns is not None:
            raise ModelError("type='bollen.stine' is for data without missing values and models without random slopes.")
        if estimation.clusters is None or estimation.h1 is None:
            raise ModelError("type='bollen.stine' needs the unrestricted model: fit with h1=True.")
        moments = estimation.h1.moments, estimation.model.moments
        source = replace(source, clusters=transformed(estimation.clusters, *moments))
    data = estimation.data
    unit, group = data.independent, np.asarray(data.group)
    if unit.max() + 1 < len(unit):  # clusters that lie in several groups are drawn whole
        group = np.zeros(unit.max() + 1, int)
    if data.survey is not None and data.survey.strata is not None:
        strata = np.zeros(len(group), int)
        strata[unit] = data.survey.strata
        group = np.unique(np.stack([group, strata]), axis=1, return_inverse=True)[1].ravel()
    order = np.argsort(group, kind="stable")
    count = np.bincount(group)[group[order]]
    whole = None if len(unit) == len(group) else unit
    first = np.searchsorted(group[order], group[order])
    return Resampler(source, order, first, count, unit=whole, often=_often(data, order, first, count))


def _often(data: TwoLevelData, order: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray | None:
    """How often (U,) each drawn unit counts, in the order of drawing; None: once."""
    if data.survey is None or data.survey.strata is None:
        return None
    # the first of each stratum is not drawn; a stratum of one unit is
    last = (np.arange(len(order)) == first) & (count > 1)
    return np.where(last, 0.0, count / np.maximum(count - 1, 1))


@jax.jit
def _weights(keys, order, first, count, often=None):
    """How often each cluster is drawn (B, J), as many per group as it has. Clusters are drawn in the order of their groups."""
    clusters = len(order)
    often = jnp.ones(clusters) if often is None else often

    def one(key):
        chosen = first + jnp.floor(jax.random.uniform(key, (clusters,)) * count).astype(int)
        return jax.ops.segment_sum(often, order[chosen], clusters)

    return jax.vmap(one)(keys)


@jax.jit
def _draw(keys, moments: Moments, plan: Plan, count, mean):
    def one(key):
        complete = draw_statistics(key, moments.within_cov, moments.between_cov, moments.mean, plan.size, count)
        complete = complete if mean is None else moved(complete, mean)
        return Statistics((CompleteTerm(complete),), pooled(complete.size, complete.count, plan))

    return jax.vmap(one)(keys)


def _parametric(estimation: Estimation) -> Resampler:
    if estimation.model.build.specification.ordered:
        raise ModelError("type='parametric' is for continuous variables; use type='nonparametric'.")
    if len(estimation.reduction.pattern_codes):
        raise ModelError("type='parametric' is for data without missing values and models without random slopes.")
    data = estimation.data
    if data.single:  # what lies in a cluster is independent in the model, so that rows are drawn
        plan = plan_sizes(np.ones(len(data.cluster)), data.group[data.cluster], data.ngroups)
    else:
        plan = plan_sizes(np.bincount(data.cluster, minlength=data.nclusters), data.group, data.ngroups)
    shape = plan.size.shape
    count = np.bincount(plan.slot, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    mean = held_means(estimation)
    moments = jax.tree.map(np.asarray, estimation.model.moments)
    moments = moments.without(estimation.model.build.specification.absent)
    return Resampler(count=count, moments=moments, plan=plan, mean=None if mean is None else np.asarray(mean))


def transformed(clusters: ClusterStatistics, h1: Moments, model: Moments) -> ClusterStatistics:
    """Cluster statistics of data with the unrestricted moments replaced by the model's (Bollen & Stine 1992), size by size."""
    mean, cross = np.array(clusters.mean), np.array(clusters.cross)
    for g in range(model.mean.shape[0]):
        here = np.asarray(clusters.group) == g
        within = _exchange(h1.within_cov[g], model.within_cov[g])
        cross[here] = within @ cross[here] @ within.T
        for n in np.unique(np.asarray(clusters.size)[here]):
            some = here & (np.asarray(clusters.size) == n)
            a = _exchange(h1.between_cov[g] + h1.within_cov[g] / n, model.between_cov[g] + model.within_cov[g] / n)
            mean[some] = model.mean[g] + (mean[some] - h1.mean[g]) @ a.T
    return ClusterStatistics(clusters.group, clusters.size, mean, cross)


def _exchange(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A with A old A' = new; variables without variance stay as they are."""
    out, exists = np.eye(len(old)), np.flatnonzero((np.diag(old) > 0) & (np.diag(new) > 0))
    at = np.ix_(exists, exists)
    left, right = np.linalg.cholesky(new[at]), np.linalg.cholesky(old[at])
    out[at] = np.linalg.solve(right.T, left.T).T
    return out
