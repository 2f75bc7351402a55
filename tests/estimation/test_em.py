"""EM: its E-step against dense normals and Fisher's identity, its monotone climb, and where it hands over."""

import functools

import jax
import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, rows

import mlsem_jax as ml
from mlsem_jax.likelihood import evaluate_expected, expected_complete_log_likelihood, expected_statistics
from mlsem_jax.numerics import float64

WITH_COVARIATES = """
level: 1
  fw =~ y1 + y2 + y3
  fw ~ x
level: 2
  fb =~ y1 + y2 + y3
  fb ~ z
"""
# two equal steps of SQUAREM are told apart from rounding by this share of the log-likelihood, as promised
ROUNDING = 1e-9
# solvers differ by what is left to gain at the maximum (1e-13), whose square root bounds the error in standard errors
AGREEMENT = 1e-6


@functools.cache
def data(missing: bool = False) -> pd.DataFrame:
    frame = rows()
    random = np.random.default_rng(8)
    frame["x"] = 0.3 + random.standard_normal(len(frame))
    frame["z"] = random.standard_normal(frame["g"].max() + 1)[frame["g"]]
    frame["y1"] += 0.4 * frame["x"] + 0.5 * frame["z"]
    if missing:
        for name in ("y2", "y3"):
            frame.loc[random.random(len(frame)) < 0.15, name] = np.nan
        frame.loc[frame["g"] < 10, ["y1", "y2", "y3"]] = frame.loc[frame["g"] < 10, ["y1", "y2", "y3"]].bfill().ffill()
    return frame


@functools.cache
def fitted(model: str, method: str, missing: bool = False, acceleration: str = "squarem"):
    return ml.sem(
        model,
        data(missing),
        cluster="g",
        optim_method=method,
        missing="ml" if missing else "listwise",
        em_acceleration=acceleration,
        h1=False,
        baseline=False,
    )


def away(fit) -> np.ndarray:
    """A point near the maximum, where the gradient is not zero."""
    theta = fit.estimation.model.theta
    return theta * (1 + 0.05 * np.cos(np.arange(len(theta))))


@pytest.mark.parametrize(("model", "missing"), [(MODEL, False), (WITH_COVARIATES, True)])
@float64
def test_gradient_of_the_expected_log_likelihood_is_that_of_the_likelihood(model, missing):
    # Fisher's identity holds at the point of the E-step for any model and any missing values
    fit = fitted(model, "scoring", missing)
    problem, theta = fit.estimation.model.problem, away(fit)
    expected = jax.jit(expected_statistics)(problem.structure, theta, problem.statistics)
    end = jax.jit(evaluate_expected)(problem.structure, theta, expected)
    gradient = problem.evaluate(theta).gradient
    np.testing.assert_allclose(
        np.asarray(end.gradient)[: problem.q], gradient, rtol=1e-9, atol=1e-9 * abs(gradient).max()
    )
    value = expected_complete_log_likelihood(problem.structure, theta, expected)
    assert float(value) == pytest.approx(float(end.value), rel=1e-13)


@float64
def test_expected_sums_against_a_dense_normal_of_every_cluster():
    fit = fitted(WITH_COVARIATES, "scoring", True)
    problem, theta = fit.estimation.model.problem, away(fit)
    expected = expected_statistics(problem.structure, theta, problem.statistics)
    moments = jax.tree.map(np.asarray, problem.structure(theta))
    within, between, mean = moments.within_cov[0], moments.between_cov[0], moments.mean[0]
    prepared = fit.estimation.data
    z = prepared.between_only
    centre = np.asarray(expected.between.centre[0])
    p, rows_only = len(mean), np.diag(between) == 0
    total, cross = np.zeros(p), np.zeros((p, p))
    within_cross = np.zeros((p, p))
    for j in range(prepared.nclusters):
        y = prepared.values[prepared.cluster == j]
        n = len(y)
        # unknowns: u (p), then e_1 .. e_n; data: the observed of u + e_i, and z once
        prior = np.zeros((p * (n + 1), p * (n + 1)))
        prior[:p, :p] = between
        lines, seen = [], []
        for i in range(n):
            at = slice(p * (i + 1), p * (i + 2))
            prior[at, at] = within
            for v in range(p):
                if (not z[v] and not np.isnan(y[i, v])) or (z[v] and i == 0):
                    row = np.zeros(p * (n + 1))
                    row[v] = 1.0
                    row[p * (i + 1) + v] = 0.0 if z[v] else 1.0
                    lines.append(row)
                    seen.append(y[i, v] - mean[v])
        a = np.array(lines)
        gain = prior @ a.T @ np.linalg.inv(a @ prior @ a.T)
        effect, cov = gain @ np.array(seen), prior - gain @ a @ prior
        u = effect[:p]
        total += u
        cross += np.outer(u, u) + cov[:p, :p]
        for i in range(n):
            at = slice(p * (i + 1), p * (i + 2))
            within_cross += np.outer(effect[at], effect[at]) + cov[at, at]
    keep = ~rows_only
    assert float(expected.between.count[0]) == prepared.nclusters
    np.testing.assert_allclose(np.asarray(expected.between.total[0])[keep], total[keep], atol=1e-10)
    np.testing.assert_allclose(
        np.asarray(expected.between.cross[0])[np.ix_(keep, keep)], cross[np.ix_(keep, keep)], atol=1e-9
    )
    np.testing.assert_allclose(
        np.asarray(expected.within.cross[0])[np.ix_(~z, ~z)], within_cross[np.ix_(~z, ~z)], rtol=1e-10, atol=1e-9
    )
    assert np.all(centre[rows_only] == 0)


@pytest.mark.parametrize(
    ("model", "missing", "acceleration"),
    [
        (MODEL, False, "squarem"),
        (MODEL, False, "none"),
        (WITH_COVARIATES, True, "squarem"),
    ],
)
def test_em_climbs_without_a_step_back_to_the_maximum_of_scoring(model, missing, acceleration):
    em, scoring = fitted(model, "em", missing, acceleration), fitted(model, "scoring", missing)
    path = em.trace["loglik"].to_numpy()
    assert len(path) > 4
    assert np.diff(path).min() >= -ROUNDING * abs(path[-1])
    assert em.converged
    assert em.loglik == pytest.approx(scoring.loglik, abs=1e-8)
    np.testing.assert_allclose(em.coef(), scoring.coef(), rtol=AGREEMENT, atol=AGREEMENT)
    assert not em.estimation.model.notes


def test_squarem_takes_fewer_cycles_than_plain_em():
    assert fitted(MODEL, "em").iterations < fitted(MODEL, "em", False, "none").iterations


def test_tolerances_decide_where_em_ends_and_newton_finishes():
    options = dict(cluster="g", optim_method="em", em_acceleration="none", h1=False, baseline=False)
    loose = ml.sem(MODEL, data(), em_fx_tol=1.0, em_dx_tol=1e3, **options)
    tight = fitted(MODEL, "em", False, "none")
    assert loose.iterations < tight.iterations
    np.testing.assert_allclose(loose.coef(), tight.coef(), rtol=AGREEMENT, atol=AGREEMENT)
    with pytest.warns(ml.ModelWarning, match="limit of 2 iterations"):
        short = ml.sem(MODEL, data(), em_iter_max=2, **options)
    assert short.converged
    np.testing.assert_allclose(short.coef(), tight.coef(), rtol=AGREEMENT, atol=AGREEMENT)


def test_groups_and_equal_labels():
    frame = data().assign(country=np.where(data()["g"] % 2 == 0, "A", "B"))
    model = "level: 1\n fw =~ y1 + y2 + y3\nlevel: 2\n fb =~ y1 + y2 + y3\n"
    options = dict(cluster="g", group="country", group_equal="loadings", h1=False, baseline=False)
    em = ml.sem(model, frame, optim_method="em", **options)
    scoring = ml.sem(model, frame, **options)
    assert em.loglik == pytest.approx(scoring.loglik, abs=1e-8)
    np.testing.assert_allclose(em.coef(), scoring.coef(), rtol=AGREEMENT, atol=AGREEMENT)


def test_network_models_go_by_em_too():
    options = dict(clusters="g", vars=["y1", "y2", "y3"])
    em = ml.ml_ggm(data(), optim_method="em", **options).fit()
    scoring = ml.ml_ggm(data(), **options).fit()
    assert em.loglik == pytest.approx(scoring.loglik, abs=1e-8)
    for name in ("omega_within", "omega_between"):
        np.testing.assert_allclose(em.getmatrix(name), scoring.getmatrix(name), atol=AGREEMENT)


@pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning")
def test_em_says_why_it_cannot_go_to_an_indefinite_between_matrix():
    frame = data().copy()
    # cluster means of y1 vary less than chance makes them
    frame["y1"] -= 0.9 * frame.groupby("g")["y1"].transform("mean")
    model = "level: 1\n y1 ~~ y2\n y1 ~~ y3\n y2 ~~ y3\nlevel: 2\n y1 ~~ y2\n y1 ~~ y3\n y2 ~~ y3\n"
    with pytest.warns(ml.ModelWarning, match="between covariance matrix becomes singular"):
        em = ml.sem(model, frame, cluster="g", optim_method="em", baseline=False)
    scoring = ml.sem(model, frame, cluster="g", baseline=False)
    assert em.status is ml.Status.IMPROPER
    np.testing.assert_allclose(em.coef(), scoring.coef(), rtol=AGREEMENT, atol=AGREEMENT)


def test_em_says_why_it_cannot_start_from_a_singular_between_matrix():
    model = MODEL.replace("0.05*y1", "0*y1").replace("product", "y2 ~~ 0*y2\n  y3 ~~ 0*y3\n  product")
    with pytest.warns(ml.ModelWarning, match="positive definite between covariance matrix.*Fisher scoring was used"):
        em = ml.sem(model, data(), cluster="g", optim_method="em", h1=False, baseline=False)
    assert em.converged


def test_random_slopes_are_handed_over_in_words():
    model = 'level: 1\n y1 ~ rv("s")*x\nlevel: 2\n y1 ~~ y1\n s ~~ s\n y1 ~~ s\n y1 ~ 1\n s ~ 1\n'
    with pytest.warns(ml.ModelWarning, match="EM does not cover random slopes"):
        fit = ml.sem(model, data(), cluster="g", optim_method="em", h1=False, baseline=False)
    assert fit.converged
