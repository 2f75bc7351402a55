"""Invariance over groups and across levels: what each step holds equal, its tests, partial invariance, bad inputs."""

import functools

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning"),
]
ITEMS = ["y1", "y2", "y3", "y4"]
TWO = "level: 1\nfw =~ y1 + y2 + y3 + y4\nlevel: 2\nfb =~ y1 + y2 + y3 + y4\n"
ONE = "f =~ y1 + y2 + y3 + y4"


@functools.cache
def rows(shift: float = 0.0) -> pd.DataFrame:
    """Two groups of 60 clusters of 6 rows; `shift` is added to the intercept of y3 in the second group."""
    rng = np.random.default_rng(11)
    cluster = np.repeat(np.arange(120), 6)
    loadings = np.array([1.0, 0.8, 1.2, 0.9])
    within = np.outer(rng.normal(size=len(cluster)), loadings) + 0.8 * rng.normal(size=(len(cluster), 4))
    between = np.outer(0.7 * rng.normal(size=120), loadings) + 0.4 * rng.normal(size=(120, 4))
    data = pd.DataFrame(within + between[cluster], columns=ITEMS)
    data["y3"] += shift * (cluster % 2)
    # the second group's mean differs, which is no matter of measurement
    data[ITEMS] += 0.5 * np.outer(cluster % 2, loadings)
    return data.assign(c=cluster, g=np.where(cluster % 2, "b", "a"))


@functools.cache
def over_groups(shift: float = 0.0, **options):
    return ml.invariance(TWO, rows(shift), cluster="c", group="g", **options)


def test_steps_over_groups_at_two_levels():
    found = over_groups()
    assert list(found.index) == ["configural", "metric", "scalar", "strict"]
    # loadings of both levels; intercepts less the freed mean between; residual variances of both levels
    assert found["npar"].tolist() == [40, 34, 31, 23]
    assert found.loc["metric", "df.diff"] == 6
    np.testing.assert_allclose(found["chisq.diff"].iloc[1:], found["chisq"].diff().iloc[1:], atol=1e-6)
    np.testing.assert_allclose(found["cfi.diff"].iloc[1:], found["cfi"].diff().iloc[1:], atol=1e-12)
    table = found.fits["scalar"].parameter_estimates().set_index(["lhs", "op", "rhs", "level", "group"])["est"]
    assert table["fb", "~1", "", 2, 2] == pytest.approx(0.5, abs=0.25)
    assert table["fb", "~1", "", 2, 1] == 0
    assert found.failed is None
    assert found.score_tests.empty
    assert "No step raises the chi-square" in repr(found)


def test_the_same_whatever_gives_the_unit():
    by_variance = over_groups(std_lv=True)
    np.testing.assert_allclose(by_variance["chisq"], over_groups()["chisq"], atol=1e-5)
    assert by_variance["npar"].tolist() == [40, 34, 31, 23]


def test_the_constraint_that_fails_is_found_and_may_be_released():
    found = over_groups(0.8)
    assert found.failed == "scalar"
    assert found.score_tests.iloc[0]["lhs"] == "y3~1.l2"
    assert set(found.beyond["scalar"]) >= {"cfi"}
    assert "scalar" in repr(found)
    partial = over_groups(0.8, partial=("y3~1",))
    assert partial.failed is None
    assert partial.loc["scalar", "df.diff"] == 2


def test_scaled_differences():
    found = over_groups(estimator="MLR")
    for step, before in (("metric", "configural"), ("scalar", "metric")):
        wanted = ml.lrt(found.fits[before], found.fits[step])["Chisq diff"].iloc[1]
        assert found.loc[step, "chisq.diff"] == pytest.approx(wanted)
    assert {"chisq.scaled", "chisq.scaling.factor", "cfi.robust", "rmsea.robust"} <= set(found.columns)
    np.testing.assert_allclose(found["cfi.diff"].iloc[1:], found["cfi.robust"].diff().iloc[1:])


def test_one_level():
    found = ml.invariance(ONE, rows(), group="g", steps=["strict", "configural", "metric", "scalar"])
    assert found["npar"].tolist() == [24, 21, 18, 14]
    assert list(found.index) == ["configural", "metric", "scalar", "strict"]
    some = ml.invariance(ONE, rows(), group="g", steps=["configural", "scalar"])
    assert some.loc["scalar", "df.diff"] == 6


def test_across_levels():
    found = ml.invariance(TWO, rows(), cluster="c")
    assert found["npar"].tolist() == [20, 17, 13]
    table = found.fits["scalar"].parameter_estimates().set_index(["lhs", "op", "rhs", "level"])["est"]
    for item in ITEMS:
        assert table["fw", "=~", item, 1] == pytest.approx(table["fb", "=~", item, 2])
        assert table[item, "~~", item, 2] == 0
    assert found.failed == "scalar"
    assert found.score_tests.iloc[0]["level"] == 2
    free = ml.invariance(TWO, rows(), cluster="c", partial=["fb =~ y2", "y1~~y1"])
    assert free["npar"].tolist() == [20, 18, 15]
    # the unit of level 2 may come from its variance, or from another item
    other = TWO.replace("fb =~ y1 + y2", "fb =~ NA*y1 + 1*y2")
    for again in (
        ml.invariance(TWO, rows(), cluster="c", std_lv=True),
        ml.invariance(other, rows(), cluster="c"),
    ):
        np.testing.assert_allclose(again["chisq"], found["chisq"], atol=1e-5)
        assert again["npar"].tolist() == [20, 17, 13]


def test_bad_inputs():
    with pytest.raises(ml.DataError, match=r"'g'.*two groups"):
        ml.invariance(TWO, rows().assign(g="a"), cluster="c", group="g")
    with pytest.raises(ml.ModelError, match=r"'weak'.*'metric'"):
        ml.invariance(TWO, rows(), cluster="c", group="g", steps=["configural", "weak"])
    with pytest.raises(ml.DataError, match="'g' varies within"):
        ml.invariance(TWO, rows().assign(g=np.arange(720) % 2), cluster="c", group="g")
    with pytest.raises(ml.ModelError, match="'strict' is not one of them"):
        ml.invariance(TWO, rows(), cluster="c", steps="strict")
    with pytest.raises(ml.ModelError, match="needs groups to compare"):
        ml.invariance(ONE, rows())
    with pytest.raises(ml.ModelError, match="no factor of level 2 has the items of 'fw'"):
        ml.invariance(TWO.replace("y2 + y3", "y2\nfx =~ y3", 1), rows(), cluster="c")
    with pytest.raises(ml.ModelError, match="whose items are in level 2"):
        ml.invariance(TWO.replace("fb =~ y1 +", "fb =~"), rows(), cluster="c")
    with pytest.raises(ml.ModelError, match="'fb=~y9'"):
        ml.invariance(TWO, rows(), cluster="c", partial="fb=~y9")
    with pytest.raises(ml.ModelError, match="steps="):
        ml.invariance(TWO, rows(), cluster="c", group="g", group_equal="loadings")
    with pytest.raises(ml.ModelError, match="pooled"):
        ml.invariance(TWO, [rows(), rows()], cluster="c", group="g")


def test_differences_have_their_distribution():
    """500 data sets of identical groups, each step fitted to all of them in one batch."""
    found = ml.invariance(ONE, rows(), group="g", steps=["configural", "strict"])
    strict, free = (found.fits[step] for step in ("strict", "configural"))
    sizes, group = strict.estimation.data.design
    data = ml.simulate(strict.model, strict.estimation.model.theta, jax.random.key(8), sizes, 500, group=group)
    ends = [ml.estimate_batch(fit.model, data, theta0=fit.estimation.model.theta) for fit in (strict, free)]
    good = np.all([np.isin(end.status, [c for c in ml.Status if c.converged]) for end in ends], axis=0)
    assert good.mean() > 0.97
    difference = 2 * (np.asarray(ends[1].value) - np.asarray(ends[0].value))[good]
    df = free.npar - strict.npar
    # mean and rejections of chi-square(df), within four standard errors of 500 draws
    assert abs(difference.mean() - df) < 4 * np.sqrt(2 * df / len(difference)) + 0.05 * df
    assert 0.02 < np.mean(difference > 18.307) < 0.10


@pytest.mark.parametrize("what", ["loadings", "intercepts"])
def test_picture(what):
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot as plt

    ax = over_groups().plot(what)
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"a", "b"}
    assert len(ax.get_yticklabels()) == (8 if what == "loadings" else 4)
    plt.close("all")
    with pytest.raises(ml.ModelError, match="no intercepts to compare"):
        ml.invariance(TWO, rows(), cluster="c", steps="configural").plot("intercepts")
