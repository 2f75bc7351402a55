"""Every option of the front ends takes what it says and refuses the rest in a sentence; start= and bounds= do what they say."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation import FitOptions
from mlsem_jax.options._keywords import VarcovOptions
from mlsem_jax.options._options import OPTIONS
from mlsem_jax.syntax import SyntaxOptions

pytestmark = pytest.mark.timeout(240)

MODEL = """
level: 1
  f =~ y1 + y2 + y3
  f ~ x
level: 2
  b =~ y1 + y2 + y3
"""
NAMES = sorted(
    {f.name for f in dataclasses.fields(FitOptions)}
    | {f.name for f in dataclasses.fields(SyntaxOptions)}
    | {"group_label"}
)
# of no option's type, or out of every range
WRONG: tuple[Any, ...] = (
    object(),
    1j,
    b"x",
    len,
    np.zeros(3),
    pd.DataFrame({"a": [1]}),
    {"x": object()},
    -1,
    np.nan,
    -np.inf,
    {1},
)
# further ones of the kinds that users type
TYPED: dict[str, tuple[Any, ...]] = {
    "std_lv": ("TRUE", "yes", 2, [True], 0.5),
    "fixed_x": ("False", [], ("x",)),
    "h1": ("x", 3),
    "baseline": ("x",),
    "verbose": ("x", 2),
    "estimator": (5, ["ML"], "GLS", True),
    "se": ("robuste", True, ["standard"]),
    "test": ("satorra.bentler", ["standard", "yuan.bentler"]),
    "information": ("observe", 1),
    "missing": ("pairwise", True),
    "optim_method": ("nlminb", 5, True, ["em"], int),
    "iter_max": (0, 1.5, "100", np.inf, True, 10**400),
    "em_iter_max": (0, "5"),
    "em_fx_tol": (0, "1e-8", np.inf, True),
    "em_dx_tol": (0.0, [1e-4]),
    "em_acceleration": ("squared", False),
    "bootstrap": (0, 1, "1000", True),
    "iseed": ("1", 2**63, 0.5),
    "bounds": (
        5,
        ["pos.var"],
        "standard",
        True,
        {"y1~~y1": 0},
        {"y1~~y1": (1, 0)},
        {"y1~~y1": (np.nan, 1)},
        {3: (0, 1)},
    ),
    "start": (5, [0.1], "mplus", np.zeros(3), {"f=~y2": "1"}, {"f=~y9": 1.0}, {"f=~y1": 1.0}, {"f=~y2": np.inf}, {}),
    "group_equal": ("loading", ["loadings", "x"], 5, {"loadings": 1}),
    "group_partial": (5, [1]),
    "group_label": ({"a": 1}, 5, {"a", "b"}, ["a", "a"]),
    "level_label": ("within", ("a", "A"), ("a",), 5),
    "effect_coding": ("loading", 5, ["means"]),
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    code = np.repeat(np.arange(60), 8)
    x, f, b = rng.normal(size=len(code)), rng.normal(size=len(code)), rng.normal(size=60)[code]
    y = {
        f"y{i}": (f + 0.3 * x + 1.5 * b) * w + rng.normal(size=len(code)) + 0.6 * rng.normal(size=60)[code]
        for i, w in ((1, 1.0), (2, 0.8), (3, 0.7))
    }
    return pd.DataFrame(y | {"x": x, "school": code, "kind": np.where(code % 2, "a", "b")})


@pytest.fixture(scope="module")
def fit(data) -> ml.Fit:
    return ml.sem(MODEL, data, cluster="school")


@pytest.mark.parametrize("name", NAMES)
def test_every_option_refuses_what_it_does_not_take(data, name):
    """All are in the table, and none takes a value of no meaning; the sentence names the option and lists what it takes."""
    assert name in OPTIONS
    for value in (*WRONG, *TYPED.get(name, ())):
        group = "kind" if name.startswith("group") else None
        with pytest.raises((ml.ModelError, ml.ModelSyntaxError)) as raised:
            ml.sem(MODEL, data, cluster="school", group=group, **{name: value})
        told = str(raised.value)
        assert name in told, told
        assert len(told) > len(name) + 20, told
        if "is not available" in told:
            assert "must be" in told


def test_a_sentence_lists_the_values_and_the_nearest():
    with pytest.raises(
        ml.ModelError, match=r"se='robust.huber' is not available: .*'standard', .* Did you mean 'robust.huber.white'"
    ):
        FitOptions.make(se="robust.huber")
    with pytest.raises(ml.ModelError, match="Write the number without quotes: 100"):
        FitOptions.make(iter_max="100")
    with pytest.raises(ml.ModelError, match=r"True or False\. Write True, without quotes"):
        FitOptions.make(h1="TRUE")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"estimator": "MLM"}, "'MLR' has robust standard errors"),
        ({"estimator": "GLS"}, "For ordered variables use 'WLSMV'"),
        ({"estimator": "fiml"}, "missing='ml'"),
        ({"se": "boot"}, "Write 'bootstrap'"),
        ({"se": "first.order"}, "information='first.order'"),
        ({"test": "Satorra.Bentler"}, "Use test='yuan.bentler'"),
        ({"test": "bollen.stine"}, r"fit.bootstrap\(1000, type='bollen.stine'\)"),
        ({"test": "mean.var.adjusted"}, "Use 'yuan.bentler.mplus'"),
        ({"missing": "ml.x"}, "missing='ml', fixed_x=False"),
        ({"missing": "two.stage"}, "Use 'ml'"),
        ({"bounds": "standard"}, "'pos.var' keeps variances"),
        ({"bounds": "wide"}, "'pos.var' keeps variances"),
        ({"optim_method": "nlminb"}, "Leave it out"),
        ({"start": "Mplus"}, "Leave it out"),
        ({"rotation": "quartimin"}, "rotation='oblimin'"),
    ],
)
def test_words_of_lavaans_are_answered_with_what_to_write(data, option, words):
    with pytest.raises(ml.ModelError, match=words) as raised:
        ml.sem(MODEL, data, cluster="school", **option)
    assert next(iter(option)) in str(raised.value)


def test_robust_standard_errors_are_those_of_the_estimator(data):
    """se="robust" is what the estimator's robust ones are called."""
    assert FitOptions.make(se="robust").se == "robust.huber.white"
    assert FitOptions.make(se="ROBUST", estimator="WLSMV").se == "robust.sem"
    one = "f =~ y1 + y2 + y3"
    named = ml.sem(one, data, cluster="school", se="robust")
    assert named.inspect("options")["se"] == "robust.cluster"
    np.testing.assert_allclose(named.vcov(), ml.sem(one, data, cluster="school", se="robust.cluster").vcov())


def test_defaults_and_the_ways_to_write_a_value():
    assert FitOptions.make(estimator="default", bounds=None, start="default") == FitOptions()
    made = FitOptions.make(
        h1=np.bool_(False), iter_max=np.int64(5), em_fx_tol=np.float64(1e-6), estimator="mlr", bounds="POS.VAR"
    )
    assert (made.h1, made.iter_max, made.em_fx_tol, made.estimator, made.bounds) == (False, 5, 1e-6, "MLR", "pos.var")
    assert FitOptions.make(iter_max=1e3).iter_max == 1000
    assert SyntaxOptions.for_function("sem", group_equal="", effect_coding=False) == SyntaxOptions.for_function("sem")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sampling.weights", "Write sampling_weights="),
        ("weights", "It is called sampling_weights here"),
        ("fixed.x", "'_' in place of '.' here. Write fixed_x="),
        ("auto.th", "is not supported here"),
        ("WLS.V", "is not supported here"),
        ("clusters", "It is called cluster here"),
        ("std.lvv", "Did you mean 'std_lv'"),
        ("stdLv", "Write std_lv="),
        ("samplingWeights", "Write sampling_weights="),
        ("Group.Equal", "Write group_equal="),
        ("meanStructure", "Write meanstructure="),
        ("observed.information", "is not supported here"),
        ("optim.force.converged", "is not supported here"),
        ("sampleCov", "Pass the rows"),
        ("estimater", "Did you mean 'estimator'"),
    ],
)
def test_unknown_options(data, name, words):
    with pytest.raises(ml.ModelError, match=words):
        ml.sem(MODEL, data, cluster="school", **{name: True})


@pytest.mark.parametrize("name", ["group_equal", "group_partial", "group_label"])
def test_options_of_groups_need_groups(data, name):
    value = {"group_equal": "loadings", "group_partial": "f=~y2", "group_label": ["a", "b"]}[name]
    with pytest.raises(ml.ModelError, match=f"{name}= is about groups"):
        ml.sem(MODEL, data, cluster="school", **{name: value})


# ---------------------------------------------------------------- start=


def starts(fit: ml.Fit) -> dict[str, Any]:
    coef = fit.coef()
    table = fit.parameter_estimates()
    return {
        "fit": fit,
        "Series": coef,
        "dictionary": coef.to_dict(),
        "table": table,
        "lavaan's table": table.drop(columns="level").rename(columns={"est": "start"}),
        "levels in words": table.assign(level=table.level.map({1: "within", 2: "between"})),
    }


@pytest.mark.parametrize("kind", ["fit", "Series", "dictionary", "table", "lavaan's table", "levels in words"])
def test_a_search_that_starts_at_the_maximum_stays_there(data, fit, kind):
    again = ml.sem(MODEL, data, cluster="school", start=starts(fit)[kind])
    assert again.iterations <= 1 < fit.iterations
    assert again.trace["loglik"].iloc[0] == pytest.approx(fit.trace["loglik"].iloc[-1], abs=1e-8)
    np.testing.assert_allclose(again.coef(), fit.coef(), atol=1e-6)


def test_simple_starts_and_single_values(data, fit):
    first = fit.trace["loglik"].iloc[0]
    for start in ("simple", {"f =~ y2": 3.0}):
        other = ml.sem(MODEL, data, cluster="school", start=start)
        assert other.trace["loglik"].iloc[0] < first - 1
        assert other.loglik == pytest.approx(fit.loglik, abs=1e-8)
    text = MODEL.replace("+ y2", "+ start(3)*y2", 1)
    modifier = ml.sem(text, data, cluster="school")
    assert other.trace["loglik"].iloc[0] == pytest.approx(modifier.trace["loglik"].iloc[0], abs=1e-9)
    # what the text says wins
    both = ml.sem(text, data, cluster="school", start=fit)
    assert both.trace["loglik"].iloc[0] < fit.loglik - 1


def test_a_start_from_another_model_gives_what_both_have(data, fit):
    smaller = ml.sem(MODEL.replace("  f ~ x\n", ""), data, cluster="school")
    again = ml.sem(MODEL, data, cluster="school", start=smaller)
    assert again.loglik == pytest.approx(fit.loglik, abs=1e-8)
    with pytest.raises(ml.ModelError, match="shares no free parameter"):
        ml.sem(MODEL, data, cluster="school", start=fit.parameter_estimates().assign(lhs="g"))


def test_a_hopeless_start_does_not_keep_the_search_from_the_maximum(data, fit):
    far = ml.sem(MODEL, data, cluster="school", start=dict.fromkeys(fit.coef().index, -3.0))
    assert far.loglik == pytest.approx(fit.loglik, abs=1e-6)


def test_starts_name_what_is_wrong(data, fit):
    for start, words in (
        ({"f=~y9": 1.0}, "no parameter of the model. Did you mean"),
        ({"f=~y1": 1.0}, "is fixed in this model"),
        (pd.DataFrame({"a": [1]}), "no column lhs, op, rhs"),
        (fit.parameter_estimates().assign(est=np.nan), "has no finite values"),
    ):
        with pytest.raises(ml.ModelError, match=words):
            ml.sem(MODEL, data, cluster="school", start=start)


def test_bounds_by_parameter(data, fit):
    low = fit.coef()["f=~y2"] + 0.1
    bounded = ml.sem(MODEL, data, cluster="school", bounds={"f=~y2": (low, None)})
    assert bounded.coef()["f=~y2"] == pytest.approx(low, abs=1e-6)
    assert bounded.loglik < fit.loglik
    with pytest.raises(ml.ModelError, match="'f=~y1' is fixed in this model"):
        ml.sem(MODEL, data, cluster="school", bounds={"f=~y1": (0, 1)})
    with pytest.raises(ml.ModelError, match=r"bounds: 'f=~y22' is no parameter .* Did you mean"):
        ml.sem(MODEL, data, cluster="school", bounds={"f=~y22": (0, 1)})


# ---------------------------------------------------------------- networks

NETWORK: dict[str, tuple[Any, ...]] = {
    "clusters": (5, ["school", "kind"], None, "schol"),
    "vars": (5, ["y1", "y9"], [], ["y1", "y1"], object(), {"y1": 1}),
    "within": ("network", 5, None, True, ["ggm"]),
    "groups": (5, "nothing"),
    "within_only": (5, ["y9"], object()),
    "equal": (5, ["omega"], object()),
    "estimator": (5, "WLS", ["ML"]),
    "information": (5, "observe"),
    "standardize": (5, "zz", True),
    "verbose": ("x",),
    "iter_max": (-1, "5"),
    "h1": ("x",),
    "sigma_within": (5, "all", object(), [[1]], np.full((3, 3), np.nan)),
    "nonsense": (1,),
}


@pytest.mark.parametrize("name", NETWORK)
def test_arguments_of_network_models(data, name):
    for value in NETWORK[name]:
        with pytest.raises((ml.ModelError, ml.DataError)) as raised:
            ml.ml_varcov(data, **({"clusters": "school", "vars": ["y1", "y2", "y3"]} | {name: value}))
        assert len(str(raised.value)) > 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluster": "school"}, "There is no argument 'cluster' here. It is called clusters"),
        ({"clusters": "school", "group": "kind"}, "It is called groups"),
        ({"clusters": "school", "sampling.weights": "x"}, "Write sampling_weights="),
        ({"clusters": "school", "start": 1}, "freepar"),
        ({"clusters": "school", "withinOnly": ["y1"]}, "Write within_only="),
        ({"clusters": "school", "within.only": ["y1"]}, "Write within_only="),
        ({"clusters": "school", "lambda_": np.ones((3, 1))}, "lambda_"),
        ({"clusters": "school", "standardise": "z"}, "Did you mean 'standardize'"),
    ],
)
def test_names_of_arguments_of_network_models(data, options, words):
    with pytest.raises(ml.ModelError, match=words):
        ml.ml_ggm(data, vars=["y1", "y2", "y3"], **options)


@pytest.mark.parametrize("pattern", [5, "full", np.ones(3), np.ones((2, 1)), [[1], ["a"], [1]], object(), [[[1]]], {}])
def test_loadings_of_another_shape(data, pattern):
    with pytest.raises(ml.ModelError, match="lambda"):
        ml.ml_lvm(data, pattern, clusters="school", vars=["y1", "y2", "y3"])


def test_every_argument_of_the_constructors_is_covered():
    """A new option of network models belongs in the table above or is one of the fit's."""
    known = {*NETWORK, "data", "between", "between_only", *VarcovOptions.__annotations__}
    assert set(inspect.signature(ml.ml_varcov).parameters) <= known
