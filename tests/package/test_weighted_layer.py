"""The JAX layer with sampling weights: what ml.sem has, as pure functions; and its standard errors by the design."""

import warnings

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import DataError, ModelError

pytestmark = pytest.mark.timeout(300)
TWO = """
level: 1
  f =~ y1 + y2 + y3
  f ~ x
level: 2
  g =~ y1 + y2 + y3
"""
SMALL = "level: 1\n  y1 ~~ y2\nlevel: 2\n  y1 ~~ y2"
ONE = "f =~ y1 + y2 + y3\nf ~ x"
BOTH = {"sampling_weights": "w", "sampling_weights_between": "v"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(50), rng.integers(4, 8, 50))
    n = len(school)
    f = rng.normal(size=n) + rng.normal(size=50)[school]
    out = pd.DataFrame({"school": school, "x": 0.3 * f + rng.normal(size=n)})
    for i in (1, 2, 3):
        out[f"y{i}"] = f + rng.normal(size=n) + 0.4 * rng.normal(size=50)[school]
    out["w"], out["v"] = rng.uniform(0.3, 3, n), rng.uniform(0.3, 3, 50)[school]
    out["stratum"], out["region"] = school // 5, np.where(school % 2, "a", "b")
    return out


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


@pytest.mark.parametrize(
    ("text", "cluster", "options", "missing"),
    [
        (TWO, "school", BOTH | {"strata": "stratum"}, "listwise"),
        (SMALL, "school", {"sampling_weights": "w", "sampling_weights_scaling": "effective", "group": "region"}, "ml"),
        (ONE, None, {"sampling_weights": "w"}, "ml"),
    ],
)
def test_estimates_and_errors_are_those_of_sem(data, text, cluster, options, missing):
    if missing == "ml":
        data = data.copy()
        data.loc[::6, "y2"] = np.nan
    fit = quiet(ml.sem, text, data, cluster, missing=missing, meanstructure=True, **options)
    model = quiet(ml.model, text, data, cluster, missing=missing, **options)
    stats = ml.statistics(model, data)
    with jax.enable_x64(True):
        found = ml.estimate(model, stats, chisq=True)
        value = float(ml.log_likelihood(model, found.theta, stats))
    assert ml.Status(int(found.status)).converged
    assert np.allclose(found.theta, fit.coef(), rtol=0, atol=1e-6)
    assert value == pytest.approx(fit.loglik, rel=1e-10)
    assert float(found.chisq) == pytest.approx(fit.fit_measures()["chisq"], abs=1e-6)
    errors = ml.sandwich(model, found.theta, data)
    assert np.allclose(errors, fit.vcov(), rtol=1e-5, atol=1e-8)
    if text == TWO:
        return
    two = jax.tree.map(lambda *x: np.stack(x), stats, stats)
    batch = ml.estimate_batch(model, two, chisq=True)
    assert np.allclose(batch.theta, fit.coef(), rtol=0, atol=1e-6)
    assert np.allclose(batch.chisq, fit.fit_measures()["chisq"], atol=1e-6)


def test_sandwich_of_one_level_goes_by_clusters_and_strata(data):
    model = quiet(ml.model, ONE, data, sampling_weights="w")
    theta = ml.estimate(model, ml.statistics(model, data)).theta
    fit = quiet(ml.sem, ONE, data, "school", sampling_weights="w")
    assert np.allclose(ml.sandwich(model, theta, data, cluster="school"), fit.vcov(), rtol=1e-4, atol=1e-7)
    plain = ml.model(TWO, data, "school")
    theta = ml.estimate(plain, ml.statistics(plain, data)).theta
    fit = quiet(ml.sem, TWO, data, "school", estimator="MLR")
    assert np.allclose(ml.sandwich(plain, theta, data), fit.vcov(), rtol=1e-4, atol=1e-7)


def test_what_a_weighted_model_says(data):
    with pytest.warns(ml.ModelWarning, match="take weights for counts"):
        model = ml.model(TWO, data, "school", **BOTH)
    stats = ml.statistics(model, data)
    assert "weighted" in repr(stats)
    with pytest.raises(DataError, match="Weighted statistics do not add up"):
        stats + stats
    with pytest.raises(DataError, match="Weighted statistics do not add up"):
        ml.statistics(model, [data, data])
    with pytest.raises(DataError, match="no column 'v'"):
        ml.statistics(model, data.drop(columns="v"))
    with pytest.raises(ModelError, match="takes one table"):
        ml.sandwich(model, model.start, [data])
    with pytest.raises(ModelError, match="is for models of one level"):
        ml.sandwich(model, model.start, data, cluster="school")
    with pytest.raises(DataError, match="takes the table itself"):
        ml.sandwich(model, model.start, stats)
    with pytest.raises(ModelError, match="cannot be jitted"):
        jax.jit(lambda theta: ml.sandwich(model, theta, data))(model.start)
    with pytest.raises(ModelError, match="fit the model with each of them"):
        ml.model(TWO, data, "school", plausible_values={"y1": ["y2", "y3"]})
    with pytest.raises(DataError, match="theta"):
        ml.sandwich(model, model.start[:2], data)
    with pytest.raises(ModelError, match="takes no replicate weights: leave"):
        ml.model(TWO, data, "school", sampling_weights="w", replicate_weights=["v"], replicate_type="BRR")


def test_the_model_of_a_weighted_fit_knows_its_weights(data):
    fit = quiet(ml.sem, TWO, data, "school", **BOTH)
    again = ml.statistics(fit.model, data)
    with jax.enable_x64(True):
        assert float(ml.log_likelihood(fit.model, fit.model.start, again)) == pytest.approx(fit.loglik, rel=1e-10)
