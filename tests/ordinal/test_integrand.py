"""The integrand of a cluster of ordered answers: its derivatives in closed form, and how often a search asks for the Hessian."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation.problem import Problem
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal.full._cells import Cells, Cluster
from mlsem_jax.ordinal.full._integral import _bowl, log_rows
from mlsem_jax.ordinal.full._layout import Layout


@pytest.mark.parametrize("link", ["probit", "logit"])
@pytest.mark.parametrize("continuous", [(), (2,)])
@pytest.mark.parametrize(("between", "within"), [(1, 0), (2, 1)])
@float64
def test_derivatives_in_the_random_effects(link, continuous, between, within):
    rng, rows, c = np.random.default_rng(1), 4, len(continuous)
    layout = Layout(
        (0, 1), continuous, (), (), (), (), (1, 1), (3, 4), link, tuple(range(within)), tuple(range(between)), (15, 21)
    )
    count = 2 * rows if layout.aligned else 8
    low = rng.normal(size=count)
    residual, steep = rng.normal(size=(rows, c)), rng.normal(size=(rows, c, between))
    precision, logdet = np.tile(1.3 * np.eye(c), (rows, 1, 1)), np.ones(rows)
    cells = Cells(low, low + 1, rng.normal(size=(count, between + within)), residual, steep, precision, logdet, 0.0)
    none = np.zeros((rows, 0))
    cluster = Cluster(
        rng.integers(-1, 3, (rows, 2)), np.array([1.0, 2, 1, 0]), none, none, np.zeros((rows, c)), np.zeros(0)
    )
    cells, cluster = jax.tree.map(jnp.asarray, (cells, cluster))
    z = jnp.asarray(rng.normal(size=between))

    def joint(at):
        return log_rows(cells, layout, cluster, at[None])[0] - 0.5 * at @ at

    gradient, bend = _bowl(z, cells, layout, cluster)
    np.testing.assert_allclose(gradient, jax.grad(joint)(z), atol=1e-12)
    np.testing.assert_allclose(bend, -jax.hessian(joint)(z), atol=1e-11)


def test_near_the_maximum_the_hessian_is_computed_once(monkeypatch):
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(25), 6)
    x, w = rng.normal(size=150), rng.normal(size=25)
    u = 0.5 * x + (0.4 * w + rng.normal(size=25))[school] + rng.normal(size=150) > 0.2
    seen = []
    whole = Problem.observed
    monkeypatch.setattr(Problem, "observed", lambda self, theta: seen.append(theta) or whole(self, theta))
    data = pd.DataFrame({"u": u.astype(int), "x": x, "w": w[school], "school": school})
    fit = ml.sem("level: 1\n u ~ x\nlevel: 2\n u ~ w", data, "school", ordered="u", estimator="ML")
    assert fit.converged
    # those that the first steps are made of, and the one that standard errors come from
    assert len(seen) <= 4
