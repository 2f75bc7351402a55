"""Weights at both levels, strata and replicate weights: against repeated rows and clusters, a dense density, and by hand."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import DataError, ModelError
from mlsem_jax.inference import replicates

TWO = """
level: 1
  f =~ y1 + y2 + y3
  f ~ x
level: 2
  g =~ y1 + y2 + y3
  g ~ z
"""
ONE = "f =~ y1 + y2 + y3\nf ~ x"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    sizes = rng.integers(3, 8, 60)
    school = np.repeat(np.arange(60), sizes)
    n = len(school)
    z, u = rng.normal(size=60), rng.normal(size=60)
    x = rng.normal(size=n)
    f = 0.4 * x + rng.normal(size=n)
    g = 0.5 * z + 0.7 * u
    out = pd.DataFrame({"school": school, "x": x, "z": z[school]})
    for i, loading in enumerate((1.0, 0.8, 1.2), 1):
        out[f"y{i}"] = loading * (f + g[school]) + rng.normal(size=n) + 0.3 * rng.normal(size=60)[school]
    out["w"] = rng.integers(1, 4, n).astype(float)
    out["v"] = rng.integers(1, 4, 60).astype(float)[school]
    out["stratum"] = school // 6
    out["region"] = np.where(school % 2, "a", "b")
    return out


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def repeated(data, rows=None, clusters=None):
    """Each row as often as `rows` says within its cluster, each cluster as often as `clusters` says, with ids of its own."""
    often = np.ones(len(data), int) if rows is None else data[rows].astype(int).to_numpy()
    out = data.loc[np.repeat(data.index.to_numpy(), often)].reset_index(drop=True)
    if clusters is None:
        return out
    copies = []
    for k in range(int(data[clusters].max())):
        part = out[out[clusters] > k].copy()
        part["school"] = part["school"] + 1000 * k
        copies.append(part)
    return pd.concat(copies, ignore_index=True)


@pytest.mark.parametrize("missing", ["listwise", "ml"])
def test_integer_weights_of_rows_are_repeated_rows(data, missing):
    if missing == "ml":
        data = data.copy()
        data.loc[::7, "y2"] = np.nan
    weighted = quiet(
        ml.sem, TWO, data, "school", sampling_weights="w", sampling_weights_scaling="none", missing=missing
    )
    plain = quiet(ml.sem, TWO, repeated(data, rows="w"), "school", missing=missing)
    assert np.allclose(weighted.coef(), plain.coef(), rtol=0, atol=1e-8)
    assert np.isclose(weighted.loglik, plain.loglik, rtol=1e-10)
    assert np.isclose(weighted.fit_measures()["chisq"], plain.fit_measures()["chisq"], rtol=1e-7)
    assert np.isclose(weighted.fit_measures()["baseline.chisq"], plain.fit_measures()["baseline.chisq"], rtol=1e-7)


def test_integer_weights_of_clusters_are_repeated_clusters(data):
    weighted = quiet(ml.sem, TWO, data, "school", sampling_weights_between="v")
    plain = quiet(ml.sem, TWO, repeated(data, clusters="v"), "school")
    scale = len(data) / len(repeated(data, clusters="v"))
    assert np.allclose(weighted.coef(), plain.coef(), rtol=0, atol=1e-8)
    assert np.isclose(weighted.loglik, scale * plain.loglik, rtol=1e-10)


def test_random_slopes_and_em_follow_weights(data):
    model = 'level: 1\n  y1 ~ rv("s")*x\nlevel: 2\n  y1 ~~ y1\n  s ~~ s'
    weighted = quiet(ml.sem, model, data, "school", sampling_weights="w", sampling_weights_scaling="none")
    plain = quiet(ml.sem, model, repeated(data, rows="w"), "school")
    assert np.allclose(weighted.coef(), plain.coef(), rtol=0, atol=1e-6)
    assert np.isclose(weighted.loglik, plain.loglik, rtol=1e-9)
    incomplete = data.copy()
    incomplete.loc[::9, "y1"] = np.nan
    small = "level: 1\n  y1 ~~ y2\nlevel: 2\n  y1 ~~ y2"
    options = {"sampling_weights": "w", "sampling_weights_between": "v", "missing": "ml"}
    em = quiet(ml.sem, small, incomplete, "school", optim_method="em", em_fx_tol=1e-12, em_dx_tol=1e-7, **options)
    scoring = quiet(ml.sem, small, incomplete, "school", **options)
    assert np.allclose(em.coef(), scoring.coef(), rtol=0, atol=1e-4)


def test_constant_weights_change_nothing(data):
    same = data.assign(w=3.0, v=0.5)
    options = {"sampling_weights": "w", "sampling_weights_between": "v"}
    weighted, plain = quiet(ml.sem, TWO, same, "school", **options), quiet(ml.sem, TWO, data, "school", estimator="MLR")
    for one, other in ((weighted.coef(), plain.coef()), (weighted.vcov(), plain.vcov())):
        assert np.allclose(one, other, rtol=1e-8, atol=1e-10)
    assert np.isclose(weighted.loglik, plain.loglik, rtol=1e-11)
    one, plain_one = quiet(ml.sem, ONE, same, sampling_weights="w"), quiet(ml.sem, ONE, data, estimator="MLR")
    assert np.allclose(one.vcov(), plain_one.vcov(), rtol=1e-7, atol=1e-10)
    assert weighted.fit_measures()["ntotal"] == pytest.approx(len(data))


def test_the_scale_of_weights_does_not_matter(data):
    options = {"sampling_weights": "w", "sampling_weights_between": "v"}
    first = quiet(ml.sem, TWO, data, "school", **options)
    second = quiet(ml.sem, TWO, data.assign(w=17 * data.w, v=0.01 * data.v), "school", **options)
    assert np.allclose(first.coef(), second.coef(), atol=1e-9)
    assert np.allclose(first.vcov(), second.vcov(), rtol=1e-7)
    assert np.isclose(first.fit_measures()["chisq.scaled"], second.fit_measures()["chisq.scaled"], rtol=1e-7)


def test_the_likelihood_is_that_of_a_dense_weighted_density(data):
    """f^w of a normal density is one with covariance Sigma / w, times a constant: weights that are no whole numbers."""
    small = data[data.school < 12].reset_index(drop=True)
    rng = np.random.default_rng(2)
    small["w"], v = rng.uniform(0.4, 2.5, len(small)), rng.uniform(0.5, 2, 12)
    small["v"] = v[small.school]
    model = "level: 1\n  y1 ~~ y2\nlevel: 2\n  y1 ~~ y2"
    fit = quiet(
        ml.sem,
        model,
        small,
        "school",
        sampling_weights="w",
        sampling_weights_between="v",
        sampling_weights_scaling="none",
        se="none",
    )
    moments = fit.estimation.model.moments
    within, between, mean = moments.within_cov[0], moments.between_cov[0], moments.mean[0]
    scale, total = len(small) / (small.w * small.v).sum(), 0.0
    for j, part in small.groupby("school"):
        w, y = part.w.to_numpy(), part[["y1", "y2"]].to_numpy()
        cov = np.kron(np.diag(1 / w), within) + np.kron(np.ones((len(w), len(w))), between)
        d = (y - mean).ravel()
        dense = -0.5 * (len(d) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + d @ np.linalg.solve(cov, d))
        p = 2
        constant = np.sum((1 - w) * 0.5 * (p * np.log(2 * np.pi) + np.linalg.slogdet(within)[1]) - 0.5 * p * np.log(w))
        total += v[j] * scale * (dense + constant)
    assert np.isclose(fit.loglik, total, rtol=1e-10)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", [TWO, ONE])
def test_strata_center_scores_within_them(data, model):
    options = {"sampling_weights": "w"} | ({"sampling_weights_between": "v"} if model is TWO else {})
    fit = quiet(ml.sem, model, data, "school", strata="stratum", **options)
    plain = quiet(ml.sem, model, data, "school", **options)
    from mlsem_jax.inference.variance._vcov import information, scores

    score, inverse = (
        scores(plain.estimation.model, plain.estimation),
        np.linalg.inv(information(plain.estimation.model, plain.estimation, "observed")),
    )
    middle = np.zeros_like(inverse)
    for h in range(10):
        part = score[np.arange(60) // 6 == h]
        centred = part - part.mean(axis=0)
        middle += 6 / 5 * centred.T @ centred
    assert np.allclose(fit.vcov(), inverse @ middle @ inverse, rtol=1e-6, atol=1e-12)


@pytest.mark.timeout(300)
def test_replicates_in_a_batch_are_those_fitted_one_by_one(data):
    rng = np.random.default_rng(3)
    columns = [f"r{i}" for i in range(6)]
    factor = rng.choice([0.5, 1.5], (60, 6))
    with_them = data.assign(**{c: data.v * factor[data.school, i] for i, c in enumerate(columns)})
    options = {"sampling_weights": "w", "sampling_weights_between": "v"}
    fit = quiet(ml.sem, TWO, with_them, "school", replicate_weights=columns, replicate_type="Fay", fay=0.5, **options)
    each = [
        quiet(ml.sem, TWO, with_them, "school", sampling_weights="w", sampling_weights_between=c).coef()
        for c in columns
    ]
    distance = np.array(each) - fit.coef().to_numpy()
    assert np.allclose(fit.vcov(), distance.T @ distance / (6 * 0.25), rtol=1e-4, atol=1e-9)
    # total weights that a factor of the cluster multiplies are replicates of the level-1 weight: the same
    total = data.assign(**{c: data.w * factor[data.school, i] for i, c in enumerate(columns)})
    same = quiet(ml.sem, TWO, total, "school", replicate_weights=columns, replicate_type="Fay", fay=0.5, **options)
    assert np.allclose(same.vcov(), fit.vcov(), rtol=1e-4, atol=1e-9)


def test_replicates_that_change_within_clusters_are_weights_of_rows(data):
    rng = np.random.default_rng(4)
    columns = ["r0", "r1", "r2"]
    other = data.assign(**{c: data.w * rng.choice([0.5, 1.5], len(data)) for c in columns})
    fit = quiet(ml.sem, TWO, other, "school", sampling_weights="w", replicate_weights=columns, replicate_type="BRR")
    each = [quiet(ml.sem, TWO, other, "school", sampling_weights=c).coef() for c in columns]
    distance = np.array(each) - fit.coef().to_numpy()
    assert np.allclose(fit.vcov(), distance.T @ distance / 3, rtol=1e-3, atol=1e-8)


def test_rows_without_weight_count_for_the_design_alone(data):
    zero = data.copy()
    zero.loc[zero.school == 4, "w"] = 0.0
    zero.loc[3, "w"] = 0.0
    with pytest.warns(UserWarning, match="Cluster 4 of 'school' has no row with a positive weight"):
        fit = ml.sem(TWO, zero, "school", sampling_weights="w", strata="stratum")
    without = quiet(ml.sem, TWO, zero[zero.w > 0], "school", sampling_weights="w")
    assert np.allclose(fit.coef(), without.coef(), atol=1e-9)
    assert fit.nobs == (zero.w > 0).sum()
    assert fit.estimation.data.survey.empty[0] == 1


def test_a_saved_fit_keeps_its_design(data, tmp_path):
    options = {"sampling_weights": "w", "sampling_weights_between": "v", "strata": "stratum"}
    fit = quiet(ml.sem, TWO, data, "school", **options)
    again = ml.load(fit.save(tmp_path / "fit.json"))
    assert np.allclose(again.vcov(), fit.vcov(), rtol=1e-10)
    text = str(fit.summary())
    assert str(again.summary()).split("\nNote")[0].splitlines()[1:15] == text.splitlines()[1:15]
    assert "Sampling weights [w]" in text
    assert "Number of strata [stratum]" in text


@pytest.mark.timeout(300)
def test_networks_take_weights(data):
    options = {"sampling_weights": "w", "sampling_weights_between": "v"}
    network = quiet(lambda: ml.ml_varcov(data, clusters="school", vars=["y1", "y2", "y3"], **options).fit())
    sem = quiet(
        ml.sem, "level: 1\n y1 ~~ y2 + y3\n y2 ~~ y3\nlevel: 2\n y1 ~~ y2 + y3\n y2 ~~ y3", data, "school", **options
    )
    assert np.isclose(network.loglik, sem.loglik, rtol=1e-9)
    assert np.allclose(
        np.sort(network.parameter_estimates().se.dropna()),
        np.sort(sem.parameter_estimates().query("se > 0").se),
        rtol=1e-4,
    )


BAD = {
    "absent": (ONE, {"sampling_weights": "weight"}, None, "no column 'weight'"),
    "several": (ONE, {"sampling_weights": ["w", "v"]}, None, "sampling_weights_between"),
    "in the model": (ONE, {"sampling_weights": "y1"}, None, "variable of the model"),
    "negative": (ONE, {"sampling_weights": "w"}, ("w", 2, -1.0), r"negative in 1 row \(row 2: -1\)"),
    "missing": (ONE, {"sampling_weights": "w"}, ("w", 2, np.nan), r"missing in 1 row \(row 2\)"),
    "infinite": (ONE, {"sampling_weights": "w"}, ("w", 2, np.inf), "infinite"),
    "zero": (ONE, {"sampling_weights": "w"}, ("w", slice(None), 0.0), "0 in every row"),
    "varying": (TWO, {"cluster": "school", "sampling_weights_between": "w"}, None, "varies within .* of 60 clusters"),
    "one level": (ONE, {"sampling_weights": "w", "sampling_weights_between": "v"}, None, "multiply the two weights"),
    "scaling": (
        TWO,
        {"cluster": "school", "sampling_weights": "w", "sampling_weights_scaling": "size"},
        None,
        "'effective'",
    ),
    "normalization": (ONE, {"sampling_weights": "w", "sampling_weights_normalization": "mean"}, None, "'group'"),
    "lonely": (
        ONE,
        {"cluster": "school", "strata": "stratum"},
        ("stratum", 0, 99),
        "has one cluster|lies in the strata",
    ),
    "crossing": (TWO, {"cluster": "school", "strata": "stratum"}, ("stratum", 0, 5), "Cluster 0 .* lies in the strata"),
    "stratum missing": (TWO, {"cluster": "school", "strata": "stratum"}, ("stratum", 0, np.nan), "missing in 1 row"),
    "replicate type": (ONE, {"sampling_weights": "w", "replicate_weights": ["v"]}, None, "needs replicate_type="),
    "replicate absent": (
        ONE,
        {"sampling_weights": "w", "replicate_weights": ["v", "v2"], "replicate_type": "BRR"},
        None,
        r"no column 'v2'.*1 of 2",
    ),
    "fay": (
        ONE,
        {"sampling_weights": "w", "replicate_weights": ["v"], "replicate_type": "Fay", "fay": 1.0},
        None,
        "below 1",
    ),
    "no contrasts": (
        TWO,
        {"cluster": "school", "sampling_weights": "w", "sampling_weights_scaling": "none"},
        ("w", slice(None), 0.01),
        "nothing is left to vary within clusters",
    ),
    "one replicate": (
        ONE,
        {"sampling_weights": "w", "replicate_weights": ["v"], "replicate_type": "JK1"},
        None,
        "needs two columns",
    ),
    "no full weight": (ONE, {"replicate_weights": ["v"], "replicate_type": "BRR"}, None, "full-sample weight"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_words(data, name):
    model, options, change, message = BAD[name]
    data = data.astype({"stratum": float})
    if change is not None:
        data.loc[change[1], change[0]] = change[2]
    with pytest.raises((DataError, ModelError), match=message):
        ml.sem(model, data, **options)


def test_a_stratum_of_one_cluster_names_both_and_has_a_remedy(data):
    data = data.copy()
    data.loc[data.school == 7, "stratum"] = 99
    with pytest.raises(DataError, match=r"Stratum 99 of 'stratum' has one cluster \(7\)"):
        ml.sem(TWO, data, "school", strata="stratum")
    assert quiet(ml.sem, TWO, data, "school", strata="stratum", lonely="adjust").converged


def test_standard_errors_by_the_information_are_warned_of(data):
    with pytest.warns(UserWarning, match="treat weights as counts"):
        ml.sem(ONE, data, sampling_weights="w", se="standard")


@pytest.mark.timeout(300)
def test_the_bootstrap_draws_within_strata(data):
    fit = quiet(ml.sem, TWO, data, "school", sampling_weights="w", strata="stratum")
    import jax

    from mlsem_jax.inference.variance._resampled import resampled

    weights = resampled(fit.estimation, 20, jax.random.key(1), "nonparametric")["weights"]
    by_stratum = weights.reshape(20, 10, 6).sum(axis=2)
    assert np.allclose(by_stratum, 6)
    assert np.allclose(np.unique(weights) * 5 / 6, np.rint(np.unique(weights) * 5 / 6))
    with pytest.raises(ModelError, match="nothing of weights"):
        fit.bootstrap(10, key=1, type="parametric")


def test_fewer_clusters_than_parameters_are_told(data):
    with pytest.warns(UserWarning, match="There are 8 clusters for 9 parameters: .* has rank 7 at most"):
        ml.cfa("f =~ y1 + y2 + y3", data[data.school < 8], "school")
    with pytest.warns(UserWarning, match="goes by clusters here"):
        ml.cfa("f =~ y1 + y2 + y3", data, "school", se="robust.huber.white")
    columns = {"r1": data.v, "r2": data.v * 1.2}
    with pytest.warns(UserWarning, match="There are 2 replicate weights for"):
        ml.sem(
            TWO,
            data.assign(**columns),
            "school",
            sampling_weights_between="v",
            replicate_weights=list(columns),
            replicate_type="Fay",
        )


def test_what_makes_no_fit_takes_no_replicates(data):
    more = {"replicate_weights": ["r1", "r2"], "replicate_type": "BRR", "sampling_weights": "w"}
    for function, first in ((ml.model, (TWO, data)), (ml.diagnose, (data, TWO))):
        with pytest.raises(ModelError, match="takes no replicate weights: leave replicate_weights, replicate_type out"):
            function(*first, "school", **more)
        with pytest.raises(ModelError, match="is for models of one level"):
            function(*first, "school", sampling_weights="w", sampling_weights_normalization="none")
        with pytest.raises(DataError, match="no column 'w2'"):
            function(*first, "school", sampling_weights="w2")


def test_diagnose_goes_by_weights(data):
    weighted = ml.diagnose(
        data.assign(w=data.w**4), TWO, "school", sampling_weights="w", sampling_weights_between="v", strata="stratum"
    )
    plain = ml.diagnose(data.assign(w=2.0, v=0.3), TWO, "school", sampling_weights="w", sampling_weights_between="v")
    none = ml.diagnose(data, TWO, "school")
    numbers = ["mean", "within", "between", "icc", "pvalue", "missing"]
    assert np.allclose(plain.to_dataframe()[numbers], none.to_dataframe()[numbers], rtol=1e-10, equal_nan=True)
    table, other = weighted.to_dataframe().set_index("name"), none.to_dataframe().set_index("name")
    v = data.groupby("school").agg(z=("z", "first"), v=("v", "first"))
    assert table.loc["z", "mean"] == pytest.approx(np.average(v.z, weights=v.v))
    assert abs(table.loc["y1", "icc"] - other.loc["y1", "icc"]) > 1e-3
    assert weighted.diagnosis.effects[0] > 1.5 > weighted.diagnosis.effects[1] > 1
    assert "design effect of the weights of clusters: 1.1" in str(weighted)
    costly = ml.diagnose(data.assign(w=np.where(data.index % 5, 1.0, 40.0)), ONE, sampling_weights="w")
    assert any("The weights of rows vary much (design effect 4." in text for text in costly.advice)


def test_rows_that_missing_values_and_weights_leave_together(data):
    data = data.copy()
    data.loc[::2, "y1"] = np.nan
    data["w"] = np.where(data.y1.isna(), 2.0, 0.0)
    with pytest.raises(DataError, match="Every row that is left has weight 0"):
        ml.sem(TWO, data, "school", sampling_weights="w")


def test_counts_are_of_rows_and_not_of_weights(data, tmp_path):
    """Weights in the hundreds change neither the number of missing patterns nor what a saved fit says."""
    data = data.copy()
    data.loc[::5, "y1"] = np.nan
    options = {"sampling_weights": "w", "sampling_weights_normalization": "none", "missing": "ml"}
    fit = quiet(ml.cfa, "f =~ y1 + y2 + y3", data.assign(w=300.0 * data.w), **options)
    text = str(fit.summary())
    assert "Number of missing patterns                         2" in text
    assert "Rows with missing values, kept, weighted" in text
    assert f"{300 * data.w.sum():.10g}" in text
    again = ml.load(fit.save(tmp_path / "fit.json"))
    assert np.allclose(again.vcov(), fit.vcov(), rtol=1e-10)


def test_networks_and_texts_have_one_rule_for_designs(data):
    fit = quiet(lambda: ml.ml_varcov(data, clusters="school", vars=["y1", "y2"], strata="stratum").fit())
    assert (fit.estimation.options.estimator, fit.estimation.options.se) == ("MLR", "robust.huber.white")
    with pytest.warns(UserWarning, match="treat weights as counts"):
        ml.ml_varcov(data, clusters="school", vars=["y1", "y2"], sampling_weights="w", se="standard").fit()


def test_fits_of_other_weights_are_not_pooled(data):
    one = quiet(ml.sem, TWO, data, "school", sampling_weights="w")
    other = quiet(ml.sem, TWO, data, "school", sampling_weights="w", sampling_weights_scaling="effective")
    with pytest.raises(ModelError, match="have other weights"):
        ml.pool([one, other])


@pytest.mark.parametrize("missing", ["listwise", "ml"])
def test_the_summary_says_how_far_weights_move_estimates(data, missing, tmp_path):
    data = data.copy()
    if missing == "ml":
        data.loc[::7, "y2"] = np.nan
    options = {"sampling_weights": "w", "missing": missing, "meanstructure": True}
    fit, plain = quiet(ml.sem, ONE, data, **options), quiet(ml.sem, ONE, data, missing=missing, meanstructure=True)
    moves = (fit.coef() - plain.coef()) / np.sqrt(np.diag(fit.vcov()))
    name = moves.abs().idxmax()
    text = str(fit.summary())
    assert f"{moves[name]:+.2f} Std.Err" in text
    assert text.split("that of")[1].split()[0] == name
    assert "of a pseudo-likelihood" in text
    assert "of a pseudo-likelihood" not in str(plain.summary())
    page = fit.report(tmp_path / "page.html").read_text()
    assert "Sampling design" in page
    assert f"{moves[name]:+.2f} Std.Err" in page
    if missing == "listwise":  # a fit read from a file has no rows to fit without weights
        again = str(ml.load(fit.save(tmp_path / "fit.json")).summary())
        assert "Design effect of weights of rows" in again
        assert "Largest move" not in again


def test_the_summary_says_by_what_scores_are_multiplied(data):
    def said(*arguments, **options):
        return " ".join(str(quiet(ml.cfa, "f =~ y1 + y2 + y3", *arguments, **options).summary()).split())

    assert "Rows' scores, squared, times n_h / (n_h - 1)" in said(data, strata="stratum")
    assert "Clusters' scores, squared, times n_h / (n_h - 1)" in said(data, "school", strata="stratum")
    assert "Clusters' scores, squared, times J / (J - 1)" in said(data, "school")
    assert "squared, times" not in said(data)
    pooled = said([data, data.assign(y1=data.y1 + 0.1 * data.x)], sampling_weights="w")
    assert "Sampling weights [w] scaled: total" in pooled


@pytest.mark.parametrize(
    "model", [TWO, 'level: 1\n  y1 ~ rv("s")*x\nlevel: 2\n  y1 ~~ y1\n  s ~~ s\n  s ~ z'], ids=["factors", "slopes"]
)
def test_factor_scores_of_integer_weights_are_those_of_repeated_rows(data, model):
    options = {"sampling_weights": "w", "sampling_weights_scaling": "none", "se": "none", "test": "none"}
    rows = repeated(data, rows="w")
    weighted = quiet(ml.sem, model, data, "school", missing="ml", **options)
    plain = quiet(ml.sem, model, rows, "school", missing="ml", se="none")
    mine, theirs = weighted.predict(level=2, se=True), plain.predict(level=2, se=True)
    assert np.allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert np.allclose(weighted.predict(newdata=data, level=2), mine.iloc[:, : mine.shape[1] // 2], atol=1e-10)
    unweighted = weighted.predict(newdata=data.drop(columns="w"), level=2)
    assert not np.allclose(unweighted, mine.iloc[:, : mine.shape[1] // 2], atol=1e-3)
    if model == TWO:
        often = data.w.astype(int).to_numpy()
        first = np.concatenate([[0], np.cumsum(often)[:-1]])
        assert np.allclose(weighted.predict(se=True), plain.predict(se=True).iloc[first], rtol=1e-5, atol=1e-6)


def test_one_mean_is_the_pseudo_eblup(data):
    """You and Rao (2002): shrinkage of the weighted mean by the effective number of rows."""
    text = "level: 1\n  y1 ~~ y1\nlevel: 2\n  b =~ 1*y1\n  y1 ~~ 0*y1"
    fit = quiet(ml.sem, text, data, "school", sampling_weights="w", sampling_weights_scaling="effective")
    between, within = fit.coef()["b~~b.l2"], fit.coef()["y1~~y1"]
    w = data.assign(wy=data.w * data.y1, w2=data.w**2).groupby("school")[["w", "wy", "w2"]].sum()
    shrunk = between / (between + within * w.w2 / w.w**2)
    expected = shrunk * (w.wy / w.w - fit.coef()["y1~1.l2"])
    assert np.allclose(fit.predict(level=2)["b"], expected, atol=1e-8)


def test_replicates_are_the_maxima_that_fits_with_their_weights_have(data):
    """By steps from the full sample's maximum, where a group keeps its clusters; by a search where it does not."""
    rng = np.random.default_rng(1)
    columns = {f"r{i}": data.v * np.where(rng.random(60) < 0.5, 1.5, 0.5)[data.school] for i in range(3)}
    columns["r3"] = data.v * (data.school % 3 > 0)
    columns["r4"] = data.v * np.where(data.school < 10, 60.0, 1.0)  # far from the full sample's
    wide = data.assign(**columns)
    options = {"replicate_weights": list(columns), "replicate_type": "BRR", "sampling_weights": "w"}
    fit = quiet(ml.sem, TWO, wide, "school", sampling_weights_between="v", **options)
    found = quiet(lambda: replicates(fit.estimation))
    assert found.usable.all()
    for i, name in enumerate(columns):
        one = quiet(ml.sem, TWO, wide, "school", sampling_weights="w", sampling_weights_between=name)
        assert np.allclose(found.theta[i], one.coef(), rtol=0, atol=1e-6), name


def test_a_replicate_without_a_group_has_no_maximum(data):
    text = "level: 1\n  y1 ~~ y2\nlevel: 2\n  y1 ~~ y2"
    wide = data.assign(**{f"r{i}": data.v * (data.school % (i + 3) > 0) for i in range(4)})
    wide["r1"] = wide.v * (wide.region == "a")
    options = {"replicate_weights": [f"r{i}" for i in range(4)], "replicate_type": "BRR", "group": "region"}
    fit = quiet(ml.sem, text, wide, "school", sampling_weights_between="v", **options)
    assert list(quiet(lambda: replicates(fit.estimation)).usable) == [True, False, True, True]
    with pytest.warns(ml.ConvergenceWarning, match="1 of 4 replicates have no maximum .* r1"):
        fit.vcov()


def test_replicates_of_incomplete_data_are_the_maxima_too(data):
    rng = np.random.default_rng(2)
    columns = {f"r{i}": data.v * np.where(rng.random(60) < 0.5, 1.5, 0.5)[data.school] for i in range(2)}
    columns["r2"] = data.v * (data.school % 5 > 0)
    wide = data.assign(**columns)
    wide.loc[::6, "y1"] = np.nan
    text, options = "level: 1\n  y1 ~~ y2\nlevel: 2\n  y1 ~~ y2", {"missing": "ml", "h1": False, "baseline": False}
    more = {"replicate_weights": list(columns), "replicate_type": "Fay"}
    fit = quiet(ml.sem, text, wide, "school", sampling_weights_between="v", **more, **options)
    found = quiet(lambda: replicates(fit.estimation))
    for i, name in enumerate(columns):
        one = quiet(ml.sem, text, wide, "school", sampling_weights_between=name, test="none", se="none", **options)
        assert np.allclose(found.theta[i], one.coef(), rtol=0, atol=1e-6), name
