"""What a survey design makes of the variance of the estimates: scores by stratum, and replicate weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import jax
import numpy as np

from mlsem_jax._errors import ConvergenceWarning, ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.data import Survey, TwoLevelData
from mlsem_jax.estimation import (
    Estimation,
    Maximum,
    fit_batch,
    fit_build,
    is_maximum,
    make_statistics,
    maxima_nearby,
)
from mlsem_jax.inference.variance._clusters import beyond_linear, weighted_clusters
from mlsem_jax.numerics import float64

# a replicate that takes more iterations has no maximum nearby
ITERATIONS = 100


def stratified(scores: np.ndarray, strata: np.ndarray, empty: np.ndarray, adjust: bool) -> np.ndarray:
    """Scores (U, q) of units about the mean of their stratum, times the root of n_h / (n_h - 1), so that their outer products sum
    to the variance of the total under sampling with replacement within strata (Cochran 1977, section 5).

    strata (U,): codes; empty (H,): units of each stratum that have no row and so a score of zero. adjust: a stratum of one unit
    is taken about the mean of all units; it is an error elsewhere.
    """
    count = np.bincount(strata, minlength=len(empty)) + empty
    known = np.concatenate([scores, np.zeros((int(empty.sum()), scores.shape[1]))])
    of = np.concatenate([strata, np.repeat(np.arange(len(empty)), empty.astype(int))])
    total = np.zeros((len(empty), scores.shape[1]))
    np.add.at(total, of, known)
    mean = total / np.maximum(count, 1)[:, None]
    if adjust:
        mean[count == 1] = total.sum(axis=0) / count.sum()
    factor = np.where(count > 1, count / np.maximum(count - 1, 1), 1.0)
    return (known - mean[of]) * np.sqrt(factor)[of, None]


def by_design(scores: np.ndarray, data: TwoLevelData) -> np.ndarray:
    """Scores (J, q) of clusters, or of rows, as those of independent units whose outer products sum to the variance of the score.

    Strata: see `stratified`. Without them two-level models and rows take the scores as they are, and clusters of one level times
    the root of J / (J - 1), in each group for itself unless clusters lie in several: then scores sum over groups.
    """
    unit, survey, whole = data.independent, data.survey, scores
    crossed = unit.max() + 1 < len(unit)
    if crossed:
        whole = np.zeros((unit.max() + 1, scores.shape[1]))
        np.add.at(whole, unit, scores)
    if survey is not None and survey.strata is not None and survey.empty is not None:
        strata = np.zeros(len(whole), int)
        strata[unit] = survey.strata
        return stratified(whole, strata, survey.empty, survey.columns.lonely == "adjust")
    if not (data.single and data.clustered):
        return whole
    empty = np.zeros(data.ngroups) if survey is None or survey.empty is None else survey.empty
    if crossed:
        count = len(whole) + empty.sum()
        return whole * np.sqrt(count / (count - 1))
    clusters = (np.bincount(data.group, minlength=data.ngroups) + empty)[data.group]
    return whole * np.sqrt(clusters / np.maximum(clusters - 1, 1.0))[:, None]


def replicate_factor(survey: Survey, count: int) -> float:
    """c of V = c sum (theta_r - theta)(theta_r - theta)' for `count` replicates: BRR 1 / R, Fay 1 / (R (1 - fay)^2), JK1
    (R - 1) / R, JK2 1, bootstrap 1 / R (Wolter 2007).
    """
    columns = survey.columns
    return {
        "BRR": 1 / count,
        "Fay": 1 / (count * (1 - columns.fay) ** 2),
        "JK1": (count - 1) / count,
        "JK2": 1.0,
        "bootstrap": 1 / count,
    }[columns.replicate_type]


@dataclass(frozen=True, eq=False)
class Replicates:
    """theta (R, q) and status (R,) of the model refitted with each replicate weight; names (R,) the columns."""

    theta: np.ndarray
    status: np.ndarray
    names: tuple[str, ...]

    @property
    def usable(self) -> np.ndarray:
        return np.asarray(is_maximum(self.status))


def replicates(estimation: Estimation) -> Replicates:
    """The fits with each replicate weight, computed once for an estimation and kept with it."""
    kept = estimation.derived
    if "replicates" not in kept:
        kept["replicates"] = _refitted(estimation)
    return kept["replicates"]


def replicate_covariance(estimation: Estimation) -> np.ndarray:
    """Covariance (q, q) of theta by replicate weights, about the full-sample estimate; NaN for a fit that did not converge.

    Replicates that have no maximum are left out, and named in a warning; c counts the others alone.
    """
    q = estimation.model.problem.q
    survey = estimation.data.survey
    if not estimation.model.maximum.status.converged:
        return np.full((q, q), np.nan)
    if survey is None or not survey.columns.replicate_weights:
        raise ModelError("se='replicates' needs replicate weights: name their columns with replicate_weights=.")
    found = replicates(estimation)
    good = found.usable
    if good.sum() < 1 or good.sum() < len(good) / 2:
        raise ModelError(
            f"Only {good.sum()} of {len(good)} replicates have a maximum, too few for standard errors. Check the columns "
            f"{listing(found.names[i] for i in np.flatnonzero(~good))}, or use se='robust.huber.white'."
        )
    if not good.all():
        bad = np.flatnonzero(~good)
        warnings.warn(
            f"{len(bad)} of {len(good)} replicates have no maximum and are left out of the standard errors: "
            f"{listing(f'{found.names[i]} ({Status(int(found.status[i])).name})' for i in bad)}. The factor of the variance counts "
            f"the other {good.sum()}.",
            ConvergenceWarning,
            stacklevel=6,
        )
    distance = found.theta[good] - estimation.model.theta
    return replicate_factor(survey, int(good.sum())) * distance.T @ distance


@float64
def _refitted(estimation: Estimation) -> Replicates:
    survey = estimation.data.survey
    assert survey is not None
    names = survey.columns.replicate_weights
    if survey.unit_replicates is not None and not beyond_linear(estimation):
        theta, status = _of_units(estimation, survey.unit_replicates)
        return Replicates(theta, status, names)
    ends = [_with_weights(estimation, r) for r in range(len(names))]
    return Replicates(np.array([e.theta for e in ends]), np.array([int(e.status) for e in ends]), names)


def _of_units(estimation: Estimation, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """theta (R, q) and status (R,) with the weights (R, J) of units: by steps from the full sample's maximum, and where that does
    not come to an end, or the replicate may leave parameters open, by a search like that of any batch.
    """
    model, clusters = estimation.model, weighted_clusters(estimation)
    theta = np.tile(model.theta, (len(weights), 1))
    status = np.full(len(weights), int(Status.CONVERGED))
    near = _same_support(estimation, weights)
    if clusters.patterns is not None:  # which patterns of missing values are left may decide what is identified
        near &= np.all(weights > 0, axis=1)
    if near.any():
        known = model.maximum.observed
        information = model.problem.observed(model.theta) if known is None else known
        theta[near], near[near] = maxima_nearby(
            model.build.structure, clusters, weights[near], model.theta, information
        )
    if not near.all():
        end = fit_batch(
            model.build.structure,
            statistics=clusters,
            weights=weights[~near],
            theta0=model.theta,
            iterations=ITERATIONS,
        )
        # what a lane says nothing of (a group that its weights leave out) stays where it is, which is no estimate
        silent = np.any(np.diagonal(end.information, axis1=1, axis2=2) <= 0, axis=1) & end.converged
        theta[~near], status[~near] = end.theta, np.where(silent, int(Status.NOT_IDENTIFIED), end.status)
    return theta, status


def _same_support(estimation: Estimation, weights: np.ndarray) -> np.ndarray:
    """(R,) whether every group keeps rows, and with two levels clusters of several rows, by the weights (R, J): with complete data
    what the full sample identifies is identified then.
    """
    data = estimation.data
    size = np.bincount(data.cluster, data.row_weights, data.nclusters)
    counts = size > (0 if data.single else 1)
    groups = data.group == np.arange(data.ngroups)[:, None]
    return np.all((weights > 0) @ (groups & counts).T, axis=1)


def _with_weights(estimation: Estimation, r: int) -> Maximum:
    """The maximum with replicate weight r, from the full sample's: one replicate's statistics are in memory at a time."""
    data, survey, model = estimation.data, estimation.data.survey, estimation.model
    assert survey is not None
    if survey.unit_replicates is not None:
        statistics = jax.tree.map(np.asarray, weighted_clusters(estimation)(survey.unit_replicates[r]))
        sample = estimation.reduction.sample
    else:
        assert survey.row_replicates is not None
        rows = survey.row_replicates[r]
        part = data.some_rows(rows > 0, replace(survey, rows=rows))
        reduction = make_statistics(model.build.specification, part)
        statistics, sample = reduction.statistics, reduction.sample
    return fit_build(model.build, statistics, sample, start=model.natural, options=estimation.options).maximum
