"""Residual moments, their standard errors, intraclass correlations, and what inspect() answers."""

from __future__ import annotations

import numpy as np
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import load_schools
from mlsem_jax.inference.moments._moment_space import MomentSpace
from mlsem_jax.numerics import float64
from mlsem_jax.report._inspect import WORDS

MODEL = """
level: 1
  f =~ math1 + math2 + math3 + reading1
  math3 ~~ reading1
  f ~ ses
level: 2
  b =~ math1 + math2 + math3 + reading1
  b ~ public
"""


@pytest.fixture(scope="module")
def data():
    return load_schools()


@pytest.fixture(scope="module")
def fit(data):
    return ml.sem(MODEL, data, cluster="school")


def test_raw_residuals_are_differences(fit):
    raw, h1, implied = fit.residuals(), fit.h1(), fit.implied()
    for level in ("within", "between"):
        np.testing.assert_allclose(raw[level]["cov"], h1[level]["cov"] - implied[level]["cov"], atol=1e-14)
    total = raw["within"]["mean"].add(raw["between"]["mean"], fill_value=0)
    want = h1["within"]["mean"].add(h1["between"]["mean"], fill_value=0)
    want -= implied["within"]["mean"].add(implied["between"]["mean"], fill_value=0)
    np.testing.assert_allclose(total, want, atol=1e-14)
    assert (raw["within"]["mean"] == 0).all(), "outcomes live at level 2, and the mean of ses is the data's"


def test_correlation_residuals(fit):
    def correlation(cov):
        sd = np.sqrt(np.diag(cov))
        return cov / np.outer(sd, sd)

    residual, h1, implied = fit.residuals("cor"), fit.h1(), fit.implied()
    for level in ("within", "between"):
        want = correlation(h1[level]["cov"]) - correlation(implied[level]["cov"])
        np.testing.assert_allclose(residual[level]["cov"], want, atol=1e-12)
        assert np.allclose(np.diag(residual[level]["cov"]), 0, atol=1e-12)


def test_one_degree_of_freedom_gives_one_z(data):
    """All residuals are then multiples of one normal variable, so that every squared z is close to the chi-square."""
    names = ["math1", "math2", "math3", "reading1"]
    saturated = "".join(f" {a} ~~ {b}\n" for i, a in enumerate(names) for b in names[i:])
    model = f"level: 1\n f =~ {' + '.join(names)}\n math1 ~~ math2\nlevel: 2\n{saturated}"
    fit = ml.sem(model, data, cluster="school")
    measures = fit.fit_measures()
    assert measures["df"] == 1
    z = fit.residuals("z")["within"]["cov"]
    squares = np.array([z.loc[a, b] for a in names[:2] for b in names[2:]]) ** 2
    # equal up to the curvature of the model: the residuals are a few standard errors
    np.testing.assert_allclose(squares, measures["chisq"], rtol=0.02)
    assert (np.diag(z) == 0).all(), "free variances reproduce the diagonal to first order"


@pytest.mark.timeout(120)
def test_information_in_the_moments_equals_the_kernel(fit):
    estimation = fit.estimation

    @float64
    def both():
        space = MomentSpace.of(estimation)
        moments = estimation.model.moments
        between_only = np.asarray(estimation.model.build.structure.between_only)
        mine = space.information(moments, between_only, estimation.statistics)
        return mine, space.problem.expected(space.pick(moments))

    mine, kernel = both()
    np.testing.assert_allclose(mine, kernel, rtol=1e-9, atol=1e-9 * np.abs(kernel).max())


def test_intraclass_correlations(fit):
    h1, icc = fit.h1(), fit.icc()
    assert icc["ses"] == 0
    between, within = h1["between"]["cov"].loc["math1", "math1"], h1["within"]["cov"].loc["math1", "math1"]
    assert icc["math1"] == pytest.approx(between / (between + within))


def test_results_of_groups_are_keyed_by_label(data):
    grouped = data.assign(kind=data.public.map({1: "public", 0: "private"}))
    fit = ml.sem(
        "level: 1\n f =~ math1 + math2 + math3\nlevel: 2\n b =~ math1 + math2 + math3",
        grouped,
        cluster="school",
        group="kind",
    )
    labels = list(dict.fromkeys(grouped.kind))
    for result in (fit.implied(), fit.h1(), fit.icc(), fit.residuals("z"), fit.rsquare(), fit.inspect("nobs")):
        assert list(result) == labels
    assert fit.inspect("nobs") == grouped.groupby("kind").size().loc[labels].to_dict()


def test_without_a_saturated_model_the_remedy_is_named(data):
    fit = ml.sem(MODEL, data, cluster="school", h1=False, baseline=False)
    with pytest.raises(ml.ModelError, match="h1=True"):
        fit.icc()


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_is_answered(fit, word):
    fit.inspect(word)


def test_inspect_is_lavinspect(fit):
    matrices = fit.inspect("est")["within"]
    estimates = fit.coef()
    assert matrices["lambda"].loc["math1", "f"] == 1
    assert matrices["lambda"].loc["math2", "f"] == estimates["f=~math2"]
    assert matrices["beta"].loc["f", "ses"] == estimates["f~ses"]
    assert matrices["theta"].loc["reading1", "math3"] == estimates["math3~~reading1"]
    assert fit.inspect("cluster_size").sum() == fit.nobs
    assert fit.inspect("coverage").loc["math1", "ses"] == 1
    np.testing.assert_allclose(np.diag(fit.inspect("cor.lv")["between"]), 1)
    variance = fit.inspect("cov.lv")["within"].loc["f", "f"]
    assert fit.inspect("rsquare")["within"]["f"] == pytest.approx(1 - estimates["f~~f"] / variance)


def test_an_unknown_word_gets_its_neighbours(fit):
    with pytest.raises(ml.ModelError, match=r"'cluster\.size'"):
        fit.inspect("clustersize")
