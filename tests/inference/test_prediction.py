"""Factor scores against the dense conditional normal of a cluster; their index, new data, conventions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.likelihood import EffectInformation, EffectPrior, posterior
from mlsem_jax.numerics import float64


@pytest.fixture(scope="module")
def data():
    rows = load_schools()
    return rows[rows.school.isin(rows.school.unique()[:60])].copy()


@pytest.fixture(scope="module")
def fit(data):
    return ml.sem(SCHOOLS_MODEL, data, cluster="school")


def dense_scores(fit, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and variance of all latent variables of one cluster given everything observed in it, NaN aside.

    The joint normal of (level-1 factors of every row, level-2 factors, all data) is written out with the covariances between
    factors and observed variables of each level, taken from the reticular form of the model in the table of estimates.
    """
    table = fit.parameter_estimates()
    within, between = (reticular(table, level) for level in (1, 2))
    n = len(rows)
    outcomes = list(fit.specification.within.observed)
    both = [v for v in outcomes if v in fit.specification.between.observed]
    z = list(fit.specification.between_only)
    latent = fit.specification.within.latent, fit.specification.between.latent
    labels = [(i, f) for i in range(n) for f in latent[0]] + [("b", f) for f in latent[1]]
    labels += [(i, v) for i in range(n) for v in outcomes] + [("b", v) for v in z]

    def mean(label):
        i, name = label
        if i == "b":
            return between[1][name]
        return within[1][name] + (between[1][name] if name in both else 0.0)

    def cov(a, b):
        total = within[0].loc[a[1], b[1]] if a[0] == b[0] != "b" else 0.0
        lives = [label[0] == "b" or label[1] in both for label in (a, b)]
        return total + (between[0].loc[a[1], b[1]] if all(lives) else 0.0)

    mu = np.array([mean(label) for label in labels])
    sigma = np.array([[cov(a, b) for b in labels] for a in labels])
    factors = n * len(latent[0]) + len(latent[1])
    values = np.concatenate([rows[outcomes].to_numpy(float).ravel(), rows[z].iloc[0].to_numpy(float)])
    seen = factors + np.flatnonzero(~np.isnan(values))
    gain = sigma[:factors][:, seen] @ np.linalg.inv(sigma[np.ix_(seen, seen)])
    score = mu[:factors] + gain @ (values[~np.isnan(values)] - mu[seen])
    variance = np.diag(sigma[:factors, :factors] - gain @ sigma[np.ix_(seen, np.arange(factors))])
    cut = n * len(latent[0])
    return score[:cut].reshape(n, -1), score[cut:], np.sqrt(variance[:cut]).reshape(n, -1), np.sqrt(variance[cut:])


def reticular(table: pd.DataFrame, level: int) -> tuple[pd.DataFrame, pd.Series]:
    """Covariance and mean of all variables of a level: (I - A)^-1 S (I - A)^-T."""
    rows = table[table.level == level]
    names = list(dict.fromkeys([*rows.lhs, *rows.rhs[rows.rhs != ""]]))
    a, s = (pd.DataFrame(0.0, names, names) for _ in range(2))
    m = pd.Series(0.0, names)
    for row in rows.itertuples():
        if row.op == "=~":
            a.loc[row.rhs, row.lhs] = row.est
        elif row.op == "~":
            a.loc[row.lhs, row.rhs] = row.est
        elif row.op == "~~":
            s.loc[row.lhs, row.rhs] = s.loc[row.rhs, row.lhs] = row.est
        elif row.op == "~1":
            m[row.lhs] = row.est
    total = np.linalg.inv(np.eye(len(names)) - a.to_numpy())
    return pd.DataFrame(total @ s.to_numpy() @ total.T, names, names), pd.Series(total @ m.to_numpy(), names)


@pytest.mark.parametrize("school", [0, 17])
def test_scores_are_the_dense_posterior(data, fit, school):
    rows = data[data.school == data.school.unique()[school]]
    mean_1, mean_2, se_1, se_2 = dense_scores(fit, rows)
    one, two = (fit.predict(level, se=True, convention="exact") for level in (1, 2))
    np.testing.assert_allclose(one.loc[rows.index, ["math", "reading"]], mean_1, atol=1e-9)
    np.testing.assert_allclose(one.loc[rows.index, ["math.se", "reading.se"]], se_1, atol=1e-9)
    np.testing.assert_allclose(two.loc[rows.school.iloc[0], ["achievement"]], mean_2, atol=1e-9)
    np.testing.assert_allclose(two.loc[rows.school.iloc[0], ["achievement.se"]], se_2, atol=1e-9)


def test_rows_with_missing_values_are_scored_from_the_others(data, fit):
    rows = data[data.school == data.school.iloc[0]].copy()
    rows.iloc[0, rows.columns.get_loc("math1")] = np.nan
    rows.iloc[1, [rows.columns.get_loc(v) for v in ("reading1", "reading2", "ses")]] = np.nan
    mean_1, mean_2, se_1, se_2 = dense_scores(fit, rows)
    one, two = (fit.predict(level, se=True, newdata=rows, convention="exact") for level in (1, 2))
    np.testing.assert_allclose(one[["math", "reading"]], mean_1, atol=1e-9)
    np.testing.assert_allclose(one[["math.se", "reading.se"]], se_1, atol=1e-9)
    np.testing.assert_allclose(two[["achievement"]].iloc[0], mean_2, atol=1e-9)
    np.testing.assert_allclose(two[["achievement.se"]].iloc[0], se_2, atol=1e-9)


def test_conventions_differ_by_a_constant(fit):
    for level in (1, 2):
        difference = fit.predict(level) - fit.predict(level, convention="exact")
        assert (difference.std() < 1e-12).all()
        assert (difference.abs().max() > 1e-3).all(), "girls are half of the rows, so the convention shows"


def test_exact_scores_of_clusters_do_not_move_with_the_origin_of_a_covariate(data, fit):
    moved = ml.sem(SCHOOLS_MODEL, data.assign(ses=data.ses + 10), cluster="school")
    a, b = (f.predict(2, convention="exact").to_numpy() for f in (fit, moved))
    # two searches, each within 1e-6 of the maximum
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_labels_are_the_users(data, fit):
    shuffled = data.sample(frac=1, random_state=3)
    again = ml.sem(SCHOOLS_MODEL, shuffled, cluster="school")
    assert list(again.predict(1).index) == list(shuffled.index)
    assert again.predict(2).index.name == "school"
    pd.testing.assert_frame_equal(again.predict(2).loc[fit.predict(2).index], fit.predict(2), atol=1e-5)
    assert list(fit.predict(1).columns) == ["math", "reading"]


def test_new_data_of_one_cluster_get_the_same_scores(data, fit):
    rows = data[data.school == data.school.iloc[0]]
    pd.testing.assert_frame_equal(fit.predict(1, newdata=rows), fit.predict(1).loc[rows.index], atol=1e-12)


def test_singular_between_covariance(data):
    """Between residual variances at zero: the posterior needs no inverse of the between covariance."""
    model = "level: 1\n f =~ math1 + math2 + math3\nlevel: 2\n b =~ math1 + math2 + math3\n math1 ~~ 0*math1\n math2 ~~ 0*math2"
    fit = ml.sem(model, data, cluster="school")
    rows = data[data.school == data.school.iloc[0]]
    _, mean_2, _, se_2 = dense_scores(fit, rows)
    got = fit.predict(2, se=True).loc[rows.school.iloc[0]]
    assert got["b"] == pytest.approx(mean_2[0], abs=1e-9)
    assert got["b.se"] == pytest.approx(se_2[0], abs=1e-9)


def test_errors(data, fit):
    with pytest.raises(ml.ModelError, match="level must be 1"):
        fit.predict(3)
    with pytest.raises(ml.ModelError, match="convention must be 'lavaan' or 'exact'"):
        fit.predict(1, convention="mplus")
    path = ml.sem("level: 1\n math1 ~ ses\nlevel: 2\n math1 ~ public", data, cluster="school")
    with pytest.raises(ml.ModelError, match="no latent variables"):
        path.predict(2)


def test_cluster_contributions_sum_to_the_whole(fit):
    assert fit.loglik_by_cluster().sum() == pytest.approx(fit.loglik, rel=1e-12)
    assert list(fit.scores().columns) == list(fit.coef().index)
    # the gradient of a search that stopped at a Newton decrement of 1e-13, in units of the score's own spread
    scores = fit.scores()
    assert (scores.sum().abs() < 1e-5 * scores.abs().sum()).all()


def dense_effects(seen, cov, mean, noise, observed):
    """Mean and covariance of v given observed = seen v + noise."""
    gain = cov @ seen.T @ np.linalg.inv(seen @ cov @ seen.T + noise)
    return mean + gain @ (observed - seen @ mean), cov - gain @ seen @ cov


@pytest.mark.parametrize("xp", [np, jnp])
@float64
def test_posterior_of_effects_is_conditioning(xp):
    """Two effects, one further variable; one effect observed, then seven rows that both effects shift: the joint normal's rule."""
    rng = np.random.default_rng(8)
    root = rng.normal(size=(3, 3))
    cov, mean, noise, n = root @ root.T, rng.normal(size=3), np.diag([0.5, 0.8]), 7
    known, y = rng.normal(), rng.normal(size=(n, 2))
    prior = EffectPrior(mean[None], cov).given(xp, np.array([True, False]), np.array([[known, np.nan]]))
    centre, w = np.array([0.3, -0.2]), np.linalg.inv(noise)
    rows = EffectInformation(n * w, (y - centre).sum(0)[None] @ w, centre)
    found = posterior(xp, prior, jax.tree.map(xp.asarray, rows), np.arange(2))
    # all that is observed, as linear forms of v with noise
    seen = np.concatenate([np.eye(3)[:1], np.eye(3)[[0, 1] * n]])
    errors = np.zeros((1 + 2 * n,) * 2)
    errors[1:, 1:] = np.kron(np.eye(n), noise)
    dense = dense_effects(seen, cov, mean, errors, np.concatenate([[known], y.ravel()]))
    np.testing.assert_allclose(found.mean[0], dense[0], rtol=1e-9)
    np.testing.assert_allclose(found.cov, dense[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("xp", [np, jnp])
@float64
def test_posterior_of_effects_of_which_rows_or_prior_know_nothing(xp):
    """Clusters that see one, both and none of two effects (A singular, or zero), one combination of which does not vary."""
    rng = np.random.default_rng(3)
    load, mean = rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    cov = load @ load.T  # of rank two
    seen = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    weights = np.array([[4.0, 0.0], [3.0, 2.0], [0.0, 0.0]])
    y = rng.normal(size=(3, 2))
    rows = EffectInformation(weights[:, :, None] * np.eye(2), weights * y)
    found = posterior(xp, EffectPrior(mean, np.stack([cov] * 3)), jax.tree.map(xp.asarray, rows), np.arange(2))
    for i, weight in enumerate(weights):
        at = weight > 0
        expected = dense_effects(seen[at], cov, mean[i], np.diag(1 / weight[at]), y[i][at])
        np.testing.assert_allclose(found.mean[i], expected[0], rtol=1e-9)
        np.testing.assert_allclose(found.cov[i], expected[1], rtol=1e-9, atol=1e-12)
    # score and information for the prior mean of the effects
    total = cov[:2, :2] + np.diag(1 / weights[1])
    np.testing.assert_allclose(found.information[1], np.linalg.inv(total), rtol=1e-9)
    np.testing.assert_allclose(found.slope[1], np.linalg.inv(total) @ (y[1] - mean[1, :2]), rtol=1e-9)
