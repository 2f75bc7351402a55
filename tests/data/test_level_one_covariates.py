"""Variables of level 1 alone keep their cluster means: collinear within clusters is not collinear in all rows."""

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.data import prepare


def dyads() -> pd.DataFrame:
    """Couples in long form: within a couple one partner's predictor is the mirror image of the other's."""
    r, k = np.random.default_rng(102), 150
    w = r.normal(size=(k, 2))
    e = r.multivariate_normal([0, 0], [[1, -0.3], [-0.3, 1]], size=k)
    s = 0.4 * w + 0.25 * w[:, ::-1] + e
    child = r.integers(0, 2, k)
    columns = {"sat": (s + 0.2 * child[:, None]).ravel(), "wnc": w.ravel(), "wnc_p": w[:, ::-1].ravel()}
    return pd.DataFrame({"dyad": np.repeat(np.arange(k), 2), **columns, "child": np.repeat(child, 2)})


def peers() -> pd.DataFrame:
    """Groups of four, with the mean of the other three, and x centred in its group."""
    r, g = np.random.default_rng(3), np.repeat(np.arange(80), 4)
    x = r.normal(size=320) + (r.normal(size=80) * 0.5)[g]
    total = pd.Series(x).groupby(g).transform("sum").to_numpy()
    data = pd.DataFrame({"g": g, "x": x, "peers": (total - x) / 3})
    data["y"] = 0.3 * data.x + 0.2 * data.peers + (r.normal(size=80) * 0.3)[g] + r.normal(size=320)
    return data.assign(mean=total / 4, centred=x - total / 4)


def test_actor_and_partner_effects():
    text = "level: 1\n sat ~ a*wnc + p*wnc_p\nlevel: 2\n sat ~ child"
    with pytest.warns(ml.ImproperSolutionWarning):  # partners differ from each other more than strangers do
        fit = ml.sem(text, dyads(), cluster="dyad")
    assert fit.loglik == pytest.approx(
        -408.25248, abs=1e-5
    )  # lavaan, on which a likelihood written for the purpose agrees
    assert fit.coef()[["a", "p"]].to_numpy() == pytest.approx([0.4566, 0.2204], abs=5e-5)
    assert fit.parameter_estimates().query("label == 'a'").se.item() == pytest.approx(0.0547, abs=5e-5)
    assert "same variable" not in str(ml.diagnose(dyads(), text, cluster="dyad"))


def test_peers_in_groups_of_equal_size():
    fit = ml.sem("level: 1\n y ~ x + peers\nlevel: 2\n y ~~ y", peers(), cluster="g")
    assert fit.loglik == pytest.approx(-466.27848, abs=1e-5)  # lme4
    assert fit.coef()[["y~x", "y~peers"]].to_numpy() == pytest.approx([0.3250, 0.0389], abs=5e-5)


@pytest.mark.parametrize("options", [{}, {"estimator": "MLR"}, {"missing": "ml"}, {"fixed_x": False}])
def test_raw_beside_centred_is_a_within_and_a_between_effect(options):
    """Coefficients b, c of x and of x less its mean are an effect b of the mean, and b + c of the rest."""
    data = peers()
    if "missing" in options:
        data.loc[::7, "y"] = np.nan
    fit = ml.sem("level: 1\n y ~ x + centred\nlevel: 2\n y ~~ y", data, cluster="g", **options)
    same = ml.sem("level: 1\n y ~ centred\nlevel: 2\n y ~ mean", data, cluster="g", **options)
    assert fit.converged
    if "fixed_x" not in options:
        assert fit.loglik == pytest.approx(same.loglik, abs=1e-6)
    b, c = fit.coef()[["y~x", "y~centred"]]
    assert [b + c, b] == pytest.approx(same.coef()[["y~centred", "y~mean.l2"]].to_numpy(), abs=1e-5)


def run(data, within=("y", "x", "peers"), between=("y",)):
    return prepare(data, cluster="g", within=within, between=between)


@pytest.mark.parametrize(
    ("changes", "within", "between", "words"),
    [
        ({"x2": lambda d: 3 - 2 * d.x}, ("y", "x", "x2"), ("y",), "'x', 'x2' at level 1 are perfectly correlated"),
        (
            {"x2": lambda d: d.x + d.peers},
            ("y", "x", "peers", "x2"),
            ("y",),
            "'x', 'peers', 'x2' at level 1 are collinear",
        ),
        (
            {"y2": lambda d: d.y * 2},
            ("y", "y2"),
            ("y", "y2"),
            "'y', 'y2' at level 1 are perfectly correlated. Remove one of them.",
        ),
        ({"y2": lambda d: d.y + d.x}, ("y", "y2", "x", "peers"), ("y", "y2"), "at level 1 are collinear"),
        ({}, ("y", "x", "peers"), ("y", "x", "peers"), "or name 'x', 'peers' at level: 1 alone"),
        ({}, ("y", "x", "centred"), ("y", "mean"), "'x', 'centred' at level 1 and 'mean' at level 2 are collinear"),
    ],
)
def test_what_is_collinear_is_refused_in_words(changes, within, between, words):
    with pytest.raises(ml.DataError) as caught:
        run(peers().assign(**changes), within, between)
    assert words in str(caught.value)


def test_indicators_of_all_categories_are_collinear_and_of_all_but_one_are_not():
    data = peers()
    kind = np.random.default_rng(0).integers(0, 3, len(data))
    data = data.assign(**{f"k{i}": (kind == i) * 1.0 for i in range(3)})
    assert run(data, ("y", "k0", "k1")).warnings == ()
    with pytest.raises(ml.DataError, match="'k0', 'k1', 'k2' at level 1 are collinear"):
        run(data, ("y", "k0", "k1", "k2"))


def test_nearly_collinear_in_all_rows():
    noise = np.random.default_rng(0).normal(size=320)
    (told,) = run(peers().assign(x2=lambda d: d.x + 1e-4 * noise), ("y", "x", "x2")).warnings
    assert "'x', 'x2' at level 1 are nearly collinear" in told
    text = "level: 1\n y ~ x + x2\nlevel: 2\n y ~~ y"
    advice = ml.diagnose(peers().assign(x2=lambda d: d.x + 0.01 * noise), text, cluster="g").advice
    assert any("Nearly the same variable over all rows: x and x2" in sentence for sentence in advice)


def test_networks_with_variables_of_level_1_alone():
    vars_ = ["y", "x", "peers"]
    fit = ml.ml_ggm(peers(), clusters="g", vars=vars_, within_only=["x", "peers"]).fit()
    same = ml.sem("level: 1\n y ~ x + peers\nlevel: 2\n y ~~ y", peers(), cluster="g", fixed_x=False)
    assert fit.loglik == pytest.approx(same.loglik, abs=1e-6)
