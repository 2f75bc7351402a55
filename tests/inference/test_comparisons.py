"""Likelihood-ratio tests between fits, plain and scaled, and Wald tests: by definition, edges, refusals."""

import numpy as np
import pytest
from scipy.stats import chi2

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.datasets import load_schools

LARGE = """
level: 1
  fw =~ math1 + a*math2 + b*math3 + reading1
  fw ~ s*ses
level: 2
  fb =~ math1 + c*math2 + math3 + reading1
  fb ~ p*public
ratio := a / b
"""
MIDDLE = LARGE.replace("a*math2", "e*math2").replace("b*math3", "e*math3").replace("ratio := a / b", "")
SMALL = MIDDLE.replace("p*public", "0*public")


@pytest.fixture(scope="module")
def schools():
    return load_schools().query("school < 'S060'")


@pytest.fixture(scope="module")
def plain(schools):
    return {
        n: ml.sem(t, schools, cluster="school") for n, t in (("large", LARGE), ("middle", MIDDLE), ("small", SMALL))
    }


@pytest.fixture(scope="module")
def robust(schools):
    texts = (("large", LARGE), ("middle", MIDDLE))
    return {n: ml.sem(t, schools, cluster="school", estimator="MLR") for n, t in texts}


def test_plain_differences(plain):
    table = ml.lrt(plain["small"], plain["large"], middle=plain["middle"])
    assert list(table.index) == ["fit 2", "middle", "fit 1"]
    assert list(table.columns) == ["Df", "AIC", "BIC", "Chisq", "Chisq diff", "RMSEA", "Df diff", "Pr(>Chisq)"]
    np.testing.assert_allclose(np.diff(table["Chisq"]), table["Chisq diff"].iloc[1:], atol=1e-8)
    np.testing.assert_allclose(table["Df diff"].iloc[1:], [1, 1])
    np.testing.assert_allclose(table["Pr(>Chisq)"].iloc[1:], chi2.sf(table["Chisq diff"].iloc[1:], 1))
    excess = np.maximum(table["Chisq diff"].iloc[1:] - 1, 0) / plain["large"].nobs
    np.testing.assert_allclose(table["RMSEA"].iloc[1:], np.sqrt(excess))
    measures = plain["middle"].fit_measures()
    assert (
        table.loc["middle", ["Df", "AIC", "BIC", "Chisq"]].tolist() == measures[["df", "aic", "bic", "chisq"]].tolist()
    )
    assert table.iloc[0, 4:].isna().all()


def test_scaled_difference_by_its_definition(robust):
    table = robust["large"].lrt(robust["middle"])
    big, small = robust["large"].fit_measures(), robust["middle"].fit_measures()
    # Satorra & Bentler 2001: (d0 c0 - d1 c1) / (d0 - d1)
    factor = small["df"] * small["chisq.scaling.factor"] - big["df"] * big["chisq.scaling.factor"]
    factor /= small["df"] - big["df"]
    assert table["scaling.factor"].iloc[1] == pytest.approx(factor, rel=1e-9)
    assert table["Chisq diff"].iloc[1] == pytest.approx((small["chisq"] - big["chisq"]) / factor, rel=1e-8)


@pytest.mark.parametrize("test", ["yuan.bentler", "yuan.bentler.mplus"])
def test_methods_agree_where_the_constraint_holds_in_the_sample(schools, test):
    """With a path fixed at its estimate both models are the same point, where 2001 and 2010 differ in nothing."""
    large = ml.sem(LARGE, schools, cluster="school", test=test)
    small = ml.sem(
        LARGE.replace("s*ses", f"{float(large.coef()['s'])!r}*ses"),
        schools,
        cluster="school",
        test=test,
    )
    tables = [ml.lrt(large, small, method=f"satorra.bentler.{year}") for year in (2001, 2010)]
    assert tables[0]["scaling.factor"].iloc[1] == pytest.approx(tables[1]["scaling.factor"].iloc[1], rel=1e-6)
    assert tables[0]["Chisq diff"].iloc[1] == pytest.approx(0, abs=1e-7)


def test_scaled_difference_of_one_parameter_is_near_its_robust_z(schools):
    """The scaled difference and the squared robust z of a path test the same thing; they agree to first order."""
    rng = np.random.default_rng(2)
    data = schools.assign(noise=rng.normal(size=len(schools)))
    text = LARGE.replace("s*ses", "s*noise")
    large = ml.sem(text, data, cluster="school", estimator="MLR")
    small = ml.sem(text.replace("s*noise", "0*noise"), data, cluster="school", estimator="MLR")
    z = large.parameter_estimates().query("label == 's'")["z"].iloc[0]
    for year in (2001, 2010):
        table = ml.lrt(large, small, method=f"satorra.bentler.{year}")
        assert table["Chisq diff"].iloc[1] == pytest.approx(z**2, rel=0.05, abs=0.02)


def test_same_number_of_parameters(plain, schools):
    other = ml.sem(LARGE.replace("s*ses", "0*ses") + "\n math1 ~~ math2", schools, cluster="school")
    with pytest.warns(ml.ModelWarning, match="same number of parameters"):
        table = ml.lrt(plain["large"], other)
    assert np.isnan(table["Pr(>Chisq)"].iloc[1])


def test_models_that_are_not_nested(plain, schools):
    worse = ml.sem(
        LARGE.replace("s*ses", "0*ses").replace("p*public", "0*public") + "\n math1 ~~ math2", schools, cluster="school"
    )
    with pytest.warns(ml.ModelWarning, match="not nested"):
        table = ml.lrt(worse, plain["small"])
    assert np.isnan(table["Pr(>Chisq)"].iloc[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: (LARGE, d.iloc[1:], {}), "different rows"),
        (lambda d: (LARGE, d.assign(math1=d["math1"] + 0.1), {}), "different values"),
        (lambda d: (LARGE.replace("  fw ~ s*ses\n", ""), d, {}), "also of ses"),
        (lambda d: (LARGE, d, {"fixed_x": False}), "fixed covariate of level 1"),
        (lambda d: (LARGE, d, {"estimator": "MLR"}), "same estimator"),
    ],
)
def test_fits_that_cannot_be_compared(plain, schools, change, words):
    text, data, options = change(schools)
    with pytest.raises(ml.ModelError, match=words):
        plain["middle"].lrt(ml.sem(text, data, cluster="school", **options))


def test_one_fit_alone(plain):
    with pytest.raises(ml.ModelError, match="two fits or more"):
        ml.lrt(plain["large"])


def test_unknown_method(plain):
    with pytest.raises(ml.ModelError, match=r"satorra\.bentler\.2001"):
        plain["large"].lrt(plain["small"], method="exact")


# ---------------------------------------------------------------- Wald
def test_wald_of_one_parameter_is_its_squared_z(plain, robust):
    for fit in (plain["large"], robust["large"]):
        z = fit.parameter_estimates().query("label == 's'")["z"].iloc[0]
        row = fit.wald("s == 0").iloc[0]
        assert row["stat"] == pytest.approx(z**2)
        assert (row["df"], row["se"]) == (1, fit.estimation.options.se)


def test_wald_by_its_definition(plain):
    fit = plain["large"]
    coef, vcov = fit.coef(), fit.vcov()
    h = np.array([coef["a"] - 2 * coef["b"], coef["s"] * coef["p"] - 0.1])
    jacobian = np.zeros((2, len(coef)))
    at = {name: list(coef.index).index(name) for name in "absp"}
    jacobian[0, [at["a"], at["b"]]] = 1, -2
    jacobian[1, [at["s"], at["p"]]] = coef["p"], coef["s"]
    want = h @ np.linalg.solve(jacobian @ vcov.to_numpy() @ jacobian.T, h)
    row = fit.wald("a == 2*b; s*p == 0.1").iloc[0]
    assert row["stat"] == pytest.approx(want)
    assert row["p.value"] == pytest.approx(chi2.sf(want, 2))


def test_wald_does_not_depend_on_units_or_on_how_it_is_written(plain):
    fit = plain["large"]
    assert fit.wald("1000*a == 1000*b").loc["wald", "stat"] == pytest.approx(fit.wald("a == b").loc["wald", "stat"])
    # a defined quantity stands for its expression
    assert fit.wald("ratio == 1.2").loc["wald", "stat"] == pytest.approx(fit.wald("a / b == 1.2").loc["wald", "stat"])


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("a == b; b == a", ml.ModelError, "follows from the others"),
        ("a < b", ml.ModelError, "equalities"),
        ("a - a == 0", ml.ModelError, "always holds, or never"),
        ("math1 ~ ses", ml.ModelError, "more than constraints"),
        ("a == z", ml.ModelSyntaxError, "'z' is not the label"),
        ("f=~math2 == f=~math3", ml.ModelSyntaxError, "labels, not of names"),
        ("f ~~ f == 1", ml.ModelSyntaxError, "labels, not of names"),
    ],
)
def test_wald_refusals(plain, text, error, words):
    with pytest.raises(error, match=words):
        plain["large"].wald(text)


def test_wald_without_standard_errors(schools):
    fit = ml.sem(LARGE, schools, cluster="school", se="none", h1=False)
    with pytest.raises(ml.ModelError, match="se='none'"):
        fit.wald("a == b")


def test_wald_needs_a_constraint(plain):
    with pytest.raises(ml.ModelError, match="needs a constraint"):
        inference.wald(plain["large"].estimation, ())
