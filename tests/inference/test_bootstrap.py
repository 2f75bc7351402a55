"""The bootstrap of clusters: draws are refits of resampled rows; intervals follow their definitions; what it refuses."""

from __future__ import annotations

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny import MODEL, rows, tiny_fit

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.inference import intervals
from mlsem_jax.inference.variance import _resampled
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.numerics import float64
from mlsem_jax.observed import reduce

pytestmark = pytest.mark.timeout(300)

# draws fill one compiled batch
DRAWS, KEY = 64, 3
# both searches stop at a decrement of 1e-13 and take the step after it, far below 1e-7 standard errors from the maximum
REFIT = dict(rtol=1e-7, atol=1e-7)


def resampled(frame: pd.DataFrame, cluster: str, weights: np.ndarray) -> pd.DataFrame:
    """The rows of every cluster as often as it was drawn, under a new id each time."""
    parts = [
        frame[frame[cluster] == name].assign(**{cluster: f"{name}/{copy}"})
        for name, weight in zip(frame[cluster].unique(), weights, strict=True)
        for copy in range(int(weight))
    ]
    return pd.concat(parts)


@float64
def drawn_weights(fit: ml.Fit, n: int) -> np.ndarray:
    return _resampled.resampled(fit.estimation, n, jax.random.key(KEY), "nonparametric")["weights"]


@pytest.fixture(scope="module")
def boot():
    return tiny_fit().bootstrap(DRAWS, KEY, chisq=True)


def test_draws_are_refits_of_resampled_clusters(boot):
    weights = drawn_weights(tiny_fit(), DRAWS)
    assert (weights.sum(axis=1) == 60).all()
    assert len(np.unique(weights, axis=0)) == DRAWS
    for i in (0, 5):
        refit = ml.sem(MODEL, resampled(rows(), "g", weights[i]), cluster="g")
        table = refit.parameter_estimates()
        product = table.loc[table.op == ":=", ["est", "se"]].to_numpy()[0]
        np.testing.assert_allclose(boot.draws.loc[i], [*refit.coef(), product[0]], **REFIT)
        np.testing.assert_allclose(boot.bootstrap.draws_se[i], [*np.sqrt(np.diag(refit.vcov())), product[1]], rtol=1e-6)
        assert boot.chisq[i] == pytest.approx(refit.fit_measures()["chisq"], abs=1e-6)


def test_a_draw_depends_on_its_number_alone(boot):
    few = tiny_fit().bootstrap(8, KEY)
    np.testing.assert_allclose(few.draws, boot.draws[:8], rtol=1e-9, atol=1e-9)


def test_standard_errors_and_status(boot):
    table = boot.table()
    assert table.index[-1] == "product"
    np.testing.assert_allclose(table["boot.se"], boot.draws.std(ddof=1))
    np.testing.assert_allclose(table["bias"], boot.draws.mean() - table["est"])
    # 64 draws: the ratio has a standard deviation of about 0.1 around something near 1
    assert (table["boot.se"] / table["se"]).between(0.6, 1.6).all()
    assert boot.status.sum() == DRAWS
    assert "64 draws" in str(boot)


def test_without_draws_that_converged_there_is_a_sentence(boot):
    none = np.full(DRAWS, int(ml.Status.ITERATION_LIMIT))
    lost = replace(
        boot, bootstrap=replace(boot.bootstrap, status=none, draws=np.full_like(boot.bootstrap.draws, np.nan))
    )
    assert "0 of them used: no intervals" in str(lost)
    with pytest.raises(ml.ModelError, match="at least two draws"):
        lost.table()


def test_standard_errors_of_the_fit_itself(boot):
    """se="bootstrap" in the call of the fit: the same draws, in every table that shows standard errors."""
    fit = ml.sem(MODEL, rows(), cluster="g", se="bootstrap", bootstrap=DRAWS, iseed=KEY)
    expected = boot.draws.drop(columns="product").std(ddof=1)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.vcov())), expected, rtol=1e-9)
    table = fit.parameter_estimates()
    np.testing.assert_allclose(table.loc[(table.op == "=~") & table.se.notna(), "se"].iloc[0], expected["a"], rtol=1e-9)
    assert "Bootstrap draws of clusters" in str(fit.summary())
    with pytest.raises(ml.ModelError, match=r"a > 0\.1"):
        ml.sem(MODEL + "a > 0.1\n", rows(), cluster="g", se="bootstrap", h1=False, baseline=False).vcov()


def test_intervals_follow_their_definitions():
    rng = np.random.default_rng(2)
    sample = rng.exponential(size=40)
    by_scipy = {
        kind: stats.bootstrap((sample,), np.mean, method=kind, n_resamples=999, rng=np.random.default_rng(5))
        for kind in ("percentile", "basic", "BCa")
    }
    draws = by_scipy["BCa"].bootstrap_distribution
    draws_se = rng.uniform(0.1, 0.3, len(draws))
    estimate, se = sample.mean(), 0.17
    influence = (sample - estimate)[:, None] / len(sample)

    def ours(kind):
        low, high = intervals(
            kind, np.array([estimate]), np.array([se]), draws[:, None], draws_se[:, None], influence, 0.95
        )
        return low[0], high[0]

    for kind, theirs in (("perc", "percentile"), ("basic", "basic"), ("bca", "BCa")):
        expected = by_scipy[theirs].confidence_interval
        np.testing.assert_array_equal(by_scipy[theirs].bootstrap_distribution, draws)
        np.testing.assert_allclose(ours(kind), (expected.low, expected.high), rtol=1e-12)
    t = (draws - estimate) / draws_se
    np.testing.assert_allclose(
        ours("student"), (estimate - np.quantile(t, 0.975) * se, estimate - np.quantile(t, 0.025) * se)
    )
    half, bias = stats.norm.ppf(0.975) * draws.std(ddof=1), draws.mean() - estimate
    np.testing.assert_allclose(ours("norm"), (estimate - bias - half, estimate - bias + half))


def test_every_interval_of_a_fit_holds_the_estimate(boot):
    for kind in ("perc", "basic", "bca", "student", "norm"):
        table = boot.table(kind)
        assert ((table["ci.lower"] < table["est"]) & (table["est"] < table["ci.upper"])).all(), kind
    with pytest.raises(ml.ModelError, match="'perc'"):
        boot.table("percent")


def test_studentised_intervals_do_not_mix_kinds_of_standard_errors(boot):
    """The t statistics of the draws use the observed information: so must their scale, whatever the fit reports."""
    robust = ml.sem(MODEL, rows(), cluster="g", estimator="MLR").bootstrap(DRAWS, KEY)
    assert abs(robust.table()["se"] - boot.table()["se"]).max() > 0.01
    limits = ["ci.lower", "ci.upper"]
    np.testing.assert_allclose(robust.table("student")[limits], boot.table("student")[limits], rtol=1e-6)


def test_bollen_stine_data_fit_the_model_exactly():
    fit = ml.sem(MODEL, rows(np.repeat([10], 40)), cluster="g")
    assert fit.fit_measures()["chisq"] > 0.1
    moments = fit.estimation.model.moments
    transformed = clusters = _resampled.transformed(fit.estimation.clusters, fit.estimation.h1.moments, moments)
    within = np.sum(clusters.cross, axis=0) / (400 - 40)
    np.testing.assert_allclose(within, moments.within_cov[0], rtol=1e-9)
    means = np.asarray(clusters.mean)
    np.testing.assert_allclose(means.mean(0), moments.mean[0], rtol=1e-9)
    cov = np.cov(means.T, bias=True)
    np.testing.assert_allclose(cov, moments.between_cov[0] + moments.within_cov[0] / 10, rtol=1e-7)
    # so the estimates of the transformed data are those of the data
    with jax.enable_x64(True):
        problem = fit.estimation.model.problem
        complete = reduce(transformed, 1)
        statistics = Statistics((CompleteTerm(complete),))
        slope = likelihood.gradient(problem.structure, fit.estimation.model.theta, statistics)
    assert np.abs(slope).max() < 1e-5


def test_bollen_stine_tests_the_model():
    boot = tiny_fit().bootstrap(DRAWS, KEY, type="bollen.stine")
    known = boot.chisq[np.isfinite(boot.chisq)]
    assert len(known) > 60
    assert boot.pvalue == pytest.approx((1 + (known >= tiny_fit().fit_measures()["chisq"]).sum()) / (1 + len(known)))
    # the model holds in these data, so chi-squares have a mean near their degrees of freedom, here 1; sd of the mean 0.18
    assert 0.4 < known.mean() < 1.8


def test_parametric_draws():
    boot = tiny_fit().bootstrap(DRAWS, KEY, type="parametric")
    table = boot.table("student")
    assert (table["boot.se"] / table["se"]).between(0.6, 1.6).all()
    assert (table["bias"].abs() < 0.6 * table["se"]).all()
    with pytest.raises(ml.ModelError, match="nonparametric"):
        boot.table("bca")


SATURATED = """
level: 1
  y1 ~~ y2
level: 2
  y1 ~~ y2
"""


def test_groups_and_missing_values():
    """Clusters are drawn within groups, and clusters with missing values carry them along."""
    frame = rows(np.repeat([4, 6], 12))
    frame["school"] = np.where(frame.g % 3 == 0, "private", "public")
    frame.loc[np.random.default_rng(0).uniform(size=len(frame)) < 0.1, "y2"] = np.nan
    frame.loc[frame.g < 8, "y2"] = frame.loc[frame.g < 8, "y2"].fillna(2.0)
    with warnings.catch_warnings():
        # so few clusters that a correlation leaves its range
        warnings.simplefilter("ignore", ml.ImproperSolutionWarning)
        fit = ml.sem(SATURATED, frame, cluster="g", group="school", missing="ml", h1=False, baseline=False)
    boot = fit.bootstrap(8, KEY)
    weights = drawn_weights(fit, 8)
    groups = fit.estimation.data.group
    assert (weights[:, groups == 0].sum(axis=1) == (groups == 0).sum()).all()
    # the draw is where the resampled rows have their maximum
    with jax.enable_x64(True):
        drawn = ml.statistics(fit.model, resampled(frame, "g", weights[2])).reduced
        theta = jnp.asarray(boot.draws.loc[2].to_numpy())
        slope = np.asarray(jax.jit(likelihood.gradient)(fit.model.structure, theta, drawn))
    # in standard errors: the Newton step that is left, from the size of the standard errors
    assert np.abs(slope * boot.bootstrap.draws_se[2]).max() < 1e-6
    with pytest.raises(ml.ModelError, match="missing values"):
        fit.bootstrap(8, type="parametric")
    with pytest.raises(ml.ModelError, match="h1=True"):
        fit.bootstrap(8, chisq=True)


def test_networks():
    frame = rows(np.repeat([5], 60))
    options = dict(clusters="g", vars=["y1", "y2"], baseline=False, h1=False)
    fit = ml.ml_ggm(frame, **options).fit()
    boot = fit.bootstrap(8, KEY)
    refit = ml.ml_ggm(resampled(frame, "g", drawn_weights(fit, 8)[1]), **options).fit()
    np.testing.assert_allclose(boot.draws.loc[1], refit.coef(), **REFIT)


def test_what_a_batch_cannot_hold_is_refused():
    fit = ml.sem(MODEL + "a > 0.1\n", rows(), cluster="g", h1=False, baseline=False)
    for call in (fit.bootstrap, lambda: fit.influence(exact=True)):
        with pytest.raises(ml.ModelError, match=r"a > 0\.1"):
            call()
    with pytest.raises(ml.ModelError, match="Did you mean"):
        tiny_fit().bootstrap(8, type="parametrik")


def test_draws_of_covariates_of_both_levels_have_the_chi_square_of_the_model():
    """A saturated model has chi-square 0 in every draw, also where the moments of a covariate are held at the fit's."""
    rng, frame = np.random.default_rng(8), rows(np.repeat([5], 40))
    frame["x"] = rng.normal(size=200) + rng.normal(size=40)[frame["g"]]
    fit = ml.sem("level: 1\n y1 ~ x\nlevel: 2\n y1 ~ x", frame, cluster="g")
    for kind in ("bollen.stine", "nonparametric"):
        draws = fit.bootstrap(8, KEY, type=kind, chisq=True)
        np.testing.assert_allclose(draws.chisq, 0.0, atol=1e-8)
