"""Summaries: lavaan's layout, every format, and what a careful reader is told."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools

SMALL = """
level: 1
  math =~ math1 + a*math2 + math3
level: 2
  math_b =~ math1 + a*math2 + c*math3
c > 0.1
twice := 2*a
"""


@pytest.fixture(scope="module")
def fit():
    return ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")


@pytest.fixture(scope="module")
def grouped():
    data = load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))
    data.loc[3, "math1"] = np.nan
    return ml.sem(SMALL, data, cluster="school", group="kind")


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(start)]


def test_layout_is_lavaans(fit):
    """Column edges and numbers as R's lavaan 0.6-14 prints them for the same model and data."""
    text = str(fit.summary(fit_measures=True))
    for line in (
        "  Estimator                                         ML",
        "  Number of model parameters                        37",
        "  Number of clusters [school]                      100",
        "  Degrees of freedom                                35",
        "  Loglikelihood user model (H0)             -19168.485",
        "  Bayesian (BIC)                             38622.314",
        "  90 Percent confidence interval - upper         0.015",
        "  SRMR (between covariance matrix)               0.041",
        "  Standard errors                             Standard",
        "Level 1 [within]:",
        "Level 2 [school]:",
        "                   Estimate  Std.Err  z-value  P(>|z|)",
        "  math =~",
        "    math1             1.000",
        "    math2             0.882    0.026   33.720    0.000",
        "    girl             -0.077    0.044   -1.750    0.080",
        " .math ~~",
        "   .achievement       0.192    0.039    4.948    0.000",
    ):
        assert line in text.splitlines(), line


def test_sections_come_in_lavaans_order_at_each_level(fit):
    text = str(fit.summary(rsquare=True))
    titles = re.findall(
        r"^(Level \d|Latent Variables|Regressions|Covariances|Intercepts|Variances|R-Square)", text, re.M
    )
    assert titles == [
        *["Level 1", "Latent Variables", "Regressions", "Covariances", "Variances", "R-Square"],
        *["Level 2", "Latent Variables", "Regressions", "Intercepts", "Variances", "R-Square"],
    ]


def test_optional_columns(fit):
    plain, full = str(fit.summary()), str(fit.summary(ci=True, standardized=True))
    assert "ci.lower" not in plain
    assert "Std.all" not in plain
    assert "Comparative Fit" not in plain
    assert lines(full, "Estimate")[0].split()[-4:] == ["ci.lower", "ci.upper", "Std.lv", "Std.all"]
    assert len(lines(full, "math2")[0].split()) == 9


def test_standardized_and_rsquare_add_up(fit):
    """R-square is one less the standardized residual variance, and both come from the table."""
    summary = fit.summary(rsquare=True, standardized=True)
    table = summary.to_dataframe()
    row = table[(table.lhs == "math2") & (table.op == "~~") & (table.level == 1)]
    shown = str(summary).split("R-Square:")[1]
    assert float(lines(shown, "math2")[0].split()[1]) == pytest.approx(1 - row["std.all"].item(), abs=5.1e-4)


def test_groups_labels_constraints_and_dropped_rows(grouped):
    text = str(grouped.summary())
    assert "Group 1 [public]:" in text
    assert "Group 2 [private]:" in text
    assert re.search(r"math2 +\(a\) ", text)
    assert re.search(r"Number of observations +2234 +2235", text)
    assert re.search(r"Rows dropped: missing values \(listwise\) +1", text)
    assert re.search(r"Number of inequality constraints +1", text)
    table = grouped.parameter_estimates()
    slack = table.loc[(table.lhs == "math_b") & (table.rhs == "math3"), "est"].iloc[0] - 0.1
    assert float(text.split("|Slack|")[1].splitlines()[1].split()[-1]) == pytest.approx(slack, abs=5.1e-4)
    defined = text.split("Defined Parameters:")[1].splitlines()[2].split()
    assert defined[0] == "twice"
    assert float(defined[1]) == pytest.approx(2 * grouped.coef()["a"], abs=5.1e-4)


def test_honest_numbers(fit):
    text = str(fit.summary()).split("How this was estimated:")[1]
    assert re.search(r"Divisor in RMSEA and BIC: rows +2235", text)
    measures = fit.fit_measures()
    shown = float(re.search(r"logl\(H1\) - logl\(H0\) +(\S+)", text)[1])
    assert shown == pytest.approx(measures["unrestricted.logl"] - measures["logl"], rel=5e-3)
    moments = fit.estimation.model.moments
    smallest = np.linalg.eigvalsh(moments.within_cov[0][:8, :8])[0]
    assert float(re.search(r"Sigma within +(\S+)", text)[1]) == pytest.approx(smallest, rel=5e-3)


def test_incomplete_rows_that_are_used_are_counted(tmp_path):
    data = load_schools()
    data.loc[[3, 700], "math1"] = np.nan
    data.loc[9, ["math1", "math2"]] = np.nan
    data.loc[11, ["math1", "math2", "math3"]] = np.nan  # says nothing: neither used nor counted
    fit = ml.sem(SMALL, data, cluster="school", missing="ml")
    text = str(fit.summary())
    assert re.search(r"Number of observations +2234\n", text)
    assert re.search(r"Number of missing patterns +3\n", text)
    assert re.search(r"Rows with missing values, kept +3\n", text)
    assert str(ml.load(fit.save(tmp_path / "fit.json")).summary()) == text


def test_a_failed_fit_prints_and_says_what_to_do():
    with pytest.warns(ml.ConvergenceWarning):
        fit = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school", iter_max=1)
    text = str(fit.summary(fit_measures=True))
    assert text.startswith("mlsem_jax")
    assert "did NOT converge" in text.splitlines()[0]
    assert fit.status.sentence[:40] in text
    assert fit.status.advice.split(",")[0] in text
    assert "Warnings:" in text


def test_long_names_widen_the_column_and_are_not_cut():
    long = "a_very_long_name_of_a_test"
    data = load_schools().rename(columns={"math2": long})
    fit = ml.sem(SMALL.replace("math2", long).replace("c > 0.1", ""), data, cluster="school")
    text = str(fit.summary())
    row, head = lines(text, long)[0], lines(text, "Estimate")[0]
    assert f"{long} (a)" in row
    assert len(row) == len(head)


def test_html_is_self_contained_and_escaped(fit):
    page = fit.summary(fit_measures=True)._repr_html_()
    assert page.startswith("<div")
    assert page.endswith("</div>")
    assert "P(&gt;|z|)" in page
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<table>") == page.count("</table>") > 8


def test_markdown_tables_are_regular(fit):
    text = fit.summary(ci=True).to_markdown()
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_latex_is_balanced_and_escaped(grouped):
    text = grouped.summary(fit_measures=True).to_latex()
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") >= 5
    assert r"math\_b" in text
    assert not re.search(r"(?<!\\)_", text)
    body = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.S)
    for columns, rows in body:
        cells = {
            len(re.findall(r"(?<!\\)&", r)) + 1 for r in rows.splitlines() if r.endswith(r"\\") and "multicol" not in r
        }
        assert cells == {len(columns)}


def test_dataframe_is_the_parameter_table(fit):
    pd.testing.assert_frame_equal(fit.summary().to_dataframe(), fit.parameter_estimates())


def test_network_models_show_every_free_parameter():
    names = ["math1", "math2", "math3"]
    for within, between, sections in (
        ("ggm", "chol", ("Network (partial correlations)", "Scales of the network (delta)", "Cholesky Factor")),
        ("cor", "prec", ("Correlations", "Standard Deviations", "Precisions")),
    ):
        fit = ml.ml_varcov(load_schools(), clusters="school", vars=names, within=within, between=between).fit()
        text = str(fit.summary())
        assert all(f"{title}:" in text for title in sections)
        assert sum(len(line.split()) == 5 and line.startswith("   ") for line in text.splitlines()) == fit.npar


def test_random_slopes_have_a_section_and_no_chi_square(tmp_path):
    model = 'level: 1\nmath1 ~ rv("slope")*ses\nlevel: 2\nmath1 ~ public\nslope ~ public'
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.ImproperSolutionWarning)
        fit = ml.sem(model, load_schools(), cluster="school")
    text = str(fit.summary(fit_measures=True))
    assert re.search(r"Random Slopes:\n.*\n  math1 ~\n    ses +\(slope\)\n", text)
    assert "no chi-square test" in text
    assert "Model Test User Model" not in text
    # no share of a variance that differs from row to row, and no advice that cannot be followed
    assert "math1" not in fit.rsquare()["within"]
    assert "math1" in fit.rsquare()["between"]
    for ask in (fit.icc, fit.residuals, fit.h1):
        with pytest.raises(ml.ModelError, match="with random slopes there is none"):
            ask()
    pytest.importorskip("matplotlib").use("Agg")
    page = fit.report(tmp_path / "report.html").read_text()
    assert "with random slopes there is none" in page
    assert "h1=True" not in page
    ax = fit.plot("path", level=1)
    assert "slope" in {text.get_text() for text in ax.texts}
    assert any(type(patch).__name__ == "FancyArrowPatch" for patch in ax.patches)


def test_it_says_where_the_unrestricted_between_matrix_is_not_positive_definite(fit):
    """Six items, twenty clusters and nearly no residual variance between: there lavaan's chi-square differs."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(20), 5)
    names = [f"y{i}" for i in range(1, 7)]
    values = rng.normal(size=(20, 1))[cluster] * 0.4 + rng.normal(size=(100, 6))
    text = "level: 1\n" + " f =~ " + " + ".join(names) + "\nlevel: 2\n" + " g =~ " + " + ".join(names)
    data = pd.DataFrame(values, columns=names).assign(cluster=cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        indefinite = ml.sem(text, data, cluster="cluster")
    assert np.linalg.eigvalsh(indefinite.h1()["between"]["cov"])[0] < 0
    shown = str(indefinite.summary())
    assert re.search(r"Smallest eigenvalue: Sigma between, H1 +-0\.\d+", shown)
    assert "lavaan keeps this matrix positive semidefinite" in " ".join(shown.split())
    assert "H1" not in str(fit.summary()).split("How this was estimated")[1].replace("logl(H1)", "")
