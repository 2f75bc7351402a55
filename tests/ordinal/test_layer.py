"""Ordered variables in the JAX layer: likelihood, estimate and its derivatives, batches, simulation, studies, and bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import optimum, settings
from mlsem_jax.estimation.batch import _differentiable
from mlsem_jax.estimation.search import _traced_state
from mlsem_jax.likelihood import Statistics
from mlsem_jax.numerics import float64

pytestmark = pytest.mark.timeout(600)

# one dimension of level 2 and none of level 1: the smallest program there is
INTERCEPT = "level: 1\n u ~ x\nlevel: 2\n u ~ w"
SIZES = [6] * 25


def simulated(seed=1, clusters=25, rows=6):
    """An outcome of three categories, 1 to 3, with a covariate of each level and a random intercept."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(clusters), rows)
    x, w = rng.normal(size=len(school)).round(1), rng.normal(size=clusters).round(2)
    y = 0.5 * x + (0.4 * w + 0.8 * rng.normal(size=clusters))[school] + rng.normal(size=len(school))
    return pd.DataFrame({"school": school, "u": 1 + np.searchsorted([-0.5, 0.7], y), "x": x, "w": w[school]})


@pytest.fixture(scope="module")
def intercept():
    """Data, the fit of sem, the model of the layer and its statistics."""
    data = simulated()
    fit = ml.sem(INTERCEPT, data, cluster="school", ordered="u", estimator="ML")
    model = ml.model(INTERCEPT, data, cluster="school", ordered="u")
    return data, fit, model, ml.statistics(model, data)


def test_likelihood_and_estimate_are_those_of_the_fit(intercept):
    _, fit, model, statistics = intercept
    found = ml.estimate(model, statistics)
    theta = fit.estimation.model.theta
    assert tuple(fit.coef().index) == model.names
    assert float(ml.log_likelihood(model, theta, statistics)) == pytest.approx(fit.loglik, abs=1e-10)
    assert int(found.status) == 0
    np.testing.assert_allclose(found.theta, theta, atol=1e-7)
    np.testing.assert_allclose(found.se, np.sqrt(np.diag(fit.vcov())), rtol=1e-6)
    assert float(ml.log_likelihood(fit.model, theta, ml.statistics(fit.model, simulated()))) == pytest.approx(
        fit.loglik, abs=1e-10
    )


@float64
def test_the_gradient_is_that_of_the_likelihood(intercept):
    *_, model, statistics = intercept
    theta = np.asarray(model.start) + 0.05
    gradient = jax.grad(lambda t: ml.log_likelihood(model, t, statistics))(theta)
    values = jax.vmap(lambda t: ml.log_likelihood(model, t, statistics))
    step = 1e-5 * np.eye(len(theta))
    numeric = (values(theta + step) - values(theta - step)) / 2e-5
    # nodes are held fixed where they are differentiated
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


@float64
def test_the_estimate_has_derivatives_in_the_weights_of_clusters(intercept, own_programs, monkeypatch):
    """By the implicit rule, whatever found the maximum: here nothing is searched, because compiling a search takes long."""
    _, fit, model, statistics = intercept
    term, theta = statistics.reduced.terms[0], fit.estimation.model.theta

    def found(structure, statistics, theta0, limits):
        return eqx.tree_at(lambda c: c.status, _traced_state.start(theta0), jnp.asarray(0))

    monkeypatch.setattr(_differentiable, "search_traced", found)

    def at(counts):
        changed = eqx.tree_at(lambda t: [block.count for block in t.blocks], term, counts)
        return optimum(model.structure, Statistics((changed,), None), theta, settings(np.float64))[0]

    derivative = jax.jit(jax.jacfwd(at))([jnp.asarray(block.count) for block in term.blocks])
    # a cluster's derivative is the inverse information times its score
    expected = fit.scores().to_numpy() @ fit.vcov().to_numpy()
    mine = np.concatenate([np.asarray(d) for d in derivative], axis=1).T
    np.testing.assert_allclose(mine[np.asarray(term.member)], expected, atol=1e-7)


def test_a_batch_is_its_lanes(intercept):
    _, fit, model, _ = intercept
    theta = fit.estimation.model.theta
    rows = ml.simulate(model, theta, 3, SIZES, 3, rows=True)
    assert set(np.unique(rows.frame(0).u)) == {1, 2, 3}
    drawn = ml.simulate(model, theta, 3, SIZES, 3)
    batch = ml.estimate_batch(model, drawn)
    listed = ml.estimate_batch(model, [ml.statistics(model, rows.frame(i)) for i in range(3)])
    np.testing.assert_allclose(batch.theta, listed.theta, atol=1e-9)
    alone = ml.sem(INTERCEPT, rows.frame(1), cluster="school", ordered="u", estimator="ML")
    assert batch.value[1] == pytest.approx(alone.loglik, abs=1e-8)
    np.testing.assert_allclose(batch.se[1], np.sqrt(np.diag(alone.vcov())), rtol=1e-5)


@pytest.mark.parametrize("kernel", [likelihood.evaluate, likelihood.observed_information])
@float64
def test_a_batch_calls_no_lapack(intercept, kernel):
    *_, model, _ = intercept
    drawn = ml.simulate(model, np.asarray(model.start), 3, SIZES, 2)
    batched = jax.vmap(lambda one: kernel(model.structure, model.start, one))
    assert "lapack" not in jax.jit(batched).lower(drawn).as_text()


def test_a_study_counts_data_sets(intercept):
    _, fit, model, _ = intercept
    study = ml.montecarlo(model, fit.coef(), SIZES, 3, key=3)
    assert len(study) == 3
    assert "chi-square rejects" not in study.rates().index
    assert study.names[: len(model.names)] == model.names
    drawn = ml.simulate(model, fit.coef(), 3, SIZES, 3)
    np.testing.assert_allclose(study.estimates[:, : len(model.names)], ml.estimate_batch(model, drawn).theta, atol=1e-6)


def test_a_lane_whose_variance_runs_to_zero_ends_as_a_single_fit(intercept):
    *_, model, _ = intercept
    theta = np.array(model.start)
    theta[model.names.index("u~~u.l2")] = 0.001
    drawn = ml.simulate(model, theta, 3, SIZES, 3, rows=True)
    batch = ml.estimate_batch(model, ml.simulate(model, theta, 3, SIZES, 3))
    assert set(batch.status) <= {int(ml.Status.CONVERGED), int(ml.Status.BOUNDARY)}
    assert int(ml.Status.BOUNDARY) in batch.status
    at = int(np.argmax(batch.status == int(ml.Status.BOUNDARY)))
    with pytest.warns(ml.ModelWarning, match="kept at"):
        alone = ml.sem(INTERCEPT, drawn.frame(at), cluster="school", ordered="u", estimator="ML")
    assert alone.status == ml.Status.BOUNDARY
    assert batch.value[at] == pytest.approx(alone.loglik, abs=1e-6)


def test_draws_have_the_shares_of_the_model():
    text = "u ~ x\nv ~ x\nu ~~ v"
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=300), "u": np.tile([0, 1, 2], 100), "v": np.repeat([5, 6], 150)})
    shares = {}
    for link in ("probit", "logit"):
        model = ml.model(text.replace("u ~~ v", ""), data, ordered=["u", "v"], link=link)
        theta = dict.fromkeys(model.names, 0.0) | {"u|t1": -0.4, "u|t2": 1.0, "v|t1": 0.3, "u~x": 1.0}
        frame = ml.simulate(
            model, theta, 1, 40_000, rows=True, covariates=pd.DataFrame({"x": np.full(40_000, 0.5)})
        ).frame()
        shares[link] = [(frame.u == k).mean() for k in range(3)] + [(frame.v == 5).mean()]
    from scipy.stats import logistic, norm

    for link, cdf in (("probit", norm.cdf), ("logit", logistic.cdf)):
        expected = [*np.diff([0, cdf(-0.9), cdf(0.5), 1]), cdf(0.3)]
        np.testing.assert_allclose(shares[link], expected, atol=0.012)  # five standard errors


def test_categories_of_text_come_back():
    data = simulated().assign(u=lambda d: pd.Categorical.from_codes(d.u - 1, ["no", "maybe", "yes"], ordered=True))
    model = ml.model(INTERCEPT, data, cluster="school", ordered="u")
    frame = ml.simulate(model, model.start, 1, SIZES, rows=True, missing={"u": 0.2}).frame()
    assert list(frame.u.cat.categories) == ["no", "maybe", "yes"]
    assert 0 < frame.u.isna().mean() < 0.5
    assert "values" in repr(ml.statistics(model, frame.dropna()))


def test_covariates_of_both_levels_are_drawn_as_they_are_observed():
    """The answers depend on the observed mean of the rows, not on the part of the covariate that is the cluster's own."""
    data = simulated(2, clusters=30)
    model = ml.model("level: 1\n u ~ x\nlevel: 2\n u ~ x", data, cluster="school", ordered="u")
    theta = dict(zip(model.names, np.asarray(model.start), strict=True)) | {"u~x": 0.0, "u~x.l2": 3.0, "u~~u.l2": 0.01}
    frame = ml.simulate(model, theta, 1, [3] * 800, rows=True).frame()
    means = frame.groupby("school")[["u", "x"]].mean()
    within = frame - means.loc[frame.school].set_axis(frame.index)
    # slope of the answers on deviations within clusters: none
    assert abs(np.corrcoef(within.u, within.x)[0, 1]) < 0.06
    assert np.corrcoef(means.u, means.x)[0, 1] > 0.7


def test_what_is_not_to_be_had_is_said(intercept):
    data, fit, model, statistics = intercept
    with pytest.raises(ml.DataError, match="ordered variables do not add up"):
        statistics + statistics
    with pytest.raises(ml.DataError, match="ordered variables do not add up"):
        ml.statistics(model, [data[:100], data[100:]])
    with pytest.raises(ml.ModelError, match="no chi-square"):
        ml.estimate(model, statistics, chisq=True)
    with pytest.raises(ml.DataError, match="'u' has 7, which no row had"):
        ml.statistics(model, data.assign(u=7))
    with pytest.raises(ml.ModelError, match="link= is about ordered variables"):
        ml.model("level: 1\n x ~~ x\nlevel: 2\n x ~~ x", data, cluster="school", link="logit")
    other = ml.model("level: 1\n x ~~ x\nlevel: 2\n x ~~ x", data, cluster="school")
    with pytest.raises(ml.DataError, match="statistics are of continuous ones, the model is of ordered"):
        ml.log_likelihood(model, model.start, ml.statistics(other, data).reduced)
    with pytest.raises(ml.DataError, match="statistics are of ordered ones, the model is of continuous"):
        ml.log_likelihood(other, other.start, statistics.reduced)
    with pytest.raises(ml.DataError, match="thresholds of 'u' do not increase"):
        ml.simulate(model, dict(fit.coef()) | {"u|t1.l2": 2.0, "u|t2.l2": 1.0}, 1, SIZES, rows=True)
    wls = ml.sem(INTERCEPT, data, cluster="school", ordered="u")
    with pytest.raises(ml.ModelError, match="no model of the JAX layer with estimator='WLSMV'"):
        _ = wls.model
    with pytest.raises(ml.ModelError, match="pass rows=True"):
        wls.simulate(key=1)
    assert set(wls.simulate(key=1, rows=True).frame().u) <= {1, 2, 3}
