"""Full-information likelihood of ordered outcomes: dense integrals, derivatives, theory, and bad input."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import logistic, norm

import mlsem_jax as ml
from mlsem_jax.data import read_ordered
from mlsem_jax.numerics import float64

CFA = """
level: 1
  fw =~ u1 + u2 + u3
level: 2
  fb =~ u1 + u2 + u3
  u1 ~~ 0*u1
  u2 ~~ 0*u2
  u3 ~~ 0*u3
"""
SLOPE = 'level: 1\n u ~ rv("s")*x\nlevel: 2\n u ~ w\n s ~~ s\n s ~ 1'


def simulated(seed=1, clusters=30, rows=6):
    """Three ordered items of a factor at each level, covariates of each level, a number, a binary outcome with a random slope."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(clusters), rows)
    n, w = len(school), rng.normal(size=clusters)
    x = rng.normal(size=n).round(1)
    common = rng.normal(size=n) + (0.7 * rng.normal(size=clusters))[school]
    items = common[:, None] * [1.0, 0.8, 1.2] + rng.normal(size=(n, 3))
    u = 0.5 * w[school] + (0.6 + 0.4 * rng.normal(size=clusters)[school]) * x + rng.logistic(size=n)
    return pd.DataFrame(
        {
            "school": school,
            "u1": np.searchsorted([-0.7, 0.8], items[:, 0]),
            "u2": (items[:, 1] > 0.2).astype(int),
            "u3": np.searchsorted([-1.0, 0.0, 1.1], items[:, 2]),
            "u": (u > 0.3).astype(int),
            "y": (common + rng.normal(size=n)).round(2),
            "x": x,
            "w": w[school].round(2),
        }
    )


@pytest.fixture(scope="module")
def cfa():
    data = simulated()
    data.loc[::7, "u2"] = np.nan
    return data, ml.sem(CFA, data, cluster="school", ordered=["u1", "u2", "u3"], estimator="ML", missing="ml")


@pytest.fixture(scope="module")
def slope():
    data = simulated(7)
    return data, ml.sem(SLOPE, data, cluster="school", ordered="u", estimator="ML", link="logit")


def value(fit, lhs, op, rhs, level):
    t = fit.parameter_estimates()
    return float(t[(t.lhs == lhs) & (t.op == op) & (t.rhs == rhs) & (t.level == level)].est.iloc[0])


def thresholds(fit, name, level=2):
    t = fit.parameter_estimates()
    return t[(t.lhs == name) & (t.op == "|") & (t.level == level)].est.to_numpy()


def grid(points=161, width=8.0):
    """Equally spaced nodes and weights of the standard normal density: exact to rounding for these integrands."""
    z = np.linspace(-width, width, points)
    return z, norm.pdf(z) * (z[1] - z[0])


def category(cdf, cuts, answer, eta):
    """P(y = answer | eta), 1 where the answer is missing."""
    if np.isnan(answer):
        return np.ones_like(eta)
    ends = np.concatenate([[-np.inf], cuts, [np.inf]])
    return cdf(ends[int(answer) + 1] - eta) - cdf(ends[int(answer)] - eta)


def dense_cfa(fit, data):
    """Log-likelihood by cluster, and posterior means of the factors of clusters and of rows, from the definition."""
    z, weight = grid()
    b, w = z[:, None] * np.sqrt(value(fit, "fb", "~~", "fb", 2)), z[None, :] * np.sqrt(value(fit, "fw", "~~", "fw", 1))
    names = ("u1", "u2", "u3")
    eta = {u: value(fit, "fb", "=~", u, 2) * b + value(fit, "fw", "=~", u, 1) * w for u in names}
    total, above, below = [], [], np.zeros(len(data))
    for _, rows in data.groupby("school"):
        joint = [
            np.prod([category(norm.cdf, thresholds(fit, u), row[u], eta[u]) for u in names], axis=0)
            for _, row in rows.iterrows()
        ]
        inner = np.array([p @ weight for p in joint])
        outer = np.prod(inner, axis=0) * weight
        total.append(np.log(outer.sum()))
        above.append(outer @ b[:, 0] / outer.sum())
        for i, p in zip(rows.index, joint, strict=True):
            share = outer / outer.sum() / (p @ weight)
            below[i] = share @ (p * w) @ weight
    return np.array(total), np.array(above), below


def test_two_level_factor_model_is_the_dense_integral(cfa):
    data, fit = cfa
    by_cluster, above, below = dense_cfa(fit, data)
    # 15 points a dimension at level 2: the rule is good to 1e-6 in the sum (measured)
    assert fit.loglik == pytest.approx(by_cluster.sum(), abs=1e-6)
    np.testing.assert_allclose(fit.loglik_by_cluster(), by_cluster, atol=1e-6)
    np.testing.assert_allclose(fit.predict(2).fb, above, atol=1e-6)
    np.testing.assert_allclose(fit.predict(1).fw, below, atol=1e-6)


def test_random_slope_is_the_dense_integral(slope):
    data, fit = slope
    z, weight = grid(81)
    cov = np.diag([value(fit, "u", "~~", "u", 2), value(fit, "s", "~~", "s", 2)])
    intercept, slopes = np.meshgrid(z * np.sqrt(cov[0, 0]), z * np.sqrt(cov[1, 1]), indexing="ij")
    slopes = slopes + value(fit, "s", "~1", "", 2)
    cut, on_w = thresholds(fit, "u"), value(fit, "u", "~", "w", 2)
    total = 0.0
    for _, rows in data.groupby("school"):
        p = np.prod(
            [category(logistic.cdf, cut, r.u, on_w * r.w + intercept + slopes * r.x) for r in rows.itertuples()], axis=0
        )
        total += np.log(weight @ p @ weight)
    # 15 points a dimension (measured: 3e-6)
    assert fit.loglik == pytest.approx(total, abs=1e-5)


def test_mixed_outcomes_are_the_dense_integral():
    data = simulated(3)
    fit = ml.cfa("f =~ u1 + u3 + y", data, ordered=["u1", "u3"], estimator="ML")
    z, weight = grid()
    f = z * np.sqrt(value(fit, "f", "~~", "f", 1))
    p = np.ones((len(data), len(z)))
    for u in ("u1", "u3"):
        cuts = thresholds(fit, u, 1)
        p *= np.array([category(norm.cdf, cuts, a, value(fit, "f", "=~", u, 1) * f) for a in data[u]])
    mean = value(fit, "y", "~1", "", 1) + value(fit, "f", "=~", "y", 1) * f
    p *= norm.pdf(data.y.to_numpy()[:, None], mean, np.sqrt(value(fit, "y", "~~", "y", 1)))
    assert fit.loglik == pytest.approx(np.log(p @ weight).sum(), abs=1e-7)
    np.testing.assert_allclose(fit.predict().f, (p * f) @ weight / (p @ weight), atol=1e-7)


@pytest.mark.parametrize("which", ["cfa", "slope"])
@float64
def test_derivatives_are_those_of_the_log_likelihood(which, request):
    _, fit = request.getfixturevalue(which)
    problem = fit.estimation.model.problem
    theta = fit.estimation.model.theta + 0.05
    step = 1e-5 * np.eye(len(theta))
    point = problem.evaluate(theta)
    numeric = np.array([(problem.value(theta + h) - problem.value(theta - h)) / 2e-5 for h in step])
    # nodes are held fixed where they are differentiated: relative error up to 1e-5 with 15 points
    np.testing.assert_allclose(point.gradient, numeric, rtol=1e-4, atol=1e-4)
    slope = [(problem.evaluate(theta + h).gradient - problem.evaluate(theta - h).gradient) / 2e-5 for h in step]
    np.testing.assert_allclose(-problem.observed(theta), slope, rtol=1e-3, atol=2e-3)
    value, scores = problem.term_scores(theta, fit.estimation.statistics.terms[0])
    assert value.sum() == pytest.approx(point.value, rel=1e-12)
    np.testing.assert_allclose(scores.sum(axis=0), point.gradient, atol=1e-8)


@float64
def test_laplace_follows_the_mode_where_it_is_differentiated():
    data = simulated(4)
    fit = ml.sem(CFA, data, cluster="school", ordered=True, estimator="ML", integration="laplace")
    assert fit.converged
    exact = ml.sem(CFA, data, cluster="school", ordered=True, estimator="ML")
    assert 0 < abs(fit.loglik - exact.loglik) < 0.2  # accuracy of Laplace's rule between clusters
    np.testing.assert_allclose(fit.coef(), exact.coef(), atol=0.1)
    problem, theta = fit.estimation.model.problem, fit.estimation.model.theta + 0.05
    numeric = [(problem.value(theta + h) - problem.value(theta - h)) / 2e-5 for h in 1e-5 * np.eye(len(theta))]
    np.testing.assert_allclose(problem.evaluate(theta).gradient, numeric, rtol=1e-5, atol=1e-5)


def test_the_order_of_rows_and_the_codes_do_not_matter(cfa):
    data, fit = cfa
    other = data.sample(frac=1, random_state=1)
    other["u1"] = pd.Categorical.from_codes(other.u1, ["no", "maybe", "yes"], ordered=True)
    other["u3"] = 10 * other.u3
    again = ml.sem(CFA, other, cluster="school", ordered=["u1", "u2", "u3"], estimator="ML", missing="ml")
    assert again.loglik == pytest.approx(fit.loglik, abs=1e-9)
    np.testing.assert_allclose(again.coef(), fit.coef(), atol=1e-7)


def test_weights_are_repeated_rows_and_clusters():
    data = simulated(5, clusters=20)
    rng = np.random.default_rng(1)
    data["v"] = np.repeat(rng.integers(1, 3, 20), 6)
    data["one"] = 1.0
    weighted = ml.sem(
        "level: 1\n u ~ x\nlevel: 2\n u ~ w",
        data,
        cluster="school",
        ordered="u",
        estimator="MLR",
        sampling_weights="one",
        sampling_weights_between="v",
        sampling_weights_scaling="none",
    )
    parts = [data, data[data.v == 2].assign(school=lambda d: d.school + 100)]
    repeated = ml.sem(
        "level: 1\n u ~ x\nlevel: 2\n u ~ w", pd.concat(parts), cluster="school", ordered="u", estimator="ML"
    )
    share = data.v.sum() / len(data)
    # weights of clusters are scaled to the number of rows
    assert weighted.loglik * share == pytest.approx(repeated.loglik, rel=1e-9)
    np.testing.assert_allclose(weighted.coef(), repeated.coef(), atol=1e-7)


def test_new_rows_are_scored_by_the_categories_of_the_fit():
    data = simulated(9).assign(u1=lambda d: 10 * (d.u1 + 1))
    fit = ml.cfa("f =~ u1 + u2 + u3", data, ordered=["u1", "u2", "u3"], estimator="ML")
    some = data[data.u1 > 10].head(9)
    np.testing.assert_allclose(fit.predict(newdata=some).f, fit.predict().f[some.index], atol=1e-10)
    with pytest.raises(ml.DataError, match="'u1' has 40, which no row had"):
        fit.predict(newdata=some.assign(u1=40))


def test_probabilities_are_those_of_the_model(cfa):
    data, fit = cfa
    frame = fit.predict(type="probabilities")
    assert list(frame.columns[:4]) == ["u1=0", "u1=1", "u1=2", "u2=0"]
    variance = 1 + value(fit, "fb", "~~", "fb", 2) + value(fit, "fw", "~~", "fw", 1)
    expected = np.diff([0, *norm.cdf(thresholds(fit, "u1") / np.sqrt(variance)), 1])
    np.testing.assert_allclose(frame[["u1=0", "u1=1", "u1=2"]], np.tile(expected, (len(data), 1)), atol=1e-12)
    scores, above = fit.predict(1).fw.to_numpy(), fit.predict(2).fb.to_numpy()[data.school]
    eta = value(fit, "fw", "=~", "u2", 1) * scores + value(fit, "fb", "=~", "u2", 2) * above
    given = fit.predict(type="probabilities", given="answers")
    # missing answers are predicted too
    np.testing.assert_allclose(given["u2=0"], norm.cdf(thresholds(fit, "u2") - eta), atol=1e-8)


def test_probabilities_with_a_random_slope_are_integrals(slope):
    data, fit = slope
    z, weight = grid(201)
    intercept, spread = value(fit, "u", "~~", "u", 2), value(fit, "s", "~~", "s", 2)
    eta = value(fit, "u", "~", "w", 2) * data.w + value(fit, "s", "~1", "", 2) * data.x
    # the links' means over a normal latent response
    sd = np.sqrt(intercept + spread * data.x**2).to_numpy()
    expected = logistic.cdf(thresholds(fit, "u") - eta.to_numpy()[:, None] - sd[:, None] * z) @ weight
    np.testing.assert_allclose(fit.predict(type="probabilities")["u=0"], expected, atol=1e-8)
    some = data.tail(12)
    np.testing.assert_allclose(fit.predict(type="probabilities", newdata=some)["u=1"], 1 - expected[-12:], atol=1e-8)


def test_intraclass_correlations_are_of_latent_responses(cfa):
    _, fit = cfa
    between, within = value(fit, "fb", "~~", "fb", 2), value(fit, "fw", "~~", "fw", 1)
    assert fit.icc()["u1"] == pytest.approx(between / (between + within + 1))


def test_intraclass_correlations_with_a_random_slope_are_at_the_mean_of_its_covariate():
    data = simulated(7).assign(x=lambda d: d.x + 1)
    fit = ml.sem(SLOPE + "\n u ~~ s", data, cluster="school", ordered="u", estimator="ML", link="logit")
    at, w = data.x.mean(), data.groupby("school").w.first()
    between = value(fit, "u", "~", "w", 2) ** 2 * w.var(ddof=0) + value(fit, "u", "~~", "u", 2)
    between += at**2 * value(fit, "s", "~~", "s", 2) + 2 * at * value(fit, "s", "~~", "u", 2)
    assert fit.icc()["u"] == pytest.approx(between / (between + np.pi**2 / 3), rel=1e-6)


def test_a_diagnosis_of_categories():
    data = simulated()
    data.loc[(data.u3 == 3) & (data.index > 30), "u3"] = 2
    data["u2"] = (data.school % 2).where(data.school > 3, data.u2)
    found = ml.diagnose(data, CFA, cluster="school", ordered=True)
    table = found.to_dataframe().set_index("name")
    assert table.categories.to_dict() == {"u1": 3, "u2": 2, "u3": 4}
    assert table["mean"]["u1"] == pytest.approx(data.u1.mean() + 1)
    told = " ".join(found.advice)
    assert "u3: categories with few rows, 3 (4)" in told
    assert "Combinations of categories that nobody has" in told
    assert "u2 does not vary within 26 of 30 clusters" in told
    groups = data.assign(g=data.index // 90)
    absent = ml.diagnose(groups, "f =~ u1 + u2 + u3", group="g", ordered=["u1", "u2", "u3"])
    assert any("u3 in group 1 has no row in category 3" in text for text in absent.advice)
    assert "categories" not in ml.diagnose(data, "f =~ u1 + u2 + u3").to_dataframe()


def test_curves_and_thresholds_are_drawn(cfa, slope):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, fit = cfa
    ax = fit.plot("categories", item="u3", factor="fb")
    curves = np.array([line.get_ydata() for line in ax.lines])
    assert len(curves) == 4
    np.testing.assert_allclose(curves.sum(axis=0), 1.0, atol=1e-12)
    assert ax.get_xlabel() == "fb (level 2)"
    middle = curves.shape[1] // 2  # factors at zero
    np.testing.assert_allclose(curves[0, middle], norm.cdf(thresholds(fit, "u3")[0]), atol=1e-12)
    ax = fit.plot("thresholds")
    points = np.concatenate([c.get_segments() for c in ax.collections])[:, :, 0].mean(axis=1)
    table = fit.parameter_estimates()
    np.testing.assert_allclose(np.sort(points), np.sort(table[table.op == "|"].est), atol=1e-9)
    assert "latent response without" in slope[1].plot("categories").get_xlabel()
    for options, sentence in (({"item": "x"}, "no ordered variable"), ({"factor": "fa"}, "does not load on 'fa'")):
        with pytest.raises(ml.ModelError, match=sentence):
            fit.plot("categories", **options)
    pyplot.close("all")


@pytest.mark.parametrize("which", ["cfa", "slope"])
def test_a_fit_comes_back_from_its_file(which, request, tmp_path):
    data, fit = request.getfixturevalue(which)
    again = ml.load(fit.save(tmp_path / "fit.json.gz"))
    pd.testing.assert_frame_equal(again.parameter_estimates(), fit.parameter_estimates())
    assert str(again.summary()) == str(fit.summary())
    assert again.loglik == fit.loglik
    np.testing.assert_allclose(again.scores(), fit.scores(), atol=1e-10)
    if which == "cfa":  # rows are not in the file, but new ones have the same scores
        np.testing.assert_allclose(again.predict(2, newdata=data), fit.predict(2), atol=1e-10)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("blocks", "answers"), 7, "an answer is no category"),
        (("layout", "link"), "cauchit", "no link"),
        (("layout", "ordered"), {"tuple": [0, 1, 9]}, "variables were expected"),
    ],
)
def test_a_file_that_was_changed_is_refused(cfa, tmp_path, path, value, sentence):
    _, fit = cfa
    record = json.loads(fit.save(tmp_path / "fit.json").read_text())
    term = record["estimation"]["reduction"]["statistics"]["terms"]["tuple"][0]
    if path[0] == "blocks":
        term["blocks"]["tuple"][0]["clusters"][path[1]]["array"][0] = value
    else:
        term[path[0]][path[1]] = value
    (tmp_path / "other.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=sentence):
        ml.load(tmp_path / "other.json")


@pytest.mark.timeout(300)
def test_a_bootstrap_refits_the_draws():
    fit = ml.cfa("f =~ u1 + u2 + u3", simulated(8), ordered=True, estimator="ML")
    draws = fit.bootstrap(4, key=1)
    assert "4 draws" in str(draws)
    assert np.isfinite(draws.bootstrap.draws[draws.bootstrap.usable]).all()


@pytest.mark.timeout(300)
def test_draws_with_a_variance_at_zero_are_searched_again():
    """A search that a variance on its way to zero stops is no draw without a maximum: the maximum is at zero."""
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(25), 5)
    answer = 0.25 * rng.normal(size=25)[school] + rng.normal(size=125) > 0.2
    table = pd.DataFrame({"u": answer.astype(int), "school": school})
    with pytest.warns(ml.ModelWarning, match="at zero"):
        fit = ml.sem("level: 1\nu ~ 0*1\nlevel: 2\nu ~~ u", table, "school", ordered="u", estimator="ML")
    drawn = fit.bootstrap(6, key=1).bootstrap
    assert drawn.usable.all()
    assert np.isclose(drawn.draws[:, 0], 1e-5).sum() == 2


@pytest.mark.parametrize(
    ("model", "change", "options", "sentence"),
    [
        ("f =~ u1 + u2 + u3", {"u1": 1}, {}, "'u1' is declared ordered but has one category only"),
        ("f =~ u1 + u2 + u3", {"u1": "a"}, {}, "'u1' holds text.*Give integer codes"),
        ("f =~ u1 + u2 + u3", {"u1": ["1", "2", "10"] * 60}, {}, "'u1' holds text.*pd.to_numeric"),
        (
            "f =~ u1 + u2 + y",
            {"y": pd.Categorical(["a", "b", "c"] * 60)},
            {"ordered": ["u1", "u2"]},
            "ordered=.'y'. takes",
        ),
        ("f =~ u1 + u2 + u3", {}, {"ordered": ["u1", "u9"]}, "'u9', which is no column of the data"),
        ("f =~ u1 + u2 + u3 + y", {}, {"ordered": ["u1", "y"]}, "'y' has .* it is continuous"),
        ("f =~ u1 + u2 + u3\nu2 | t1 + t2", {}, {}, "'u2' has 2 categories, hence 1 threshold; t2 does not exist"),
        ("f =~ u1 + u2 + u3\nu2 | a", {}, {}, r"did you mean u2 \| a\*t1"),
        ("f =~ u1 + u2 + u3 + y\ny | t1", {}, {}, "Thresholds of 'y', which is not declared ordered"),
        ("f =~ u1 + u2 + u3\nu1 ~ 1", {}, {}, "intercept of ordered 'u1' and its thresholds are not identified"),
        ("f =~ u1 + u2 + u3\nu1 ~~ NA*u1", {}, {}, "residual variance of ordered 'u1' is the unit"),
        ("f =~ u1 + u2 + u3", {}, {"parameterization": "gamma"}, "parameterization must be 'theta'"),
        ("f =~ u1 + u2 + u3", {}, {"parameterization": "delta", "link": "logit"}, "'delta' is for the probit link"),
        ("f =~ u1 + u2 + u3", {}, {"optim_method": "em"}, "optim_method='em' is for normal data"),
    ],
)
def test_bad_input_is_said_in_words(model, change, options, sentence):
    data = simulated().assign(**change)
    with pytest.raises(ValueError, match=sentence):
        ml.cfa(model, data, **{"ordered": ["u1", "u2", "u3"], "estimator": "ML"} | options)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ([0, 1, 2, 9], ["9"]),
        ([1, 2, 3, 4, 5, 8, 9], ["8", "9"]),
        ([-9, 0, 1, 2], ["-9"]),
        ([1, 2, 3, 4, 5, 6, 7], []),
        ([-2, -1, 1, 2], []),
        ([1, 3, 5, 7, 9], []),
    ],
)
def test_categories_that_look_like_codes_of_missing_values_are_named(codes, told):
    column, sentences = read_ordered(pd.DataFrame({"u": np.repeat(codes, 4)}), ["u"])
    assert column["u"].categories == tuple(codes)  # said, not acted upon
    assert [s.split()[2] for s in sentences] == told
    assert all("of 'u' (4 rows) stands apart" in s for s in sentences)


def test_a_category_that_a_group_lacks_is_named():
    data = simulated().assign(sex=lambda d: np.where(d.index % 2, "a", "b"))
    data.loc[(data.sex == "b") & (data.u3 == 3), "u3"] = 2
    with pytest.raises(ml.DataError, match=r"Category 3 of 'u3' does not occur in group 'b'.*group 'a' has all 4"):
        ml.cfa("f =~ u1 + u2 + u3", data, ordered=["u1", "u2", "u3"], estimator="ML", group="sex")


def test_what_a_likelihood_of_answers_does_not_have_is_said(cfa):
    _, fit = cfa
    for ask in (fit.residuals, fit.modification_indices, fit.h1):
        with pytest.raises(ml.ModelError, match="with ordered variables estimator='ML' has none"):
            ask()
    assert "Thresholds:" in str(fit.summary())
    assert "u1 | start" in fit.to_lavaan() or "u1 | t1" in fit.to_lavaan()


def test_what_does_not_take_ordered_variables_yet_says_so():
    with pytest.raises(ml.ModelError, match=r"ml.sam\(\) does not take ordered variables yet"):
        ml.sam("f =~ u1 + u2 + u3\ny ~ f", simulated(), ordered=["u1"])
