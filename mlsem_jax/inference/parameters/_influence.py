"""Influence of clusters and rows on the estimates: exact derivatives in weights, one-step and exact deletion.

The estimates maximise sum_j w_j log L_j, so by the implicit function theorem d theta / d w_j = I^-1 s_j at w = 1, with s_j the
score of cluster j (Cook 1986; Giordano et al. 2019). Summed squares of these derivatives are the sandwich: the infinitesimal
jackknife is the cluster-robust covariance matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, ModelError
from mlsem_jax._status import Status
from mlsem_jax.estimation import Estimation, fit_batch
from mlsem_jax.inference.parameters._quantities import Quantity, estimated
from mlsem_jax.inference.variance import (
    information,
    invert,
    refuse_constraints,
    refuse_limited,
    scores,
    weighted_clusters,
)
from mlsem_jax.likelihood import cluster_scores
from mlsem_jax.models import Structure
from mlsem_jax.numerics import float64
from mlsem_jax.observed import ClusterStatistics

# units that are left out one by one with a fit each, at most: their weights are a matrix
MOST = 20_000


@dataclass(frozen=True)
class Influence:
    """Influence of every cluster. names (r,): of parameters, then of `:=` quantities, or of the quantity asked for;
    ids (J,).

    derivative (J, r): of the estimates in the cluster's weight; minus it is the infinitesimal change when the cluster goes.
    one_step (J, r): change of the estimates after one Newton step without the cluster. deleted (J, r): exact change, NaN where the
    model could not be fitted without it, or None. cook (J,): s_j' I^-1 s_j / q, a Cook-like distance. se (r,): of the
    infinitesimal jackknife, equal to cluster-robust ones. rows (N, r): derivative in the weight of each row, or None; row_index:
    the data's labels of the rows. unit: "row" where, at one level without clusters, each row is what is here called a cluster.
    """

    names: tuple[str, ...]
    ids: np.ndarray
    derivative: np.ndarray
    one_step: np.ndarray
    deleted: np.ndarray | None
    cook: np.ndarray
    se: np.ndarray
    rows: np.ndarray | None
    row_index: Any
    unit: str = "cluster"


def _values(estimation: Estimation, quantity: Quantity, theta: np.ndarray) -> np.ndarray:
    """Values (n, r) of a quantity at each theta (n, q)."""
    natural = estimation.model.build.natural(theta)
    return np.stack([quantity.value(point) for point in natural])


@float64
def influence(
    estimation: Estimation, exact: bool = False, rows: bool = False, quantity: Quantity | None = None
) -> Influence:
    """Influence of every cluster on every estimate; exact=True also refits without each cluster, rows=True goes by row too.

    quantity: what the influence is on (default: natural parameters and `:=` quantities).
    """
    refuse_limited(estimation, "There is no influence by cluster")
    model = estimation.model
    quantity = estimated(model.build) if quantity is None else quantity
    jacobian = _in_theta(estimation, quantity)
    total = information(model, estimation, "observed")
    bread, s = invert(total, model.maximum.jacobian), scores(model, estimation)
    by_theta = s @ bread
    derivative = by_theta @ jacobian.T
    return Influence(
        names=quantity.names,
        ids=estimation.data.cluster_ids,
        derivative=derivative,
        one_step=_one_step(estimation, total, s) @ jacobian.T,
        deleted=_deleted(estimation, quantity) if exact else None,
        cook=np.einsum("jq,jq->j", s, by_theta) / max(s.shape[1], 1),
        se=np.sqrt(np.sum(derivative**2, axis=0)),
        rows=_by_row(estimation, bread) @ jacobian.T if rows else None,
        row_index=estimation.data.row_index,
        unit=unit_of(estimation),
    )


def unit_of(estimation: Estimation) -> str:
    """What scores are of and what is drawn: "cluster", or "row" in models of one level without clusters."""
    return "cluster" if estimation.data.clustered else "row"


def _in_theta(estimation: Estimation, quantity: Quantity) -> np.ndarray:
    """Derivatives (r, q) of a quantity in theta at the estimates."""
    model = estimation.model
    return quantity.jacobian(model.natural) @ model.build.basis


@float64
def derivatives(estimation: Estimation, quantity: Quantity) -> np.ndarray:
    """`Influence.derivative` (J, r) alone."""
    model = estimation.model
    bread = invert(information(model, estimation, "observed"), model.maximum.jacobian)
    return scores(model, estimation) @ bread @ _in_theta(estimation, quantity).T


@jax.jit
def _cluster_informations(structure: Structure, theta, clusters: ClusterStatistics):
    """Observed information (J, q, q) in every cluster."""

    def one(cluster):
        single = jax.tree.map(lambda x: x[None], cluster)
        return -jax.jacfwd(lambda t: cluster_scores(structure, t, single)[1][0])(theta)

    return jax.lax.map(one, clusters, batch_size=64)


def _one_step(estimation: Estimation, total: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Change (J, q) of theta by one Newton step on the likelihood without the cluster: -(I - I_j)^-1 s_j.

    Where the information in a cluster of its own is not at hand (missing values, random slopes), its score's outer product.
    """
    model, reduction = estimation.model, estimation.reduction
    inside = s[:, :, None] * s[:, None, :]
    if reduction.clusters is not None:
        own = _cluster_informations(model.problem.structure, model.theta, reduction.clusters)
        often = estimation.data.cluster_weights[reduction.complete_codes]
        inside[reduction.complete_codes] = often[:, None, None] * np.asarray(own)
    jacobian = model.maximum.jacobian
    return -np.stack([invert(total - part, jacobian) @ score for part, score in zip(inside, s, strict=True)])


def _deleted(estimation: Estimation, quantity: Quantity) -> np.ndarray:
    refuse_constraints(estimation, "Leaving clusters out")
    model = estimation.model
    count = estimation.data.nclusters
    if count > MOST:
        raise ModelError(
            f"exact=True would refit the model {count} times, once without each {unit_of(estimation)}; at most {MOST} times are "
            "done. `one_step` is close to it, at no cost."
        )
    end = fit_batch(
        model.build.structure,
        weighted_clusters(estimation),
        model.theta,
        weights=np.ones((count, count)) - np.eye(count),
    )
    # statuses that the full data have too (an improper solution) are no failure
    changed = _values(estimation, quantity, end.theta) - quantity.value(model.natural)
    return np.where(np.isin(end.status, [c for c in Status if c.converged])[:, None], changed, np.nan)


@jax.jit
def _row_scores(structure: Structure, theta, clusters: ClusterStatistics, which, values):
    """Derivative (N, q) of each row's cluster score in the weight of the row, all weights 1."""

    def one(j, row):
        cluster = jax.tree.map(lambda x: x[j], clusters)
        deviation = row - cluster.mean
        # a row of weight w adds w to the size, moves the mean by w (y - mean) / n and adds w (y - mean)(y - mean)'
        change = (jnp.ones(()), deviation / cluster.size, deviation[:, None] * deviation[None, :])

        def score(size, mean, cross):
            single = ClusterStatistics(cluster.group[None], size[None], mean[None], cross[None])
            return cluster_scores(structure, theta, single)[1][0]

        return jax.jvp(score, (cluster.size, cluster.mean, cluster.cross), change)[1]

    return jax.lax.map(lambda inputs: one(*inputs), (which, values), batch_size=256)


def _by_row(estimation: Estimation, bread: np.ndarray) -> np.ndarray:
    if not estimation.data.has_rows:
        raise DataError("Influence by row needs the rows, which a fit read from a file does not hold: fit again.")
    if len(estimation.reduction.pattern_codes):
        raise DataError("Influence by row is for data without missing values and models without random slopes.")
    model, data = estimation.model, estimation.data
    out = _row_scores(
        model.problem.structure, model.theta, estimation.clusters, jnp.asarray(data.cluster), jnp.asarray(data.values)
    )
    return np.asarray(out) @ bread
