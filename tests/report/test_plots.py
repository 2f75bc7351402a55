"""Pictures: they draw what the fit says, on the axes they are given, and no label lies on another from 3 to 40 variables."""

import itertools
import re

import numpy as np
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.report.plots._path import draw_paths
from mlsem_jax.report.plots._path_layout import arrange
from mlsem_jax.syntax import SyntaxOptions, parse, specify

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402


@pytest.fixture(scope="module")
def fit():
    return ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def drawn(model: str, variables: list[str]):
    """What a diagram is drawn from: the specification of a model, and estimates that are nearly all different."""
    specification = specify(parse(model), options=SyntaxOptions.for_function("sem"), data_variables=variables)
    return specification, np.linspace(-0.6, 0.9, len(specification.parameters))


def factors(p: int) -> tuple[str, list[str]]:
    """p indicators of p // 5 correlated factors with two covariates within, one factor between."""
    items, count = [f"item{i + 1}" for i in range(p)], max(1, p // 5)
    lines = [f"f{k + 1} =~ " + " + ".join(items[i] for i in range(p) if i * count // p == k) for k in range(count)]
    lines.append(" + ".join(f"f{k + 1}" for k in range(count)) + " ~ x1 + x2")
    between = "fb =~ " + " + ".join(items) + "\nfb ~ z"
    return "\n".join(["level: 1", *lines, "level: 2", between]), [*items, "x1", "x2", "z"]


def saturated(p: int) -> tuple[str, list[str]]:
    items = [f"item{i + 1}" for i in range(p)]
    lines = [f"{a} ~~ {b}" for i, a in enumerate(items) for b in items[i:]]
    return "\n".join(["level: 1", *lines, "level: 2", *lines]), items


MEDIATION = ("level: 1\nm ~ x\ny ~ m + x + w\nlevel: 2\nm ~ z\ny ~ m + z", ["x", "m", "y", "w", "z"])
GROWTH = (
    "level: 1\ni =~ 1*a + 1*b + 1*c + 1*d\ns =~ 0*a + 1*b + 2*c + 3*d\nlevel: 2\nj =~ a + b + c + d\nj ~ z",
    ["a", "b", "c", "d", "z"],
)


@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize(
    "case",
    [factors(3), factors(10), factors(30), factors(40), saturated(3), saturated(10), saturated(30), MEDIATION, GROWTH],
    ids=["f3", "f10", "f30", "f40", "s3", "s10", "s30", "mediation", "growth"],
)
def test_no_label_lies_on_another(case, standardized):
    for level in (1, 2):
        ax = draw_paths(*drawn(*case), level, standardized=standardized)
        figure = ax.figure
        figure.draw_without_rendering()
        page = figure.bbox
        boxes = [t.get_window_extent() for t in (*ax.texts, ax.title)]
        for a, b in itertools.combinations(boxes, 2):
            across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            # boxes of text hold some empty space above and below the letters: a third of a line may overlap
            assert across <= 0 or down <= 0.34 * min(a.height, b.height)
        assert all(b.x0 >= -1 and b.x1 <= page.x1 + 1 and b.y0 >= -1 and b.y1 <= page.y1 + 1 for b in boxes)


def test_the_diagram_says_what_the_table_says(fit):
    ax = fit.plot("path", level=2)
    texts = [t.get_text() for t in ax.texts]
    table = fit.parameter_estimates()
    table = table[(table.level == 2) & (table.exo == 0) & table.op.isin(["=~", "~", "~~"])]
    assert sorted(t for t in texts if re.fullmatch(r"-?\d\.\d\d", t)) == sorted(f"{v:.2f}" for v in table.est)
    assert {"achievement", "math1", "public"} <= set(texts)


def test_columns_follow_the_paths():
    model, variables = factors(10)
    specification = drawn(model, variables)[0]
    rows = [(i, r) for i, r in enumerate(specification.parameters) if r.level == 1]
    nodes = arrange(rows, specification.within.observed, specification.within.latent).nodes
    assert nodes["x1"].x < nodes["f1"].x < nodes["item1"].x
    assert nodes["f1"].y == pytest.approx(np.mean([nodes[f"item{i}"].y for i in range(1, 6)]))


def test_a_cycle_does_not_hang():
    draw_paths(*drawn("level: 1\na ~ b + x\nb ~ a + w\nlevel: 2\na ~~ b", ["a", "b", "x", "w"]))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("path", {"level": 1, "standardized": True}),
        ("estimates", {}),
        ("estimates", {"standardized": True, "level": 2}),
        ("residuals", {"level": 2}),
        ("icc", {}),
        ("cluster_sizes", {}),
        ("scores", {}),
        ("trace", {}),
    ],
)
def test_pictures_are_drawn_on_the_axes_given(fit, kind, options):
    _, (left, right) = plt.subplots(1, 2)
    assert fit.plot(kind, ax=right, **options) is right
    assert right.has_data() or right.patches
    assert not left.has_data()


def test_estimates_show_interval_and_point(fit):
    ax = fit.plot("estimates", ops="~", level=1)
    table = fit.parameter_estimates()
    table = table[(table.op == "~") & (table.level == 1)]
    np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 0], table.est)
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, table[["ci.lower", "ci.upper"]])
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "math ~ ses",
        "math ~ girl",
        "reading ~ ses",
        "reading ~ girl",
    ]


def test_residual_map_shows_the_residuals(fit):
    ax = fit.plot("residuals", level=1)
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    frame = fit.residuals(type="cor")["within"]["cov"].to_numpy()
    np.testing.assert_allclose(shown[np.tril_indices(len(shown))], frame[1:, :-1][np.tril_indices(len(shown))])


def test_caterpillar_is_in_order(fit):
    heights = fit.plot("scores").collections[-1].get_offsets()[:, 1]
    assert (np.diff(heights) >= 0).all()
    assert len(heights) == 100


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("pathh", {}, "Did you mean 'path'"),
        ("path", {"level": 3}, "level must be 1 or 2"),
        ("scores", {"factor": "math"}, "no latent variable of level 2"),
        ("estimates", {"ops": "=="}, "No free parameter to show: ops="),
        ("estimates", {"ops": ":="}, "No free parameter"),
    ],
)
def test_mistakes_are_named(fit, kind, options, words):
    with pytest.raises(ml.ModelError, match=words):
        fit.plot(kind, **options)


def test_without_matplotlib_the_remedy_is_said(fit, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'mlsem_jax\[plots\]'"):
        fit.plot("icc")


def test_the_report_is_one_file_that_needs_no_other(fit, tmp_path):
    page = fit.report(tmp_path / "report.html").read_text()
    assert "@media(max-width:40rem)" in page, "tables of eight columns fit on a narrow screen"
    for title in (
        "Model",
        "Model fit",
        "Fit by level",
        "Estimates",
        "Clusters",
        "Residual correlations",
        "How to cite",
    ):
        assert f"{title}</h2>" in page
    outside = [
        u
        for u in re.findall(r"(?:src|href|url)\s*[=(]\s*['\"]?([^'\")\s>]+)", page)
        if not u.startswith(("#", "data:"))
    ]
    assert outside == []
    assert "<script" not in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert referred <= set(ids)


def test_levels_that_are_tied_have_a_report(tmp_path):
    """Fit by level does not exist then, and groups have pictures of their own."""
    data = load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))
    model = "level: 1\nmath =~ math1 + c(a, a)*math2 + math3\nlevel: 2\nmath_b =~ math1 + c(a, a)*math2 + math3"
    page = ml.sem(model, data, cluster="school", group="kind").report(tmp_path / "report.html").read_text()
    assert "ties parameters of level 1 and level 2" in page
    assert page.count("<svg ") == 4 + 3 + 4 + 1 + 1


def test_a_failed_fit_has_a_report(tmp_path):
    with pytest.warns(ml.ConvergenceWarning):
        failed = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school", iter_max=1)
    page = failed.report(tmp_path / "report.html").read_text()
    assert "Warnings</h2>" in page
    assert failed.status.sentence in page


def test_the_title_of_a_picture_of_one_level_stands_alone():
    data = load_schools()
    fit = ml.cfa("f =~ math1 + math2 + math3", data)
    assert fit.plot("path", standardized=True).get_title() == "Standardized estimates"
    assert not fit.plot("path").get_title()
    plt.close("all")


def test_the_picture_of_weights_shows_the_moves_of_the_summary():
    data = load_schools()
    data["w"] = 1.0 + (data["math1"] > data["math1"].median())
    fit = ml.cfa("f =~ math1 + math2 + math3", data, sampling_weights="w")
    ax = fit.plot("weights", most=3)
    shown = ax.collections[-1].get_offsets()[:, 0]
    assert len(shown) == 3
    assert f"{shown[0]:+.2f} Std.Err" in str(fit.summary())
    assert ax.get_yticklabels()[0].get_text().replace(" ", "") in str(fit.summary())
    plt.close("all")
    with pytest.raises(ml.ModelError, match="no sampling weights"):
        ml.cfa("f =~ math1 + math2 + math3", data).plot("weights")
    with pytest.raises(ml.ModelError, match="in standard errors"):
        ml.cfa("f =~ math1 + math2 + math3", data, sampling_weights="w", se="none").plot("weights")
