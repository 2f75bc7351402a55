"""Cluster scores are exact; lavaan's leave a path out, and its robust covariances with them.

Where a covariate of level 1 has a mean that is not zero, the mean of an outcome y_k is
nu_k + lambda_k * sum_l beta_l * mean(x_l) + ..., so a cluster's score for beta_l and lambda_k has a part that goes through the
means. lavaan 0.7 leaves that part out of its cluster scores (it sums to zero over clusters, so that its estimates and its
ordinary standard errors are right). This file shows both: ours equal the numerical derivatives of the dense likelihood of each
cluster, and lavaan's printed covariance matrix is what comes out when the path is taken from our scores on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path

import dense
import numpy as np
import pandas as pd
import pytest
from lavaan_scores import without_path_through_means

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.estimation import Estimation
from mlsem_jax.numerics import float64

OUTCOMES, COVARIATES = ("y1", "y2", "y3"), ("x1", "x2", "x3")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def case(demo_folder: Path) -> dict:
    return json.loads((demo_folder.parent / "mlr-demo" / "case.json").read_text())


@pytest.fixture(scope="module")
def fit(case: dict, demo: pd.DataFrame) -> ml.Fit:
    fitted = ml.sem(case["model"], demo, cluster="cluster", estimator="MLR")
    assert fitted.converged
    return fitted


def labelled_scores(estimation: Estimation) -> pd.DataFrame:
    """Scores (J, q) under the names of the parameters."""
    return pd.DataFrame(inference.scores(estimation.model, estimation), columns=estimation.model.build.names)


@float64
def dense_log_likelihoods(estimation: Estimation, theta: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    data = estimation.data
    populations = dense.populations(estimation.model.problem.moments(theta))
    out = []
    for j in chosen:
        rows = data.values[data.cluster == j]
        normal = dense.cluster_normal(populations[data.group[j]], rows, np.asarray(data.between_only, bool))
        out.append(dense.normal_log_density(*normal))
    return np.array(out)


def test_scores_are_the_derivatives_of_each_clusters_dense_likelihood(fit):
    """Twelve of the clusters, the largest and the smallest among them; fourth-order differences are good to about 1e-8."""
    estimation = fit.estimation
    size = np.bincount(estimation.data.cluster)
    chosen = np.unique(np.concatenate([[size.argmin(), size.argmax()], np.arange(0, len(size), len(size) // 10)]))
    got = labelled_scores(estimation).to_numpy()
    want = dense.gradient_by_differences(
        lambda theta: dense_log_likelihoods(estimation, theta, chosen), estimation.model.theta, 1e-3
    )
    np.testing.assert_allclose(got[chosen], want, atol=1e-6)
    # at the maximum they sum to nothing: the search ends within 1e-6 of a standard error
    np.testing.assert_allclose(got.sum(0) / np.sqrt((got**2).sum(0)), 0.0, atol=1e-6)


def lavaans_scores(fit: ml.Fit) -> pd.DataFrame:
    ours = labelled_scores(fit.estimation)
    return pd.DataFrame(without_path_through_means(ours.to_numpy(), fit.estimation.model), columns=ours.columns)


def test_the_path_is_that_of_the_chain_rule(fit):
    """For this model by hand: beta_l through mean(x_l) lambda_k, lambda_k through sum_l beta_l mean(x_l), and nothing else."""
    ours, est = labelled_scores(fit.estimation), fit.coef()
    loading = np.array([est.get(f"fw=~{y}", 1.0) for y in OUTCOMES])
    slope = est[[f"fw~{x}" for x in COVARIATES]].to_numpy()
    mean = fit.implied()["within"]["mean"][list(COVARIATES)].to_numpy()
    intercept = ours[[f"{y}~1.l2" for y in OUTCOMES]].to_numpy()
    want = ours.copy()
    for x, m in zip(COVARIATES, mean, strict=True):
        want[f"fw~{x}"] -= m * (intercept @ loading)
    for k, y in enumerate(OUTCOMES[1:], start=1):
        want[f"fw=~{y}"] -= (mean @ slope) * intercept[:, k]
    np.testing.assert_allclose(lavaans_scores(fit), want, atol=1e-12)


def sandwich(scores: pd.DataFrame, estimation: Estimation) -> pd.DataFrame:
    bread = np.linalg.inv(inference.information(estimation.model, estimation, "observed"))
    s = scores.to_numpy()
    return pd.DataFrame(bread @ (s.T @ s) @ bread, scores.columns, scores.columns)


def printed(case: dict) -> pd.DataFrame:
    block = case["expected"]["vcov"]
    return pd.DataFrame(block["values"], block["names"], block["names"])


def test_lavaans_covariance_matrix_is_ours_without_the_path(fit, case):
    ours = labelled_scores(fit.estimation)
    want = printed(case)
    got = sandwich(lavaans_scores(fit), fit.estimation).loc[want.index, want.columns]
    exact = sandwich(ours, fit.estimation).loc[want.index, want.columns]
    se = np.sqrt(np.diag(want))
    # as correlations: lavaan's optimum and its numerical Hessian are good to some 1e-8
    off = ((got - want) / np.outer(se, se)).abs()
    assert off.to_numpy().max() < 1e-6
    # the element that the two differ in most
    place = "fw~x3", "y3~1.l2"
    assert abs(got.loc[place] - want.loc[place]) < 1e-10
    assert abs(exact.loc[place] - want.loc[place]) > 6e-6
    np.testing.assert_allclose(fit.vcov().loc[want.index, want.columns], exact, rtol=1e-9, atol=1e-14)


def test_standard_errors_do_not_depend_on_the_origin_of_a_covariate(fit, demo, case):
    """Ours are those of the model; lavaan's, without the path, are not: it is no matter of definition."""
    moved = demo.assign(x3=demo["x3"] + 2.0)
    again = ml.sem(case["model"], moved, cluster="cluster", estimator="MLR")
    names = [name for name in fit.coef().index if "~1" not in name]

    def change(matrix, other) -> float:
        se = np.sqrt(np.diag(matrix.loc[names, names]))
        return float(np.abs(np.sqrt(np.diag(other.loc[names, names])) / se - 1).max())

    assert change(fit.vcov(), again.vcov()) < 1e-7
    assert change(*(sandwich(lavaans_scores(f), f.estimation) for f in (fit, again))) > 1e-4
