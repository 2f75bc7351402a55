"""Fit measures of fits: lavaan's numbers, independent likelihoods, invariances, conventions, refusals, fit by level."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import reference_root
from scipy.stats import chi2

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.datasets import load_schools

WITHIN = "level: 1\n  fw =~ math1 + math2 + math3 + reading1\n  fw ~ ses\n"
BETWEEN = "level: 2\n  fb =~ math1 + math2 + math3 + reading1\n  fb ~ public\n"
# lavaan's order; a data frame of many fits relies on it
# fmt: off
PLAIN = [
    "npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli",
    "nnfi", "rfi", "nfi", "pnfi", "ifi", "rni", "logl", "unrestricted.logl", "aic", "bic", "ntotal", "bic2",
    "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.ci.level", "rmsea.pvalue", "rmsea.close.h0",
    "rmsea.notclose.pvalue", "rmsea.notclose.h0", "srmr", "srmr_within", "srmr_between", "gfi",
    "gfi.ci.lower", "gfi.ci.upper", "gfi.ci.level",
]
# fmt: on


@pytest.fixture(scope="module")
def schools():
    return load_schools().query("school < 'S060'")


@pytest.fixture(scope="module")
def fit(schools):
    return ml.sem(WITHIN + BETWEEN, schools, cluster="school")


@pytest.fixture(scope="module")
def robust(schools):
    return ml.sem(WITHIN + BETWEEN, schools, cluster="school", estimator="MLR")


def case_of(name):
    folder = reference_root() / "lavaan" / name
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    case = json.loads((folder / "case.json").read_text())
    path = folder / case.get("data_file", "data.csv").removesuffix(".gz")
    data = pd.read_csv(path if path.exists() else path.with_name(path.name + ".gz"))
    arguments = {key.replace(".", "_"): value for key, value in case["call"]["args"].items()}
    return case["expected"], ml.sem(case["model"], data, **arguments)


def worst(got, want, names=None):
    """Largest difference relative to max(1, |value|), and where."""
    names = [n for n, v in want.items() if isinstance(v, (int, float))] if names is None else names
    return max((abs(got[n] - want[n]) / max(1.0, abs(want[n])), n) for n in names)


@pytest.mark.parametrize(
    "name", ["demo-twolevel", "unbalanced-structural", "multigroup-metric", "contextual-randomx", "mediation-211"]
)
def test_lavaan_numbers_and_order(name):
    expected, fit = case_of(name)
    got = fit.fit_measures()
    assert list(got.index) == list(expected["fit"])
    # limits of RMSEA come from lavaan's root finder, good to 1e-7; the rest to its h1, 1e-8
    error, where = worst(got, expected["fit"])
    assert error < 2e-7, where


@pytest.mark.parametrize("name", ["mlr-demo", "mlr-nonnormal", "ml-yuanbentler"])
def test_lavaan_robust_numbers_and_order(name):
    expected, fit = case_of(name)
    got = fit.fit_measures()
    assert list(got.index) == list(expected["fit"])
    # lavaan's cluster scores leave out what a covariate's mean does to the means of the outcomes: 4e-4 at most
    error, where = worst(got, expected["fit"])
    assert error < 4e-4, where
    # what does not rest on scores is sharp
    error, where = worst(got, expected["fit"], [name for name in PLAIN if name in expected["fit"]])
    assert error < 2e-7, where


@pytest.mark.parametrize(
    "name", ["demo-twolevel", "contextual-randomx", "multigroup-scalar-freemean", "fixed-start-modifiers"]
)
def test_lavaan_numbers_by_level(name):
    expected, fit = case_of(name)
    got = fit.fit_measures_by_level()
    for level in ("within", "between"):
        want = expected["fit_by_level"][level]
        # lavaan's partially saturated fits stop at its default tolerance: 1e-5 in chi-square
        error, where = worst(
            got.loc[level], want, ["chisq", "df", "npar", "cfi", "tli", "rmsea", "baseline.chisq", "logl"]
        )
        assert error < 1e-5, (level, where)


def test_names_and_definitions(fit, schools):
    got = fit.fit_measures()
    assert list(got.index) == PLAIN
    assert got["chisq"] == pytest.approx(2 * (got["unrestricted.logl"] - got["logl"]), abs=1e-9)
    assert got["pvalue"] == pytest.approx(chi2.sf(got["chisq"], got["df"]))
    # 14 moments of level 1 and 18 of level 2 that are not moments of ses and public
    assert (got["df"], got["npar"]) == (32 - got["npar"], len(fit.coef()))
    assert got["baseline.df"] == 6 + 4 + 6 + 4
    assert got["ntotal"] == len(schools)
    assert got["bic"] - got["aic"] == pytest.approx(got["npar"] * (math.log(len(schools)) - 2))
    assert got["srmr"] == got["srmr_within"] + got["srmr_between"]


def test_within_variables_alone_are_an_ordinary_model(schools):
    """Variables of level 1 alone leave an ordinary model of N rows: T is its maximum-likelihood discrepancy."""
    rng = np.random.default_rng(1)
    n = 240
    y = (
        rng.normal(size=(n, 1)) @ np.ones((1, 4))
        + rng.normal(size=(n, 4))
        + 0.4 * rng.normal(size=(n, 1)) * [1, 1, 0, 0]
    )
    data = pd.DataFrame(y, columns=list("abcd")).assign(
        school=np.arange(n) // 4, w=np.repeat(rng.normal(size=n // 4), 4)
    )
    text = "level: 1\n a ~~ b + c + d\n b ~~ c + d\n c ~~ 0*d\n level: 2\n w ~~ w"
    fit = ml.sem(text, data, cluster="school")
    got, s = fit.fit_measures(), np.cov(y.T, bias=True)
    implied = fit.implied()["within"]["cov"].loc[list("abcd"), list("abcd")].to_numpy()
    log_det = np.linalg.slogdet(implied)[1] - np.linalg.slogdet(s)[1]
    assert got["df"] == 1
    assert got["chisq"] > 0.1
    assert got["chisq"] == pytest.approx(n * (log_det + np.trace(s @ np.linalg.inv(implied)) - 4), abs=1e-8)
    # independence: the discrepancy is minus the log-determinant of the correlation matrix
    assert got["baseline.chisq"] == pytest.approx(-n * np.linalg.slogdet(np.corrcoef(y.T))[1], abs=1e-8)


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_units_and_origins_do_not_matter(schools, fit, robust, estimator):
    moved = schools.copy()
    moved["math1"] = 10 * moved["math1"] + 7
    moved["math2"] = 0.1 * moved["math2"] - 3
    moved["ses"] = 5 * moved["ses"] + 40
    moved["public"] = moved["public"] - 2
    base = (fit if estimator == "ML" else robust).fit_measures()
    got = ml.sem(WITHIN + BETWEEN, moved, cluster="school", estimator=estimator).fit_measures()
    same = [n for n in base.index if n not in ("fmin", "logl", "unrestricted.logl", "aic", "bic", "bic2")]
    # both fits stop within 1e-13 of their maxima; rounding of log-likelihoods of 1e4 leaves 1e-8, the floor of SRMR 1e-6
    error, where = worst(got, base, same)
    assert error < 1e-6, where
    # log 10 + log 0.1 = 0 a row, and the covariates are conditioned on
    assert got["logl"] == pytest.approx(base["logl"], abs=1e-6)


def test_order_of_rows_and_names_of_clusters_do_not_matter(schools, fit):
    other = schools.sample(frac=1.0, random_state=3)
    other = other.assign(school=other["school"].map({s: i * 7 for i, s in enumerate(other["school"].unique())}))
    error, where = worst(ml.sem(WITHIN + BETWEEN, other, cluster="school").fit_measures(), fit.fit_measures())
    assert error < 1e-9, where


def test_psychonetrics_counts_clusters(fit, schools):
    rows, clusters = fit.fit_measures(), fit.fit_measures("psychonetrics")
    j = schools["school"].nunique()
    assert clusters["rmsea"] == pytest.approx(rows["rmsea"] * math.sqrt(len(schools) / j))
    assert clusters["bic"] == pytest.approx(-2 * rows["logl"] + rows["npar"] * math.log(j))
    assert clusters["baseline.chisq"] == pytest.approx(-2 * (clusters["baseline.logl"] - clusters["unrestricted.logl"]))
    assert clusters["aic.x2"] - clusters["aic.x"] == pytest.approx(2 * (rows["npar"] + rows["df"]))
    assert clusters["ebic.5"] == pytest.approx(clusters["bic"] + 2 * rows["npar"] * math.log(6))
    values = 5 * len(schools) + j
    joint = fit.estimation.model.value
    assert clusters["objective"] == pytest.approx((-2 * joint - values * math.log(2 * math.pi)) / j)
    for name in ("chisq", "df", "cfi", "tli", "nfi", "pnfi", "ifi", "rfi", "rni", "srmr_between"):
        assert clusters[name] == rows[name], name


def test_without_unrestricted_model(schools):
    fit = ml.sem(WITHIN + BETWEEN, schools, cluster="school", h1=False)
    assert list(fit.fit_measures().index) == ["npar", "logl", "aic", "bic", "ntotal", "bic2"]
    assert "chisq" not in fit.fit_measures("psychonetrics")
    with pytest.raises(ml.ModelError, match="h1=True"):
        fit.fit_measures_by_level()


def test_without_baseline(schools, fit):
    got = ml.sem(WITHIN + BETWEEN, schools, cluster="school", baseline=False).fit_measures()
    assert not [n for n in got.index if n.startswith(("baseline", "cfi", "tli"))]
    assert got["chisq"] == pytest.approx(fit.fit_measures()["chisq"], abs=1e-8)


@pytest.mark.parametrize("line", ["ses ~~ girl", "girl ~~ ses", "ses ~~ ses", "girl ~ 1"])
def test_covariates_that_the_text_speaks_of_covary_with_nothing_in_the_baseline(schools, line):
    """As in lavaan: one degree of freedom more, and at level 1 alone a chi-square larger by -N log(1 - r^2)."""
    text = "level: 1\n math1 ~ ses + girl\n{}\nlevel: 2\n math1 ~ public"
    # without a line the covariates' covariance is fixed, or free with fixed_x=False
    fixed, free = (ml.sem(text.format(""), schools, cluster="school", fixed_x=x).fit_measures() for x in (True, False))
    got = ml.sem(text.format(line), schools, cluster="school").fit_measures()
    assert (fixed["baseline.df"], free["baseline.df"], got["baseline.df"]) == (3, 3, 4)
    more = -len(schools) * np.log1p(-(np.corrcoef(schools.ses, schools.girl)[0, 1] ** 2))
    assert free["baseline.chisq"] == pytest.approx(fixed["baseline.chisq"], abs=1e-6)
    assert got["baseline.chisq"] == pytest.approx(free["baseline.chisq"] + more, abs=1e-6)


def test_by_level_too_written_covariates_are_independent_in_the_baseline(schools):
    text = "level: 1\n math1 ~ ses + girl\n{}\nlevel: 2\n math1 ~ public"
    within = [
        ml.sem(text.format(line), schools, cluster="school").fit_measures_by_level().loc["within", "baseline.df"]
        for line in ("", "ses ~~ girl")
    ]
    assert within == [2, 3]


def test_saturated_model_has_no_missing_measures_without_reason(schools):
    text = "level: 1\n math1 ~~ math2\n level: 2\n math1 ~~ math2"
    for estimator in ("ML", "MLR"):
        got = ml.sem(text, schools, cluster="school", estimator=estimator).fit_measures()
        assert got["df"] == 0
        assert got["chisq"] == pytest.approx(0, abs=1e-7)
        assert (got["cfi"], got["tli"], got["rmsea"]) == (1, 1, 0)
        assert got["srmr"] == pytest.approx(0, abs=1e-6)
        # without degrees of freedom there is no test, hence no p-value and no scaling factor of one
        empty = set(got.index[got.isna()])
        assert all(n.endswith(("factor", "pvalue", "pvalue.scaled", "pvalue.robust")) for n in empty), empty


def test_unknown_convention(fit):
    with pytest.raises(ml.ModelError, match="'lavaan' or 'psychonetrics'"):
        fit.fit_measures(convention="mplus")


def test_fit_that_did_not_converge(schools):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.sem(WITHIN + BETWEEN, schools, cluster="school", iter_max=1)
    assert not fit.converged
    with pytest.raises(ml.ModelError, match="no fit measures"):
        fit.fit_measures()


# ---------------------------------------------------------------- scaled tests
def test_scaling_factors_by_their_definition(robust):
    got, e = robust.fit_measures(), robust.estimation
    trace = {}
    for name, fitted in (("h1", e.h1), ("h0", e.model), ("baseline", e.baseline)):
        a, b = inference.information(fitted, e, "observed"), inference.information(fitted, e, "first.order")
        trace[name] = np.trace(np.linalg.solve(a, b))
    assert got["scaling.factor.h1"] * (got["npar"] + got["df"]) == pytest.approx(trace["h1"])
    assert got["scaling.factor.h0"] * got["npar"] == pytest.approx(trace["h0"])
    assert got["chisq.scaling.factor"] == pytest.approx((trace["h1"] - trace["h0"]) / got["df"])
    assert got["baseline.chisq.scaling.factor"] == pytest.approx((trace["h1"] - trace["baseline"]) / got["baseline.df"])
    assert got["chisq.scaled"] == pytest.approx(got["chisq"] / got["chisq.scaling.factor"])
    excess = got["chisq"] - got["chisq.scaling.factor"] * got["df"]
    excess0 = got["baseline.chisq"] - got["baseline.chisq.scaling.factor"] * got["baseline.df"]
    assert got["rni.robust"] == pytest.approx(1 - excess / excess0)
    assert got["tli.robust"] == pytest.approx(1 - excess * got["baseline.df"] / (excess0 * got["df"]))


def test_scaling_leaves_the_plain_measures_alone(fit, robust):
    plain, scaled = fit.fit_measures(), robust.fit_measures()
    error, where = worst(scaled, plain)
    assert error < 1e-9, where
    assert [
        n for n in scaled.index if not n.endswith(("scaled", "robust", "factor", "h1", "h0")) or n in PLAIN
    ] == PLAIN


@pytest.mark.parametrize("test", ["yuan.bentler", "yuan.bentler.mplus"])
def test_factors_by_simulation(test):
    rng = np.random.default_rng(7)
    clusters, size = 400, 5

    def factor(scale):
        """Normal data, each cluster multiplied by its own scale: for s the factor tends to E(s^4) / E(s^2)^2."""
        e = rng.standard_normal((clusters, size, 4)) + rng.standard_normal((clusters, size, 1))
        u = rng.standard_normal((clusters, 1, 4)) + rng.standard_normal((clusters, 1, 1))
        y = ((e + u) * scale[:, None, None]).reshape(-1, 4)
        data = pd.DataFrame(y, columns=list("abcd")).assign(g=np.repeat(np.arange(clusters), size))
        text = "level: 1\n f =~ a + b + c + d\n level: 2\n g2 =~ a + b + c + d"
        return ml.sem(text, data, cluster="g", test=test).fit_measures()["chisq.scaling.factor"]

    # 4 degrees of freedom and 400 clusters leave the factor a standard error near 0.08 for normal data, 0.15 for the mixture
    assert factor(np.ones(clusters)) == pytest.approx(1.0, abs=0.25)
    mixture = np.where(np.arange(clusters) % 2, 0.6, 1.6)
    assert factor(mixture) == pytest.approx(np.mean(mixture**4) / np.mean(mixture**2) ** 2, abs=0.45)


# ---------------------------------------------------------------- by level
SATURATED_BETWEEN = """level: 2
  math1 + math2 + math3 + reading1 ~ public
  math1 ~~ math2 + math3 + reading1
  math2 ~~ math3 + reading1
  math3 ~~ reading1
"""


def test_level_fit_is_the_fit_of_the_partially_saturated_text(fit, schools):
    by_level = fit.fit_measures_by_level()
    alone = ml.sem(WITHIN + SATURATED_BETWEEN, schools, cluster="school").fit_measures()
    names = ["npar", "chisq", "df", "pvalue", "logl", "rmsea", "srmr_within"]
    error, where = worst(by_level.loc["within"], alone, names)
    assert error < 1e-7, where
    assert by_level["df"].sum() == fit.fit_measures()["df"]
    assert list(by_level.index) == ["within", "between"]
    # the baseline of a level keeps the other level saturated, so it fits better than independence at both
    assert (by_level["baseline.chisq"] < fit.fit_measures()["baseline.chisq"]).all()


def test_constraints_within_a_level_stay(schools):
    text = WITHIN.replace("math2 + math3", "a*math2 + b*math3") + BETWEEN + "a == 2*b\nd := a + b"
    got = ml.sem(text, schools, cluster="school").fit_measures_by_level()
    plain = ml.sem(WITHIN + BETWEEN, schools, cluster="school").fit_measures_by_level()
    assert list(got["df"] - plain["df"]) == [1, 0]
    assert got.loc["between", "chisq"] == pytest.approx(plain.loc["between", "chisq"], abs=1e-8)
    assert got.loc["within", "chisq"] > plain.loc["within", "chisq"]


@pytest.mark.parametrize(
    ("within", "between", "more", "named"),
    [
        ("a*math2", "a*math2", "", "label 'a'"),
        ("a*math2", "b*math2", "a == b", "a == b"),
        ("a*math2", "b*math2", "d := a - b\nd == 0", "d == 0"),
    ],
)
def test_equalities_across_levels_are_refused(schools, within, between, more, named):
    text = WITHIN.replace("math2", within) + BETWEEN.replace("math2", between) + more
    fit = ml.sem(text, schools, cluster="school")
    with pytest.warns(ml.ModelWarning, match="no fit by level") as caught:
        table = fit.fit_measures_by_level()
    assert named in str(caught[0].message)
    assert list(table.index) == ["within", "between"]
    assert table.isna().all(axis=None)


# of lavaan 0.6-14, to the digits that its search leaves: nine printed, six of them settled
OF_ONE_LEVEL = {
    "groups": {
        "rmr": 0.39063686, "rmr_nomean": 0.436688466, "srmr": 0.227388031, "srmr_bentler": 0.227388031,
        "srmr_bentler_nomean": 0.254180441, "crmr": 0.254197622, "crmr_nomean": 0.29346773, "srmr_mplus": 0.227441853,
        "srmr_mplus_nomean": 0.254170902, "cn_05": 123.752143, "cn_01": 142.095127, "mfi": 0.818996296, "ecvi": 0.442304455,
    },
    "no means": {
        "rmr": 0.434072654, "rmr_nomean": 0.434072654, "srmr": 0.251635629, "srmr_bentler": 0.251635629,
        "srmr_bentler_nomean": 0.251635629, "crmr": 0.290563796, "crmr_nomean": 0.290563796, "srmr_mplus": 0.251635629,
        "srmr_mplus_nomean": 0.251635629, "cn_05": 60.6573803, "cn_01": 74.4011071, "mfi": 0.82252631, "ecvi": 0.409541564,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", OF_ONE_LEVEL)
def test_residual_measures_of_one_level(case):
    model = "math =~ math1 + math2 + math3\nreading =~ reading1 + reading2 + reading3\nmath ~ ses"
    options = (
        {"group": "girl", "group_equal": ["loadings", "intercepts"]}
        if case == "groups"
        else {"meanstructure": False, "fixed_x": False}
    )
    got = ml.sem(model, load_schools(), **options).fit_measures()
    assert {name: got[name] for name in OF_ONE_LEVEL[case]} == pytest.approx(OF_ONE_LEVEL[case], rel=2e-6)


def test_residual_measures_of_a_saturated_model_of_one_level(schools):
    got = ml.sem("math1 ~ math2 + math3", schools).fit_measures()
    for name in OF_ONE_LEVEL["groups"].keys() - {"cn_05", "cn_01", "mfi", "ecvi"}:
        assert got[name] == pytest.approx(0, abs=1e-9)
    # no sample size makes a test of nothing significant
    assert np.isnan(got["cn_05"])
    assert got["mfi"] == pytest.approx(1)
