"""A status never says 'converged' of what is no maximum, and names what is wrong."""

import warnings
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, rows

import mlsem_jax as ml
from mlsem_jax.estimation import FitOptions
from mlsem_jax.estimation.problem._problem import Maximum
from mlsem_jax.estimation.search._rescaled import rescale
from mlsem_jax.estimation.status._diagnosis import running_off, singular_edge
from mlsem_jax.estimation.status._identified import unidentified
from mlsem_jax.estimation.status._verify import verified
from mlsem_jax.estimation.strategies import _fit_surely
from mlsem_jax.estimation.strategies._driver import settled
from mlsem_jax.estimation.strategies._fallbacks import PATIENCE
from mlsem_jax.numerics import float64

FACTOR = "level: 1\n fw =~ y1 + y2 + y3\nlevel: 2\n fb =~ y1 + y2 + y3\n"
SATURATED = "level: 1\n y1 ~~ y2 + y3\n y2 ~~ y3\nlevel: 2\n y1 ~~ y2 + y3\n y2 ~~ y3\n"
QUICK = dict(cluster="g", h1=False, baseline=False)


def fit(model, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.sem(model, data, **(QUICK | options))


def told(result) -> str:
    return " ".join(result.estimation.notes)


def by_moments(within, between, clusters=40, size=5) -> pd.DataFrame:
    """Balanced rows whose maximum-likelihood moments of the saturated model are exactly these."""
    random = np.random.default_rng(3)
    p = len(within)
    cluster = np.repeat(np.arange(clusters), size)
    e = random.standard_normal((len(cluster), p))
    e -= np.stack([np.bincount(cluster, x) / size for x in e.T], axis=1)[cluster]
    u = random.standard_normal((clusters, p))
    u -= u.mean(axis=0)

    def shaped(x, cov, divisor):
        return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / divisor)).T @ np.linalg.cholesky(cov).T

    e = shaped(e, within, len(cluster) - clusters)
    means = shaped(u, within / size + between, clusters)
    return pd.DataFrame(means[cluster] + e, columns=["y1", "y2", "y3"][:p]).assign(g=cluster)


WITHIN = np.array([[1.0, 0.4, 0.4], [0.4, 1.0, 0.4], [0.4, 0.4, 1.0]])


def test_improper_solutions_are_maxima_and_name_the_parameter():
    between = np.array([[0.2, 0.15, 0.15], [0.15, 0.1, 0.02], [0.15, 0.02, 0.3]])
    result = fit(FACTOR, by_moments(WITHIN, between))
    assert result.status is ml.Status.IMPROPER
    assert result.converged
    assert "residual variance of y1 at the between level" in told(result)
    assert "fix it (y1 ~~ 0*y1)" in told(result)
    # one factor for three variables fits any covariances, so the solution is known
    implied = result.implied()["between"]["cov"].to_numpy()
    np.testing.assert_allclose(implied, between, atol=1e-8)


def test_correlations_beyond_one_are_improper():
    between = np.array([[0.2, 0.25, 0.0], [0.25, 0.2, 0.0], [0.0, 0.0, 0.3]])
    result = fit(SATURATED, by_moments(WITHIN, between))
    assert result.status is ml.Status.IMPROPER
    assert "the correlation of y1 and y2 at the between level is estimated at 1.25" in told(result)


@pytest.mark.parametrize(
    "covariances",
    [(0.05, -0.04, 0.03), (0.0244, -0.0008, 0.005), (-0.03, 0.001, 0.002)],
    ids=["clear", "valley", "negative"],
)
def test_maxima_at_negative_factor_variances_are_found(covariances):
    # one factor with three indicators fits any covariances; where their product is negative, so is its variance, and a marker
    # leaves only a valley of growing loadings on this side of zero
    a, b, c = covariances
    between = np.array([[0.2, a, b], [a, 0.2, c], [b, c, 0.2]])
    result = fit(FACTOR, by_moments(WITHIN, between))
    assert result.status is ml.Status.IMPROPER
    assert result.coef()["fb~~fb.l2"] == pytest.approx(a * b / c, rel=1e-5)
    assert "variance of fb at the between level" in told(result)


def test_not_identified_names_the_parameters():
    model = FACTOR.replace("fb =~ y1 + y2 + y3", "fb =~ y1 + y2\n y3 ~~ y3")
    result = fit(model, rows())
    assert result.status is ml.Status.NOT_IDENTIFIED
    assert not result.converged
    assert "fb=~y2.l2" in told(result)
    assert "fw" not in told(result)


def misfit(seed: int, mis: float = 0.5, clusters: int = 100, size: int = 30) -> pd.DataFrame:
    """Six indicators of one factor at each level with opposite loadings, and a second within factor that a model leaves out."""
    random = np.random.default_rng(seed)
    cluster, loading = np.repeat(np.arange(clusters), size), np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5])
    between, within = random.normal(size=clusters) * 0.3, random.normal(size=clusters * size)
    other = random.normal(size=clusters * size)[:, None] * np.array([1, 1, 0, 0, 0, 1])
    values = within[:, None] * loading + (between[:, None] * loading[::-1])[cluster] + mis * other
    values += random.normal(size=values.shape) * 0.4 + (random.normal(size=(clusters, 6)) * 0.1)[cluster]
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(1, 7)]).assign(g=cluster)


LABELLED = " + ".join(f"c{i}*x{i}" for i in range(1, 7))
FREE_SCALE = f"level: 1\n f =~ NA*x1 + {LABELLED}\n f ~~ f\nlevel: 2\n b =~ NA*x1 + {LABELLED}\n b ~~ b\n"
# where the search stops, the observed information is positive definite in the flat direction: by the gradient that is left
REGULAR_THERE = ((0, 0.0), (1, 0.5), (3, 1.0))


@pytest.mark.parametrize(
    "options", [{}, {"estimator": "MLR"}, {"estimator": "MLF"}, {"information": "expected"}], ids=str
)
def test_a_free_scale_is_not_identified_however_badly_the_model_fits(options):
    for seed, mis in REGULAR_THERE:
        result = fit(FREE_SCALE, misfit(seed, mis), **options)
        assert result.status is ml.Status.NOT_IDENTIFIED
        assert np.isnan(result.vcov().to_numpy()).all()
        assert "c1, c2, c3, c4, c5, c6, f~~f, b~~b.l2" in told(result)
        # equal loadings carry the scale over: one variance is enough
        assert "f at the within level (f ~~ 1*f, or f =~ 1*x1). Until then there are no standard errors" in told(result)


def test_a_scale_that_is_fixed_identifies_the_same_model():
    for seed, mis in REGULAR_THERE:
        assert fit(FREE_SCALE.replace("f ~~ f", "f ~~ 1*f"), misfit(seed, mis)).converged


def with_gaps(data: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(5)
    return data.assign(**{v: data[v].where(random.random(len(data)) > 0.1) for v in ("x1", "x3", "x5")})


def test_a_free_scale_is_not_identified_with_missing_values():
    data = with_gaps(misfit(1, clusters=40, size=6))
    result = fit(FREE_SCALE, data, missing="ml", estimator="MLR")
    assert result.status is ml.Status.NOT_IDENTIFIED
    assert "f~~f, b~~b.l2" in told(result)


@pytest.mark.parametrize("clusters", [12, 60])
def test_a_free_scale_is_not_identified_with_random_slopes(clusters):
    # by the scores of the clusters where they are many, by the moments where there are fewer than parameters
    data, random = misfit(1, clusters=clusters, size=6), np.random.default_rng(7)
    covariate = random.standard_normal(len(data))
    slope = 1 + 0.5 * random.standard_normal(clusters)
    data = data.assign(w=covariate, x3=data["x3"] + slope[data["g"]] * covariate)
    model = "level: 1\n f =~ NA*x1 + x2 + x3\n f ~~ f\n x3 ~ rv('s')*w\nlevel: 2\n x1 ~~ x1\n x2 ~~ x2\n x3 ~~ x3\n s ~~ s\n"
    result = fit(model, data)
    assert result.status is ml.Status.NOT_IDENTIFIED
    assert "f=~x1, f=~x2, f=~x3, f~~f." in told(result)
    assert fit(model.replace("f ~~ f", "f ~~ 1*f"), data).status is not ml.Status.NOT_IDENTIFIED


@pytest.mark.timeout(300)
def test_a_free_scale_is_not_identified_in_traced_searches():
    with jax.enable_x64(True):
        frames = [misfit(seed, mis) for seed, mis in REGULAR_THERE]
        model = ml.model(FREE_SCALE, frames[0], cluster="g")
        stats = [ml.statistics(model, frame).reduced for frame in frames]
        batch = ml.estimate_batch(model, jax.tree.map(lambda *x: np.stack([np.asarray(v) for v in x]), *stats))
        one = ml.estimate(model, stats[1])
    assert [ml.Status(int(status)).name for status in batch.status] == ["NOT_IDENTIFIED"] * 3
    assert np.isnan(batch.se).all()
    assert ml.Status(int(one.status)) is ml.Status.NOT_IDENTIFIED
    assert np.isnan(np.asarray(one.se)).all()


def test_a_point_without_rank_does_not_make_a_model_unidentified():
    # where all loadings of a standardised factor are zero, they do not move the moments; beside that point they do
    result = fit(FACTOR, rows(), std_lv=True)
    model = result.estimation.model
    names = np.array(model.build.names)
    theta = np.where(np.char.startswith(names, "fb=~"), 0.0, model.theta)
    flat = np.zeros((len(theta),) * 2)
    end = Maximum(theta, 0.0, flat[0], None, flat, 0.0, 1, ml.Status.CONVERGED)
    assert float64(unidentified)(model.problem, end) == []


def test_loadings_that_run_off_are_not_called_unidentified():
    # at level 2 y2 correlates with y1 and y3, which do not correlate with each other: only a factor without variance and endless
    # loadings fits that, yet the model is identified nearly everywhere
    between = np.array([[0.2, 0.05, 0.0], [0.05, 0.2, 0.03], [0.0, 0.03, 0.2]])
    result = fit(FACTOR, by_moments(WITHIN, between))
    assert result.status is ml.Status.NO_MAXIMUM
    assert "run off together" in told(result)
    assert "fb=~y2.l2" in told(result)
    assert "Not identified" not in told(result)


def test_as_many_variables_as_clusters_have_no_maximum():
    data = rows()
    result = fit(SATURATED, data[data["g"] < 3])
    assert result.status is ml.Status.NO_MAXIMUM
    assert "3 clusters but 3 variables" in told(result)
    assert "tends to a singular one" in told(result)
    text = str(result.summary())
    assert "did NOT converge" in text.splitlines()[0]
    assert ml.Status.NO_MAXIMUM.advice.split(",")[0] in text
    assert "bounds='pos.var'" in text


def test_a_singular_cluster_is_the_edge_of_random_slopes():
    # the slope variance is negative, and one cluster's covariates leave its covariance matrix no longer positive definite; at the
    # covariate's zero, and for the largest cluster, nothing is wrong
    data, random = rows(np.array([2, 3, 4] * 8)), np.random.default_rng(3)
    data = data.assign(w=random.standard_normal(len(data)))
    result = fit("level: 1\n y1 ~ rv('s')*w\nlevel: 2\n y1 ~~ y1\n s ~~ y1\n", data)
    model, names = result.estimation.model, np.array(result.estimation.model.build.names)
    value, edge = float64(model.problem.value), float64(singular_edge)
    assert edge(model.problem, model.theta) is None

    def at(variance):
        there = np.where(names == "y1~~s.l2", 0.0, model.theta)
        return np.where(names == "s~~s.l2", variance, there)

    inside, outside = 0.0, -100.0
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if np.isfinite(value(at(middle))) else (inside, middle)
    end = replace(model.maximum, theta=at(inside), status=ml.Status.ITERATION_LIMIT, value=value(at(inside)))
    stuck = replace(model, maximum=end, moments=float64(model.problem.moments)(at(inside)))
    status, notes = float64(verified)(stuck)
    assert status is ml.Status.NO_MAXIMUM
    assert "covariance matrix of a cluster's rows, given its covariates, tends to a singular one in" in notes[0]
    assert " s" in notes[0]
    assert "bounds='pos.var'" in notes[0]
    assert edge(model.problem, at(0.5 * inside)) is None


def test_limits_of_the_user_are_kept():
    result = fit(MODEL, rows(), iter_max=2)
    assert result.status is ml.Status.ITERATION_LIMIT
    assert result.iterations == 2


def test_an_unrestricted_model_without_maximum_gives_no_chi_square():
    # the largest cluster stands alone: the likelihood of unrestricted moments is unbounded, and here no local maximum is left
    random = np.random.default_rng(4)
    data = rows(np.array([2] * 6 + [60]), seed=11)
    data[["y1", "y2", "y3"]] = random.standard_normal((len(data), 3))
    model = "level: 1\n y1 ~~ y2 + y3\n y2 ~~ y3\nlevel: 2\n y1 ~~ 0*y1\n y2 ~~ 0*y2\n y3 ~~ 0*y3\n"
    result = fit(model, data, h1=True)
    assert result.status is ml.Status.CONVERGED
    assert result.estimation.h1 is None
    assert "unrestricted model has no maximum" in told(result)
    measures = result.fit_measures()
    assert np.isfinite(measures["logl"])
    assert "chisq" not in measures.dropna()


def test_units_of_a_variable_do_not_matter():
    data = rows()
    other = data.assign(y2=data["y2"] * 1e6, y3=data["y3"] * 1e-3)
    a, b = fit(FACTOR, data), fit(FACTOR, other)
    assert a.status is b.status
    assert b.iterations <= a.iterations + 2
    assert b.coef()["fb=~y2.l2"] == pytest.approx(1e6 * a.coef()["fb=~y2.l2"], rel=1e-6)
    assert b.coef()["y3~~y3"] == pytest.approx(1e-6 * a.coef()["y3~~y3"], rel=1e-6)
    jacobian = len(data) * (np.log(1e6) + np.log(1e-3))
    assert b.loglik == pytest.approx(a.loglik - jacobian, rel=1e-9)


def test_nearly_collinear_indicators_converge():
    data = rows()
    random = np.random.default_rng(5)
    data["y2"] = data["y1"] + 0.01 * random.standard_normal(len(data))
    result = fit(FACTOR, data)
    assert result.converged
    gradient = result.estimation.model.maximum.gradient
    assert 0.5 * gradient @ result.vcov().to_numpy() @ gradient < 1e-10


def test_rescaled_model_is_the_same_model():
    result = fit(FACTOR, rows())
    model = result.estimation.model
    with_variance = float64(rescale)(model.problem, 1.0)
    theta = with_variance.forth(model.theta)
    assert float64(with_variance.value)(theta) == pytest.approx(model.value, rel=1e-12)
    np.testing.assert_allclose(with_variance.back(theta), model.theta, rtol=1e-12)


def test_the_higher_of_two_maxima_is_reported(monkeypatch):
    # few clusters, intraclass correlations of .05: one maximum on either side of a factor variance of zero
    random = np.random.default_rng(2)
    loading = np.linspace(0.6, 0.9, 4)
    cluster = np.repeat(np.arange(30), 5)
    between = random.standard_normal((30, 1)) * loading + random.standard_normal((30, 4)) * np.sqrt(1 - loading**2)
    within = random.standard_normal((150, 1)) * loading + random.standard_normal((150, 4)) * np.sqrt(1 - loading**2)
    values = np.sqrt(0.05) * between[cluster] + np.sqrt(0.95) * within
    data = pd.DataFrame(values, columns=["y1", "y2", "y3", "y4"]).assign(g=cluster)
    model = FACTOR.replace("y3", "y3 + y4")
    result = fit(model, data)
    assert result.status is ml.Status.IMPROPER
    assert "reached a higher maximum than the first one" in told(result)
    monkeypatch.setattr(_fit_surely, "in_doubt", lambda *_: False)
    first = fit(model, data)
    assert first.converged
    assert result.loglik > first.loglik + 0.05


def test_a_saddle_is_left():
    model = FACTOR.replace("fb =~ y1 + y2 + y3", "fb =~ start(0)*y1 + start(0)*y2 + start(0)*y3")
    result, plain = fit(model, rows(), std_lv=True), fit(FACTOR, rows())
    assert result.status is plain.status
    assert result.loglik == pytest.approx(plain.loglik, abs=1e-8)


def test_other_searches_reach_the_maximum_from_a_start_that_fails():
    good = fit(MODEL, rows())
    model = good.estimation.model
    bad = model.theta.copy()
    bad[[name == "fw~~fw" for name in model.build.names]] = -50.0  # no likelihood there

    end, notes = float64(_fit_surely.maximum_of)(model.problem, bad, FitOptions())
    assert settled(end)
    assert end.value == pytest.approx(model.value, abs=1e-8)
    assert any("reached the maximum by" in note for note in notes)


def test_every_search_writes_progress(capsys):
    a, b, c = 0.0244, -0.0008, 0.005
    result = fit(FACTOR, by_moments(WITHIN, np.array([[0.2, a, b], [a, 0.2, c], [b, c, 0.2]])), verbose=True)
    assert result.iterations > PATIENCE + 10, "the first search was enough: this data set shows nothing"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iteration")]
    # all that count as iterations, and those of searches that were left
    assert len(lines) >= result.iterations


@pytest.mark.parametrize(("decrement", "slope", "named"), [(0.01, 0.0, True), (0.2, 1e-6, True), (0.2, 0.1, False)])
def test_a_valley_is_told_by_what_is_left_or_was_gained_lately(decrement, slope, named):
    # the last step of a search may land on a steep side of the valley, which promises more than the floor has to give
    information = np.array([[1.0, 0.999995], [0.999995, 1.0]])
    trace = [{"iteration": i + 1, "loglik": slope * i} for i in range(300)]
    end = Maximum(
        np.zeros(2), 299 * slope, np.ones(2), None, information, decrement, 300, ml.Status.ITERATION_LIMIT, trace
    )
    assert running_off(end, ["a", "b"]) == (["a", "b"] if named else [])
