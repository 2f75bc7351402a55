"""Parallel analysis: estimates by analysis of variance, the distribution of draws, factors that are there, bad inputs."""

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import load_schools
from mlsem_jax.measurement import correlation_eigenvalues, drawn_covariances, level_covariances

ITEMS = ["math1", "math2", "math3", "reading1", "reading2", "reading3"]


def test_the_factors_of_the_schools_are_found():
    found = ml.parallel_analysis(load_schools(), ITEMS, "school")
    assert found.nfactors == {"within": 2, "between": 1}
    assert "within 2, between 1" in repr(found)
    assert len(found.table) == 12
    # the estimates are those of the saturated model, nearly
    exact = ml.sem(
        "level: 1\n{0}\nlevel: 2\n{0}".format(
            "\n".join(f"{a} ~~ {' + '.join(ITEMS[i:])}" for i, a in enumerate(ITEMS))
        ),
        load_schools(),
        cluster="school",
    )
    for level in ("within", "between"):
        cov = exact.implied()[level]["cov"].to_numpy()[None, None]
        observed = found.table.query("level == @level")["observed"]
        np.testing.assert_allclose(observed, correlation_eigenvalues(cov)[0, 0], atol=0.05)


def test_draws_have_the_moments_they_should_have():
    rng = np.random.default_rng(1)
    sizes = rng.integers(2, 9, 60)
    like = (np.diag([1.0, 2.0, 3.0]), np.diag([0.5, 0.2, 1.0]))
    drawn = drawn_covariances(like, int(sizes.sum()), sizes, 4000, rng)
    for i, cov in enumerate(like):
        np.testing.assert_allclose(drawn[:, i].mean(0), cov, atol=0.03)
    # as many draws of rows, the obvious way
    cluster = np.repeat(np.arange(60), sizes)
    slow = []
    for _ in range(400):
        rows = rng.normal(size=(len(cluster), 3)) * np.sqrt([1.0, 2.0, 3.0])
        rows += (rng.normal(size=(60, 3)) * np.sqrt([0.5, 0.2, 1.0]))[cluster]
        slow.append(np.stack(level_covariances(rows, cluster)))
    np.testing.assert_allclose(drawn.std(0), np.std(slow, axis=0), rtol=0.2, atol=0.01)


def test_one_level_keys_and_missing_values():
    one = ml.parallel_analysis(load_schools(), ITEMS, key=3)
    assert list(one.nfactors) == ["within"]
    pd.testing.assert_frame_equal(one.table, ml.parallel_analysis(load_schools(), ITEMS, key=3).table)
    assert not one.table.equals(ml.parallel_analysis(load_schools(), ITEMS, key=jax.random.key(4)).table)
    holes = load_schools().copy()
    holes.loc[::9, "math1"] = np.nan
    assert "1986 rows (249 left out)" in repr(ml.parallel_analysis(holes, ITEMS, "school"))


def test_picture():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot as plt

    ax = ml.parallel_analysis(load_schools(), ITEMS, "school").plot()
    assert len(ax.get_lines()) == 5
    plt.close("all")


def test_bad_inputs():
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd")).assign(cl=np.repeat(np.arange(50), 6))
    for call, error, words in (
        (
            lambda: ml.parallel_analysis(noise, list("abcd"), "cl"),
            ml.ModelError,
            "does not vary between clusters|positive",
        ),
        (lambda: ml.parallel_analysis(noise, ["a", "b"]), ml.ModelError, "three items"),
        (lambda: ml.parallel_analysis(noise, ["a", "b", "q"]), ml.DataError, "'q'"),
        (lambda: ml.parallel_analysis(noise, list("abc"), n=3), ml.ModelError, "n=3"),
        (lambda: ml.parallel_analysis(noise, list("abc"), "school"), ml.DataError, "school"),
    ):
        with pytest.raises(error, match=words):
            call()
