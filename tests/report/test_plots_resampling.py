"""Pictures of bootstraps, influence and simulation studies: they show the numbers of their tables."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.report import study_plot

mpl.use("Agg")
pytestmark = pytest.mark.timeout(240)
MODEL = "level: 1\n  math1 ~~ a*math2\nlevel: 2\n  math1 ~~ b*math2\nratio := b / a\n"


@pytest.fixture(scope="module")
def fit():
    data = ml.datasets.load_schools()
    odd = data.school == data.school.unique()[7]
    return ml.sem(MODEL, data.assign(math1=data.math1 + 80 * odd), cluster="school", h1=False, baseline=False)


def test_bootstrap_shows_draws_estimate_and_interval(fit):
    boot = fit.bootstrap(60, key=1)
    ax = boot.plot("ratio", ci="basic", level=0.9)
    row = boot.table("basic", 0.9).loc["ratio"]
    heights = sum(patch.get_height() * patch.get_width() for patch in ax.patches[:-1])
    assert heights == pytest.approx(1.0)  # a density of all draws
    box = ax.patches[-1].get_extents().transformed(ax.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((row["ci.lower"], row["ci.upper"]))
    assert "90% interval (basic)" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert boot.plot("a", ax=ax) is ax
    with pytest.raises(ValueError, match=r"'ratoi'.*'ratio'"):
        boot.plot("ratoi")


def test_influence_names_the_cluster_that_stands_out(fit):
    report = fit.influence()
    ax = report.plot()
    words = [text.get_text() for text in ax.texts]
    assert f"1: {report.cook.idxmax()}" in words
    assert list(report.cook.index).index(report.cook.idxmax()) == 7
    assert len(words) < 2 * 5


def test_a_study_marks_what_misses_its_target():
    value, error = pd.Series([0.95, 0.90, 0.96], index=list("abc")), pd.Series([0.01, 0.01, 0.01])
    ax = study_plot(value, error.set_axis(value.index), "coverage", 0.95)
    colours = [tuple(c) for c in ax.collections[1].get_facecolors()]
    assert colours[0] == colours[2] != colours[1]
    np.testing.assert_allclose([path[0] for path in ax.collections[1].get_offsets()], value)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
