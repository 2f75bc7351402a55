"""Weighted least squares on statistics of limited information: stored cases, theory, what is refused."""

import contextlib
import json
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import reference_root

import mlsem_jax as ml
from mlsem_jax import DataError, ModelError
from mlsem_jax._status import of_least_squares
from mlsem_jax.ordinal import implied_of

ITEMS = ["u1", "u2", "u3"]
FACTOR = "f =~ u1 + u2 + u3"
FOUR = "f =~ u1 + u2 + u3 + u4"


def items(seed=1, n=300, missing=0.0):
    """Four items of two categories and a group."""
    rng = np.random.default_rng(seed)
    y = np.array([1.0, 0.8, 1.2, 0.9]) * rng.normal(size=(n, 1)) + rng.normal(size=(n, 4))
    table = pd.DataFrame((y > [0.1, -0.2, 0.3, 0.0]).astype(float), columns=["u1", "u2", "u3", "u4"])
    table["g"], table["k"] = np.where(np.arange(n) % 2, "b", "a"), np.arange(n) // 5
    table.loc[rng.uniform(size=n) < missing, "u2"] = np.nan
    return table


@pytest.fixture(scope="module")
def fit():
    return ml.sem(FOUR, items(), ordered=True)


# -- numbers of other programs
@pytest.mark.parametrize("case", ["wlsmv-cfa", "wlsmv-sem-mixed", "wlsmv-2l-cfa", "wlsmv-2l-mixed"])
@pytest.mark.timeout(300)
def test_stored_fits(case):
    folder = reference_root() / "categorical" / case
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    told = json.loads((folder / "case.json").read_text())
    found = ml.sem(told["model"], pd.read_csv(folder / "data.csv"), **told["call"]["args"])
    tolerance, expected = told["tolerance"], told["expected"]
    table = found.parameter_estimates().set_index(["lhs", "op", "rhs", "level"])
    for row in expected["parameters"]:
        got = table.loc[(row["lhs"], row["op"], row["rhs"], row["level"])]
        assert got["est"] == pytest.approx(row["est"], abs=tolerance["est"])
        if row["se"]:
            assert got["se"] == pytest.approx(row["se"], rel=tolerance["se"])
    measures = found.fit_measures()
    for name, value in expected["fit"].items():
        assert measures[name] == pytest.approx(value, rel=tolerance["fit"], abs=tolerance["fit"]), name
    # lavaan's indices, as good as its estimates
    peers = told["peers"]["lavaan 0.7-2"]["fit"]
    for name in ("srmr", "rmsea.scaled", "tli.scaled"):
        assert measures[name] == pytest.approx(peers[name], abs=5e-4), name


# -- theory
def test_order_of_rows_does_not_matter(fit):
    again = ml.sem(FOUR, items().sample(frac=1, random_state=3), ordered=True)
    assert again.fit_measures()["df"] == 2
    np.testing.assert_allclose(again.coef(), fit.coef(), rtol=1e-7)
    np.testing.assert_allclose(again.vcov(), fit.vcov(), rtol=1e-6)


def test_categories_reversed(fit):
    """Categories in the other order turn the thresholds around, and nothing else."""
    turned = items()
    turned[["u1", "u2", "u3", "u4"]] = 1 - turned[["u1", "u2", "u3", "u4"]]
    found = ml.sem(FOUR, turned, ordered=True)
    sign = np.where(found.coef().index.str.contains(r"\|"), -1, 1)
    np.testing.assert_allclose(found.coef() * sign, fit.coef(), rtol=1e-6)
    assert found.fit_measures()["chisq.scaled"] == pytest.approx(fit.fit_measures()["chisq.scaled"], rel=1e-6)


def test_the_status_speaks_of_what_was_minimised(fit):
    assert fit.status == ml.Status.CONVERGED
    assert isinstance(fit.status, ml.Status)
    assert fit.status.converged
    assert str(fit.status) == "The estimation converged to a minimum of the discrepancy function."
    assert {str(of_least_squares(int(s))) for s in ml.Status}.isdisjoint(
        str(s) for s in ml.Status if "ikelihood" in str(s)
    )


def test_groups_together_are_groups_apart():
    table = items()
    both = ml.sem(FOUR, table, group="g", ordered=True)
    shares = (
        both.predict(type="probabilities").groupby(table.g).mean()
    )  # without equalities the model has the data's shares
    np.testing.assert_allclose(shares["u1=1"], table.groupby("g").u1.apply(lambda u: (u == 1).mean()), atol=1e-3)
    parts = [ml.sem(FOUR, table[table.g == g], ordered=True) for g in ("a", "b")]
    np.testing.assert_allclose(both.coef(), np.concatenate([p.coef() for p in parts]), rtol=1e-6)
    assert both.fit_measures()["chisq"] == pytest.approx(sum(p.fit_measures()["chisq"] for p in parts), rel=1e-7)
    np.testing.assert_allclose(np.diag(both.vcov()), np.concatenate([np.diag(p.vcov()) for p in parts]), rtol=1e-6)


def test_saturated_models_reproduce_the_statistics():
    free = ml.sem("u1 ~~ u2 + u3\nu2 ~~ u3", items(), ordered=ITEMS)
    measures, h1 = free.fit_measures(), free.h1()
    assert measures["df"] == 0
    assert measures["chisq"] == pytest.approx(0, abs=1e-12)
    assert measures["cfi"] == 1
    np.testing.assert_allclose(free.implied()["cov"], h1["cov"], atol=1e-8)
    table = free.parameter_estimates().set_index(["lhs", "op", "rhs"])["est"]
    assert table["u1", "~~", "u2"] == pytest.approx(h1["cov"].loc["u1", "u2"], abs=1e-8)
    share = (items().u1 == 0).mean()
    from scipy.stats import norm

    assert h1["th"]["u1|t1"] == pytest.approx(norm.ppf(share), abs=1e-8)
    # one factor of three items is the same model
    just = ml.sem(FACTOR, items(), ordered=ITEMS)
    assert just.fit_measures()["chisq"] == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(just.implied()["cov"], h1["cov"], atol=1e-6)


def test_units_of_a_continuous_item_do_not_matter():
    table = items()
    table["y"] = table.u4 + np.random.default_rng(5).normal(size=len(table))
    first = ml.sem("f =~ u1 + u2 + u3 + y", table, ordered=ITEMS)
    second = ml.sem("f =~ u1 + u2 + u3 + y", table.assign(y=100 * table.y - 7), ordered=ITEMS)
    for name in ("chisq", "chisq.scaled", "srmr", "baseline.chisq.scaled"):
        assert second.fit_measures()[name] == pytest.approx(first.fit_measures()[name], rel=1e-5), name
    one, other = (f.parameter_estimates().set_index(["lhs", "op", "rhs"]) for f in (first, second))
    assert other.loc[("f", "=~", "y"), "se"] == pytest.approx(100 * one.loc[("f", "=~", "y"), "se"], rel=1e-5)


def pieces(fit):
    """Residuals, derivatives, weight and acov of one group."""
    term, model = fit.estimation.limited, fit.estimation.model
    with jax.enable_x64(True):
        sigma, delta = implied_of(model.problem.structure, np.asarray(model.theta), term)
    return np.asarray(term.target)[0] - np.asarray(sigma)[0], np.asarray(delta)[0], term.weight[0], term.acov[0]


def test_tests_by_the_orthogonal_complement(fit):
    """U = C (C' W^-1 C)^-1 C' with C orthogonal to the derivatives, in place of projections."""
    from scipy.linalg import null_space

    left, delta, weight, acov = pieces(fit)
    n, c = 300, null_space(delta.T)
    w, gamma = weight / (n - 1), n * acov
    u = c @ np.linalg.inv(c.T @ np.linalg.inv(w) @ c) @ c.T
    values = np.linalg.eigvals(u @ gamma).real
    measures = fit.fit_measures()
    assert measures["chisq"] == pytest.approx((n - 1) * left @ w @ left, rel=1e-9)
    a = np.sqrt(2 / (values**2).sum())
    assert measures["chisq.scaling.factor"] == pytest.approx(1 / a, rel=1e-7)
    assert measures["chisq.scaled"] == pytest.approx(a * measures["chisq"] + 2 - a * values.sum(), rel=1e-7)
    mean = ml.sem(FOUR, items(), ordered=True, test="satorra.bentler").fit_measures()
    assert mean["chisq.scaled"] == pytest.approx(mean["chisq"] * 2 / values.sum(), rel=1e-7)


def test_standard_errors_of_full_weights_are_the_inverse():
    """With W the inverse of Gamma sandwich and inverse agree."""
    plain = ml.sem(FOUR, items(), ordered=True, estimator="WLS")
    robust = ml.sem(FOUR, items(), ordered=True, estimator="WLS", se="robust.sem")
    np.testing.assert_allclose(robust.vcov(), plain.vcov(), rtol=1e-7)
    assert plain.fit_measures()["pvalue"] > 0
    assert np.isnan(ml.sem(FOUR, items(), ordered=True, estimator="DWLS").fit_measures()["pvalue"])
    unweighted = ml.sem(FOUR, items(), ordered=True, estimator="ULSMV")
    left, delta, *_ = pieces(unweighted)
    np.testing.assert_allclose(delta.T @ left, 0, atol=1e-8)


@jax.enable_x64(True)
def test_value_gradient_and_curvature_by_differences(fit):
    problem, theta = fit.estimation.model.problem, fit.estimation.model.theta * 1.1 + 0.05
    point, step = problem.evaluate(theta), 1e-5
    moved = [(theta + step * e, theta - step * e) for e in np.eye(len(theta))]
    slope = [(problem.value(up) - problem.value(down)) / (2 * step) for up, down in moved]
    np.testing.assert_allclose(point.gradient, slope, rtol=1e-6, atol=1e-6)
    bend = [(problem.evaluate(up).gradient - problem.evaluate(down).gradient) / (2 * step) for up, down in moved]
    np.testing.assert_allclose(problem.observed(theta), -np.array(bend), rtol=1e-5, atol=1e-3)


def test_equalities_by_labels_and_by_constraints():
    label = ml.sem("f =~ u1 + a*u2 + a*u3 + u4", items(), ordered=True)
    written = ml.sem("f =~ u1 + a*u2 + b*u3 + u4\na == b", items(), ordered=True)
    product = ml.sem("f =~ u1 + a*u2 + b*u3 + u4\na/b == 1", items(), ordered=True)
    for other in (written, product):
        for name in ("df", "chisq", "chisq.scaled"):
            assert other.fit_measures()[name] == pytest.approx(label.fit_measures()[name], rel=1e-6), name
        np.testing.assert_allclose(
            other.parameter_estimates()["se"][:20], label.parameter_estimates()["se"][:20], rtol=1e-5
        )
    test = label.score_test().loc[0]
    assert test["df"] == 1
    assert test["X2"] == pytest.approx(
        label.fit_measures()["chisq"] - ml.sem(FOUR, items(), ordered=True).fit_measures()["chisq"], rel=0.2
    )


def test_indices_and_residuals(fit):
    table = fit.modification_indices()
    assert len(table) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ImproperSolutionWarning)
        freed = ml.sem(f"{FOUR}\n{table.lhs[0]} ~~ {table.rhs[0]}", items(), ordered=True)
    drop = fit.fit_measures()["chisq"] - freed.fit_measures()["chisq"]
    assert table.mi[0] == pytest.approx(drop, rel=0.3, abs=0.05)
    raw, z = fit.residuals()["cov"], fit.residuals("z")["cov"]
    np.testing.assert_allclose(raw, fit.h1()["cov"] - fit.implied()["cov"], atol=1e-12)
    assert (np.sign(z) == np.sign(raw.round(12))).all(axis=None)


# -- missing values and weights
def test_pairwise_without_gaps_is_listwise(fit):
    again = ml.sem(FOUR, items(), ordered=True, missing="pairwise")
    np.testing.assert_allclose(again.coef(), fit.coef(), rtol=1e-9)


def test_pairwise_keeps_rows_and_listwise_says_what_it_drops():
    table = items(missing=0.2)
    with pytest.warns(ml.ModelWarning, match="pair with the fewest"):
        kept = ml.sem(FOUR, table, ordered=True, missing="pairwise")
    seen = int(table.u2.notna().sum())
    with pytest.warns(ml.ModelWarning, match=f"{300 - seen} of 300 rows were dropped"):
        dropped = ml.sem(FOUR, table, ordered=True)
    assert (kept.nobs, dropped.nobs) == (300, seen)
    full = ml.sem(FOUR, items(), ordered=True).h1()
    assert kept.h1()["th"]["u1|t1"] == pytest.approx(full["th"]["u1|t1"], abs=1e-9)
    assert kept.h1()["th"]["u2|t1"] == pytest.approx(dropped.h1()["th"]["u2|t1"], abs=1e-9)
    assert "Number of missing patterns" in str(kept.summary())


def test_weights_of_two_are_rows_twice():
    table = items()
    twice = pd.concat([table, table[:100]])
    weighted = ml.sem(
        FOUR, table.assign(w=np.where(np.arange(300) < 100, 2.0, 1.0)), ordered=True, sampling_weights="w"
    )
    np.testing.assert_allclose(weighted.h1()["cov"], ml.sem(FOUR, twice, ordered=True).h1()["cov"], atol=1e-7)
    with pytest.raises(ModelError, match="neither strata"):
        ml.sem(FOUR, table.assign(w=1.0, s=table.g), ordered=True, sampling_weights="w", strata="s")


def test_one_level_with_clusters(fit):
    alone = ml.sem(FOUR, items().assign(i=range(300)), ordered=True, cluster="i")
    np.testing.assert_allclose(alone.vcov(), fit.vcov(), atol=1e-10)
    assert alone.fit_measures()["chisq.scaled"] == pytest.approx(fit.fit_measures()["chisq.scaled"], abs=1e-8)
    twice = pd.concat([items().assign(i=range(300))] * 2)
    both = ml.sem(FOUR, twice, ordered=True, cluster="i")
    np.testing.assert_allclose(both.coef(), fit.coef(), atol=1e-5)
    # the standard errors of 300 rows, of which lavaan's factor counts 600
    np.testing.assert_allclose(both.vcov() * 599 / 600, fit.vcov() * 299 / 300, atol=1e-5)
    assert both.fit_measures()["chisq.scaled"] == pytest.approx(fit.fit_measures()["chisq.scaled"], rel=5e-3)
    assert "Number of clusters [i]" in str(both.summary())
    with pytest.warns(ml.ModelWarning, match="5 clusters for 8 parameters"):
        ml.sem(FOUR, items().assign(i=np.arange(300) // 60), ordered=True, cluster="i")


# -- two levels
@pytest.fixture(scope="module")
def two_level():
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(60), 8)
    above = 0.8 * rng.normal(size=60)[cluster]
    y = (above + rng.normal(size=480))[:, None] + 0.3 * rng.normal(size=(60, 3))[cluster] + rng.normal(size=(480, 3))
    table = pd.DataFrame({"c": cluster, "u1": y[:, 0] > 0, "u2": y[:, 1] > 0.4, "y": y[:, 2]})
    text = "level: 1\n fw =~ u1 + u2 + y\nlevel: 2\n fb =~ u1 + u2 + y"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ImproperSolutionWarning)
        return ml.sem(text, table, cluster="c", ordered=["u1", "u2"])


@pytest.mark.timeout(300)
def test_two_levels(two_level):
    h1, implied = two_level.h1(), two_level.implied()
    assert two_level.fit_measures()["df"] == 0
    assert two_level.fit_measures()["chisq"] == pytest.approx(0, abs=1e-8)
    assert set(h1["between"]) == {"cov", "mean", "th"}
    assert h1["within"]["cov"].loc["u1", "u1"] == 1
    np.testing.assert_allclose(implied["between"]["cov"], h1["between"]["cov"], atol=1e-6)
    icc = two_level.icc()
    assert icc["u1"] == pytest.approx(h1["between"]["cov"].loc["u1", "u1"] / (1 + h1["between"]["cov"].loc["u1", "u1"]))
    with pytest.raises(ModelError, match="no fit by level"):
        two_level.fit_measures_by_level()
    assert "WLSMV" in str(two_level.summary(fit_measures=True))


# -- what is said
def test_estimator_by_default(fit):
    assert fit.estimation.options.estimator == "WLSMV"
    text = str(fit.summary(fit_measures=True))
    for word in ("WLSMV", "theta", "Robust.sem", "Shift parameter"):
        assert word in text
    assert "Loglikelihood" not in text
    assert "WLSMV" in repr(fit)
    named = ml.sem(FOUR, items(), ordered=np.array(["u1", "u2", "u3", "u4"]))
    np.testing.assert_array_equal(named.coef(), fit.coef())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"estimator": "WLSMV"}, r"u1 \(2 values\).*look categorical"),
        ({"ordered": True, "missing": "ml"}, "goes with estimator='ML'"),
        ({"ordered": True, "link": "logit"}, "link='logit'"),
        ({"ordered": True, "se": "bootstrap"}, "not supported"),
        ({"ordered": True, "se": "robust.huber.white"}, "robust.sem"),
        ({"ordered": True, "test": "yuan.bentler"}, "scaled.shifted"),
        ({"ordered": True, "information": "observed"}, "expected"),
        ({"ordered": True, "integration": "laplace"}, "estimator='ML'"),
        ({"ordered": True, "optim_method": "em"}, "leave it out"),
        ({"ordered": True, "cluster": "k", "group": "g"}, "clusters that lie in one group each"),
        ({"ordered": True, "estimator": "ML", "se": "robust.sem"}, "limited information"),
        ({"missing": "pairwise"}, "missing='ml'"),
        ({"test": "scaled.shifted"}, "limited information"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(ModelError, match=words):
        ml.sem(FOUR, items(), **options)


def test_random_slopes_need_full_information():
    table = items().assign(c=np.arange(300) // 10, x=np.linspace(-1, 1, 300) ** 3)
    with pytest.raises(ModelError, match=r"random slopes \(s\).*estimator='ML'"):
        ml.sem('level: 1\n u1 ~ rv("s")*x\nlevel: 2\n u1 ~~ s', table, cluster="c", ordered="u1")


def test_few_rows_for_full_weights():
    with pytest.raises(DataError, match=r"covariance matrix of 10 statistics.*use estimator='WLSMV'"):
        ml.sem(FOUR, items(seed=6, n=19), ordered=True, estimator="WLS")


def test_few_rows_end_in_words():
    """Every way to a maximum is tried where the first search fails, EM, which is for normal data, among them."""
    rng = np.random.default_rng(1)
    for n in (8, 12):
        table = items(seed=int(rng.integers(100)), n=n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(DataError):
                assert len(ml.sem(FOUR, table, ordered=True).parameter_estimates())


def test_ordered_covariates_alone_leave_maximum_likelihood():
    table = items().assign(y=np.random.default_rng(2).normal(size=300))
    with pytest.warns(ml.ModelWarning, match="exogenous"):
        found = ml.sem("y ~ u1", table, ordered=["u1"])
    assert found.estimation.options.estimator == "ML"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda f: f.loglik, "no log-likelihood"),
        (lambda f: f.predict(), "no factor scores"),
        (lambda f: f.scores(), "no scores"),
        (lambda f: f.loglik_by_cluster(), "no scores and log-likelihoods"),
        (lambda f: f.profile_ci(), "Profile intervals"),
        (lambda f: f.bootstrap(5), "not supported"),
        (lambda f: f.influence(), "no influence"),
        (lambda f: f.simulate(1), "pass rows=True"),
        (lambda f: f.model, "JAX layer"),
        (lambda f: f.fit_measures(convention="psychonetrics"), "AIC"),
        (lambda f: f.inspect("logl"), "no log-likelihood"),
        (lambda f: f.modification_indices(information="observed"), "expected information"),
        (lambda f: ml.compare(f, f), "AIC"),
        (lambda f: ml.lrt(ml.pool([f, f]), ml.pool([f, f])), "wald"),
    ],
)
def test_what_needs_a_likelihood_says_so(fit, what, words):
    with pytest.raises(ModelError, match=words):
        what(fit)


def test_saved_and_exported(fit, tmp_path):
    again = ml.load(fit.save(tmp_path / "fit.json"))
    pd.testing.assert_frame_equal(again.parameter_estimates(), fit.parameter_estimates())
    pd.testing.assert_series_equal(again.fit_measures(), fit.fit_measures())
    assert str(again.summary()) == str(fit.summary())
    assert "ESTIMATOR = WLSMV" in fit.to_mplus()
    assert fit.report(tmp_path / "fit.html").exists()
    assert fit.trace["fx"].iloc[-1] == pytest.approx(-fit.fit_measures()["chisq"] / 2, abs=1e-6)
