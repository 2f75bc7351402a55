"""What the methods of a fit say to arguments that they do not take, and what the newer arguments do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import rows, tiny_fit

import mlsem_jax as ml
from mlsem_jax.report import StorageError

pytestmark = pytest.mark.timeout(240)

# method -> argument -> values that it refuses; the other arguments that it needs stand in NEEDED
ANY: tuple[Any, ...] = (object(), 1j, b"x", {"x": 1}, np.zeros(3), pd.DataFrame({"a": [1]}))
WRONG: dict[str, dict[str, tuple[Any, ...]]] = {
    "parameter_estimates": {
        "level": (95, 0, 1, -0.5, np.nan, "0.95", None, True, [0.95]),
        "standardized": ("std", "all", 5, ["std.lv", "x"]),
        "ci": ("profil", 5, None),
    },
    "standardized_solution": {"type": ("std", 5, None), "level": (95, "x")},
    "fit_measures": {"measures": ("cif", ["cfi", "nonsense"], 5, [1]), "convention": ("mplus", 5)},
    "wald": {"constraints": (None, 5, "", [], "a ==", "zz == 1", ["a == 1", 5])},
    "inspect": {"what": ("nonsense", 5, None)},
    "summary": dict.fromkeys(("fit_measures", "standardized", "ci", "rsquare", "modindices"), ("x", "TRUE", 2, None)),
    "plot": {
        "kind": ("pathh", 5, None, []),
        "ax": ("x", 5),
        "level": (3, "within"),
        "group": (2, "x"),
        "nonsense": (1,),
    },
    "report": {"path": (None, 5, "", "/no/such/folder/x.html"), "title": (5,)},
    "save": {"path": (None, 5, "", "/no/such/folder/x.json", ["x"])},
    "to_lavaan": {"starts": ("x", 2)},
    "to_mplus": {"data_file": (5, None), "columns": (5, ["y1"])},
    "residuals": {"type": ("casewise", 5, None)},
    "profile_ci": {"parameters": ("unknown", 5, ["a", "zz"]), "level": (95, "x"), "progress": ("x", 2)},
    "modification_indices": {
        "sort": ("x",),
        "minimum_value": ("3", np.nan, None),
        "maximum_number": (0, -1, 1.5, "3"),
        "op": ("=", "~~~", 5),
        "information": ("observe", 5),
    },
    "score_test": {"release": (0, 99, "1", [1, "x"], 1.5, True)},
    "predict": {"level": (0, 3, "1", None, 1.5, True), "se": ("x",), "convention": ("mplus", 5)},
    "simulate": {
        "key": (None, "x", 1.5, np.nan),
        "n_datasets": (0, -1, "5", 1.5),
        "cluster_sizes": (5, ["x"], [0], []),
        "nonsense": (1,),
    },
    "bootstrap": {
        "n": (0, -1, "10", 1.5, None),
        "key": (None, "x", 1.5),
        "type": ("clusters", 5),
        "ci": ("percentile", 5),
        "level": (95,),
        "chisq": ("x",),
    },
    "influence": {"exact": ("x",), "rows": (2,)},
    "lrt": {"method": ("satorra", 5)},
}
NEEDED: dict[str, dict[str, Any]] = {
    "simulate": {"key": 1},
    "bootstrap": {"n": 2},
    "report": {"path": "/no/such/folder/x.html"},
}


@pytest.mark.parametrize("method", WRONG)
def test_methods_refuse_in_sentences(method):
    fit = tiny_fit()
    for argument, values in WRONG[method].items():
        for value in (*values, *ANY):
            if argument == "nonsense" and value is not values[0]:
                continue
            with pytest.raises((ml.ModelError, ml.ModelSyntaxError, ml.DataError, StorageError)) as raised:
                getattr(fit, method)(**(NEEDED.get(method, {}) | {argument: value}))
            assert len(str(raised.value)) > 30, raised.value


def test_sentences_say_what_to_write():
    fit = tiny_fit()
    for call, words in (
        (lambda: fit.parameter_estimates(level=95), "between 0 and 1, such as 0.95. Write 0.95, not 95"),
        (lambda: fit.fit_measures("cif"), "no measure 'cif'. Did you mean 'ifi' or 'cfi'"),
        (lambda: fit.lrt(None), "'fit 2' is None"),
        (lambda: fit.summary(ci="TRUE"), "Write True, without quotes"),
        (lambda: fit.plot("residual"), "Did you mean 'residuals'"),
        (lambda: fit.plot("profile"), "needs parameter="),
        (lambda: fit.bootstrap(0), "a whole number of at least 1"),
        (lambda: fit.bootstrap(10, key=None), "one key of jax.random"),
        (lambda: fit.predict(level=3), "level must be 1 (scores of rows) or 2 (scores of clusters)"),
        (lambda: fit.getmatrix("omega_within"), "getmatrix() is for network models"),
        (lambda: fit.prune(alpha=5), "prune() is for network models"),
    ):
        with pytest.raises(ml.ModelError) as raised:
            call()
        assert words in str(raised.value), raised.value


def test_keys_of_jax_random_are_keys():
    """Typed keys, the older form, and whole numbers."""
    import jax

    typed = jax.random.key(3)
    draws = [tiny_fit().simulate(key).terms[0].data.mean for key in (typed, jax.random.key_data(typed), np.int64(3))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.shape(draws[2]) == np.shape(draws[0])
    with pytest.raises(ml.ModelError, match="key"):
        tiny_fit().simulate(jax.random.split(typed))


def test_names_of_arguments_are_told_with_the_nearest():
    with pytest.raises(TypeError, match=r"summary\(\): .*'fit_measure'.* Did you mean 'fit_measures'"):
        tiny_fit().summary(fit_measure=True)


def test_fit_measures_by_name():
    fit = tiny_fit()
    every = fit.fit_measures()
    assert fit.fit_measures(["rmsea", "cfi"]).to_dict() == {name: every[name] for name in ("rmsea", "cfi")}
    assert list(fit.fit_measures("cfi").index) == ["cfi"]
    assert list(fit.fit_measures(["rmsea_ci_lower", "SRMR_within"]).index) == ["rmsea.ci.lower", "srmr_within"]
    pd.testing.assert_series_equal(fit.fit_measures("all"), every)
    # the argument that came first in version 0.1.0
    pd.testing.assert_series_equal(fit.fit_measures("psychonetrics"), fit.fit_measures(convention="psychonetrics"))
    assert fit.fit_measures("bic", convention="psychonetrics")["bic"] != every["bic"]


def test_standardized_columns_by_name():
    fit = tiny_fit()
    assert list(fit.parameter_estimates(standardized=True).columns[-2:]) == ["std.lv", "std.all"]
    table = fit.parameter_estimates(standardized=["std.nox", "std.lv"])
    assert list(table.columns[-2:]) == ["std.nox", "std.lv"]
    np.testing.assert_allclose(table["std.nox"], fit.standardized_solution("std.nox")["est.std"])
    assert list(fit.parameter_estimates(standardized="std.all").columns[-2:]) == ["ci.upper", "std.all"]


def test_a_table_given_to_predict_is_new_data():
    fit, data = tiny_fit(), rows().head(50)
    pd.testing.assert_frame_equal(fit.predict(data), fit.predict(newdata=data))
    with pytest.raises(ml.DataError):
        fit.predict(data.drop(columns="g"))


@pytest.fixture(scope="module")
def network() -> ml.Fit:
    return ml.ml_ggm(rows(), clusters="g", vars=["y1", "y2", "y3"]).fit()


NETWORK: dict[str, dict[str, tuple[Any, ...]]] = {
    "getmatrix": {
        "matrix": ("omega", 5, None),
        "group": (2, "x", True),
        "threshold": ("x", -1, np.nan),
        "alpha": (5, 0),
        "adjust": ("fd",),
    },
    "prune": {
        "alpha": (5, "x", np.nan, 0),
        "adjust": ("fd", 5),
        "recursive": ("x",),
        "matrices": ("omega", 5),
        "limit": (0, "3", 1.5),
    },
    "stepup": {"alpha": (5, None), "criterion": ("bicc", 5), "matrices": ("omega",), "limit": (-1,)},
    "modelsearch": {"criterion": ("none", 5), "prunealpha": (5,), "addalpha": ("x",)},
    "fixpar": {
        "value": ("x", np.nan, None),
        "row": (0, 4, "y9", 1.5, True, np.nan, [1]),
        "col": (0, "y9", object()),
        "group": (2, "x"),
    },
    "freepar": {"start": ("x", np.inf), "row": (0, "y9", np.inf), "matrix": ("omega", 5, None)},
    "MIs": {"matrices": ("omega", 5), "top": (0, "x")},
    "modification_indices": {"op": ("=~~", 5), "information": ("observed",)},
    "CIplot": {"alpha": (5,), "matrices": ("omega",), "ax": ("x",)},
    "plot_network": {"matrix": ("omega", 5), "group": (2,), "threshold": ("x",), "maximum": (0,), "ax": ("x",)},
    "transmod": {"within": ("network", 5), "nonsense": ("cov",)},
}
PLACE = {"matrix": "omega_within", "row": 2, "col": 1}


@pytest.mark.parametrize("method", NETWORK)
def test_methods_of_network_fits_refuse_in_sentences(network, method):
    needed = {"getmatrix": {"matrix": "omega_within"}, "fixpar": PLACE, "freepar": PLACE}.get(method, {})
    for argument, values in NETWORK[method].items():
        for value in values:
            with pytest.raises(ml.ModelError) as raised:
                getattr(network, method)(**(needed | {argument: value}))
            assert len(str(raised.value)) > 30, raised.value
