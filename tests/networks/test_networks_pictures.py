"""Pictures of networks: what they show, and that the example tells its story."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.report.plots._networks import course, draw_networks, positions, radius, spring

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parents[2]


def weights(d: int, seed: int, density: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    w = np.tril(np.where(rng.uniform(size=(d, d)) < density, rng.normal(scale=0.3, size=(d, d)), 0.0), -1)
    names = [f"y{i + 1}" for i in range(d)]
    return pd.DataFrame(w + w.T, names, names)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize("d", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("layout", ["spring", "circle"])
def test_nodes_do_not_overlap(d, layout):
    place = positions(np.abs(weights(d, d).to_numpy()), layout)
    assert place.shape == (d, 2)
    assert np.abs(place).max(initial=0.0) <= 1 + 1e-9
    gap = np.sqrt(((place[:, None] - place[None, :]) ** 2).sum(-1)) + 9 * np.eye(d)
    assert gap.min() > 2 * radius(d)


@pytest.mark.parametrize(("d", "stem"), [(10, "y"), (10, "attitude_item"), (30, "y"), (40, "attitude_item")])
def test_every_name_is_legible_and_inside_its_node_or_in_the_key(d, stem):
    frame = weights(d, d, 4 / d)
    frame.index = frame.columns = [f"{stem}{i + 1}" for i in range(d)]
    axes = draw_networks({"within": frame, "between": frame})
    figure = axes[0].figure
    figure.canvas.draw()
    for ax in axes:
        nodes = [patch.get_window_extent() for patch in ax.patches]
        texts = [text for text in ax.texts if text.get_text()]
        assert len(texts) == len(nodes) == d
        for text, node in zip(texts, nodes, strict=True):
            box = text.get_window_extent()
            assert text.get_fontsize() >= 5.5
            assert node.x0 <= box.x0
            assert box.x1 <= node.x1
    key = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    shown = [text.get_text() for text in axes[0].texts]
    told = shown if shown == list(frame.index) else [line.split()[1] for line in key]
    assert told == list(frame.index)
    # the key is within the figure and below the graphs
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.y0 >= 0
        assert box.y1 <= min(ax.get_window_extent().y0 for ax in axes) + 1


def test_the_same_weights_give_the_same_picture():
    w = np.abs(weights(8, 3).to_numpy())
    np.testing.assert_array_equal(spring(w), spring(w))


def test_strong_edges_are_short():
    w = np.zeros((6, 6))
    w[0, 1] = w[1, 0] = 1.0
    place = spring(w)
    gap = np.sqrt(((place[:, None] - place[None, :]) ** 2).sum(-1))
    assert gap[0, 1] == gap[np.triu_indices(6, 1)].min()


def test_an_edge_goes_around_a_node_in_its_way():
    place = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.01]])
    line = course(place, 0, 1, 0.15)
    np.testing.assert_allclose(line[[0, -1]], place[:2])
    assert np.sqrt(((line - place[2]) ** 2).sum(-1)).min() > 0.15
    straight = course(place[:2], 0, 1, 0.15)
    np.testing.assert_allclose(straight[:, 1], 0.0)


def test_levels_share_places_and_the_scale_of_widths():
    within, between = weights(6, 1, 0.5), weights(6, 2, 0.5) * 0.1
    axes = draw_networks({"within": within, "between": between})
    assert [ax.get_title() for ax in axes] == ["within", "between"]
    at = [[tuple(patch.center) for patch in ax.patches] for ax in axes]
    assert at[0] == at[1]
    widest = [max(line.get_linewidth() for line in ax.lines) for ax in axes]
    assert widest[0] > 2 * widest[1]
    styles = {line.get_color(): line.get_linestyle() for line in axes[0].lines}
    assert len(set(styles.values())) == len(styles) == 2  # sign by colour and by dashes
    assert len(axes[0].lines) == np.count_nonzero(np.tril(within))


@pytest.mark.timeout(300)
def test_of_a_fit():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(50), 6)
    y = rng.normal(size=(50, 3))[cluster] + rng.normal(size=(300, 3)) @ [[1, 0.4, 0], [0, 1, 0.3], [0, 0, 1]]
    data = pd.DataFrame(y, columns=["a", "b", "c"]).assign(g=cluster)
    fit = ml.ml_ggm(data, clusters="g").fit()
    axes = fit.plot_network(alpha=0.01)
    assert [ax.get_title() for ax in axes] == ["within: omega", "between: omega"]
    shown = (fit.getmatrix("omega_within", threshold=True) != 0).to_numpy().sum() // 2
    assert len(axes[0].lines) == shown < 3
    one = fit.plot_network("rho_between", ax=axes[1], layout="circle", labels=True)
    assert one is axes[1]
    ax = fit.CIplot()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["b -- a", "c -- a", "c -- b"] * 2
    assert {text.get_text() for text in ax.texts} == {"omega_within", "omega_between"}
    with pytest.raises(ml.ModelError, match="mu is no network"):
        fit.plot_network("mu")
    with pytest.raises(TypeError, match="colour"):
        fit.plot_network(colour="red")


@pytest.mark.timeout(300)
def test_the_example(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "networks.py"), str(tmp_path)],
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "omega_within: 6 of 6 edges found, 0 that are not there" in done.stdout
    assert "stepup: added" in done.stdout
    assert (tmp_path / "networks.png").stat().st_size > 10_000
