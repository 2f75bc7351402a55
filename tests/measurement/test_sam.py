"""Structural after measurement: both steps written out, equivalences, standard errors, what falls into no two parts."""

import functools

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning"),
]
ITEMS = [f"y{i}" for i in range(1, 7)]
ONE = "f1 =~ y1 + y2 + y3\nf2 =~ y4 + y5 + y6\nf2 ~ f1"
TWO = f"level: 1\n{ONE}\nlevel: 2\n" + ONE.replace("f", "g")


def draw(seed: int = 5, clusters: int = 90, slopes: tuple[float, float] = (0.5, 0.7)) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(4, 13, clusters))

    def factors(n: int, slope: float, scale: float) -> np.ndarray:
        first = rng.normal(size=n)
        second = slope * first + 0.8 * rng.normal(size=n)
        return scale * np.concatenate([np.outer(first, [1, 0.8, 0.9]), np.outer(second, [1, 0.7, 1.1])], axis=1)

    within = factors(len(cluster), slopes[0], 1.0) + 0.7 * rng.normal(size=(len(cluster), 6))
    between = factors(clusters, slopes[1], 0.7) + 0.3 * rng.normal(size=(clusters, 6))
    data = pd.DataFrame(within + between[cluster], columns=ITEMS).assign(c=cluster, g=np.where(cluster % 2, "a", "b"))
    return data.assign(x=0.3 * data["y1"] + rng.normal(size=len(data)))


@functools.cache
def rows() -> pd.DataFrame:
    return draw()


@functools.cache
def fitted(method: str = "local", **options):
    return ml.sam(TWO, rows(), "c", sam_method=method, **options)


def row(fit, lhs: str, op: str, rhs: str, level: int, column: str = "est") -> float:
    table = fit.parameter_estimates()
    here = (table["lhs"] == lhs) & (table["op"] == op) & (table["rhs"] == rhs) & (table["level"] == level)
    return float(table.loc[here, column].iloc[0])


def test_step_1_is_each_measurement_model_alone():
    fit = fitted()
    for factor, own, items in (("f1", "g1", ITEMS[:3]), ("f2", "g2", ITEMS[3:])):
        right = " + ".join(items)
        alone = ml.sem(f"level: 1\n{factor} =~ {right}\nlevel: 2\n{own} =~ {right}", rows(), cluster="c")
        for name, level in ((factor, 1), (own, 2)):
            for column in ("est", "se"):
                got, wanted = (row(f, name, "=~", items[1], level, column) for f in (fit, alone))
                assert got == pytest.approx(wanted, rel=1e-6)


def test_step_2_local_by_its_formula():
    fit, level = fitted(), {"within": 1, "between": 2}
    for word, number in level.items():
        prefix = "fg"[number - 1]
        s = fit.h1()[word]["cov"].to_numpy()
        loadings, theta = np.zeros((6, 2)), np.zeros(6)
        for i, item in enumerate(ITEMS):
            loadings[i, i // 3] = row(fit, f"{prefix}{1 + i // 3}", "=~", item, number)
            theta[i] = row(fit, item, "~~", item, number)
        weight = loadings.T / theta
        mapping = np.linalg.solve(weight @ loadings, weight)
        v = mapping @ (s - np.diag(theta)) @ mapping.T
        assert row(fit, f"{prefix}2", "~", f"{prefix}1", number) == pytest.approx(v[0, 1] / v[0, 0], rel=1e-7)
        assert row(fit, f"{prefix}1", "~~", f"{prefix}1", number) == pytest.approx(v[0, 0], rel=1e-7)
        assert row(fit, f"{prefix}2", "~~", f"{prefix}2", number) == pytest.approx(
            v[1, 1] - v[0, 1] ** 2 / v[0, 0], rel=1e-7
        )


def test_step_2_global_is_the_whole_model_with_step_1_held():
    fit = fitted("global")
    table = fit.parameter_estimates()
    lines = {1: ["f2 ~ f1"], 2: ["g2 ~ g1"]}
    for r in table.itertuples():
        if r.op == "=~" or (r.op in ("~~", "~1") and r.lhs in ITEMS):
            lines[r.level].append(f"{r.lhs} {'~' if r.op == '~1' else r.op} {r.est!r}*{r.rhs or 1}")
    held = ml.sem("\n".join(["level: 1", *lines[1], "level: 2", *lines[2]]), rows(), cluster="c")
    assert held.loglik == pytest.approx(fit.loglik, abs=1e-6)
    for lhs, op, rhs, number in (("f2", "~", "f1", 1), ("g2", "~", "g1", 2), ("g2", "~~", "g2", 2)):
        assert row(held, lhs, op, rhs, number) == pytest.approx(row(fit, lhs, op, rhs, number), abs=1e-6)
        assert row(held, lhs, op, rhs, number, "se") < row(fit, lhs, op, rhs, number, "se")


def test_local_and_global_are_one_at_one_level_without_restrictions():
    one, other = (ml.sam(ONE, rows(), sam_method=method) for method in ("local", "global"))
    for column in ("est", "se"):
        np.testing.assert_allclose(
            one.parameter_estimates()[column], other.parameter_estimates()[column], rtol=1e-5, atol=1e-6
        )
    assert one.fit_measures()["df"] == 0
    assert other.fit_measures()["df"] == 8


def test_fit_measures_are_those_of_the_structural_model():
    measures = fitted().fit_measures()
    assert measures["npar"] == 10
    assert measures["ntotal"] == len(rows()) + rows()["c"].nunique()
    r2 = fitted().rsquare()
    counts = {"within": len(rows()), "between": rows()["c"].nunique()}
    baseline = sum(-n * np.log(1 - r2[word].filter(regex="[fg]2").iloc[0]) for word, n in counts.items())
    assert measures["baseline.chisq"] == pytest.approx(baseline, rel=1e-6)
    assert list(fitted().fit_measures_by_level().index) == ["within", "between"]
    three = ml.sam(f"{ONE}\nf3 =~ x\nf3 ~ f2", rows())
    assert three.fit_measures()["df"] == 1
    assert "Two-step" in str(fitted().summary())


@pytest.mark.parametrize("method", ["local", "global"])
def test_robust_errors_agree_with_model_based_ones_in_normal_data(method):
    plain, robust = (fitted(method, estimator=e).parameter_estimates() for e in ("ML", "MLR"))
    free = plain["se"] > 0
    ratio = robust["se"][free] / plain["se"][free]
    assert ((ratio > 0.5) & (ratio < 2)).all(), ratio
    assert abs(ratio.mean() - 1) < 0.1


def test_standard_errors_are_those_of_repeated_samples():
    """Step 1 is carried over: within four standard errors of the spread in 60 samples, 37 percent."""
    ends, errors = [], []
    for seed in range(60):
        independent = draw(seed, 300).groupby("c").head(1)
        fit = ml.sam(ONE, independent)
        table = fit.standardized_solution()
        keep = table["op"] == "~"
        ends.append([row(fit, "f2", "~", "f1", 1), *table.loc[keep, "est.std"]])
        errors.append([row(fit, "f2", "~", "f1", 1, "se"), *table.loc[keep, "se"]])
    ratio = np.mean(errors, axis=0) / np.std(ends, axis=0)
    assert np.all(np.abs(ratio - 1) < 0.37), ratio


def test_both_steps_covary_as_in_repeated_samples():
    """lavaan leaves the covariances between the steps at zero; in repeated samples they are what is printed here.

    Correlations of 60 samples have a standard error of 0.13 each. The slope of their regression on the printed ones is 0.985 in
    300 samples; in 60 it is within 0.3 of 1, and it is 0 where the steps do not covary.
    """
    fit = ml.sam(TWO, draw(0, 250), "c", sam_method="global")
    names = list(fit.coef().index)
    ends = [ml.sam(TWO, draw(seed, 250), "c", sam_method="global").coef()[names] for seed in range(60)]
    found = np.corrcoef(np.stack(ends), rowvar=False)
    matrix = fit.vcov().loc[names, names].to_numpy()
    printed = matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    first = np.array(["=~" in name or name.startswith("y") for name in names])
    printed, found = (m[np.ix_(first, ~first)].ravel() for m in (printed, found))
    assert abs(printed @ found / (printed @ printed) - 1) < 0.3
    strong = np.abs(printed) > 0.5
    assert strong.sum() >= 3
    assert np.all(np.sign(printed[strong]) * found[strong] > 0.25)


def test_scaled_chi_squares_are_their_degrees_of_freedom_on_average():
    """Plain ones of the structural model are too large: its moments are estimated. 24 samples without paths: the mean of a
    chi-square of 2 degrees of freedom has a standard error of 0.41.
    """
    model = TWO.replace("~ f1", "~ 0*f1").replace("~ g1", "~ 0*g1")
    fits = [ml.sam(model, draw(s, 60, (0, 0)), "c", baseline=False) for s in range(24)]
    found = [fit.fit_measures(["df", "chisq", "chisq.scaled"]) for fit in fits]
    assert found[0]["df"] == 2
    plain, scaled = (np.mean([one[name] for one in found]) for name in ("chisq", "chisq.scaled"))
    assert abs(scaled - 2) < 1.2
    assert plain > 1.3 * scaled


def test_factors_are_those_of_the_clusters_in_normal_data():
    """Global: by trace(I V) and by what each cluster moves, which share no code; 1 where step 1 is at the maximum of the whole."""
    for method, text in (("global", TWO), ("local", TWO.replace("~ f1", "~ 0*f1"))):
        one, other = (
            ml.sam(text, draw(1, 400, (0, 0.7)), "c", sam_method=method, estimator=e).fit_measures(
                "chisq.scaling.factor"
            )
            for e in ("ML", "MLR")
        )
        assert one.iloc[0] == pytest.approx(other.iloc[0], rel=0.05 if method == "global" else 0.15)
    apart = ml.sam(TWO.replace("~ f1", "~ 0*f1").replace("~ g1", "~ 0*g1"), draw(), "c", sam_method="global")
    assert apart.fit_measures("chisq.scaling.factor").iloc[0] == pytest.approx(1, abs=1e-5)


def test_what_step_1_scales():
    """Without restrictions in step 2 there is no test to scale; items without error leave nothing to be scaled for."""
    got = fitted().fit_measures()
    assert got["df"] == got["chisq.scaled"] == 0
    rng = np.random.default_rng(3)
    f = rng.normal(size=(400, 3)) @ np.array([[1, 0.5, 0.3], [0, 1, 0.6], [0, 0, 1]])
    data = pd.DataFrame(
        np.repeat(f, 3, axis=1) + 0.01 * rng.normal(size=(400, 9)), columns=[f"y{i}" for i in range(1, 10)]
    )
    text = "f1 =~ y1 + y2 + y3\nf2 =~ y4 + y5 + y6\nf3 =~ y7 + y8 + y9\nf2 ~ f1\nf3 ~ f2"
    got = ml.sam(text, data).fit_measures()
    assert got["df"] == 1
    assert got["chisq.scaling.factor"] == pytest.approx(1, abs=0.01)
    assert "Satorra-Bentler correction" in str(ml.sam(text, data).summary())


def test_few_clusters_leave_no_test(tmp_path):
    """Six variables and six clusters have no unrestricted model; the log-likelihood, a summary and a file there are."""
    text = f"level: 1\n{ONE}\nlevel: 2\n" + "\n".join(f"{v} ~~ {v}" for v in ITEMS)
    fit = ml.sam(text, draw(4, 6), "c", sam_method="global")
    measures = fit.fit_measures()
    assert "chisq" not in measures.index
    assert np.isfinite(measures["logl"])
    assert "Two-step" in str(fit.summary())
    assert ml.load(fit.save(tmp_path / "few.json")).fit_measures()["logl"] == pytest.approx(measures["logl"])


def test_a_covariate_and_groups_have_scaled_tests_too():
    text = f"level: 1\n{ONE}\nf1 ~ x\nlevel: 2\n" + ONE.replace("f", "g")
    fit = ml.sam(text, rows(), "c", group="g")
    got = fit.fit_measures()
    by_level = fit.fit_measures_by_level()
    assert got["df"] == by_level["df"].sum() == 2
    assert got["chisq.scaling.factor"] * 2 == pytest.approx(by_level.loc["within", "chisq.scaling.factor"] * 2)
    assert 1 < got["chisq.scaling.factor"] < 3


def test_parts_that_share_items_groups_covariates_and_higher_order_factors():
    between = "level: 2\ngb =~ " + " + ".join(ITEMS)
    together = ml.sam(f"level: 1\n{ONE}\n{between}", rows(), "c")
    assert len(together.measurement) == 1
    saturated = "level: 2\n" + "\n".join(f"{a} ~~ {' + '.join(ITEMS[i:])}" for i, a in enumerate(ITEMS))
    assert len(ml.sam(f"level: 1\n{ONE}\n{saturated}", rows(), "c").measurement) == 1
    groups = ml.sam(TWO, rows(), "c", group="g", group_equal="loadings").parameter_estimates()
    loadings = groups[(groups["lhs"] == "f1") & (groups["rhs"] == "y2")]["est"]
    assert loadings.nunique() == 1
    covariate = [ml.sam(f"{ONE} + x\nf1 ~ x", rows(), sam_method=m) for m in ("local", "global")]
    assert row(covariate[0], "f1", "~", "x", 1) == pytest.approx(row(covariate[1], "f1", "~", "x", 1), rel=1e-4)
    higher = ml.sam("f1 =~ y1 + y2 + y3\nf2 =~ y4 + y5 + y6\nh =~ 1*f1 + 1*f2", rows())
    assert np.isfinite(row(higher, "h", "~~", "h", 1, "se"))
    holes = rows().copy()
    holes.loc[::7, "y2"] = np.nan
    assert np.isfinite(row(ml.sam(TWO, holes, "c", missing="ml"), "g2", "~", "g1", 2, "se"))


def test_improper_steps_are_told_and_the_fit_shows_itself_briefly():
    small = draw(3, 25)
    small["y2"] = 0.99 * small["y1"] + 0.001 * small["y2"]
    with pytest.warns(ml.ImproperSolutionWarning):
        fit = ml.sam(ONE, small)
    assert repr(fit).startswith("<mlsem_jax.Fit")
    assert any("mproper" in sentence for sentence in fit.warnings)


def test_constraints_and_definitions():
    labelled = TWO.replace("f2 ~ f1", "f2 ~ a*f1").replace("g2 ~ g1", "g2 ~ b*g1") + "\ncontext := b - a"
    fit = ml.sam(labelled, rows(), "c")
    table = fit.parameter_estimates().set_index("lhs")
    assert table.loc["context", "est"] == pytest.approx(row(fit, "g2", "~", "g1", 2) - row(fit, "f2", "~", "f1", 1))
    assert table.loc["context", "se"] > 0
    assert row(ml.sam(f"{labelled}\na == 0.5", rows(), "c"), "f2", "~", "f1", 1) == pytest.approx(0.5)
    equal = labelled.replace("b*", "a*").replace("b - a", "2*a")
    with pytest.raises(ml.ModelError, match="label a ties the levels"):
        ml.sam(equal, rows(), "c")
    tied = ml.sam(equal, rows(), "c", sam_method="global")
    assert row(tied, "f2", "~", "f1", 1) == pytest.approx(row(tied, "g2", "~", "g1", 2))


@pytest.mark.parametrize("how", ["local", "global", "MLR", "one level", "missing"])
def test_a_fit_comes_back_from_its_file(how, tmp_path):
    holes = rows().copy()
    holes.loc[::7, "y2"] = np.nan
    fit = {
        "local": fitted,
        "global": lambda: fitted("global"),
        "MLR": lambda: fitted(estimator="MLR"),
        "one level": lambda: ml.sam(ONE, rows(), group="g", estimator="MLR"),
        "missing": lambda: ml.sam(TWO, holes, "c", missing="ml"),
    }[how]()
    again = ml.load(fit.save(tmp_path / "fit.json"))
    assert type(again) is ml.SamFit
    assert again.method == fit.method
    pd.testing.assert_frame_equal(again.parameter_estimates(), fit.parameter_estimates())
    pd.testing.assert_frame_equal(again.vcov(), fit.vcov())
    pd.testing.assert_series_equal(again.fit_measures(), fit.fit_measures())
    assert str(again.summary(fit_measures=True)) == str(fit.summary(fit_measures=True))
    for one, other in zip(again.measurement, fit.measurement, strict=True):
        pd.testing.assert_frame_equal(one.parameter_estimates(), other.parameter_estimates())
    if how in ("local", "MLR"):
        pd.testing.assert_frame_equal(again.fit_measures_by_level(), fit.fit_measures_by_level())
    pd.testing.assert_frame_equal(ml.load(again.save(tmp_path / "again.json.gz")).vcov(), fit.vcov())
    step = ml.load(fit.measurement[0].save(tmp_path / "step.json"))
    assert type(step) is ml.Fit
    with pytest.raises(ml.ModelError, match="two steps"):
        again.bootstrap()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ml.sam(TWO, rows(), "c", sam_method="locall"), "'local' or 'global'"),
        (lambda: ml.sam(f"{ONE}\ny1 ~ x", rows()), "'y1' is the item of a factor"),
        (lambda: ml.sam(f"{ONE}\ny1 ~~ x", rows()), "ties the residual of an item"),
        (lambda: ml.sam(ONE, rows(), std_lv=True), "no loading of 'f1' is fixed"),
        (lambda: ml.sam("y1 ~ y2", rows()), "no factor"),
        (lambda: ml.sam(ONE.replace("y2", "a*y2").replace("~ f1", "~ a*f1"), rows()), "label 'a' ties two parts"),
        (lambda: ml.sam(f"{ONE.replace('y2', 'a*y2').replace('~ f1', '~ b*f1')}\na == b", rows()), "ties two parts"),
        (lambda: ml.sam(TWO, [rows(), rows()], "c"), "one data set"),
        (lambda: ml.sam(ONE, rows(), se="bootstrap"), "two-step"),
        (lambda: fitted().profile_ci(), "two steps"),
        (lambda: fitted().bootstrap(), "two steps"),
        (lambda: fitted().modification_indices(), "two steps"),
        (lambda: ml.lrt(fitted(), fitted("global")), "fit of sam"),
    ],
)
def test_what_cannot_be_had_is_said(call, words):
    with pytest.raises(ml.ModelError, match=words):
        call()
