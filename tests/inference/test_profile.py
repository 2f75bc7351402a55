"""Profile-likelihood intervals: a refit with the quantity held at its limit falls by what the test allows, and not otherwise."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from tiny import MODEL, rows, tiny_fit

import mlsem_jax as ml
from mlsem_jax.inference import profile

mpl.use("Agg")
pytestmark = pytest.mark.timeout(300)

PLAIN = {"h1": False, "baseline": False}
VARIANCE = "y2~~y2.l2"
LIMIT = stats.chi2.ppf(0.95, 1)


def fall(fit: ml.Fit, text: str, data=None, **options) -> float:
    """Twice the log-likelihood that a more restricted model of the same data loses."""
    other = ml.sem(text, rows() if data is None else data, cluster="g", **PLAIN, **options)
    assert other.converged
    return 2 * (fit.loglik - other.loglik)


@pytest.fixture(scope="module")
def table():
    return tiny_fit().profile_ci()


def at_level_2(statement: str) -> str:
    """The model without its definition, and with another statement at level 2, where it ends."""
    return MODEL.replace("product := a*b", "") + f"  {statement}\n"


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("a", lambda x: MODEL.replace("a*y2", f"{x}*y2").replace("product := a*b", "")),
        (VARIANCE, lambda x: at_level_2(f"y2 ~~ {x}*y2")),
        ("y1~1.l2", lambda x: at_level_2(f"y1 ~ {x}*1")),
        ("product", lambda x: MODEL + f"\na*b == {x}\n"),
    ],
)
def test_a_refit_at_a_limit_is_just_not_rejected(table, name, held):
    for side in ("ci.lower", "ci.upper"):
        # the limit is found to 1e-7 in log-likelihood, then one more Newton step
        assert fall(tiny_fit(), held(float(table.loc[name, side]))) == pytest.approx(LIMIT, abs=1e-6)


def test_the_table_has_every_quantity_and_skew_intervals(table):
    fit = tiny_fit()
    assert list(table.index) == [*fit.coef().index, "product"]
    np.testing.assert_allclose(table["est"].iloc[:-1], fit.coef())
    np.testing.assert_allclose(table["se"].iloc[:-1], np.sqrt(np.diag(fit.vcov())))
    assert ((table["ci.lower"] < table["est"]) & (table["est"] < table["ci.upper"])).all()
    low, est, high = table.loc[VARIANCE, ["ci.lower", "est", "ci.upper"]]
    assert high - est > 1.1 * (est - low)  # a variance between 60 clusters


def test_intervals_follow_transformations():
    text = MODEL.replace("fb =~ y1", "fb ~~ v*fb\n  fb =~ y1") + "\nlogarithm := log(v)\n"
    table = ml.sem(text, rows(), cluster="g", **PLAIN).profile_ci(["v", "logarithm"], level=0.9)
    np.testing.assert_allclose(np.log(table.iloc[0, 2:].astype(float)), table.iloc[1, 2:].astype(float), rtol=1e-7)


def test_equal_parameters_move_together():
    text = MODEL.replace("fw =~ y1 + a*y2 + y3", "fw =~ y1 + a*y2 + d*y3") + "\nd == 1.5*a\n"
    fit = ml.sem(text, rows(), cluster="g", **PLAIN)
    table = fit.profile_ci(["a", "d"])
    np.testing.assert_allclose(table.loc["d"], 1.5 * table.loc["a"], rtol=1e-7)
    held = text.replace("a*y2", "a*y2 + start(0.8)*y2") + f"\na == {float(table.loc['a', 'ci.lower'])}\n"
    assert fall(fit, held) == pytest.approx(LIMIT, abs=1e-6)


def test_missing_values():
    data = rows()
    data.loc[::7, "y2"] = np.nan
    fit = ml.sem(MODEL, data, cluster="g", missing="ml", **PLAIN)
    x = float(fit.profile_ci("a")["ci.upper"].iloc[0])
    text = MODEL.replace("a*y2", f"{x}*y2").replace("product := a*b", "")
    assert fall(fit, text, data, missing="ml") == pytest.approx(LIMIT, abs=1e-6)


def test_limits_that_do_not_exist_are_infinite_and_said_so():
    # the interval of the variance goes below zero at this level, so its inverse has no largest value
    text = MODEL.replace("fb =~ y1", "y2 ~~ v*y2\n  fb =~ y1") + "\ninverse := 1/v\n"
    fit, level = ml.sem(text, rows(), cluster="g", **PLAIN), 1 - 1e-9
    assert fit.profile_ci("v", level)["ci.lower"].iloc[0] < 0
    with pytest.warns(ml.ModelWarning, match=r"inverse: the upper limit of the 1 interval is infinite"):
        table = fit.profile_ci("inverse", level)
    assert table["ci.upper"].iloc[0] == np.inf
    assert 0 < table["ci.lower"].iloc[0] < table["est"].iloc[0]


def test_parameter_estimates_take_the_limits(table):
    shown = tiny_fit().parameter_estimates(ci="profile")
    plain = tiny_fit().parameter_estimates()
    by_name = {"a": ("fw", "=~", "y2"), "product": ("product", ":=", "a*b")}
    for name, (lhs, op, rhs) in by_name.items():
        row = shown[(shown.lhs == lhs) & (shown.op == op) & (shown.rhs == rhs)].iloc[0]
        np.testing.assert_allclose(row[["ci.lower", "ci.upper"]].astype(float), table.loc[name].iloc[2:])
    fixed = shown["free"].eq(0) & shown["op"].ne(":=")
    np.testing.assert_array_equal(shown.loc[fixed, "ci.lower"], plain.loc[fixed, "ci.lower"])
    assert (shown.loc[~fixed, "ci.lower"] != plain.loc[~fixed, "ci.lower"]).all()
    with pytest.raises(ml.ModelError, match="'wald' or 'profile'"):
        tiny_fit().parameter_estimates(ci="bootstrap")


def test_what_is_refused_in_words():
    fit = tiny_fit()
    with pytest.raises(ml.ModelError, match=r"'produkt'.*Did you mean 'product'"):
        fit.profile_ci("produkt")
    with pytest.raises(ml.ModelError, match="'fw=~y1' is fixed"):
        fit.profile_ci("fw =~ y1")
    with pytest.raises(ml.ModelError, match="between 0 and 1"):
        fit.profile_ci(level=95)
    bounded = ml.sem(MODEL, rows(), cluster="g", bounds="pos.var", **PLAIN)
    with pytest.raises(ml.ModelError, match=r"bounds='pos\.var'"):
        bounded.profile_ci()
    curved = ml.sem(MODEL + "\na > b*b/4\n", rows(), cluster="g", **PLAIN)
    with pytest.raises(ml.ModelError, match="linear equality constraints only"):
        curved.profile_ci("a")
    with pytest.warns(ml.ConvergenceWarning):
        unfinished = ml.sem(MODEL, rows(), cluster="g", iter_max=1, **PLAIN)
    with pytest.raises(ml.ModelError, match="needs a maximum"):
        unfinished.profile_ci()
    robust = ml.sem(MODEL, rows(), cluster="g", estimator="MLR", **PLAIN)
    with pytest.warns(ml.ModelWarning, match="normal likelihood"):
        robust.profile_ci("a")


def test_names_may_be_spelled_with_spaces(table):
    np.testing.assert_array_equal(tiny_fit().profile_ci("fw =~ y3").iloc[0], table.loc["fw=~y3"])


def test_progress_is_told_of_every_side():
    seen: list[tuple[int, int]] = []
    tiny_fit().profile_ci(["a", "b"], progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_wider_levels_hold_narrower_ones_in_any_order():
    found = profile(tiny_fit().estimation, [VARIANCE], [0.99, 0.5, 0.9])
    assert found.lower[0, 0] < found.lower[0, 2] < found.lower[0, 1] < found.estimate[0]
    assert found.upper[0, 0] > found.upper[0, 2] > found.upper[0, 1] > found.estimate[0]


def test_the_picture_shows_the_fall_of_the_likelihood(table):
    ax = tiny_fit().plot("profile", parameter=VARIANCE)
    x, drop = ax.lines[0].get_data()
    assert (np.diff(x) > 0).all()
    i = int(np.argmin(x))
    assert fall(tiny_fit(), at_level_2(f"y2 ~~ {float(x[i])}*y2")) == pytest.approx(drop[i], abs=1e-6)
    box = ax.patches[-1].get_extents().transformed(ax.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx(tuple(table.loc[VARIANCE].iloc[2:]))
