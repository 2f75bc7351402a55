"""`ml.study`: populations by definition, cells against single fits, going on where it ended, and what is refused."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, THETA, tiny_model

import mlsem_jax as ml
from mlsem_jax.studies import _blocks, _cells
from mlsem_jax.studies import _study as _study_module
from mlsem_jax.studies._montecarlo_study import CONVERGED
from mlsem_jax.studies._population import model_of_text, values_of
from mlsem_jax.studies._sizes import cluster_sizes

pytestmark = pytest.mark.timeout(300)

# the model of tiny.py with its values in the text
VALUES = dict(zip(tiny_model().names, THETA, strict=True))
GRID = ml.grid(clusters=[30, 60], size=10)
COUNT = 20
single = _blocks._single


def run(design=GRID, model=MODEL, values=VALUES, **options):
    return ml.study(design, model, values, n_datasets=options.pop("n_datasets", COUNT), key=3, **options)


@pytest.fixture(scope="module")
def whole():
    return run()


def test_the_table_is_tidy_and_that_of_montecarlo(whole):
    table = whole.table()
    assert list(table.columns[:3]) == ["clusters", "size", "parameter"]
    assert len(table) == 2 * 15
    assert np.isfinite(table[["bias", "bias.mcse", "median", "median.mcse", "coverage.mcse"]]).all(axis=None)
    cell = whole.cells[1]
    part = table[table["clusters"] == 60].set_index("parameter")
    assert part.loc["a", "median"] == pytest.approx(np.median(cell.draws()["a"]))
    assert part.loc["product", "true"] == pytest.approx(0.8 * 1.1)
    rates = whole.rates()
    assert list(rates["clusters"]) == [30, 60]
    assert (rates["datasets"] == COUNT).all()
    assert rates.loc[1, "rejected"] == pytest.approx(cell.rates().loc["chi-square rejects", "rate"])
    assert len(whole.draws()) == 2 * COUNT
    assert "2 cells, 40 data sets" in str(whole)


def test_bias_is_within_its_monte_carlo_error(whole):
    """Four errors: of 30 estimates none lies outside by chance in one run of five hundred; variances of few clusters are biased."""
    table = whole.table()
    means = table[table["parameter"].str.contains("~1")]
    assert (means["bias"].abs() < 4 * means["bias.mcse"]).all()


def test_another_number_of_data_sets_compiles_nothing(whole):
    with jax.log_compiles(False):
        before = _compiled()
        fewer = run(n_datasets=11)
        assert _compiled() == before
    np.testing.assert_allclose(fewer.cells[0].estimates, whole.cells[0].estimates[:11], rtol=1e-9, atol=1e-10)


def _compiled() -> int:
    from mlsem_jax.estimation.batch._devices import program
    from mlsem_jax.estimation.layer import _simulate

    programs = [
        program((jax.local_devices()[0],), True, newton, width)
        for newton in (True, False)
        for width in (4, 8, 16, 32, 64)
    ]
    return sum(one._cache_size() for one in (*programs, _simulate._draw))


def test_it_goes_on_by_cell(whole, tmp_path):
    path, seen = tmp_path / "study", []
    run(GRID.iloc[:1], path=path)

    def stop(done, total):
        seen.append((done, total))

    again = run(path=path, progress=stop)
    assert seen == [(40, 40)], "the cell that was there is read"
    for mine, theirs in zip(again.cells, whole.cells, strict=True):
        np.testing.assert_allclose(mine.estimates, theirs.estimates, rtol=1e-9, atol=1e-10)
    more = run(path=path, n_datasets=COUNT + 4, progress=lambda *at: seen.append(at))
    assert seen[-1] == (48, 48)
    np.testing.assert_allclose(more.cells[0].estimates[:COUNT], whole.cells[0].estimates, rtol=1e-9, atol=1e-10)
    other = {**VALUES, "a": 0.7}
    run(GRID.iloc[:1], values=other, path=path)
    assert len([one for one in path.iterdir() if one.is_dir()]) == 3
    with pytest.raises(ml.DataError, match="another study"):
        ml.study(GRID, MODEL, VALUES, n_datasets=2, key=4, path=path)


def test_parts_make_the_whole(whole, tmp_path):
    path = tmp_path / "study"
    for part in ((0, 2), (1, 2)):
        run(path=path, part=part, chunk=10)
    seen = []
    both = run(path=path, progress=lambda *at: seen.append(at))
    assert seen == []
    np.testing.assert_allclose(both.cells[1].estimates, whole.cells[1].estimates, rtol=1e-9, atol=1e-10)


ONE_LEVEL = "f =~ 1*a + start(0.8)*b + start(0.7)*c + start(0.6)*d\n f ~~ start(1)*f\n" + "\n".join(
    f"{v} ~~ start(0.5)*{v}" for v in "abcd"
)


@pytest.mark.parametrize(
    ("conditions", "model", "values", "df"),
    [({"clusters": 30, "size": 10}, MODEL, VALUES, 1), ({"size": 100}, ONE_LEVEL, None, 2)],
)
def test_robust_batches_are_single_fits(conditions, model, values, df, monkeypatch):
    """Standard errors and tests by the scores of clusters, or of rows, lane by lane as ml.sem has them; and the data sets are the
    same for all estimators.
    """
    design = ml.grid(**conditions, estimator=["ML", "MLR", "MLF"], distribution="t")
    together = run(design, model, values, n_datasets=4).cells
    monkeypatch.setattr(_cells.Cell, "in_batches", False)
    alone = run(design.iloc[1:], model, values, n_datasets=4).cells
    for a, b in zip(together[1:], alone, strict=True):
        np.testing.assert_array_equal(a.status, b.status)
        np.testing.assert_allclose(a.estimates, b.estimates, atol=1e-7)
        np.testing.assert_allclose(a.se, b.se, rtol=1e-6)
        np.testing.assert_allclose(a.chisq, b.chisq, rtol=1e-5, atol=1e-6)
        assert a.df == b.df == df
    plain, robust, products = together
    np.testing.assert_allclose(plain.estimates, robust.estimates, rtol=1e-9)
    # of means in clusters of one size they are the same
    assert (np.abs(plain.se / robust.se - 1) > 1e-4).mean() > 0.6
    assert (np.abs(robust.chisq / products.chisq - 1) > 1e-4).all()


def test_the_start_values_of_a_text_are_the_population():
    text = MODEL.replace("a*y2", "a*start(0.8)*y2").replace("+ y3\nlevel", "+ start(1.2)*y3\nlevel")
    model = model_of_text(text, {})
    rest = {k: v for k, v in VALUES.items() if k not in ("a", "fw=~y3") and "~1" not in k}
    theta = values_of(model, rest, "ml.study")
    found = dict(zip(model.names, theta, strict=True))
    assert found["a"] == 0.8
    assert found["fw=~y3"] == 1.2
    assert found["y3~1.l2"] == 0.0, "means are 0 where nothing is said"
    with pytest.raises(ml.DataError, match=r"no value for fb~~fb\.l2.*start"):
        values_of(model, {k: v for k, v in rest.items() if k != "fb~~fb.l2"}, "ml.study")
    with pytest.raises(ml.ModelError, match=r"fw~~fv.*Did you mean 'fw~~fw'"):
        values_of(model, rest | {"fw~~fv": 1.0}, "ml.study")
    with pytest.raises(ml.ModelError, match=r"y1~~y1\.l2.*fixed at 0\.2"):
        values_of(model, rest | {"y1~~y1.l2": 1.0}, "ml.study")


COVARIATES = """
level: 1
  y ~ start(0.5)*x + start(0.2)*z
  y ~~ start(1)*y
level: 2
  y ~ start(0.4)*z + start(0.3)*w
  y ~~ start(0.2)*y
"""


def test_covariates_of_a_text_are_standard_and_uncorrelated():
    model = model_of_text(COVARIATES, {})
    with jax.enable_x64(True):
        moments = model(values_of(model, {}, "ml.study"))
    at = {name: i for i, name in enumerate(model.variables)}
    within, between = np.asarray(moments.within_cov)[0], np.asarray(moments.between_cov)[0]
    one = np.ix_([at["x"], at["z"]], [at["x"], at["z"]])
    np.testing.assert_allclose(within[one], np.eye(2), atol=1e-7)
    two = np.ix_([at["z"], at["w"]], [at["z"], at["w"]])
    np.testing.assert_allclose(between[two], np.eye(2), atol=1e-5)
    assert within[at["y"], at["y"]] == pytest.approx(1 + 0.25 + 0.04, rel=1e-6)


def test_moments_of_covariates_of_both_levels_are_no_part_of_the_test():
    """The model is saturated. Its covariate z keeps the population's moments, and so does the unrestricted model: of it free to fit
    them the chi-square would be that of three more restrictions. A model of its own text knows the same moments.
    """
    design = ml.grid(clusters=30, size=5, estimator=["ML", "MLR"])
    cells = ml.study(
        design, {"a": COVARIATES, "b": COVARIATES + "\n"}, population=COVARIATES, n_datasets=8, key=1
    ).cells
    for cell in cells:
        assert cell.df == 0
        np.testing.assert_allclose(cell.chisq, 0.0, atol=1e-8)
        np.testing.assert_allclose(cell.estimates, cells[0].estimates, atol=1e-8)


@pytest.mark.parametrize("icc", [0.15, 0.4])
def test_icc_is_the_mean_of_the_outcomes(icc):
    design = ml.grid(clusters=40, size=5, icc=icc)
    text = MODEL.replace("y1 ~~ 0.2*y1", "y1 ~~ start(0.2)*y1").replace("fb =~ y1", "fb =~ 1*y1")
    cell = _study_module._cells(design, text, {**VALUES, "y1~~y1.l2": 0.2}, None, {})[0]
    with jax.enable_x64(True):
        moments = cell.population(cell.theta)
    b, w = np.diag(np.asarray(moments.between_cov)[0]), np.diag(np.asarray(moments.within_cov)[0])
    assert np.mean(b / (b + w)) == pytest.approx(icc, rel=1e-9)
    found = dict(zip(cell.population.names, cell.theta, strict=True))
    assert found["b"] == 1.1, "loadings stay"
    assert found["y2~~y2.l2"] / 0.2 == pytest.approx(found["fb~~fb.l2"] / 0.8), "one factor for all variances"
    assert found["y2~~y2"] == VALUES["y2~~y2"], "and none for level 1"


def test_a_wrong_model_is_compared_with_the_population_by_name():
    """The population's path that the model leaves out is not in the table; one that only the model has is 0."""
    wrong = COVARIATES.replace(" + start(0.2)*z", "").replace("start(0.4)*z + start(0.3)*w", "w")
    more = COVARIATES.replace("level: 2\n  y ~ start(0.4)*z + start(0.3)*w", "level: 2\n  y ~ z + w + v")
    drawn = COVARIATES.replace("level: 2\n", "level: 2\n  v ~~ start(1)*v\n  v ~~ start(0)*y\n")
    design = ml.grid(clusters=30, size=5)
    both = ml.study(design, {"wrong": wrong, "more": more}, population=drawn, n_datasets=8, key=1, chisq=False)
    table = both.table().set_index(["model", "parameter"])
    assert table.loc[("wrong", "y~x"), "true"] == 0.5
    assert ("wrong", "y~z") not in table.index
    assert table.loc[("more", "y~v.l2"), "true"] == 0.0
    assert table.loc[("more", "y~w.l2"), "true"] == 0.3
    # the same data sets, and the covariate that is left out is independent of x
    x = both.draws().groupby("model")["y~x"].mean()
    assert x["wrong"] == pytest.approx(x["more"], abs=0.1)


def test_missing_values_in_batches_are_single_fits(monkeypatch):
    """Full information and listwise; what is refused or finds no maximum is fitted alone, and counts as it does there."""
    design = ml.grid(clusters=30, size=5, missing=0.3, missing_handling=["ml", "listwise"])
    alone = run(design, n_datasets=6)
    monkeypatch.setattr(_cells, "MANY", 1)
    fitted = []
    monkeypatch.setattr(_blocks, "_single", lambda *given: fitted.append(given) or single(*given))
    together = run(design, n_datasets=6)
    for a, b in zip(alone.cells, together.cells, strict=True):
        np.testing.assert_array_equal(a.status, b.status)
        np.testing.assert_allclose(a.estimates, b.estimates, atol=1e-6)
        np.testing.assert_allclose(a.se, b.se, rtol=1e-5)
        np.testing.assert_allclose(a.chisq, b.chisq, atol=1e-6)
        assert a.df == b.df == 1
    assert len(fitted) == int(sum((~np.isin(cell.status, CONVERGED)).sum() for cell in alone.cells))


def test_missing_values_and_random_slopes_are_fitted_one_at_a_time():
    slopes = """
level: 1
  y ~ rv("s")*x
  y ~~ start(1)*y
level: 2
  y ~~ start(0.3)*y
  s ~~ start(0.2)*s
  s ~ start(0.5)*1
"""
    found = ml.study(ml.grid(clusters=30, size=5), slopes, n_datasets=3, key=1).table().set_index("parameter")
    assert found.loc["s~1.l2", "true"] == 0.5
    assert abs(found.loc["s~1.l2", "bias"]) < 0.5
    design = ml.grid(clusters=30, size=5, missing=0.2, missing_by=[None, "x"], missing_handling=["ml"])
    plain = COVARIATES.replace(" + start(0.2)*z", "").replace("start(0.4)*z + ", "")
    rates = ml.study(design, plain, n_datasets=3, key=1).rates()
    assert (rates["converged"] == 1.0).all()


def test_one_level():
    rates = ml.study(ml.grid(size=[100, 200]), ONE_LEVEL, n_datasets=10, key=1).rates()
    assert list(rates["size"]) == [100, 200]
    with pytest.raises(ml.DataError, match="one level"):
        ml.study(ml.grid(clusters=5, size=10), ONE_LEVEL)


def test_single_fits_tell_how_far_they_are():
    seen = []
    slopes = COVARIATES.replace("start(0.5)*x", 'rv("s")*x') + "  s ~~ start(0.1)*s\n"
    ml.study(
        ml.grid(clusters=20, size=5), slopes, n_datasets=3, key=1, chisq=False, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    both = _study_module._cells(
        ml.grid(clusters=20, size=5, estimator=["ML", "MLR"], missing=[0.0, 0.2]), COVARIATES, None, None, {}
    )
    assert _study_module._announced(both, 300, 500).startswith("study: 4 cells of 300 data sets, those of 1 fitted one")
    assert (
        _study_module._announced(both[:1], 5, 500)
        == "study: 1 cells of 5 data sets; the first blocks compile programs ..."
    )


def test_sizes():
    assert cluster_sizes(3, 7).tolist() == [7, 7, 7]
    assert cluster_sizes(4, "5-20").tolist() == [5, 10, 15, 20]
    assert cluster_sizes(5, [5, 10]).tolist() == [5, 10, 5, 10, 5]
    assert cluster_sizes(3, "5, 10").tolist() == [5, 10, 5]
    for wrong in ("many", 0, -3, 2.5, [], [5, None], None, "0-4", float("nan")):
        with pytest.raises(ml.DataError, match="whole number such as 20"):
            cluster_sizes(3, wrong)


REFUSED = {
    "no rows": (GRID.iloc[:0], {}, "The design is empty"),
    "no table": (17, {}, "The design is a table"),
    "no size": (ml.grid(clusters=10), {}, "no column size"),
    "unknown column": (GRID.assign(cluster=3), {}, "no parameter of the population"),
    "a word": (GRID.assign(iccs="high"), {}, "Did you mean 'icc'"),
    "clusters": (GRID.assign(clusters=1.5), {}, "clusters=1.5 must be a whole number"),
    "sizes": (GRID.assign(size="big"), {}, "size='big'"),
    "icc": (GRID.assign(icc=1.4), {}, "between 0 and 1"),
    "estimator": (GRID.assign(estimator="WLS"), {}, "estimator='WLS' is not one of"),
    "twice": (pd.concat([GRID, GRID]), {}, "are the same"),
    "distribution": (GRID.assign(distribution="gama"), {}, "distribution='gama'"),
    "missing": (GRID.assign(missing=1.2), {}, "share of values"),
    "decider": (GRID.assign(missing=0.2, missing_by="zz"), {}, "'zz' is no variable"),
    "no share": (GRID.assign(missing_by="y1"), {}, "missing_by says"),
    "model": (GRID.assign(model="A"), {}, "model='A' is not one of none"),
    "option": (GRID, {"estimator": "MLR"}, "a column of the design"),
    "unknown option": (GRID, {"stdlv": True}, "std_lv"),
    "datasets": (GRID, {"n_datasets": 0}, "n_datasets"),
    "part": (GRID, {"part": (0, 2)}, "path="),
    "several": (GRID, {"model": {"A": MODEL, "B": MODEL}}, "population="),
    "number": (GRID, {"model": 3}, "not an int"),
    "freedom": (GRID.assign(distribution="t", freedom=2), {}, "freedom above 2"),
    "holes": (GRID.assign(missing=[{"zz": 0.1}] * 2), {}, "missing names zz"),
    "a list": (GRID, {"values": [1, 2]}, "given by name"),
    "values": (GRID, {"values": {**VALUES, "a": "x"}}, "must be a number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_words(case):
    design, options, words = REFUSED[case]
    with pytest.raises((ml.DataError, ml.ModelError), match=words):
        run(design, **options)


def test_an_empty_grid_is_refused():
    for conditions in ({}, {"clusters": []}):
        with pytest.raises(ml.DataError, match=r"ml\.grid"):
            ml.grid(**conditions)


def test_the_picture_has_a_panel_for_every_condition(whole):
    pytest.importorskip("matplotlib").use("Agg")
    axes = whole.plot("coverage", parameters=["a", "b"])
    assert axes.shape == (1, 2)
    assert [ax.get_title() for ax in axes[0]] == ["a", "b"]
    assert [text.get_text() for text in axes[0, 0].get_xticklabels()] == ["30", "60"]
    assert whole.plot("converged").shape == (1, 1)
    for call, words in (
        (lambda: whole.plot("nonsense"), "no column 'nonsense'"),
        (lambda: whole.plot("bias", parameters=["zz"]), "no parameter 'zz'"),
        (lambda: whole.plot("bias", x="iccs"), "no column 'iccs'"),
        (lambda: whole.where(clusters=7), "No cell has clusters=7"),
    ):
        with pytest.raises(ml.DataError, match=words):
            call()
    assert len(whole.where(clusters=30)) == 1
