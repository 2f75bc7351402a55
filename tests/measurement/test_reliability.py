"""Reliability by level: definitions written out with NumPy, invariances, standard errors, what is not defined and why."""

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.inference import beside_unrestricted
from mlsem_jax.measurement import harmonic_mean_size, reliability_quantity
from mlsem_jax.numerics import float64

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning"),
]
ITEMS = ["y1", "y2", "y3", "y4"]
SAME = "level: 1\nf =~ y1 + y2 + y3 + y4\nlevel: 2\nf =~ y1 + y2 + y3 + y4\n"
EQUAL = "level: 1\nf =~ 1*y1 + a*y2 + b*y3 + d*y4\nlevel: 2\nf =~ 1*y1 + a*y2 + b*y3 + d*y4\n"


@functools.cache
def rows(seed: int = 3, clusters: int = 80) -> pd.DataFrame:
    """One factor at each level, unbalanced clusters with singletons, two groups of clusters."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(1, 9, clusters))
    loadings = np.array([1.0, 0.8, 1.2, 0.9])
    within = np.outer(rng.normal(size=len(cluster)), loadings) + rng.normal(size=(len(cluster), 4)) * 0.8
    between = np.outer(0.8 * rng.normal(size=clusters), loadings) + rng.normal(size=(clusters, 4)) * 0.5
    return pd.DataFrame(within + between[cluster], columns=ITEMS).assign(c=cluster, g=np.where(cluster % 2, "a", "b"))


@functools.cache
def fitted(model: str = SAME, **options):
    return ml.sem(model, rows(), cluster="c", **options)


@pytest.mark.parametrize("obs_var", [True, False])
def test_the_formulas(obs_var):
    fit = fitted(EQUAL)
    table = fit.parameter_estimates()
    size = rows().groupby("c").size()
    n = len(size) / (1 / size).sum()
    assert harmonic_mean_size(fit.estimation.data, 1) == pytest.approx(n)
    s = [(fit.h1() if obs_var else fit.implied())[level]["cov"].to_numpy() for level in ("within", "between")]
    own, sigma, phi = [], [fit.implied()[level]["cov"].to_numpy() for level in ("within", "between")], []
    for level in (1, 2):
        here = table[table.level == level].set_index(["lhs", "op", "rhs"])["est"]
        loading = np.array([here["f", "=~", item] for item in ITEMS])
        phi.append(here["f", "~~", "f"])
        own.append(np.outer(loading, loading) * phi[-1])
    error = s[0].sum() / n
    covariances = [4 / 3 * (x.sum() - np.trace(x)) for x in s]
    got = fit.reliability(obs_var).loc["f"]
    ratios = [np.diag(c) / np.diag(x) for c, x in zip(own, sigma, strict=True)]
    expected = {
        "omega_within": own[0].sum() / s[0].sum(),
        "omega_between": own[1].sum() / (s[1].sum() + error),
        "omega_between_latent": own[1].sum() / s[1].sum(),
        "omega_2l": (own[0].sum() + own[1].sum()) / (s[0].sum() + s[1].sum()),
        "alpha_within": covariances[0] / s[0].sum(),
        "alpha_between": covariances[1] / (s[1].sum() + error),
        "alpha_between_latent": covariances[1] / s[1].sum(),
        "alpha_2l": sum(covariances) / (s[0].sum() + s[1].sum()),
        "irr": s[1].sum() / (s[1].sum() + error),
        "ave_within": np.trace(own[0]) / np.trace(sigma[0]),
        "ave_between": np.trace(own[1]) / np.trace(sigma[1]),
        "h_within": 1 / (1 + 1 / np.sum(ratios[0] / (1 - ratios[0]))),
        "h_between": 1 / (1 + 1 / np.sum(ratios[1] / (1 - ratios[1]))),
        "icc_factor": phi[1] / sum(phi),
    }
    assert list(got.index) == list(expected)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("obs_var", [True, False])
@pytest.mark.parametrize("options", [{}, {"group": "g"}], ids=["one group", "groups"])
def test_derivatives_are_finite_differences(obs_var, options):
    estimation = fitted(EQUAL if not options else SAME, **options).estimation
    quantity = reliability_quantity(estimation, obs_var)
    at = beside_unrestricted(estimation, "These") if obs_var else estimation.model.natural
    values, jacobian = quantity.evaluate(at)
    moves = 1e-6 * np.eye(len(at))
    differences = np.stack([(quantity.value(at + d) - quantity.value(at - d)) / 2e-6 for d in moves], -1)
    known = np.isfinite(values)
    assert known.sum() >= 13
    if not obs_var:  # what batches and second derivatives go by
        traced, slopes = (np.asarray(x[0]) for x in float64(quantity.at_each)(at[None]))
        np.testing.assert_allclose(traced[known], values[known], rtol=1e-12)
        np.testing.assert_allclose(slopes[known], jacobian[known], atol=1e-12)
    np.testing.assert_allclose(jacobian[known], differences[known], atol=1e-7)


def test_scale_and_order_do_not_matter():
    """The same in other units of all the items, with rows in another order, and with either way to give the factor a scale."""
    here = fitted().reliability(se=True).loc["f"]
    other = rows().sample(frac=1, random_state=1).assign(**{item: 10 * rows()[item] + 3 for item in ITEMS})
    for fit in (ml.sem(SAME, other, cluster="c"), ml.sem(SAME, rows(), cluster="c", std_lv=True)):
        np.testing.assert_allclose(fit.reliability(se=True).loc["f"], here, rtol=2e-6)


def test_model_based_and_robust_errors_agree_in_normal_data():
    plain, robust = (fitted(SAME, estimator=e).reliability(se=True).loc["f"] for e in ("ML", "MLR"))
    names = [name for name in plain.index if name.endswith(".se") and np.isfinite(plain[name])]
    assert len(names) == 13
    ratio = robust[names] / plain[names]
    assert ((ratio > 0.7) & (ratio < 1.4)).all(), ratio


def test_intervals():
    fit = fitted()
    wald, profile = (fit.reliability(False, se=True, ci=ci).loc["f"] for ci in ("wald", "profile"))
    assert wald["omega_within.ci.upper"] == pytest.approx(wald["omega_within"] + 1.959963985 * wald["omega_within.se"])
    # the likelihood knows that reliability ends at one
    assert profile["omega_between_latent.ci.upper"] < 1
    assert profile["omega_between_latent.ci.lower"] < wald["omega_between_latent.ci.lower"]
    draws = fit.reliability(False, ci="bootstrap", n=40, key=2).loc["f"]
    assert draws["alpha_2l.ci.lower"] < draws["alpha_2l"] < draws["alpha_2l.ci.upper"]
    for ci in ("profile", "bootstrap"):
        with pytest.raises(ml.ModelError, match="obs_var=False"):
            fit.reliability(ci=ci)


def test_influence_of_clusters_on_a_coefficient():
    """It is a quantity like any other: cluster-robust standard errors are those of its influence."""
    robust = fitted(SAME, estimator="MLR")
    quantity = reliability_quantity(robust.estimation, False)
    at = quantity.names.index("f~omega_2l")
    found = inference.influence(robust.estimation, quantity=quantity.chosen([at]))
    assert found.se[0] == pytest.approx(robust.reliability(False, se=True).loc["f", "omega_2l.se"], rel=1e-6)


def test_groups_and_missing_values():
    tables = fitted(SAME, group="g").reliability()
    assert list(tables) == list(fitted(SAME, group="g").specification.groups)
    alone = ml.sem(SAME, rows()[rows().g == "a"], cluster="c").reliability()
    np.testing.assert_allclose(tables["a"], alone, rtol=1e-5)
    holes = rows().copy()
    holes.loc[np.random.default_rng(1).random(len(holes)) < 0.2, "y2"] = np.nan
    fit = ml.sem(SAME, holes, cluster="c", missing="ml")
    assert fit.reliability(se=True).loc["f"].notna().sum() == 13 * 4
    assert fit.reliability().loc["f", "omega_2l"] == pytest.approx(
        fitted().reliability().loc["f", "omega_2l"], abs=0.03
    )


def test_one_level():
    fit = ml.sem("f =~ y1 + y2 + y3 + y4", rows())
    got = fit.reliability(se=True).loc["f"]
    cov = rows()[ITEMS].cov().to_numpy()
    assert got["alpha_within"] == pytest.approx(4 / 3 * (1 - np.trace(cov) / cov.sum()))
    assert [name for name in got.index if "." not in name] == ["omega_within", "alpha_within", "ave_within", "h_within"]
    assert np.isfinite(got).all()


def test_what_is_not_defined_says_why():
    table = ml.sem(
        "level: 1\nfw =~ y1 + y2 + y3 + y4\nlevel: 2\nfb =~ y1 + y2 + y3 + y4", rows(), cluster="c"
    ).reliability()
    assert table.loc["fw"].notna().sum() == 4
    assert table.loc["fb"].notna().sum() == 7
    why = table.attrs["undefined"]
    assert "no factor at level 2" in why["fw", "omega_between"]
    assert "one level only" in why["fb", "omega_2l"]
    higher = ml.sem("u =~ y1 + y2\nv =~ y3 + y4\nw =~ 1*u + 1*v", rows()).reliability()
    assert "latent" in higher.attrs["undefined"]["w", "omega_within"]
    table = fitted().reliability()
    assert "equal" in table.attrs["undefined"]["f", "icc_factor"]
    assert "Not defined for 'f': icc_factor: the loadings" in repr(table)
    assert "icc_factor: the loadings" in table._repr_html_()
    assert "Not defined" not in repr(table[["omega_within"]])
    one = ml.sem("level: 1\nf =~ y1 + y2 + y3\nlevel: 2\nf =~ 1*y1\ny1 ~~ 0*y1\ny2 ~~ y3", rows(), cluster="c")
    with pytest.warns(ml.ModelWarning, match="y2"):
        why = one.reliability().attrs["undefined"]
    assert "two items" in why["f", "alpha_between"]
    assert "all the variance" in why["f", "h_between"]


def test_bad_inputs():
    with pytest.raises(ml.ModelError, match="factor"):
        ml.sem("level: 1\ny1 ~~ y2\nlevel: 2\ny1 ~~ y2", rows(), cluster="c").reliability()
    other = ml.sem("level: 1\nf =~ y1 + y2 + y3 + y4\nlevel: 2\nf =~ y1 + y2 + y3\ny4 ~~ y4", rows(), cluster="c")
    with pytest.warns(ml.ModelWarning, match="'f'.*'y4'"):
        assert np.isnan(other.reliability().loc["f", "omega_2l"])
    turned = ml.sem(SAME, rows().assign(y3=-rows()["y3"]), cluster="c")
    with pytest.warns(ml.ModelWarning, match="'y3'.*Reverse"):
        turned.reliability()
    # all of them reversed is a factor of the other name
    with warnings.catch_warnings():
        warnings.simplefilter("error", ml.ModelWarning)
        ml.sem(SAME.replace("f =~ y1", "f =~ -1*y1"), rows(), cluster="c").reliability()
    with pytest.raises(ml.ModelError, match=r"obs_var=True.*saturated"):
        fitted(SAME, h1=False, baseline=False).reliability()
    assert np.isfinite(fitted(SAME, h1=False, baseline=False).reliability(False).loc["f", "omega_2l"])
    with pytest.raises(ml.ModelError, match="'wald'"):
        fitted().reliability(ci="walt")


def test_a_saved_fit_has_the_same(tmp_path):
    fit = fitted()
    pd.testing.assert_frame_equal(
        ml.load(fit.save(tmp_path / "fit.json")).reliability(se=True), fit.reliability(se=True)
    )


def test_picture():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot as plt

    ax = fitted(SAME, group="g").plot("reliability")
    words = [label.get_text() for label in ax.get_yticklabels()]
    assert words.count("omega, raw scores") == 2
    assert words[0].startswith("f [")
    plt.close("all")
    assert [
        label.get_text() for label in ml.sem("f =~ y1 + y2 + y3 + y4", rows()).plot("reliability").get_yticklabels()
    ] == ["f", "omega", "alpha"]
    plt.close("all")
