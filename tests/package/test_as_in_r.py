"""What users of lavaan ask for beside the fit itself: update(), rows of explained variance, appended scores, added parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import load_schools

pytestmark = pytest.mark.timeout(240)

ONE = "f =~ math1 + math2 + math3 + reading1\nf ~ ses"
TWO = """
level: 1
  f =~ math1 + math2 + math3 + reading1
level: 2
  b =~ math1 + math2 + math3 + reading1
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))


@pytest.fixture(scope="module")
def one(data) -> ml.Fit:
    return ml.sem(ONE, data)


@pytest.fixture(scope="module")
def two(data) -> ml.Fit:
    return ml.sem(TWO, data, cluster="school")


# ---------------------------------------------------------------- update()


def test_update_fits_again_with_changes(one, data):
    robust = one.update(estimator="MLR")
    assert robust.inspect("options")["se"] == "robust.huber.white"
    assert robust.coef().equals(ml.sem(ONE, data, estimator="MLR").coef())
    # None is the default again
    assert robust.update(estimator=None).inspect("options")["estimator"] == "ML"
    bigger = one.update(ONE + "\nmath1 ~~ math2")
    assert one.update(add="math1 ~~ math2").npar == bigger.npar
    with pytest.raises(ml.ModelError, match=r"in their block: fit\.update\(text\)"):
        one.update(add="level: 1\n math1 ~~ math2")
    with pytest.raises(ml.ModelError, match="add= is a text"):
        one.update(add=["math1 ~~ math2"])
    assert bigger.npar == one.npar + 1
    some = one.update(data=data.head(800))
    assert some.nobs == 800
    assert one.update(group="kind").inspect("ngroups") == 2
    clustered = one.update(cluster="school")
    assert (clustered.nclusters, clustered.update(cluster=None).nclusters) == (100, 0)
    assert one.nobs == 2235


def test_update_says_where_it_cannot(one, data, tmp_path):
    with pytest.raises(ml.ModelError, match="There is no option 'nonsense'"):
        one.update(nonsense=1)
    with pytest.raises(ml.ModelError, match="does not hold the data"):
        ml.load(one.save(tmp_path / "fit.json")).update()
    with pytest.raises(ml.ModelError, match=r"fixpar\(\)"):
        ml.ml_ggm(data, clusters="school", vars=["math1", "math2"]).fit().update()


# ---------------------------------------------------------------- parameter_estimates()


def test_rows_of_explained_variance(two):
    plain, table = two.parameter_estimates(), two.parameter_estimates(rsquare=True)
    assert table.head(len(plain)).equals(plain)
    assert table.dtypes.equals(plain.dtypes)
    rows = table[table["op"] == "r2"]
    assert (rows["lhs"] == rows["rhs"]).all()
    shares = two.rsquare()
    assert np.allclose(rows["est"][rows["level"] == 1], shares["within"])
    assert np.allclose(rows["est"][rows["level"] == 2], shares["between"])
    both = two.parameter_estimates(standardized="std.nox", rsquare=True)
    assert list(both.columns)[-1] == "std.nox"


@pytest.fixture(scope="module")
def drawn(data) -> ml.Fit:
    return ml.sem(
        "f =~ math1 + math2 + math3\ntwice := 2*a".replace("+ math2", "+ a*math2"), data, se="bootstrap", bootstrap=40
    )


@pytest.mark.parametrize("kind", ["perc", "basic", "norm", "bca", "bca.simple"])
def test_intervals_of_the_draws_of_the_standard_errors(drawn, kind):
    table = drawn.parameter_estimates(boot_ci_type=kind).set_index(["lhs", "op", "rhs"])
    want = drawn.bootstrap(40, key=0).table(kind)
    row = table.loc[("f", "=~", "math2")]
    assert (row["ci.lower"], row["ci.upper"]) == tuple(want.loc["a", ["ci.lower", "ci.upper"]])
    defined = table.xs(":=", level="op").iloc[0]
    assert defined["ci.upper"] == pytest.approx(2 * row["ci.upper"])
    plain = drawn.parameter_estimates().set_index(["lhs", "op", "rhs"])
    assert plain["se"].equals(table["se"])
    assert plain.loc[("f", "=~", "math1"), "ci.lower"] == table.loc[("f", "=~", "math1"), "ci.lower"]


def test_bias_corrected_limits_without_acceleration_are_near_those_with_it(drawn):
    simple, full = (drawn.bootstrap(40, key=0, ci=kind).table() for kind in ("bca.simple", "bca"))
    assert np.allclose(simple["ci.lower"], full["ci.lower"], atol=0.1)


def test_intervals_of_draws_need_draws(one):
    with pytest.raises(ml.ModelError, match="is of fits with se='bootstrap'"):
        one.parameter_estimates(boot_ci_type="perc")


# ---------------------------------------------------------------- predict(append_data=)


def test_scores_beside_the_rows(two, one, data):
    scored = two.predict(append_data=True)
    assert list(scored.columns) == ["school", "math1", "math2", "math3", "reading1", "f"]
    assert np.array_equal(scored["math1"], data["math1"])
    assert scored["f"].equals(two.predict()["f"])
    new = data.sample(5, random_state=1)
    some = one.predict(newdata=new, append_data=True)
    assert list(some.index) == list(new.index)
    assert np.allclose(some["ses"], new["ses"])
    with pytest.raises(ml.ModelError, match="append_data=True is of scores of rows"):
        two.predict(2, append_data=True)


def test_groups_and_categories_come_back_as_they_were(data):
    grouped = ml.sem("f =~ math1 + math2 + math3", data, group="kind").predict(append_data=True)
    assert list(grouped["kind"]) == list(data["kind"])


# ---------------------------------------------------------------- score_test(add=)


def test_added_parameters_are_tested_together_and_alone(one, data):
    table = one.score_test(add="math1 ~~ math2; math2 ~~ reading1")
    indices = one.modification_indices(op="~~").set_index(["lhs", "rhs"])["mi"]
    assert np.allclose(table["X2"][1:], [indices["math1", "math2"], indices["math2", "reading1"]])
    assert list(table["df"]) == [2, 1, 1]
    assert table["X2"][0] >= table["X2"][1:].max() - 1e-9
    # the score test is the likelihood ratio's approximation
    wider = one.update(ONE + "\nmath1 ~~ math2\nmath2 ~~ reading1")
    ratio = ml.lrt(wider, one)["Chisq diff"].iloc[1]
    assert table["X2"][0] == pytest.approx(ratio, rel=0.25)
    single = one.score_test(add=["math1 ~~ math2"])
    assert single["X2"][0] == pytest.approx(single["X2"][1])


def test_added_parameters_of_two_levels_and_groups(two, data):
    table = two.score_test(add="level: within\nmath1 ~~ reading1\nlevel: 2\nmath1 ~~ math2")
    assert list(table["level"]) == [0, 1, 2]
    indices = two.modification_indices(op="~~").set_index(["lhs", "rhs", "level"])["mi"]
    assert np.allclose(table["X2"][1:], [indices["math1", "reading1", 1], indices["math1", "math2", 2]])
    groups = ml.sem("f =~ math1 + math2 + math3 + reading1", data, group="kind")
    assert list(groups.score_test(add="math1 ~~ math2")["group"]) == [0, 1, 2]
    assert list(groups.score_test(add="group: private\nmath1 ~~ math2")["df"]) == [1, 1]


@pytest.mark.parametrize(
    ("add", "words"),
    [
        ("math1 ~~ reading1", "say where"),
        ("level: 1\n f =~ math2", "is free in the model already"),
        ("level: 1\n f =~ nothing", "there is no 'nothing' at this level"),
        ("level: 3\n math1 ~~ math2", "has no level '3'"),
        ("level: 1\n f =~ a*reading1", "without labels"),
        ("a == b", "write parameters"),
        ("", "names no parameter"),
        (5, "must be text in model syntax"),
        ("level: 1\n math1 ~~", "line 2"),
    ],
)
def test_what_cannot_be_added_is_told(two, add, words):
    with pytest.raises(ValueError, match=words):
        two.score_test(add=add)


# ---------------------------------------------------------------- files


def test_tables_as_spreadsheets(one, tmp_path):
    table = one.table()
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"mlsem_jax\[xlsx\]"):
            table.save(tmp_path / "table.xlsx")
    else:
        path = table.save(tmp_path / "table.xlsx")
        assert pd.read_excel(path, index_col=0).shape[1] >= 1
        one.parameter_estimates().to_excel(tmp_path / "estimates.xlsx", index=False)
        ops = pd.read_excel(tmp_path / "estimates.xlsx").op
        assert ops.tolist() == one.parameter_estimates().op.tolist()  # "=~" is no formula
    with pytest.raises(ml.ModelError, match=r"\.xlsx"):
        table.save(tmp_path / "table.ods")
