"""The examples that put the library inside other programs, in a small size."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import norm

pytestmark = pytest.mark.timeout(300)


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_power_by_gradient(capsys):
    """With balanced clusters standard errors go by one over the root of their number: the answer is known."""
    module = example("power")
    needed = module.main(sizes=(10.0, 40.0), datasets=0)
    ratio = (norm.ppf(0.8) + norm.ppf(0.975)) ** 2
    with jax.enable_x64(True):
        model, theta = module.population()
        at = model.names.index(module.EFFECT)
        stats = module.expected_statistics(model, theta, 50.0, 10.0)
        information = -jax.hessian(module.ml.log_likelihood, argnums=1)(model, theta, stats)
        variance = np.linalg.inv(information)[at, at]
    assert needed[10.0] == pytest.approx(50 * ratio * variance / float(theta[at]) ** 2, rel=1e-8)
    assert needed[40.0] < needed[10.0]
    assert "10 pupils a school" in capsys.readouterr().out


def test_item_weights_by_optax(capsys):
    pytest.importorskip("optax")
    module = example("item_weights")
    shares, values = module.main(steps=15)
    assert values[-1] > values[0] + 0.1
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    # the noisy item of each indicator loses its third to the others
    noisy = shares[module.NOISE > 1]
    assert (noisy < 1 / 3).all()
    assert noisy.mean() < 0.2
    assert "in other clusters" in capsys.readouterr().out


def test_bayes(capsys):
    pytest.importorskip("blackjax", reason="blackjax is not installed: pip install blackjax")
    table = example("bayes").main(draws=300)
    # the posterior of what exists within them is that of maximum likelihood, up to Monte-Carlo error
    distance = np.abs(table["posterior mean"] - table["ML"]) / table["se"]
    within = ~table.index.str.endswith(".l2")
    assert (distance[within] < 0.3).all()
    # small variances between clusters have skewed posteriors
    assert (distance < 1.0).all()
    assert (table["posterior sd"] / table["se"]).between(0.75, 1.5).all()
    assert "0 divergent" in capsys.readouterr().out


def test_draws_go_to_arviz():
    pytest.importorskip("blackjax", reason="blackjax is not installed: pip install blackjax")
    pytest.importorskip("arviz", reason="arviz is not installed: pip install arviz")
    draws, divergent = np.arange(12.0).reshape(6, 2), np.zeros(6, bool)
    found = example("bayes").to_arviz(draws, ("a", "f=~y2"), divergent)
    np.testing.assert_array_equal(found.posterior["theta"].sel(parameter="f=~y2").values, draws[None, :, 1])
    assert found.sample_stats["diverging"].shape == (1, 6)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_dask_partitions(scheduler, capsys):
    pytest.importorskip("dask.dataframe", reason="dask is not installed: pip install 'mlsem_jax[dask]'")
    pytest.importorskip("pyarrow")
    shown, stats, whole = example("dask_partitions").main(5, 2_000, 300, scheduler)
    for got, want in zip(jax.tree.leaves(stats.reduced), jax.tree.leaves(whole.reduced), strict=True):
        assert np.abs(got - want).max() <= 1e-10 * np.abs(want).max()
    # two searches that end within 1e-8 standard errors of the maximum
    assert ((shown["partitions"] - shown["all rows"]).abs() < 1e-7 * shown["se"]).all()
    assert "10000 rows in 300 clusters" in capsys.readouterr().out
