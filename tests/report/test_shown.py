"""What a notebook shows: a few lines with the numbers that matter, tables with three decimals, columns that line up."""

from __future__ import annotations

import io
import re
import time

import equinox as eqx
import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import load_schools
from mlsem_jax.report import _progress as progress
from mlsem_jax.report import _short as short
from mlsem_jax.report.summary import number
from mlsem_jax.studies._montecarlo_study import MonteCarlo

pytestmark = pytest.mark.timeout(240)

TWO = """
level: 1
  f =~ math1 + a*math2 + math3
level: 2
  b =~ math1 + math2 + math3
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))


@pytest.fixture(scope="module")
def fit(data) -> ml.Fit:
    return ml.sem(TWO, data, cluster="school")


@pytest.fixture(scope="module")
def path(data) -> ml.Fit:
    return ml.sem("f =~ math1 + math2 + math3 + reading1\nf ~ ses", data)


def test_a_fit_says_what_matters_in_a_few_lines(fit, path, data):
    m = path.fit_measures()
    lines = repr(path).splitlines()
    assert lines[0] == f"<mlsem_jax.Fit: {path.npar} parameters, 2235 rows, loglik {path.loglik:.3f}, converged"
    assert lines[1] == f" chi-square {m['chisq']:.3f} on 5 df, p = {m['pvalue']:.3f}"
    assert f"CFI {m['cfi']:.3f}" in lines[2]
    assert len(lines) == 4
    assert f"CFI {m['cfi']:.3f}" in path._repr_html_()
    assert "within" in repr(fit)
    with pytest.warns(ml.ConvergenceWarning):
        failed = ml.sem(TWO, data, cluster="school", iter_max=1)
    assert "iteration_limit" in repr(failed)
    assert "chi-square" not in repr(failed)


def test_an_index_that_does_not_exist_is_left_out_of_the_few_lines(path):
    m = path.fit_measures().drop("srmr")
    for within, between, shown in ((0.02, np.nan, "SRMR 0.020 within"), (np.nan, 0.1, "SRMR 0.100 between")):
        line = short._indices(pd.concat([m, pd.Series({"srmr_within": within, "srmr_between": between})]))
        assert line.endswith(shown)
    for nothing in (pd.Series({"srmr_within": np.nan, "srmr_between": np.nan}), pd.Series({"srmr": np.nan})):
        assert "SRMR" not in short._indices(pd.concat([m, nothing]))


@pytest.mark.parametrize("options", [{}, {"estimator": "MLR"}, {"information": "expected"}], ids=str)
def test_a_fit_without_a_maximum_has_no_standard_errors(data, options):
    with pytest.warns(ml.ConvergenceWarning):
        failed = ml.sem(TWO, data, cluster="school", iter_max=2, **options)
    table = failed.parameter_estimates(standardized=True)
    assert not failed.converged
    assert table["est"].notna().all()
    assert table["se"].isna().all()
    assert (failed.standardized_solution()["se"].fillna(0.0) == 0.0).all()  # 0: of what is fixed
    assert "standard errors are left out" in str(failed.summary())


def test_repr_of_a_fit_with_missing_values_computes_nothing(data):
    holes = data.copy()
    holes.loc[::7, "math1"] = np.nan
    fit = ml.sem(TWO, holes, cluster="school", missing="ml", estimator="MLR")
    assert "CFI" not in repr(fit)
    assert "_measures" not in vars(fit._results)
    fit.fit_measures()
    assert "CFI" in repr(fit)


def test_network_models_before_and_after_the_fit(data):
    model = ml.ml_ggm(data, clusters="school", vars=["math1", "math2", "math3"])
    text = repr(model)
    assert text.startswith("<mlsem_jax network model ml_ggm: 3 variables, 15 parameters")
    assert "data: 2235 rows in 100 clusters" in text
    assert "omega_within 3" in text
    assert "<div>" in model._repr_html_()
    assert "by ml_ggm()" in repr(model.fit())
    assert str(model.fit().parameters()).count("0.000") > 5


def test_nested_results_are_dictionaries_that_print_as_tables(fit, data):
    moments = fit.h1()
    assert isinstance(moments, dict)
    assert isinstance(moments["within"], dict)
    assert type(moments["within"]["cov"]) is pd.DataFrame
    assert moments == moments | {}
    text = repr(moments)
    assert text.startswith("within, cov:\n")
    assert f"{moments['between']['mean']['math1']:.3f}" in text
    assert "e-" not in repr(fit.residuals())
    assert moments._repr_html_().count("<table") == 4
    groups = ml.sem(TWO.replace("a*", ""), data, cluster="school", group="kind")
    assert "private, between, mean:" in repr(groups.implied())
    assert "public:\n" in repr(groups.icc())
    assert "within, beta:\nnone" in repr(fit.inspect("est"))
    assert repr(type(moments)()) == "{}"


def test_numbers_are_shown_with_three_decimals_and_kept_in_full(path):
    measures = path.fit_measures()
    assert isinstance(measures, pd.Series)
    assert re.search(r"^df +5\.000$", repr(measures), re.M)
    assert "..." not in repr(measures)
    table = path.parameter_estimates()
    assert isinstance(table, pd.DataFrame)
    assert table["pvalue"].min() < 1e-100
    shown = repr(table)
    assert not re.search(r"\de[-+]\d", shown)
    assert "ci.upper" in shown
    assert not re.search(r"\de[-+]\d", table._repr_html_())
    # what is taken from a table shows itself alike; columns, files and text keep all digits
    assert "e-" not in repr(table.query("op == '~'"))
    assert type(table["pvalue"]) is pd.Series
    assert "e-" in table.to_csv()
    assert "e-" in table.to_string()
    assert type(table.round(2)) is pd.DataFrame  # whoever rounds has chosen the decimals
    with pd.option_context("display.precision", 5):
        assert re.search(r"\d\.\d{5}\b", repr(table))
    pd.testing.assert_frame_equal(pd.DataFrame(table), table, check_frame_type=False)


def test_rounding_is_no_negative_number(fit):
    """A variance on its bound and residuals of what is saturated are zero; a small negative estimate keeps its sign."""
    assert [number(x) for x in (-1e-15, -0.0, 1e-12, -0.0002)] == ["0.000", "0.000", "0.000", "-0.000"]
    residuals = fit.residuals()["within"]["cov"]
    assert np.abs(residuals.to_numpy()).max() > 0
    tiny_ones = residuals * 0 - 1e-14
    assert "-0.000" not in repr(tiny_ones)
    assert "-0.000" not in tiny_ones._repr_html_()


@pytest.mark.parametrize("digits", [0, 2, 6])
def test_digits_of_a_summary(path, digits):
    text = str(path.summary(fit_measures=True, rsquare=True, digits=digits)).split("How this was")[0]
    row = path.parameter_estimates().query("lhs == 'f' and op == '~'").iloc[0]
    assert f"{row['est']:.{digits}f}" in text.split("Regressions")[1].splitlines()[3]
    assert f"{path.fit_measures()['cfi']:.{digits}f}" in text
    with pytest.raises(ml.ModelError, match="digits=-1"):
        path.summary(digits=-1)


def aligned(text: str) -> None:
    """Under 'Estimate  Std.Err ...' every number ends where its heading ends, at the same place in all sections."""
    heads = [line for line in text.splitlines() if "Estimate" in line]
    ends = {tuple(m.end() for m in re.finditer(r"\S+", line)) for line in heads if line.startswith("   ")}
    longest = max(ends, key=len)
    assert all(one == longest[: len(one)] for one in ends), ends
    section = False
    for line in text.splitlines():
        section = (section and bool(line.strip())) or ("Estimate" in line and line.startswith("   "))
        numbers = [m.end() for m in re.finditer(r"-?\d+\.\d+", line)]
        assert not section or set(numbers) <= set(longest), line


def test_columns_line_up_from_section_to_section(fit, data):
    aligned(str(fit.summary(rsquare=True, standardized=True, ci=True)).split("How this")[0])
    wide = data.assign(math1=data.math1 * 1e5)
    scaled = ml.sem("f =~ math2 + math1 + math3", wide, meanstructure=True)
    aligned(str(scaled.summary(rsquare=True, digits=4)).split("How this")[0])


def test_html_of_a_summary_gives_all_sections_one_width(fit):
    page = fit.summary(rsquare=True)._repr_html_()
    assert re.search(r"--name:\d+ch;--label:\d+ch;--cell:\d+ch", page)
    assert page.count("<div class='estimates'>") >= 6
    assert "min-width:var(--cell)" in page


# ---------------------------------------------------------------- the JAX layer


def test_reprs_of_the_jax_layer(fit, data):
    model = fit.model
    assert repr(model).startswith("<mlsem_jax model of two levels: 3 variables, 15 parameters")
    assert len(repr(model).splitlines()) < 6
    assert len(eqx.tree_pformat(model).splitlines()) > 20  # the arrays are there for whoever wants them
    stats = ml.statistics(model, data)
    est = ml.estimate(model, stats)
    assert f"log-likelihood {float(est.value):.3f}" in repr(est)
    assert "theta [" in repr(est)
    moments = model(est.theta)
    assert "within, cov:" in repr(moments)
    draws = ml.simulate(model, est.theta, 1, [8] * 30, n_datasets=2)
    assert "2 data sets, each of 240 rows in 30 clusters" in repr(draws)
    assert "2 data sets of 240 rows in 30 clusters" in repr(ml.simulate(model, est.theta, 1, [8] * 30, 2, rows=True))
    assert "2235 rows in 100 clusters" in repr(stats.reduced)


@pytest.mark.parametrize(
    "leaf",
    [
        lambda x: 0,
        lambda x: object(),
        lambda x: None,
        lambda x: jax.ShapeDtypeStruct(np.shape(x), float),
        lambda x: np.stack([x, x]),
    ],
    ids=["axes", "objects", "none", "shapes", "lanes"],
)
def test_reprs_of_trees_without_numbers(fit, data, leaf):
    """JAX shows trees of whatever it is given in its messages."""
    model = fit.model
    stats = ml.statistics(model, data).reduced
    for tree in (model, model(model.start), stats):
        assert repr(jax.tree.map(leaf, tree)).startswith("<mlsem_jax")
    seen = []
    jax.jit(lambda theta: (seen.append(repr(model(theta))), theta)[1])(model.start)
    assert seen[0].startswith("<mlsem_jax moments: covariances")


def test_reports_show_themselves_as_html(fit):
    draws, errors = np.array([[0.9], [1.0], [1.2]]), np.full((3, 1), 0.1)
    study = MonteCarlo(("a",), np.ones(1), draws, errors, np.full(3, np.nan), 0, np.zeros(3, int))
    for thing in (study, fit.influence()):
        assert "<table" in thing._repr_html_()


# ---------------------------------------------------------------- a word to whoever waits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_call_that_takes_long_says_so_at_a_terminal_and_nowhere_else(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    terminal, script = Terminal(), io.StringIO()
    for stream in (terminal, script):
        with progress.notice_if_slow(stream):
            time.sleep(0.2)
    assert terminal.getvalue() == f"{progress.NOTICE}\r\x1b[K"
    assert len(progress.NOTICE) < 80, "a second line would not be wiped away"
    assert script.getvalue() == ""
    monkeypatch.setattr(progress, "PATIENCE", 30.0)
    quick = Terminal()
    with progress.notice_if_slow(quick):
        pass
    assert quick.getvalue() == ""
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    with progress.notice_if_slow(script):
        time.sleep(0.2)
    assert script.getvalue() == f"{progress.NOTICE}\n"


def test_the_word_is_said_once_where_slow_calls_call_one_another(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    outer, inner = Terminal(), Terminal()
    with progress.notice_if_slow(outer):
        with progress.notice_if_slow(inner):
            time.sleep(0.1)
        assert outer.getvalue() == progress.NOTICE, "and it stays while the outer call works"
    assert inner.getvalue() == ""


def test_fits_have_the_word(data, monkeypatch, capsys):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    ml.cfa("f =~ math1 + math2 + math3", data)
    assert progress.NOTICE in terminal.getvalue()
    assert capsys.readouterr().out == ""


class Bar:
    """A stand-in for tqdm's."""

    made: list = []

    def __init__(self, total, mininterval):
        self.total, self.n, self.closed = total, 0, False
        self.made.append(self)

    def update(self, more):
        self.n += more

    def close(self):
        self.closed = True


def test_bars_are_those_of_tqdm_where_it_is_installed(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_tqdm", lambda: Bar)
    Bar.made.clear()
    progress.bar(3, 10)  # of a job that is stopped
    for done in (2, 5, 10):
        progress.bar(done, 10)
    progress.bar(4, 4)
    assert [(bar.total, bar.n, bar.closed) for bar in Bar.made] == [(10, 3, True), (10, 10, True), (4, 4, True)]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_tqdm", lambda: None)
    progress.bar(10, 10)
    assert "10/10" in capsys.readouterr().err
