"""Products of columns (x:w) and composites (<~): what they stand for, where they cannot stand, and model text in pieces."""

import functools

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning"),
]
TWO = "level: 1\ny ~ x + {}\nlevel: 2\ny ~ w"


@functools.cache
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(60), 6)
    x, z, w = rng.normal(size=360), rng.normal(size=360), rng.normal(size=60)[cluster]
    u = 0.6 * rng.normal(size=60)[cluster]
    y = 0.4 * x + 0.3 * w + 0.3 * x * w + u + rng.normal(size=360)
    return pd.DataFrame({"c": cluster, "x": x, "z": z, "w": w, "y": y, "y2": 0.5 * y + z + rng.normal(size=360)})


def test_a_product_is_a_column_of_products():
    with pytest.warns(ml.ModelWarning, match="'x:w': the product is that of the columns as they are"):
        fit = ml.sem(TWO.format("x:w"), rows(), cluster="c")
    other = ml.sem(TWO.format("xw"), rows().assign(xw=rows()["x"] * rows()["w"]), cluster="c")
    assert fit.loglik == pytest.approx(other.loglik, abs=1e-8)
    assert fit.coef()["y~x:w"] == pytest.approx(other.coef()["y~xw"], abs=1e-8)
    # a column of that name is that column
    named = ml.sem('y ~ x + "x:w"', rows().assign(**{"x:w": rows()["z"]}))
    assert named.coef()["y~x:w"] == pytest.approx(ml.sem("y ~ x + z", rows()).coef()["y~z"])


@pytest.mark.parametrize("text", ["y ~ x + x:w", "y ~ x + x : w", 'y ~ x + "x":w', "y ~ x + a*x:w"])
def test_ways_to_write_it(text):
    assert "x:w" in ml.sem(text, rows()).specification.variables


def test_products_in_other_tables_missing_values_and_text():
    fit = ml.sem("y ~ x + x:w + x:w:z", rows())
    for table in ({name: rows()[name].to_numpy() for name in rows()}, rows().to_records(index=False)):
        assert ml.sem("y ~ x + x:w + x:w:z", table).loglik == pytest.approx(fit.loglik)
    assert ml.lavaan(fit.to_lavaan(), rows()).loglik == pytest.approx(fit.loglik)
    holes = rows().assign(w=rows()["w"].where(rows().index > 9))
    assert ml.sem("y ~ x + x:w", holes).nobs == 350
    with pytest.raises(ml.DataError, match="'t' in 't:x' holds text"):
        ml.sem("y ~ x + t:x", rows().assign(t="a"))
    model = ml.model(["level: 1", "y ~ x + x:w", "level: 2", "y ~~ y"], rows(), cluster="c")
    parts = ml.statistics(model, [rows().iloc[:100], rows().iloc[100:]])
    whole = ml.statistics(model, rows())
    assert ml.log_likelihood(model, model.start, parts) == pytest.approx(
        float(ml.log_likelihood(model, model.start, whole))
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f =~ x + z + w\ny ~ f + f:x", "'f', a latent variable"),
        ("y ~ x + x:q", "'x:q' is neither a column"),
        ("x:w ~ y", "right-hand side only"),
        ("y ~ x:2", "between two columns"),
    ],
)
def test_where_no_product_can_stand(text, words):
    with pytest.raises(ml.ModelSyntaxError, match=words):
        ml.sem(text, rows())


def test_a_composite_is_a_weighted_sum():
    fit, plain = ml.sem("c1 <~ x + z + w\ny ~ c1", rows()), ml.sem("y ~ x + z + w", rows())
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-7)
    assert fit.npar == plain.npar
    table = fit.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    assert table["c1", "~", "x"] == 1
    assert table["c1", "~~", "c1"] == 0
    for name in "zw":
        assert table["y", "~", "c1"] * table["c1", "~", name] == pytest.approx(plain.coef()[f"y~{name}"], abs=1e-6)
    assert fit.rsquare()["c1"] == 1
    assert "c1 <~ NA*z" in fit.to_lavaan()
    assert ml.lavaan(fit.to_lavaan(), rows()).loglik == pytest.approx(fit.loglik)
    # of two outcomes the composite is a restriction
    two = ml.sem("c1 <~ x + z + w\ny + y2 ~ c1", rows())
    assert two.fit_measures()["df"] == 2
    level = ml.sem("level: 1\nc1 <~ x + z\ny ~ c1\nlevel: 2\ny ~~ y", rows(), cluster="c")
    assert level.loglik == pytest.approx(
        ml.sem("level: 1\ny ~ x + z\nlevel: 2\ny ~~ y", rows(), cluster="c").loglik, abs=1e-6
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c1 <~ x + z\ny ~~ y", "explains nothing"),
        ("c1 <~ x\nc1 =~ y + y2", "composite.*factor"),
        ("c1 <~ x\nc1 ~ z\ny ~ c1", "'c1 ~ z' cannot explain it"),
        ("c1 <~ 1\ny ~ c1", "intercept"),
    ],
)
def test_composites_that_are_none(text, words):
    with pytest.raises(ml.ModelSyntaxError, match=words):
        ml.sem(text, rows())


def test_text_in_pieces():
    pieces = ["level: 1\ny ~ x", "level: 2\ny ~ w"]
    fit = ml.sem(pieces, rows(), cluster="c")
    assert fit.loglik == pytest.approx(ml.sem("\n".join(pieces), rows(), cluster="c").loglik)
    assert ml.model(pieces, rows(), cluster="c").names == ml.model("\n".join(pieces), rows(), cluster="c").names
    assert ml.diagnose(rows(), pieces, cluster="c") is not None
