"""Models of one level: stored numbers of lavaan 0.7 and of an engine of its own, dense densities, and what a user meets.

The stored cases (simulated data) are complete data, growth, groups, missing values, clusters nested in groups and across them.
"""

import gzip
import json
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import mlsem_jax as ml
from mlsem_jax.cli import main
from mlsem_jax.estimation import fit_batch
from mlsem_jax.inference import information
from mlsem_jax.inference.variance._clusters import weighted_clusters
from mlsem_jax.inference.variance._resampled import resampled

HERE = Path(__file__).parent / "one_level"
CASES = sorted(path.name.removesuffix(".json.gz") for path in HERE.glob("*.json.gz"))
CFA = "f =~ y1 + y2 + y3\ng =~ y4 + y5 + y6"
FOUR = "f =~ y1 + y2 + y3 + y4"
PATHS = "f =~ y1 + y2 + y3\nf ~ x\ny4 ~ b*f + c*x\ntotal := b + c"

pytestmark = pytest.mark.timeout(300)


def read(name):
    case = json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes()))
    rows = [[cell or "nan" for cell in row] for row in case.pop("rows")]
    data = pd.DataFrame(rows, columns=case.pop("header"))
    numeric = [c for c in data if c not in ("country", "track", "sex")]
    return case, data.astype(dict.fromkeys(numeric, float))


@pytest.fixture(scope="module")
def data():
    """Two factors, a covariate, two groups, 40 clusters that the groups cut, missing values in `holes`."""
    rng = np.random.default_rng(7)
    n = 300
    school = rng.integers(0, 40, n)
    x = rng.normal(size=n)
    f = 0.5 * x + rng.normal(size=n) + 0.4 * rng.normal(size=40)[school]
    g = 0.6 * f + rng.normal(size=n)
    y = np.column_stack([f, 0.8 * f, 0.7 * f, g, 0.9 * g, 0.8 * g]) + rng.normal(size=(n, 6)) + np.arange(6)
    frame = pd.DataFrame(y, columns=[f"y{i}" for i in range(1, 7)])
    return frame.assign(x=x, school=school, sex=np.where(rng.random(n) < 0.5, "a", "b"))


@pytest.fixture(scope="module")
def holes(data):
    rng = np.random.default_rng(8)
    out = data.copy()
    out[["y2", "y4", "y6"]] = out[["y2", "y4", "y6"]].mask(rng.random((len(data), 3)) < 0.15)
    return out


@pytest.fixture(scope="module")
def plain(data):
    return ml.cfa(CFA, data)


@pytest.fixture(scope="module")
def small(data):
    """Four variables: batches compile fast."""
    return ml.cfa(FOUR, data)


@pytest.fixture(scope="module")
def incomplete(holes):
    return ml.sem(PATHS, holes, missing="ml", estimator="MLR")


# ---------------------------------------------------------------- numbers


def variants():
    for name in CASES:
        yield from ((name, v["name"]) for v in read(name)[0]["variants"])


@pytest.mark.parametrize(("name", "which"), list(variants()))
def test_stored_numbers(name, which):
    case, frame = read(name)
    variant = next(v for v in case["variants"] if v["name"] == which)
    args = dict(variant["args"])
    fit = getattr(ml, case["function"])(args.pop("model", case["model"]), frame, **args)
    assert fit.converged
    if variant["nclusters"]:
        assert fit.nclusters == variant["nclusters"]
    measures = fit.fit_measures()
    for key, want in variant["fit"].items():
        if want is None:
            continue
        exact = key in ("logl", "unrestricted.logl", "chisq", "baseline.chisq", "npar", "df", "baseline.df")
        assert measures[key] == pytest.approx(want, rel=1e-7 if exact else 1e-4, abs=1e-5 if exact else 1e-4), key
    table = fit.parameter_estimates(standardized=True)
    assert set(table.level) <= {0, 1}
    found = {(r["lhs"], r["op"], r["rhs"] or "", int(r["group"])): r for r in table.to_dict("records")}
    for row in variant["parameters"]:
        key = (row["lhs"], row["op"], row.get("rhs") or "", row["group"])
        got = (
            found[row["lhs"], ":=", *next(k[2:] for k in found if k[:2] == (row["lhs"], ":="))]
            if row["op"] == ":="
            else found[key]
        )
        assert got["est"] == pytest.approx(row["est"], rel=2e-5, abs=2e-5), key
        if row.get("se"):
            assert got["se"] == pytest.approx(row["se"], rel=2e-4), key
        if row.get("std.all") is not None:
            assert got["std.all"] == pytest.approx(row["std.all"], rel=1e-4, abs=1e-4), key


def dense(fit, frame, covariates=()):
    """Log-density of each row's observed values given the covariates, one normal distribution at a time."""
    implied, out = fit.implied(), []
    names = list(implied["cov"])
    cov, mean = implied["cov"].to_numpy(), implied["mean"].to_numpy()

    def part(row, keep):
        at = [i for i, v in enumerate(names) if v in keep and not np.isnan(row[v])]
        if not at:
            return 0.0
        return multivariate_normal.logpdf(row[[names[i] for i in at]].to_numpy(float), mean[at], cov[np.ix_(at, at)])

    for _, row in frame.iterrows():
        out.append(part(row, names) - part(row, covariates))
    return np.array(out)


def test_dense_density_of_incomplete_rows(incomplete, holes):
    rows = dense(incomplete, holes, ("x",))
    assert rows.sum() == pytest.approx(incomplete.loglik, abs=1e-7)
    assert incomplete.loglik_by_cluster().to_numpy() == pytest.approx(rows, abs=1e-8)


def test_scores_sum_to_nothing_and_make_the_sandwich(incomplete):
    s = incomplete.scores().to_numpy()
    assert np.abs(s.sum(axis=0)).max() < 1e-4
    inverse = np.linalg.inv(information(incomplete.estimation.model, incomplete.estimation, "observed"))
    assert incomplete.vcov().to_numpy() == pytest.approx(inverse @ s.T @ s @ inverse, rel=1e-6, abs=1e-9)


def test_one_level_is_a_tuple_of_length_one(plain):
    made = plain.estimation.model.build
    assert (
        len(made.specification.levels) == len(made.structure.levels) == len(plain.estimation.model.moments.levels) == 1
    )


def test_equals_the_within_part_of_a_two_level_model(data):
    """Variables at level 1 alone have no between part: beside them, a variable of the clusters is a sample of its own."""
    sizes = np.where(np.arange(40) == 0, 2, 1)
    some = data.iloc[: sizes.sum()].assign(z=lambda d: np.sin(np.arange(len(d))), c=np.repeat(np.arange(40), sizes))
    some.loc[1, "z"] = some.loc[0, "z"]
    one = ml.sem("y1 ~ b*x + y2\ny2 ~ x", some, meanstructure=True)
    two = ml.sem("level: 1\n y1 ~ b*x + y2\n y2 ~ x\nlevel: 2\n z ~~ z", some, cluster="c")
    z = some.groupby("c").z.first()
    alone = -0.5 * len(z) * (np.log(2 * np.pi * z.var(ddof=0)) + 1)
    assert two.loglik == pytest.approx(one.loglik + alone, abs=1e-8)
    names = one.coef().index
    assert two.coef()[names].to_numpy() == pytest.approx(one.coef().to_numpy(), abs=1e-6)
    observed = ml.sem("y1 ~ b*x + y2\ny2 ~ x", some, meanstructure=True, information="observed")
    assert two.vcov().loc[names, names].to_numpy() == pytest.approx(observed.vcov().to_numpy(), rel=1e-5, abs=1e-9)


def test_a_mean_structure_changes_nothing_else(plain, data):
    with_means = ml.cfa(CFA, data, meanstructure=True)
    assert with_means.loglik == pytest.approx(plain.loglik, abs=1e-9)
    assert with_means.npar == plain.npar + 6
    for name in ("chisq", "df", "cfi", "rmsea"):
        assert with_means.fit_measures()[name] == pytest.approx(plain.fit_measures()[name], abs=1e-8)
    names = plain.coef().index
    assert with_means.vcov().loc[names, names].to_numpy() == pytest.approx(plain.vcov().to_numpy(), rel=1e-6)


# ---------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    ("options", "means"),
    [
        ({}, False),
        ({"group": "sex"}, True),
        ({"cluster": "school"}, True),
        ({"missing": "ml"}, True),
        ({"meanstructure": True}, True),
        ({"estimator": "MLR"}, False),
    ],
)
def test_when_there_is_a_mean_structure(data, options, means):
    fit = ml.sem("y1 ~ x", data, **options)
    assert fit.specification.means is means
    assert ("~1" in set(fit.parameter_estimates().op)) is means


def test_clusters_make_the_fit_robust(data):
    fit = ml.sem("y1 ~ x", data, cluster="school")
    options = fit.estimation.options
    assert (options.estimator, options.se, options.test) == ("MLR", "robust.cluster", "yuan.bentler.mplus")
    plain = ml.sem("y1 ~ x", data, cluster="school", estimator="ML")
    assert plain.estimation.options.se == "standard"
    assert "Number of clusters [school]" in str(fit.summary())
    assert "J / (J - 1)" in str(fit.summary())
    with pytest.raises(ml.ModelError, match="without clusters it goes by rows"):
        ml.sem("y1 ~ x", data, se="robust.cluster")


def test_group_equal_frees_what_sets_the_scale(data):
    fit = ml.cfa(CFA, data, group="sex", std_lv=True, group_equal=["loadings", "intercepts"])
    rows = {row.name: row.free for row in fit.specification.parameters}
    assert not rows["f~1"]
    assert not rows["f~~f"]
    assert rows["f~1.g2"]
    assert rows["f~~f.g2"]
    assert not {
        r.name: r.free for r in ml.cfa(CFA, data, group="sex", group_equal=["loadings"]).specification.parameters
    }["f~1.g2"]


# ---------------------------------------------------------------- results


def test_results_have_one_level(plain, data):
    assert set(plain.implied()) == {"cov"}
    assert set(ml.sem("y1 ~ x", data, group="sex").implied()["a"]) == {"cov", "mean"}
    assert plain.residuals("cor")["cov"].shape == (6, 6)
    assert plain.rsquare().index[0] == "y1"
    assert "Level" not in str(plain.summary(fit_measures=True, standardized=True))
    assert plain.inspect("est")["lambda"].shape == (6, 2)
    assert plain.nclusters == 0
    assert "clusters" not in repr(plain)
    table = plain.modification_indices()
    assert set(table.level) == {1}
    assert "~1" not in set(table.op)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: fit.icc(), "does not divide variances"),
        (lambda fit: fit.predict(level=2), "scores of rows only"),
        (lambda fit: fit.fit_measures_by_level(), "no fit by level"),
        (lambda fit: fit.plot("path", level=2), "has one level"),
        (lambda fit: fit.plot("residuals", level=2), "has one level"),
        (lambda fit: fit.plot("cluster_sizes"), "no cluster sizes"),
        (lambda fit: fit.plot("scores"), "does not have"),
        (lambda fit: fit.inspect("cluster.size"), "without cluster="),
    ],
)
def test_what_is_about_levels_says_so(plain, ask, words):
    with pytest.raises(ml.ModelError, match=words):
        ask(plain)


def test_factor_scores(plain, data):
    matrices = plain.inspect("est")
    loadings, psi, theta = (matrices[name].to_numpy() for name in ("lambda", "psi", "theta"))
    y = data[[f"y{i}" for i in range(1, 7)]].to_numpy()
    centred = y - y.mean(axis=0)
    regression = centred @ np.linalg.inv(loadings @ psi @ loadings.T + theta) @ loadings @ psi
    assert plain.predict().to_numpy() == pytest.approx(regression, abs=1e-8)
    weight = np.linalg.inv(theta) @ loadings
    bartlett = centred @ weight @ np.linalg.inv(loadings.T @ weight)
    found = plain.predict(method="Bartlett", se=True)
    assert found[["f", "g"]].to_numpy() == pytest.approx(bartlett, abs=1e-8)
    assert found["f.se"].to_numpy() == pytest.approx(np.sqrt(np.linalg.inv(loadings.T @ weight)[0, 0]))
    with pytest.raises(ml.ModelError, match="observed indicators"):
        ml.cfa("f =~ y1 + y2 + y3\ng =~ y4 + y5 + y6\nh =~ x + y1\nk =~ f + g + h", data).predict(method="Bartlett")


def test_weights_are_rows_drawn_again(small, data):
    """A draw of the bootstrap is the fit of its rows, also where the model holds the means of the first sample."""
    chosen = np.random.default_rng(3).integers(0, len(data), len(data))
    weights = np.bincount(chosen, minlength=len(data)).astype(float)
    model = small.estimation.model
    end = fit_batch(
        model.build.structure,
        weighted_clusters(small.estimation),
        theta0=model.theta,
        weights=weights[None],
    )
    again = ml.cfa(FOUR, data.iloc[chosen])
    assert end.theta[0][: small.npar] == pytest.approx(again.coef().to_numpy(), abs=1e-5)
    assert end.value[0] == pytest.approx(again.loglik, abs=1e-6)


def test_bootstrap_and_influence_go_by_rows(small):
    boot = small.bootstrap(50, 1)
    assert "bootstrap of rows" in str(boot)
    assert boot.table()["boot.se"].to_numpy() == pytest.approx(
        small.parameter_estimates().se.dropna().to_numpy(), rel=0.6
    )
    assert small.influence().cook.index.name == "row"


def test_clusters_across_groups_are_drawn_whole(data):
    fit = ml.sem("y1 ~ x", data, cluster="school", group="sex")
    lanes = resampled(fit.estimation, 3, jax.random.key(1), "nonparametric")
    units = fit.estimation.data.independent
    for weights in lanes["weights"]:
        for unit in np.unique(units):
            assert len(set(weights[units == unit])) == 1


def test_saved_and_read(plain, incomplete, tmp_path):
    for name, fit in (("plain", plain), ("incomplete", incomplete)):
        fit.save(tmp_path / name)
        again = ml.load(tmp_path / name)
        assert again.parameter_estimates()["se"].to_numpy() == pytest.approx(
            fit.parameter_estimates()["se"].to_numpy(), nan_ok=True
        )
        assert again.fit_measures().to_dict() == pytest.approx(fit.fit_measures().to_dict(), nan_ok=True)
    # the rows are not in the file
    assert str(float(plain.estimation.data.values[0, 0])) not in (tmp_path / "plain").read_text()
    with pytest.raises(ml.DataError, match="need the rows"):
        again.scores()


def test_model_text_out_and_in(plain, incomplete, data, holes):
    assert "level" not in plain.to_lavaan()
    assert ml.lavaan(plain.to_lavaan(), data).loglik == pytest.approx(plain.loglik, abs=1e-8)
    assert ml.lavaan(incomplete.to_lavaan(), holes, missing="ml").loglik == pytest.approx(incomplete.loglik, abs=1e-6)
    assert "TYPE = GENERAL" in plain.to_mplus()
    assert "%WITHIN%" not in plain.to_mplus()
    table = plain.parameter_estimates().drop(columns=["level", "block"]).assign(free=lambda d: (d.se > 0).astype(int))
    assert ml.lavaan(ml.read_partable(table), data).loglik == pytest.approx(plain.loglik, abs=1e-8)


def test_report_and_pictures(plain, incomplete, tmp_path):
    pytest.importorskip("matplotlib")
    text = incomplete.report(tmp_path / "page.html").read_text()
    assert "Model of one level, 300 rows" in text
    assert "Clusters" not in text
    assert plain.plot("path").get_title() == ""
    assert plain.plot("residuals").get_title() == "Residual correlations"


# ---------------------------------------------------------------- the JAX layer


@pytest.fixture(scope="module")
def pieces(data):
    model = ml.model(FOUR, data)
    return model, ml.statistics(model, data)


def test_jax_layer(small, data, pieces):
    model, stats = pieces
    estimate = ml.estimate(model, stats, chisq=True)
    assert float(estimate.chisq) == pytest.approx(small.fit_measures()["chisq"], abs=1e-6)
    assert int(estimate.df) == 2
    assert len(model(estimate.theta).levels) == 1
    assert float(ml.log_likelihood(model, estimate.theta, stats)) == pytest.approx(small.loglik, abs=1e-8)
    halves = ml.statistics(model, data[:120]) + ml.statistics(model, data[120:])
    chunks = ml.statistics(model, [data[:120], data[120:]])
    for other in (halves, chunks):
        assert float(ml.log_likelihood(model, estimate.theta, other)) == pytest.approx(small.loglik, abs=1e-7)
    with pytest.raises(ml.ModelError, match="would only change standard errors"):
        ml.model(FOUR, data, cluster="school")
    with pytest.raises(ml.ModelError, match="other means"):
        ml.model(FOUR, data, meanstructure=False)


def test_simulation(small, pieces):
    model, stats = pieces
    theta = ml.estimate(model, stats).theta
    study = ml.montecarlo(model, theta, 300, 60, 1)
    table = study.table()
    assert (np.abs(table["bias"]) < 5 * table["bias.mcse"]).all()
    assert float(study.rates().loc["converged", "rate"]) == 1.0
    rows = ml.simulate(model, theta, 1, 40, n_datasets=2, rows=True)
    assert list(rows.frame(1)) == list(model.variables)
    with pytest.raises(ml.DataError, match="number of rows"):
        ml.simulate(model, theta, 1, 0.5)
    drawn = small.simulate(1, n_datasets=2)  # of a fit that holds the means
    assert float(np.ptp(drawn.terms[0].data.mean, axis=0).max()) < 1e-12
    moved = ml.statistics(small.model, data_of(small) + 1.0)
    assert float(ml.estimate(small.model, moved).value) == pytest.approx(small.loglik, abs=1e-6)


def data_of(fit):
    return pd.DataFrame(fit.estimation.data.values, columns=list(fit.estimation.data.variables))


def test_command_line(data, tmp_path, capsys):
    data.to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "m.txt").write_text("y1 ~ x")
    files = [str(tmp_path / name) for name in ("m.txt", "d.csv")]
    assert main(["fit", *files, "-q", "--json", str(tmp_path / "f.json")]) == 0
    plain = capsys.readouterr().out
    assert main(["fit", *files, "-q", "--cluster", "school"]) == 0
    robust = capsys.readouterr().out
    assert "Standard errors                             Standard" in plain
    assert "Number of clusters [school]" in robust
    assert "Robust.cluster" in robust
    assert main(["simulate", str(tmp_path / "f.json"), "--out", str(tmp_path / "s.csv")]) == 0
    assert list(pd.read_csv(tmp_path / "s.csv")) == ["y1", "x"]


def test_networks_say_what_to_call(data):
    with pytest.raises(ml.DataError, match=r"ml\.cfa, ml\.sem and ml\.lavaan"):
        ml.ml_ggm(data[["y1", "y2", "y3"]])


# ---------------------------------------------------------------- awkward data


def refused(model, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError) as caught:
            ml.sem(model, data, **options)
    text = str(caught.value)
    assert "level 1" not in text
    return text


def test_awkward_data(data):
    assert "'y2' is constant" in refused(CFA, data.assign(y2=3.0))
    assert "'y1' and 'y2'" in refused(CFA, data.assign(y2=2 * data.y1)).replace(", ", " and ")
    assert "single row" in refused("y1 ~ x", data[:1])
    assert "covariates" in refused("y1 ~ x + y2 + y3", data[:3])
    assert "single value" in refused("y1 ~ x", data.assign(school=1), cluster="school")
    assert "single row in group 'b'" in refused("y1 ~ x", data.assign(sex=["b"] + ["a"] * 299), group="sex")
    assert "Did you mean 'y4'" in refused("y1 ~ y44", data)
    assert "infinite" in refused("y1 ~ x", data.assign(x=np.inf))
    assert "holds text" in refused("y1 ~ sex", data)
    assert "rows themselves" in refused(CFA, data[[f"y{i}" for i in range(1, 7)]].cov())
    assert "has no formula" in refused("a == 1", data)
    assert "given together" not in refused("y1 ~ x", data, missing="ml", meanstructure=False)
    assert "speaks of means" in refused("y1 ~ x\ny1 ~ 1", data, meanstructure=False)
    assert "stands in no group" in refused("y1 ~ x\ngroup: a\ny1 ~ x\ngroup: b\ny1 ~ x", data, group="sex")
    assert "cluster=" in refused(f"level: 1\n{CFA}\nlevel: 2\n{CFA}", data).replace("level 1", "")


@pytest.mark.filterwarnings("ignore::mlsem_jax.ConvergenceWarning", "ignore::mlsem_jax.ModelWarning")
def test_more_variables_than_rows(data):
    """There is no unrestricted model; whether the model has a maximum, its status says. No sentence speaks of levels."""
    fit = ml.cfa(CFA, data[:5])
    assert any("5 rows but 6 variables" in sentence for sentence in fit.warnings)
    assert fit.estimation.h1 is None
    assert not any("within" in sentence for sentence in fit.warnings)
    small = ml.sem("y1 ~~ y2", data[:2])
    assert not small.converged
    assert any("tends to a singular one" in sentence for sentence in small.warnings)


def test_improper_solutions_are_told_without_levels():
    """Correlations of .9, .9 and .7 ask for a loading beyond 1."""
    rows = np.random.default_rng(5).normal(size=(80, 3))
    rows = (
        np.linalg.qr(rows - rows.mean(axis=0))[0]
        @ np.linalg.cholesky(np.array([[1, 0.9, 0.9], [0.9, 1, 0.7], [0.9, 0.7, 1]])).T
    )
    with pytest.warns(ml.ImproperSolutionWarning, match="the residual variance of a is estimated at -0"):
        ml.cfa("h =~ a + b + c", pd.DataFrame(rows * 9, columns=list("abc")))


def test_covariates_alone_and_missing_rows(data, holes):
    """Nothing is explained; rows that are empty do not count."""
    fit = ml.sem("y1 ~~ x", data)
    assert fit.npar == 3
    empty = holes.assign(y1=holes.y1.mask(np.arange(300) < 10))
    empty.loc[:9, ["y2"]] = np.nan
    known = ml.sem("y1 ~~ y2", empty, missing="ml", cluster="school")
    assert (known.nobs, dict(known.estimation.data.rows_dropped)) == (290, {"no value of any variable": 10})
    rest = ml.sem("y1 ~~ y2", empty[10:], missing="ml", cluster="school")
    assert known.vcov().to_numpy() == pytest.approx(rest.vcov().to_numpy(), rel=1e-9)
    assert "No row has a value" in refused("y1 ~~ y2", empty[:5], missing="ml")


def test_polars_ids_and_rows_in_any_order(data):
    shuffled = data.sample(frac=1, random_state=1)
    one, other = (ml.sem("y1 ~ x", d, cluster="school") for d in (data, shuffled))
    assert other.vcov().to_numpy() == pytest.approx(one.vcov().to_numpy(), rel=1e-8)
