"""Fits side by side, and in the tidy form of broom: what stands in the cells, every form of output, bad inputs."""

import html.parser

import numpy as np
import pytest
from tiny import rows, tiny_fit

import mlsem_jax as ml

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning", "ignore::mlsem_jax.ModelWarning"),
]


def other():
    return ml.sem("level: 1\nfw =~ y1 + y2 + y3\nlevel: 2\ny1 ~~ y2 + y3\ny2 ~~ y3", rows(), cluster="g")


def test_cells_are_estimates_with_errors():
    fit = tiny_fit()
    frame = fit.table(other(), names=["factor", "saturated"]).frame
    row = fit.parameter_estimates().query("lhs == 'fw' and rhs == 'y3'").iloc[0]
    assert frame.loc[("Loadings (within)", "fw =~ y3"), "factor"] == f"{row['est']:.3f} ({row['se']:.3f})"
    assert frame.loc[("Loadings (between)", "fb =~ y2"), "saturated"] == ""
    assert frame.loc[("Defined", "product"), "factor"].startswith(f"{fit.parameter_estimates().iloc[-1]['est']:.3f}")
    assert frame.loc[("Fit", "Clusters"), "saturated"] == "60"
    assert frame.loc[("Fit", "df"), "factor"] == str(int(fit.fit_measures()["df"]))
    assert not any(section.startswith("Intercepts") for section, _ in frame.index)


def test_options():
    fit = tiny_fit()
    row = fit.standardized_solution(level=0.9).query("lhs == 'fw' and rhs == 'y3'").iloc[0]
    frame = fit.table(standardized=True, ci=True, stars=True, digits=2, level=0.9, ops=["=~", "~1"]).frame
    expected = f"{row['est.std']:.2f}*** [{row['ci.lower']:.2f}, {row['ci.upper']:.2f}]"
    assert frame.loc[("Loadings (within)", "fw =~ y3"), "Model 1"] == expected
    assert ("Intercepts (between)", "y1") in frame.index
    assert not any(section.startswith("(Co)") for section, _ in frame.index)
    assert "90% intervals" in str(fit.table(ci=True, level=0.9))
    single = fit.table(ml.sem("f =~ y1 + y2 + y3", rows()), names=["two", "one"]).frame
    assert single.loc[("Loadings", "f =~ y2"), "one"]
    network = ml.ml_ggm(rows(), clusters="g", vars=["y1", "y2", "y3"]).fit()
    assert "y1 -- y2" in str(network.table())


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.rows = [], 0

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_form(tmp_path):
    table = tiny_fit().table(other(), names=["a & b", "<c>"])
    count = len(table.frame) + len(table.frame.index.get_level_values(0).unique()) + 1
    tags = Tags()
    tags.feed(table.to_html())
    assert not tags.open
    assert tags.rows == count
    assert "a &amp; b" in table.to_html()
    assert r"a \& b" in table.to_latex()
    assert table.to_latex().count(r"\\") == count + 1
    assert table.to_markdown().count("\n|") == count
    assert str(table) == table.to_text()
    for ending in ("txt", "md", "html", "tex", "csv"):
        assert table.save(tmp_path / f"table.{ending}").stat().st_size > 500
    with pytest.raises(ml.ModelError, match=r"\.txt, \.md"):
        table.save(tmp_path / "table.pdf")
    docx = pytest.importorskip("docx")
    document = docx.Document(str(table.save(tmp_path / "table.docx")))
    assert len(document.tables[0].rows) == count


def test_tidy_and_glance():
    fit = tiny_fit()
    table = fit.tidy()
    assert list(table.columns[:5]) == ["term", "op", "level", "group", "label"]
    np.testing.assert_allclose(table["estimate"], fit.parameter_estimates()["est"])
    assert table["term"].iloc[0] == "fw =~ y1"
    assert table["term"].iloc[-1] == "product"
    assert (fit.tidy(level=0.5)["conf.low"] >= table["conf.low"]).all()
    one = fit.glance().iloc[0]
    assert one["nobs"] == len(rows())
    assert one["nclusters"] == 60
    assert one["chisq"] == pytest.approx(fit.fit_measures()["chisq"])
    assert bool(one["converged"])


def test_what_maketables_asks():
    table = tiny_fit().__maketables_coef_table__
    assert list(table.columns) == ["b", "se", "t", "p", "ci95l", "ci95u"]
    assert table.index.name == "Coefficient"
    assert "fw =~ y3 (within)" in table.index
    assert tiny_fit().__maketables_stat__("N") == len(rows())
    assert tiny_fit().__maketables_stat__("nothing") is None


def test_bad_inputs():
    fit = tiny_fit()
    for call, words in (
        (lambda: fit.table(3), "takes fits"),
        (lambda: fit.table(other(), names=["one"]), "2 different names"),
        (lambda: fit.table(other(), names=["one", "one"]), "2 different names"),
        (lambda: fit.table(ops="="), "No estimate to show"),
        (lambda: fit.table(digits=-1), "digits"),
    ):
        with pytest.raises(ml.ModelError, match=words):
            call()
