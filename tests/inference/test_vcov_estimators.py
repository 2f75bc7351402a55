"""Estimators of the sampling covariance by name: the table, one from outside, what is refused; computed once for a fit."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from tiny import MODEL, rows

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax._status import Status
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Vcov, register_vcov, unregister_vcov
from mlsem_jax.inference.variance import _vcov
from mlsem_jax.options._options import OPTIONS
from mlsem_jax.report import StorageError

pytestmark = pytest.mark.timeout(300)


def fitted(se: str, text: str = MODEL) -> ml.Fit:
    return ml.sem(text, rows(), cluster="g", se=se, h1=False, baseline=False)


@pytest.fixture
def registered():
    """Registers estimators that are forgotten after the test."""
    before = set(_vcov.ESTIMATORS)
    yield register_vcov
    for name in set(_vcov.ESTIMATORS) - before:
        unregister_vcov(name)


def jackknife(estimation: Estimation) -> Vcov:
    """Infinitesimal jackknife: in theory the sandwich with the observed information."""
    model = estimation.model
    by_theta = inference.scores(model, estimation) @ inference.invert(
        inference.information(model, estimation, "observed"), model.maximum.jacobian
    )
    return Vcov(by_theta.T @ by_theta)


def test_the_option_takes_the_names_of_the_table():
    assert all(OPTIONS["se"].read(name) == name for name in _vcov.ESTIMATORS)
    with pytest.raises(ml.ModelError, match=r"se.*'robust\.huber\.white'"):
        fitted("robust.cluster.jackknife")


def test_an_estimator_from_outside_serves_everything(registered, tmp_path):
    registered("jackknife", jackknife)
    # with a linear constraint theta is shorter than the natural parameters
    text = MODEL + "b == 0.5*a + 0.6\n"
    own, sandwich = fitted("Jackknife", text), fitted("robust.huber.white", text)
    assert own.estimation.options.se == "jackknife"
    for result in (
        lambda fit: fit.vcov(),
        lambda fit: fit.parameter_estimates()[["se", "ci.lower"]],
        lambda fit: fit.standardized_solution()["se"],
        lambda fit: fit.wald("a == 1")["stat"],
    ):
        np.testing.assert_allclose(result(own), result(sandwich), rtol=1e-7)
    assert "jackknife" in str(own.summary())
    path = own.save(tmp_path / "fit.json")
    np.testing.assert_allclose(ml.load(path).vcov(), own.vcov(), rtol=1e-9)
    unregister_vcov("jackknife")
    with pytest.raises(StorageError, match="jackknife"):
        ml.load(path)
    moved = dataclasses.replace(own.estimation)
    with pytest.raises(ml.ModelError, match="no such estimator of the variance now"):
        inference.vcov(moved)


def test_it_is_computed_once_and_goes_with_the_fit(registered):
    calls = []

    def counted(estimation: Estimation) -> Vcov:
        calls.append(1)
        return _vcov.standard(estimation)

    registered("counted", counted)
    fit = fitted("counted")
    for _ in range(2):
        fit.vcov(), fit.standardized_solution(), fit.wald("a == b"), fit.summary(ci=True)
    assert len(calls) == 1
    inference.vcov_theta(fit.estimation)[:] = 0.0  # what is kept is not handed out
    assert (np.diag(inference.vcov_theta(fit.estimation)) > 0).all()
    assert "derived" not in {f.name for f in dataclasses.fields(fit.estimation)}
    alive = weakref.ref(fit.estimation)
    del fit
    gc.collect()
    assert alive() is None


def test_not_identified_models_have_none(registered):
    registered("never", lambda estimation: pytest.fail("asked where the model is not identified"))
    fit = fitted("standard")
    options = dataclasses.replace(fit.estimation.options, se="never")
    maximum = dataclasses.replace(fit.estimation.model.maximum, status=Status.NOT_IDENTIFIED)
    model = dataclasses.replace(fit.estimation.model, maximum=maximum)
    assert np.isnan(inference.vcov_theta(dataclasses.replace(fit.estimation, options=options, model=model))).all()


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda q: np.eye(q), f"return a Vcov with a matrix of {14} x {14}"),
        (lambda q: Vcov(np.eye(q + 1)), "a matrix of"),
        (lambda q: Vcov(np.eye(q), df=12.0), "leave df=None"),
    ],
)
def test_what_an_estimator_must_return(registered, returned, said):
    registered("odd", lambda estimation: returned(estimation.model.problem.q))
    with pytest.raises(ml.ModelError, match=said):
        fitted("odd").vcov()


def test_names_are_taken_once():
    for name in ("standard", "Bootstrap"):
        with pytest.raises(ml.ModelError, match="already"):
            register_vcov(name, jackknife)
    for name, function in (("", jackknife), (3, jackknife), ("x", None)):
        with pytest.raises(ml.ModelError, match="takes a name and a function"):
            register_vcov(name, function)
    for name in ("standard", "nothing"):
        with pytest.raises(ml.ModelError, match="no estimator of the variance that was registered"):
            unregister_vcov(name)
