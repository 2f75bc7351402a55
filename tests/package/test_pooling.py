"""Several imputations, and plausible values, as one: Rubin's rules, D1 to D4, and what a user meets.

The stored case (simulated data, five imputations) has estimates by mitools, and D2, D3 and D4 by lavaan.mi.
"""

import gzip
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution
from scipy.stats import multivariate_normal
from scipy.stats import t as t_distribution

import mlsem_jax as ml
from mlsem_jax.inference import rubin
from mlsem_jax.observed import stack_complete

pytestmark = pytest.mark.timeout(300)

ONE = "f =~ y1 + y2 + b*y3 + y4\ndouble := 2*b"
TWO = "level: 1\nfw =~ y1 + a*y2 + b*y3\nlevel: 2\nfb =~ y1 + a*y2 + b*y3"


def read():
    case = json.loads(gzip.decompress((Path(__file__).parent / "pooling" / "pool-cfa.json.gz").read_bytes()))
    return case, pd.DataFrame(case.pop("rows"), columns=case.pop("header")).astype(float)


def imputed(m=3, seed=1, missing=False):
    """Imputations of four variables of 40 clusters of 6 rows; the fourth has a covariate x that is imputed too."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(40), 6)
    n = len(school)
    x, f, u = rng.normal(size=n) + rng.normal(size=40)[school], rng.normal(size=n), 0.7 * rng.normal(size=40)[school]
    y = (
        (f + u)[:, None] * [1, 0.8, 0.9, 0.7]
        + 0.3 * x[:, None]
        + rng.normal(size=(n, 4))
        + 0.6 * rng.normal(size=(40, 4))[school]
    )
    frame = pd.DataFrame(y, columns=["y1", "y2", "y3", "y4"]).assign(
        x=x, school=school, sex=np.where(school % 2, "a", "b")
    )
    gone, lost = rng.random(n) < 0.3, rng.random(n) < 0.2
    out = []
    for _ in range(m):
        one = frame.copy()
        one.loc[gone, "y2"] = 0.8 * (f + u)[gone] + 1.1 * rng.normal(size=gone.sum())
        one.loc[lost, "x"] = rng.normal(size=lost.sum())
        if missing:
            one.loc[np.arange(n) % 7 == 0, "y3"] = np.nan
        out.append(one)
    return out


def below(sets):
    """One data set below the other, with cluster ids of their own."""
    return pd.concat([d.assign(school=d.school.astype(str) + f"/{i}") for i, d in enumerate(sets)], ignore_index=True)


@pytest.fixture(scope="module")
def sets():
    return imputed()


@pytest.fixture(scope="module")
def plain(sets):
    return ml.cfa(ONE, sets, meanstructure=True)


@pytest.fixture(scope="module")
def stored():
    case, data = read()
    return case, ml.cfa(case["model"], [part for _, part in data.groupby("imp")], meanstructure=True)


# ---------------------------------------------------------------- numbers


def test_the_stored_case(stored):
    case, fit = stored
    table = fit.parameter_estimates()
    for row in case["expected"]["parameters"]:
        if not row.get("se"):
            continue
        got = table[(table.lhs == row["lhs"]) & (table.op == row["op"]) & (table.rhs == row.get("rhs", ""))].iloc[0]
        for name in ("est", "se", "riv", "fmi"):
            assert got[name] == pytest.approx(row[name], rel=1e-6, abs=1e-9), row
        # variables without missing values, whose means differ by rounding in the reference
        assert got["df"] == (pytest.approx(row["df"], rel=1e-5) if row["df"] < 1e20 else math.inf)


def test_d2_d3_d4_of_the_stored_case(stored):
    case, fit = stored
    measures = fit.fit_measures()
    for name, want in case["expected"]["tests"].items():
        got = [measures[f"{name}.{k}"] for k in ("F", "df1", "df2", "riv")]
        assert got == pytest.approx([want["F"], want["df1"], want["df2"], want["ariv"]], rel=1e-7)
    want = case["lavaan.mi"]["D4"]
    assert [measures[f"D4.{k}"] for k in ("F", "df1", "df2", "pvalue", "riv")] == pytest.approx(
        [want["F"], want["df1"], want["df2"], want["pvalue"], want["ariv"]], rel=1e-5
    )
    assert measures["pvalue"] == measures["D4.pvalue"]
    assert measures["chisq"] == pytest.approx(8 * want["F"], rel=1e-6)


def test_rubins_rules_by_hand():
    values, se = np.array([[1.0], [2.0], [4.0]]), np.array([[0.5], [0.6], [0.7]])
    within, between = (0.25 + 0.36 + 0.49) / 3, (16 / 9 + 1 / 9 + 25 / 9) / 2
    riv = 4 / 3 * between / within
    df = 2 * (1 + 1 / riv) ** 2
    found = rubin(values, se)
    assert found.estimate[0] == pytest.approx(7 / 3)
    assert found.se[0] == pytest.approx((within + 4 / 3 * between) ** 0.5)
    assert [found.riv[0], found.df[0]] == pytest.approx([riv, df])
    assert found.fmi[0] == pytest.approx((riv + 2 / (df + 3)) / (1 + riv))
    # Barnard & Rubin (1999)
    share = riv / (1 + riv)
    seen = 21 / 23 * 20 * (1 - share)
    assert rubin(values, se, complete_df=20).df[0] == pytest.approx(1 / (1 / df + 1 / seen))


def test_tables_follow_from_the_fits(plain):
    table, tables = plain.parameter_estimates(level=0.9), [fit.parameter_estimates() for fit in plain.fits]
    est, se = (np.array([t[name] for t in tables]) for name in ("est", "se"))
    assert table.est.to_numpy() == pytest.approx(est.mean(0))
    total = (se**2).mean(0) + 4 / 3 * est.var(0, ddof=1)
    free = ~np.isnan(total)
    assert table.se[free].to_numpy() == pytest.approx(total[free] ** 0.5)
    row = table[table.lhs == "double"].iloc[0]
    half = t_distribution.ppf(0.95, row.df) * row.se
    assert [row["ci.lower"], row["ci.upper"]] == pytest.approx([row.est - half, row.est + half])
    assert row.pvalue == pytest.approx(2 * t_distribution.sf(abs(row.t), row.df))
    assert row.est == pytest.approx(2 * plain.coef()["b"])
    assert row.se == pytest.approx(2 * plain.vcov().loc["b", "b"] ** 0.5)
    assert table[~free][["se", "t", "df", "riv", "fmi", "pvalue"]].isna().all(axis=None)


def test_standardized_and_explained_variance_are_pooled_from_each_fit(plain):
    got, each = plain.standardized_solution(), [fit.standardized_solution() for fit in plain.fits]
    assert got["est.std"].to_numpy() == pytest.approx(np.mean([t["est.std"] for t in each], axis=0))
    assert got["riv"].max() > 0.01
    assert plain.parameter_estimates(True)["std.all"].to_numpy() == pytest.approx(got["est.std"].to_numpy())
    shares = [fit.rsquare() for fit in plain.fits]
    assert plain.rsquare().loc["y2~r2", "est"] == pytest.approx(np.mean([s["y2"] for s in shares]))
    assert plain.rsquare().loc["y2~r2", "se"] > 0


def test_d2_d3_d4_by_dense_densities(sets, plain):
    names = ["y1", "y2", "y3", "y4"]
    rows = [d[names].to_numpy() for d in sets]

    def implied(theta):
        by = dict(zip(plain.coef().index, theta, strict=True))
        load = np.array([1, by["f=~y2"], by["b"], by["f=~y4"]])
        cov = by["f~~f"] * np.outer(load, load) + np.diag([by[f"{v}~~{v}"] for v in names])
        return np.array([by[f"{v}~1"] for v in names]), cov

    def logl(y, moments):
        return multivariate_normal(*moments).logpdf(y).sum()

    thetas = [fit.coef().to_numpy() for fit in plain.fits]
    h1 = [(y.mean(0), np.cov(y.T, bias=True)) for y in rows]
    w = np.array([2 * (logl(y, s) - logl(y, implied(t))) for y, s, t in zip(rows, h1, thetas, strict=True)])
    k, m = 2, 3
    got = plain.fit_measures()
    r = 4 / 3 * np.var(np.sqrt(w), ddof=1)
    assert got["D2.F"] == pytest.approx(max((w.mean() / k - (m + 1) / (m - 1) * r) / (1 + r), 0), abs=1e-7)
    assert got["D2.df2"] == pytest.approx(k ** (-3 / m) * (m - 1) * (1 + 1 / r) ** 2, rel=1e-6)
    middle, average = implied(np.mean(thetas, axis=0)), tuple(np.mean(part, axis=0) for part in zip(*h1, strict=True))
    common = np.mean([2 * (logl(y, average) - logl(y, middle)) for y in rows])
    r = (m + 1) / (k * (m - 1)) * (w.mean() - common)
    df2 = k * (m - 1) * (1 + 1 / k) * (1 + 1 / r) ** 2 / 2  # k (m - 1) is not above 4
    assert [got["D3.F"], got["D3.riv"], got["D3.df2"]] == pytest.approx([common / (k * (1 + r)), r, df2], rel=1e-5)
    assert got["D3.pvalue"] == pytest.approx(f_distribution.sf(got["D3.F"], k, df2), rel=1e-6)
    stacked = ml.cfa(ONE, pd.concat(sets), meanstructure=True).fit_measures("chisq").iloc[0] / m
    r = (m + 1) / (k * (m - 1)) * (w.mean() - stacked)
    assert [got["D4.F"], got["D4.riv"]] == pytest.approx([stacked / (k * (1 + r)), r], rel=1e-6)
    assert got["chisq.mean"] == pytest.approx(w.mean())


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("f =~ y1 + y2 + y3 + y4\nf ~ x", {}),
        ("f =~ y1 + y2 + y3 + y4", {"group": "sex", "group_equal": "loadings"}),
        ("f =~ y1 + a*y2 + b*y3 + y4\na*b == 0.6", {}),
        ("f =~ y1 + a*y2 + b*y3 + y4\na < 0.5", {}),
        (TWO, {"cluster": "school"}),
        ("level: 1\ny1 ~ x\ny1 ~~ 0*y2\nlevel: 2\ny1 ~ x\ny2 ~~ 0*y1", {"cluster": "school"}),
        (TWO, {"cluster": "school", "group": "sex"}),
    ],
)
def test_d4_is_of_the_stacked_rows(sets, model, options):
    """Also where the covariates differ by imputation; clusters of two imputations are no clusters of one another."""
    fit = ml.sem(model, sets, **options)
    stacked, got = ml.sem(model, below(sets), **options), fit.fit_measures()
    one = stacked.fit_measures("chisq").iloc[0] / 3
    assert got["D4.F"] * got["D4.df1"] * (1 + got["D4.riv"]) == pytest.approx(one, rel=1e-6)
    assert got["D3.F"] == pytest.approx(got["D4.F"], rel=0.2)  # on other roads to the same
    for name in ("srmr", "srmr_within", "srmr_between"):
        if name in got:
            assert got[name] == pytest.approx(stacked.fit_measures(name).iloc[0], rel=1e-4)


def test_missing_values_left_in_the_imputations():
    sets = imputed(2, missing=True)
    fit = ml.cfa("f =~ y1 + y2 + y3 + y4", sets, missing="ml")
    got = fit.fit_measures()
    one = ml.cfa("f =~ y1 + y2 + y3 + y4", below(sets), missing="ml").fit_measures("chisq").iloc[0] / 2
    assert got["D4.F"] * got["D4.df1"] * (1 + got["D4.riv"]) == pytest.approx(one, rel=1e-6)
    assert got["D3.F"] == pytest.approx(got["D4.F"], rel=0.2)


def test_the_mean_structure_is_no_part_of_the_test(sets):
    with_means, without = (ml.cfa(ONE, sets, meanstructure=means).fit_measures() for means in (True, False))
    for name in ("D2.F", "D3.F", "D4.F", "D4.riv", "cfi", "rmsea"):
        assert with_means[name] == pytest.approx(without[name], rel=1e-6)


def test_indices_rest_on_the_test_that_is_asked_for(plain):
    for test in ("D2", "D3", "D4"):
        got = plain.fit_measures(test=test)
        chisq = got[f"{test}.F"] * 2
        assert got["chisq"] == pytest.approx(chisq)
        assert got["pvalue"] == got[f"{test}.pvalue"]
        assert got["rmsea"] == pytest.approx(math.sqrt(max(chisq - 2, 0) / (2 * 240)))
        excess, base = max(chisq - 2, 0), got["baseline.chisq"] - 6
        assert got["cfi"] == pytest.approx(1 - excess / max(base, excess))
    assert list(plain.fit_measures(["cfi", "D3.F"]).index) == ["cfi", "D3.F"]


def test_robust_fits_have_scaled_tests(sets):
    fit = ml.cfa(ONE, sets, estimator="MLR")
    got, factors = fit.fit_measures(), [f.fit_measures("chisq.scaling.factor").iloc[0] for f in fit.fits]
    assert got["chisq.scaling.factor"] == pytest.approx(np.mean(factors))
    assert got["D4.F.scaled"] == pytest.approx(got["D4.F"] / np.mean(factors))
    assert {"D2.F.scaled", "rmsea.scaled", "cfi.scaled"} <= set(got.index)
    assert "scaled" in str(fit.summary())


def test_pooled_fits_are_compared(sets, plain):
    small = ml.cfa("f =~ y1 + 1*y2 + b*y3 + y4\ndouble := 2*b", sets, meanstructure=True)
    table = ml.lrt(plain, small=small)
    assert list(table.index) == ["fit 1", "small"]
    assert table["Df diff"].iloc[1] == 1
    assert np.isnan(table["D2.F"].iloc[0])
    w = np.array([2 * (a.loglik - b.loglik) for a, b in zip(plain.fits, small.fits, strict=True)])
    r = 4 / 3 * np.var(np.sqrt(w), ddof=1)
    assert table.loc["small", "D2.F"] == pytest.approx((w.mean() - 2 * r) / (1 + r), rel=1e-6)
    stacked = [ml.cfa(f.fits[0].text, pd.concat(sets), meanstructure=True).loglik for f in (plain, small)]
    common = 2 * (stacked[0] - stacked[1]) / 3
    r = max(2 * (w.mean() - common), 0.0)
    assert table.loc["small", "D4.F"] == pytest.approx(common / (1 + r), rel=1e-5)
    assert table.loc["small", "D3.F"] == pytest.approx(table.loc["small", "D4.F"], rel=0.1)
    pd.testing.assert_frame_equal(plain.lrt(small), ml.lrt(plain, small))


def test_d1_by_hand(stored):
    _, fit = stored
    both = fit.wald(["v == t", "v == 1"])
    k, m = 2, 5
    h = np.array([[f.coef()["v"] - f.coef()["t"], f.coef()["v"] - 1] for f in fit.fits])
    map_ = np.array([[1.0, -1.0], [1.0, 0.0]])
    covs = [map_ @ f.vcov().loc[["v", "t"], ["v", "t"]].to_numpy() @ map_.T for f in fit.fits]
    within, between = np.mean(covs, axis=0), np.cov(h.T)
    r = (1 + 1 / m) * np.trace(between @ np.linalg.inv(within)) / k
    statistic = h.mean(0) @ np.linalg.inv(within) @ h.mean(0) / (k * (1 + r))
    df2 = 4 + (8 - 4) * (1 + (1 - 2 / 8) / r) ** 2
    assert both.loc["D1", ["F", "df1", "df2", "riv"]].to_list() == pytest.approx([statistic, 2, df2, r], rel=1e-8)


# ---------------------------------------------------------------- properties


def test_imputations_that_agree_add_nothing(sets):
    one = ml.sem(TWO, sets[0], cluster="school")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = ml.pool([one] * 3)
        table, alone = fit.parameter_estimates(True), one.parameter_estimates(True)
        measures = fit.fit_measures()
        str(fit.summary(fit_measures=True, ci=True, rsquare=True))
        fit.standardized_solution(), fit.rsquare(), fit._repr_html_()
    free = alone.se > 0
    assert (table.riv[free] == 0).all()
    assert (table.df[free] == math.inf).all()
    assert (table.fmi[free] == 0).all()
    for name in ("est", "se", "pvalue", "ci.lower", "ci.upper", "std.all"):
        np.testing.assert_allclose(table[name], alone[name], rtol=1e-10, atol=1e-14)
    want = one.fit_measures()
    for name in ("cfi", "tli", "rmsea", "rmsea.ci.upper", "srmr_between", "chisq", "pvalue"):
        assert measures[name] == pytest.approx(want[name], abs=1e-8)
    assert measures["D2.riv"] == 0
    assert measures["D4.df2"] > 1e15  # of log-likelihoods, which round
    assert measures["D2.F"] * measures["D2.df1"] == pytest.approx(want["chisq"], rel=1e-9)


def test_complete_statistics_of_stacked_clusters(sets):
    parts = [ml.sem(TWO, d, cluster="school").estimation.statistics for d in (sets[0], sets[1].iloc[:200])]
    ragged = below([sets[0], sets[1].iloc[:200]])
    want = ml.sem(TWO, ragged, cluster="school").estimation.statistics.complete
    got = stack_complete([part.complete for part in parts])
    for name in ("rows", "clusters", "within", "count", "size", "mean", "cov"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-9, atol=1e-9)


def test_networks_are_pooled(sets):
    fits = [ml.ml_ggm(d, clusters="school", vars=["y1", "y2", "y3"]).fit() for d in sets]
    fit = ml.pool(fits)
    row = fit.parameter_estimates().iloc[0]
    assert row.est == pytest.approx(np.mean([f.parameter_estimates().est.iloc[0] for f in fits]))
    assert row.riv > 0
    sparse = ml.pool([f.fixpar("omega_between", "y1", "y2") for f in fits])
    assert sparse.fit_measures()["D4.df1"] == 1
    assert ml.lrt(fit, sparse)["D4.F"].iloc[1] > 0
    with pytest.raises(ml.ModelError, match="getmatrix is of one data set"):
        fit.getmatrix("omega_within")
    with pytest.raises(ml.ModelError, match=r"made by ml_ggm\(\) and fit 2 by sem\(\)"):
        ml.pool([fits[0], ml.sem(TWO, sets[0], cluster="school")])


def test_saved_fits_are_pooled(plain, tmp_path):
    paths = [fit.save(tmp_path / f"{i}.json") for i, fit in enumerate(plain.fits)]
    again = ml.pool([ml.load(path) for path in paths])
    pd.testing.assert_series_equal(again.fit_measures(), plain.fit_measures())
    with pytest.raises(ml.ModelError, match="is saved by its fits"):
        plain.save(tmp_path / "pooled.json")


# ---------------------------------------------------------------- data sets and plausible values


def test_data_sets_in_a_list_are_the_pooled_fits(sets, plain):
    by_hand = ml.pool([ml.cfa(ONE, d, meanstructure=True) for d in sets])
    for data in (tuple(sets), {f"imp{i}": d for i, d in enumerate(sets)}, [d.to_dict("list") for d in sets]):
        fit = ml.cfa(ONE, data, meanstructure=True)
        pd.testing.assert_frame_equal(fit.parameter_estimates(), by_hand.parameter_estimates())
    assert plain.names == ("imputation 1", "imputation 2", "imputation 3")
    assert plain.converged
    assert plain.nimputations == 3


def test_plausible_values_of_one_table(sets):
    model = "f =~ y1 + math + y3\nread ~ f"
    wide = sets[0].assign(
        M1=sets[0].y2, M2=sets[1].y2, M3=sets[2].y2, R1=sets[0].y4, R2=sets[1].y4 + 0.1, R3=sets[2].y4
    )
    asked = {"math": ["M1", "M2", "M3"], "read": ["R1", "R2", "R3"]}
    want = ml.pool([ml.sem(model, wide.assign(math=wide[f"M{i}"], read=wide[f"R{i}"])) for i in (1, 2, 3)])
    for table in (wide, wide.to_dict("list")):
        fit = ml.sem(model, table, plausible_values=asked)
        pd.testing.assert_frame_equal(fit.parameter_estimates(), want.parameter_estimates())
    assert fit.names[2] == "plausible value 3"
    assert "math" not in wide
    two = ml.sem(TWO.replace("y2", "math"), wide, cluster="school", plausible_values={"math": ["M1", "M2"]})
    assert two.nimputations == 2
    assert (two.parameter_estimates().riv.dropna() > 0).any()


WIDE = "f =~ y1 + pv + y3"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"pv": ["y4", "x"], "pw": ["y2"]}, "'pv' has 2, 'pw' has 1 columns; all variables need the same number"),
        ({"pv": ["y4", "y44"]}, r"no column 'y44' for 'pv' \(1 of 2 found\)\. Did you mean 'y4'"),
        ({"pv": ["y4", "y4"]}, "'y4' is named twice"),
        ({"pv": ["y4", "x"], "pw": ["y2", "x"]}, "'x' is named twice"),
        ({"y1": ["y4", "x"]}, "'y1' is a column of the data already"),
        ({"pv": ["y4"]}, "needs two plausible values"),
        ({"pv": "y4"}, "'pv' needs a list of columns"),
        (["y4", "x"], "must be a dictionary"),
        ({}, "must be a dictionary"),
        ({"pv": ["y4", "x"], "other": ["y2", "school"]}, "names 'other', which the model does not have"),
        ({"pv": ["y4", "sex"]}, "Plausible value 2: "),
    ],
)
def test_plausible_values_that_cannot_be(sets, asked, sentence):
    with pytest.raises((ml.DataError, ml.ModelError), match=sentence):
        ml.cfa(WIDE, sets[0], plausible_values=asked)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: [s[0]], "two imputations or more"),
        (lambda s: [s[0], 3], "number 2 is a int, not a table"),
        (lambda s: list(pd.concat(s).groupby("sex")), "Of a groupby take the tables alone"),
        (lambda s: [s[0], s[1].assign(y2="text")], "Imputation 2: "),
        (lambda s: {"a": s[0], "b": s[1].drop(columns="y2")}, "Imputation b: "),
    ],
)
def test_lists_that_are_no_imputations(sets, change, sentence):
    with pytest.raises((ml.DataError, ml.ModelSyntaxError), match=sentence):
        ml.cfa(ONE, change(sets))


def test_options_of_several_data_sets_alone(sets):
    with pytest.raises(ml.ModelError, match="about several imputations"):
        ml.cfa(ONE, sets[0], only_converged=True)
    with pytest.raises(ml.DataError, match="the one or the other"):
        ml.cfa(WIDE, sets, plausible_values={"pv": ["y4", "x"]})
    assert isinstance(ml.cfa(ONE, sets[0], plausible_values=None), ml.Fit)


def test_a_warning_of_several_imputations_is_issued_once(sets):
    codes = [d.assign(y4=np.where(np.arange(len(d)) < 4, -99.0, d.y4)) if i else d for i, d in enumerate(sets)]
    with pytest.warns(ml.ModelWarning, match=r"-99.*\(imputations 2, 3\)") as caught:
        ml.cfa(ONE, codes)
    assert len([w for w in caught if "-99" in str(w.message)]) == 1


# ---------------------------------------------------------------- what cannot be pooled


def test_fits_that_are_not_of_one_model(sets, plain):
    def fit(model, data=sets[1], **options):
        return ml.cfa(model, data, **({"meanstructure": True} | options))

    first = plain.fits[0]
    other = {
        "which alone has y4=~|which alone has f=~y4": fit("f =~ y1 + y2 + b*y3\ndouble := 2*b"),
        "is free in fit 1 and fixed at 1 in fit 2": fit("f =~ y1 + 1*y2 + b*y3 + y4\ndouble := 2*b"),
        "other labels or constraints": fit("f =~ y1 + b*y2 + b*y3 + y4\ndouble := 2*b"),
        "define other quantities": fit("f =~ y1 + y2 + b*y3 + y4\ndouble := 3*b"),
        "estimator='MLR'": fit(ONE, estimator="MLR"),
        "one group, and fit 2 of": fit(ONE, group="sex"),
    }
    for sentence, second in other.items():
        with pytest.raises(ml.ModelError, match=sentence):
            ml.pool([first, second])
    for given in (first, [first], [], plain, 3, "fits", [first, 3]):
        with pytest.raises(ml.ModelError, match=r"pool\(\)"):
            ml.pool(given)
    with pytest.raises(ml.ModelError, match="takes the fits in a list"):
        ml.pool(first, first)
    with pytest.raises(ml.ModelError, match="complete_df"):
        ml.pool([first, first], complete_df=-1)


def test_other_numbers_of_rows_are_told(sets):
    with pytest.warns(ml.ModelWarning, match="of 230 to 240 rows"):
        fit = ml.cfa(ONE, [sets[0], sets[1].iloc[:230]])
    assert fit.nobs == 235
    assert "230 to 240" in str(fit.summary())


def test_fits_that_did_not_converge(sets, plain):
    failed = ml.cfa(ONE, sets[1], meanstructure=True, iter_max=1)
    assert not failed.converged
    with pytest.raises(ml.ModelError, match=r"fit 2 of 3 did not converge \(.*only_converged=True"):
        ml.pool([plain.fits[0], failed, plain.fits[2]])
    with pytest.warns(ml.ModelWarning, match="fit 2 of 3 did not converge and was left out"):
        fit = ml.pool([plain.fits[0], failed, plain.fits[2]], only_converged=True)
    assert fit.nimputations == 2
    assert fit.left_out == ("fit 2",)
    assert "left out" in str(fit.summary())
    with pytest.raises(ml.ModelError, match="fewer than two"):
        ml.pool([plain.fits[0], failed], only_converged=True)
    with pytest.raises(ml.ModelError, match="leaves fit 2 out"):
        ml.lrt(fit, plain)


def test_what_a_pooled_fit_does_not_have(sets, plain):
    for name in ("scores", "residuals", "modification_indices", "predict", "bootstrap", "loglik", "to_lavaan"):
        with pytest.raises(ml.ModelError, match=rf"{name} is of one data set.*pooled.fits\[0\].{name}"):
            getattr(plain, name)
        assert not hasattr(plain, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plain.nothing  # noqa: B018
    with pytest.raises(ml.ModelError, match="compares pooled fits with pooled fits"):
        ml.lrt(plain, plain.fits[0])
    with pytest.raises(ml.ModelError, match=r"compared by ml\.lrt"):
        ml.compare(plain, plain)
    with pytest.raises(ml.ModelError, match="same number of parameters"):
        ml.lrt(plain, plain)
    with pytest.raises(ml.ModelError, match="must be 'wald'"):
        plain.parameter_estimates(ci="profile")
    with pytest.raises(ml.ModelError, match="one of 'D2', 'D3', 'D4'"):
        plain.fit_measures(test="D1")


def test_without_standard_errors_or_h1(sets):
    with pytest.warns(ml.ModelWarning, match="only estimates can be pooled"):
        fit = ml.cfa(ONE, sets, se="none", h1=False)
    table = fit.parameter_estimates()
    assert table.est.notna().all()
    assert table.se.isna().all()
    assert list(fit.fit_measures().index) == ["npar", "nimputations", "ntotal"]
    assert "no test of the model" in str(fit.summary(fit_measures=True))


def test_barnard_and_rubin_in_the_tables(plain):
    small = ml.pool(plain.fits, complete_df=30)
    both = pd.DataFrame({"all": plain.parameter_estimates().df, "few": small.parameter_estimates().df}).dropna()
    assert (both.few < 30).all()
    assert (both.few <= both["all"]).all()
    assert (small.parameter_estimates().se.dropna() == plain.parameter_estimates().se.dropna()).all()
    assert "Barnard & Rubin" in str(small.summary())


# ---------------------------------------------------------------- shown


def test_summary_and_picture(sets, plain):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    text = str(plain.summary(fit_measures=True, standardized=True, ci=True, rsquare=True))
    for line in (
        "pooled 3 imputations",
        "Number of imputations",
        "D4 of stacked data: F",
        "Rubin (1987)",
        "R-Square",
        "fmi",
    ):
        assert line in text
    assert "3 imputations" in repr(plain)
    assert "<div" in plain._repr_html_()
    assert max(len(line) for line in text.splitlines()) <= 130
    ax = plain.plot("imputations", ops=["=~"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["f =~ y2", "f =~ y3", "f =~ y4"]
    pyplot.close("all")
    for ask, sentence in (({"kind": "path"}, "no picture 'path'"), ({"levels": 1}, "no option 'levels'.*'level'")):
        with pytest.raises(ml.ModelError, match=sentence):
            plain.plot(**ask)


def test_editors_know_what_several_data_sets_give():
    from typing import get_overloads

    for function in (ml.sem, ml.cfa, ml.growth, ml.lavaan):
        found = get_overloads(function)
        assert [f.__annotations__["return"] for f in found] == ["PooledFit", "PooledFit", "Fit | PooledFit", "Fit"]
        assert found[0].__annotations__["data"] == "Several"
        assert "plausible_values" in found[1].__kwdefaults__ or "plausible_values" in found[1].__annotations__
