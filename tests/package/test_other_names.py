"""Names of R's packages and of statsmodels, asked of fits and of the package, are answered with what to type here."""
# ruff: noqa: B009

from __future__ import annotations

import copy
import pickle
import re

import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import _other_names as other

pytestmark = pytest.mark.timeout(240)

MODEL = "f =~ math1 + math2 + math3"
# what a person may type, and the beginning of what the answer says to type
ASKED = {
    "parameterEstimates": "parameter_estimates",
    "parameterestimates": "parameter_estimates",
    "standardizedSolution": "standardized_solution",
    "fitMeasures": "fit_measures",
    "fitmeasures": "fit_measures",
    "modificationIndices": "modification_indices",
    "lavInspect": "inspect",
    "lavPredict": "predict",
    "anova": "lrt",
    "params": "coef",
    "theta": "coef",
    "bse": "parameter_estimates",
    "pvalues": "parameter_estimates",
    "conf_int": "parameter_estimates",
    "cov_params": "vcov",
    "aic": "fit_measures",
    "BIC": "fit_measures",
    "rmsea": "fit_measures",
    "llf": "loglik",
    "logLik": "loglik",
    "resid": "residuals",
    "fittedvalues": "implied",
    "partable": "parameter_estimates",
    "rsquared": "rsquare",
    "bootstrapLavaan": "bootstrap",
    "compRelSEM": "reliability",
    "cov_lv": "inspect",
    "to_excel": "table",
    "predict_factors": "predict",
    "loadings": "inspect",
    "score": "inspect",
    "getParameters": "coef",
    "monteCarloCI": "profile_ci",
    "moreFitIndices": "fit_measures",
}


@pytest.fixture(scope="module")
def data():
    return ml.datasets.load_schools()


@pytest.fixture(scope="module")
def fit(data):
    return ml.cfa(MODEL, data)


@pytest.mark.parametrize("name", ASKED)
def test_names_asked_of_a_fit(fit, name):
    assert not hasattr(fit, name)
    with pytest.raises(AttributeError, match=rf"'{name}': write fit\.{ASKED[name]}\b"):
        getattr(fit, name)
    assert getattr(fit, name, None) is None
    assert name not in dir(fit)


def test_every_answer_can_be_typed(fit):
    """The code after 'write fit.' names what a fit has; where it takes no argument that is left open it runs."""
    for code in {*other.OF_FITS.values(), "fit_measures()['cfi']"}:
        for one in code.split(" or "):
            member = re.split(r"\W", one)[0]
            assert hasattr(fit, member), one
            if not re.search(
                r"\((what|other|path|key|'fit.json'|'a == b'|1000.*|'?table.*)\)|plot|save|profile|score_test|bootstrap|simulate",
                one,
            ):
                eval("fit." + one, {"fit": fit})
    for name in (*other._METHODS.split(), *other._PROPERTIES):
        assert hasattr(fit, name), name


def test_words_of_the_package_exist():
    for told in other.OF_PACKAGE.values():
        for name in re.findall(r"\bml\.(\w+)", told):
            assert hasattr(ml, name), told


def test_pooled_fits_and_models_that_were_not_fitted(fit, data):
    pooled = ml.pool([fit, fit])
    with pytest.raises(AttributeError, match=r"write pooled\.parameter_estimates"):
        getattr(pooled, "parameterEstimates")
    with pytest.raises(AttributeError, match=r"not pooled: .*pooled\.fits\[0\]\.residuals"):
        getattr(pooled, "resid")
    assert not hasattr(pooled, "aic_")
    model = ml.ml_ggm(data, clusters="school", vars=["math1", "math2"])
    for name in ("summary", "getmatrix", "fitMeasures", "aic"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=r"fit = model.fit\(\), then fit\."):
            getattr(model, name)
    with pytest.raises(AttributeError, match=r"write model\.runmodel"):
        getattr(model, "runModel")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lavaan_sem", r"ml\.sem"),
        ("cfa2", "Did you mean 'cfa'"),
        ("lavPredict", r"asked of a fit, fit = ml\.sem.*fit\.predict\(\)"),
        ("fitMeasures", r"fit\.fit_measures\(\)"),
        ("reliability", r"fit\.reliability\(\)"),
        ("measEq_syntax", r"ml\.invariance"),
        ("runMI", r"ml\.pool"),
        ("compareFit", r"ml\.lrt"),
        ("parallelAnalysis", r"write ml\.parallel_analysis"),
        ("Sem", r"write ml\.sem"),
        ("getmatrix", r"fit\.getmatrix"),
        ("gvar", "psychonetrics fits them"),
    ],
)
def test_names_asked_of_the_package(name, words):
    assert not hasattr(ml, name)
    with pytest.raises(AttributeError, match=words):
        getattr(ml, name)
    assert name not in dir(ml)


def test_what_tools_ask_for_is_told_plainly(fit, tmp_path):
    """Copies, pickles and notebooks try names of their own; those never get an answer for people."""
    for thing in (fit, ml.pool([fit, fit]), ml):
        for name in (
            "_repr_png_",
            "_ipython_display_",
            "__array__",
            "_ipython_canary_method_should_not_exist_",
            "__wrapped__",
        ):
            with pytest.raises(AttributeError, match="has no attribute"):
                getattr(thing, name)
    assert copy.copy(fit).loglik == fit.loglik
    assert isinstance(pickle.loads(pickle.dumps(fit.parameter_estimates())), pd.DataFrame)
    assert set(dir(ml)) == set(ml.__all__)
    with pytest.raises(AttributeError, match="object has no attribute 'nonsense'") as raised:
        getattr(fit, "nonsense")
    assert raised.value.name == "nonsense"
