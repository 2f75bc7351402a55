"""Influence of clusters and rows: exact derivatives against refits with changed weights, deletion, the jackknife."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny import MODEL, rows, tiny_fit

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import fit_batch
from mlsem_jax.inference.variance._clusters import weighted_clusters
from mlsem_jax.observed import ClusterStatistics, reduce

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def influence():
    return tiny_fit().influence(exact=True, rows=True)


def test_derivatives_in_the_weights_of_clusters(influence):
    """Central differences of maxima whose clusters weigh 1 - h and 1 + h."""
    model, step, clusters = tiny_fit().estimation.model, 1e-4, range(0, 60, 2)
    weights = np.ones((64, 60))
    for lane, j in enumerate(clusters):
        weights[lane, j], weights[lane + 30, j] = 1 + step, 1 - step
    theta = fit_batch(
        model.build.structure,
        weighted_clusters(tiny_fit().estimation),
        model.theta,
        weights=weights,
        decrement=1e-16,
    ).theta
    slope = (theta[:30] - theta[30:60]) / (2 * step)
    exact = influence.derivative.to_numpy()[list(clusters)]
    # maxima to about 1e-11 over a step of 2e-4
    np.testing.assert_allclose(exact[:, :14], slope, rtol=1e-6, atol=1e-7)
    a, b = influence.derivative["a"], influence.derivative["b"]
    estimate = tiny_fit().coef()
    np.testing.assert_allclose(influence.derivative["product"], a * estimate["b"] + b * estimate["a"], rtol=1e-9)


def test_derivatives_in_the_weights_of_rows(influence):
    """A row of weight 1 + h: the maximum moves along the derivative. Polished by Newton steps on the exact gradient."""
    fit = tiny_fit()
    problem, theta = fit.estimation.model.problem, fit.estimation.model.theta
    data, inverse = fit.estimation.data, np.linalg.inv(fit.estimation.model.maximum.information)
    gradient = jax.jit(likelihood.gradient)
    for row in (0, 100, 449):
        ends = []
        for step in (1e-4, -1e-4):
            end = theta.copy()
            with jax.enable_x64(True):
                complete = reduce(with_row_weight(data, row, 1 + step), 1)
                statistics = likelihood.Statistics((likelihood.CompleteTerm(complete),))
                for _ in range(4):
                    end = end + inverse @ np.asarray(gradient(problem.structure, end, statistics))
            ends.append(end)
        slope = (ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(influence.rows.iloc[row, :14], slope, rtol=1e-5, atol=1e-8)
    assert influence.rows.index.equals(data.row_index)


def with_row_weight(data, row: int, weight: float) -> ClusterStatistics:
    """Cluster statistics, by their definition, where one row counts `weight` times."""
    w = np.ones(len(data.values))
    w[row] = weight
    size, mean, cross = [], [], []
    for j in range(data.nclusters):
        here = data.cluster == j
        y, v = data.values[here], w[here]
        m = v @ y / v.sum()
        size, mean, cross = [*size, v.sum()], [*mean, m], [*cross, (y - m).T @ (v[:, None] * (y - m))]
    return ClusterStatistics(data.group, np.array(size), np.array(mean), np.array(cross))


def test_leaving_out_is_refitting(influence):
    frame = rows()
    for j in (3, 35):
        without = ml.sem(MODEL, frame[frame.g != j], cluster="g").coef() - tiny_fit().coef()
        np.testing.assert_allclose(influence.deleted.loc[j].iloc[:14], without, rtol=1e-6, atol=1e-8)


def test_one_step_comes_close_to_leaving_out(influence):
    """Its error is of second order in the influence: the largest change is 0.09, so 0.02 is about a quarter of it."""
    error = (influence.one_step - influence.deleted).abs().to_numpy()
    size = influence.deleted.abs().to_numpy()
    assert error.max() < 0.03
    assert error.mean() < 0.1 * size.mean()
    assert np.corrcoef((-influence.derivative).to_numpy().ravel(), influence.deleted.to_numpy().ravel())[0, 1] > 0.95


def test_the_infinitesimal_jackknife_is_the_cluster_robust_covariance(influence):
    robust = ml.sem(MODEL, rows(), cluster="g", estimator="MLR", h1=False, baseline=False)
    table = robust.parameter_estimates()
    product = table.loc[table.op == ":=", "se"].item()
    # the same sums in another order
    np.testing.assert_allclose(influence.se, [*np.sqrt(np.diag(robust.vcov())), product], rtol=1e-9)


def test_sums(influence):
    """Scores sum to zero at the maximum, so derivatives do, and rows do within clusters up to the cluster's own derivative."""
    scale = influence.derivative.abs().sum()
    assert (influence.derivative.sum().abs() < 1e-6 * scale).all()
    assert (influence.cook > 0).all()
    assert influence.cook.index[influence.cook.argmax()] == 35
    assert "35" in str(influence)


def test_a_wrong_cluster_stands_out():
    frame = rows()
    frame.loc[frame.g == 17, ["y1", "y2"]] += [6.0, -6.0]
    fit = ml.sem(MODEL, frame, cluster="g", h1=False, baseline=False)
    found = fit.influence()
    assert found.cook.idxmax() == 17
    with pytest.raises(ValueError, match="exact=True"):
        _ = found.deleted
    with pytest.raises(ValueError, match="rows=True"):
        _ = found.rows


def test_a_fit_from_a_file(tmp_path):
    saved = ml.load(tiny_fit().save(tmp_path / "fit.json"))
    expected = tiny_fit().influence().derivative
    np.testing.assert_allclose(saved.influence().derivative, expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(ml.DataError, match="fit again"):
        saved.influence(rows=True)
