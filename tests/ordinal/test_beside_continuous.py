"""Full information of ordered outcomes beside continuous ones: missing values, and outcomes of level 2 alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from test_full_information import category, grid, thresholds, value

import mlsem_jax as ml
from mlsem_jax.numerics import float64

pytestmark = pytest.mark.timeout(600)

ABOVE = "level: 1\n u ~ x\nlevel: 2\n u ~ w\n v ~ w\n u ~~ v"


def rows(clusters=25, size=6) -> pd.DataFrame:
    """Two items and two numbers of one factor with gaps; a binary outcome with random intercepts beside a number of clusters."""
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(clusters), size)
    n = len(school)
    f = rng.normal(size=n)
    above = rng.normal(size=(clusters, 3)) @ np.array([[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1.0]])
    x, w = rng.normal(size=n).round(1), above[:, 2].round(1)
    u = 0.5 * x + (0.4 * w + 0.8 * above[:, 0])[school] + rng.normal(size=n) > 0.2
    table = pd.DataFrame({"school": school, "x": x, "w": w[school], "u": u.astype(int)})
    table["v"] = (0.3 * w + above[:, 1]).round(2)[school]
    table["a"] = np.searchsorted([-0.7, 0.8], f + rng.normal(size=n))
    table["b"] = (1.2 * f + rng.normal(size=n) > 0.2).astype(float)
    table["y"], table["z"] = (f + rng.normal(size=n)).round(2), (0.7 * f + rng.normal(size=n)).round(2)
    table.loc[::4, "y"], table.loc[1::6, "z"], table.loc[::5, "b"] = np.nan, np.nan, np.nan
    return table.assign(z=lambda t: np.where(np.arange(n) % 8 == 0, np.nan, t.z))


@pytest.fixture(scope="module")
def gaps():
    return ml.cfa("f =~ a + b + y + z", rows(), ordered=["a", "b"], estimator="ML", missing="ml")


@pytest.fixture(scope="module")
def above():
    return ml.sem(ABOVE, rows(), "school", ordered="u", estimator="ML")


def test_missing_numbers_drop_out_of_the_product(gaps, tmp_path):
    data, (z, weight) = rows(), grid()
    assert len({tuple(row) for row in data[["y", "z"]].isna().to_numpy()}) == 4
    f = z * np.sqrt(value(gaps, "f", "~~", "f", 1))
    p = np.ones((len(data), len(z)))
    for u in ("a", "b"):
        eta = value(gaps, "f", "=~", u, 1) * f
        p *= np.array([category(norm.cdf, thresholds(gaps, u, 1), answer, eta) for answer in data[u]])
    for y in ("y", "z"):
        mean = value(gaps, y, "~1", "", 1) + value(gaps, "f", "=~", y, 1) * f
        density = norm.pdf(data[y].to_numpy()[:, None], mean, np.sqrt(value(gaps, y, "~~", y, 1)))
        p *= np.where(data[y].isna().to_numpy()[:, None], 1.0, density)
    assert gaps.loglik == pytest.approx(np.log(p @ weight).sum(), abs=1e-7)
    mean = (p * f) @ weight / (p @ weight)
    np.testing.assert_allclose(gaps.predict().f, mean, atol=1e-7)
    # other rows have other patterns: here none has both numbers
    other = data[data.y.isna()].assign(z=np.nan)
    assert len(gaps.predict(newdata=other)) == len(other)
    given = gaps.predict(type="probabilities", given="answers")
    assert not given.isna().to_numpy().any()
    gaps.save(tmp_path / "fit.json")
    assert ml.load(tmp_path / "fit.json").loglik == gaps.loglik


def test_missing_numbers_of_two_levels_are_those_of_one_without_clusters():
    text = "level: 1\n f =~ a + b + y\nlevel: 2\n y ~~ 0*y\n a ~~ 0*a\n b ~~ 0*b"
    data = rows()
    two = ml.cfa(text, data, "school", ordered=["a", "b"], estimator="ML", missing="ml")
    one = ml.cfa("f =~ a + b + y", data, ordered=["a", "b"], estimator="ML", missing="ml")
    assert two.loglik == pytest.approx(one.loglik, abs=1e-7)


def test_an_outcome_of_level_2_alone_is_a_factor_of_its_cluster(above):
    data, (z, weight) = rows(), grid()
    assert above.converged
    var_u, var_v = (value(above, name, "~~", name, 2) for name in "uv")
    cov = value(above, "u", "~~", "v", 2)
    total = 0.0
    for _, one in data.groupby("school"):
        w, v = one.w.iloc[0], one.v.iloc[0]
        left = v - value(above, "v", "~1", "", 2) - value(above, "v", "~", "w", 2) * w
        effect = cov / var_v * left + np.sqrt(var_u - cov**2 / var_v) * z + value(above, "u", "~", "w", 2) * w
        eta = effect[None, :] + value(above, "u", "~", "x", 1) * one.x.to_numpy()[:, None]
        p = [category(norm.cdf, thresholds(above, "u"), a, e) for a, e in zip(one.u, eta, strict=True)]
        total += np.log(np.prod(p, axis=0) @ weight) + norm.logpdf(left, scale=np.sqrt(var_v))
    assert above.loglik == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("which", ["gaps", "above"])
@float64
def test_derivatives(which, request):
    problem = request.getfixturevalue(which).estimation.model.problem
    theta = request.getfixturevalue(which).estimation.model.theta + 0.03
    step = 1e-5 * np.eye(len(theta))
    numeric = np.array([(problem.value(theta + h) - problem.value(theta - h)) / 2e-5 for h in step])
    np.testing.assert_allclose(problem.evaluate(theta).gradient, numeric, rtol=1e-4, atol=1e-4)
    slope = [(problem.evaluate(theta + h).gradient - problem.evaluate(theta - h).gradient) / 2e-5 for h in step]
    np.testing.assert_allclose(-problem.observed(theta), slope, rtol=1e-3, atol=2e-3)


def test_least_squares_and_likelihood_agree_on_an_outcome_of_level_2(above):
    wls = ml.sem(ABOVE, rows(), "school", ordered="u")
    for name in ("v~w.l2", "v~~v.l2"):
        assert wls.coef()[name] == pytest.approx(above.coef()[name], rel=0.05, abs=0.02)


def test_gaps_that_cannot_be_integrated_are_said():
    data = rows()
    data.loc[data.school == 3, "v"] = np.nan
    with pytest.raises(ml.DataError, match=r"v has missing values: .*outcomes of level 2 alone must be complete"):
        ml.sem(ABOVE, data, "school", ordered="u", estimator="ML", missing="ml")
    model = ml.model("f =~ a + b + y", rows().dropna(), ordered=["a", "b"], missing="ml")
    with pytest.raises(ml.DataError, match="y is missing where the data that the model was made from had values"):
        ml.statistics(model, rows())
