"""Standard errors and scaled chi-squares by the scores of clusters, for a batch of complete data sets: estimators MLR and MLF."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._block_files import Block
from mlsem_jax._typing import Array, Float
from mlsem_jax.estimation import Estimate, Model, Rows, fit_unrestricted
from mlsem_jax.inference import invert
from mlsem_jax.likelihood import Statistics, cluster_scores, observed_information
from mlsem_jax.models import Structure
from mlsem_jax.observed import traced_clusters
from mlsem_jax.studies._montecarlo import padded_count, quantities_by_covariance
from mlsem_jax.studies._montecarlo_study import CONVERGED

# lanes at a time: their clusters' scores are in memory together
TOGETHER = 16


def by_scores(
    model: Model, rows: Rows, stats: Statistics, end: Estimate, found: Block, estimator: str, chisq: bool
) -> Block:
    """What `fitted_block` found, with the standard errors of an estimator and, where asked for, its test of the model.

    MLR: A^-1 B A^-1 with A the observed information and B the outer products of the scores of clusters, in one level of rows, and
    the likelihood ratio divided by its scaling factor (Asparouhov & Muthen 2005; NaN where that is not positive). MLF: B^-1, and
    the likelihood ratio as it is. rows: in the order of the model's variables, for the data sets of `stats` or more.
    """
    good = np.isin(end.status, CONVERGED)
    single = model.labels.specification.single
    meat = _products(model.structure, end.theta, rows, single)
    covariance = np.full_like(meat, np.nan)
    for i in np.flatnonzero(good):
        bread = invert(meat[i] if estimator == "MLF" else end.information[i])
        covariance[i] = bread if estimator == "MLF" else bread @ meat[i] @ bread
    se = quantities_by_covariance(model, *(_padded(x) for x in (end.theta, covariance)))[1]
    out = found | {"se": np.where(good[:, None], np.asarray(se)[: len(good)], np.nan)}
    return out | ({"chisq": _chi_squares(model, rows, stats, end, meat, estimator)} if chisq else {})


def _chi_squares(
    model: Model, rows: Rows, stats: Statistics, end: Estimate, meat: np.ndarray, estimator: str
) -> np.ndarray:
    """(B,) tests against the unrestricted model; NaN where one of the two has no maximum."""
    assert model.saturated is not None  # chisq is asked for
    h1 = fit_unrestricted(model.saturated, stats)
    tested = np.isin(end.status, CONVERGED) & h1.converged
    chi = np.where(tested, 2 * np.maximum(h1.value - end.value, 0.0), np.nan)
    if estimator == "MLF" or not model.df:
        return chi
    meat1 = _products(model.saturated, h1.theta, rows, model.labels.specification.single)
    bread1 = np.asarray(_observed(model.saturated, _padded(h1.theta), jax.tree.map(_padded, stats)))
    for i in np.flatnonzero(tested):
        own = np.sum(invert(end.information[i]) * meat[i])
        factor = (np.sum(invert(bread1[i]) * meat1[i]) - own) / model.df
        chi[i] = chi[i] / factor if factor > 0 else np.nan
    return chi


def _products(structure: Structure, theta: np.ndarray, rows: Rows, single: bool) -> np.ndarray:
    """Outer products (B, q, q) of scores, summed over the independent units of every data set: clusters, in one level rows."""
    unit = np.arange(len(rows.cluster)) if single else rows.cluster
    group = rows.group[rows.cluster] if single else rows.group
    padded = _padded(theta)
    lanes = np.minimum(np.arange(len(padded)), len(theta) - 1)
    found = _outer_products(structure, padded, jnp.asarray(rows.values)[lanes], unit, group, np.bincount(unit))
    return np.asarray(found)[: len(theta)]


@jax.jit
def _outer_products(
    structure: Structure, theta: Float[Array, "B q"], values: Float[Array, "B N p"], unit: Any, group: Any, size: Any
) -> Float[Array, "B q q"]:
    def one(lane):
        score = cluster_scores(structure, lane[0], traced_clusters(lane[1], unit, group, size))[1]
        return score.T @ score

    return jax.lax.map(one, (theta, values), batch_size=TOGETHER)


@jax.jit
def _observed(structure: Structure, theta: Float[Array, "B q"], stats: Statistics) -> Float[Array, "B q q"]:
    return jax.lax.map(lambda lane: observed_information(structure, *lane), (theta, stats), batch_size=TOGETHER)


def _padded(x: Any) -> np.ndarray:
    """The last lane repeated up to the number of lanes that programs are compiled for."""
    x = np.asarray(x)
    return x[np.minimum(np.arange(padded_count(len(x))), len(x) - 1)]
