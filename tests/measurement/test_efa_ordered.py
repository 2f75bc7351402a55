"""Exploratory factor analysis of ordered items, beside lavaan 0.6-14."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation import estimate_model
from mlsem_jax.fronts._fit_text import read_text
from mlsem_jax.inference.variance import vcov_natural
from mlsem_jax.measurement import _exploratory
from mlsem_jax.models import unrotated

ITEMS = [f"u{i}" for i in range(1, 7)]
# cfa('efa("a")*f1 + efa("a")*f2 =~ u1 + ...', data, ordered = ..., rotation.args = list(geomin.epsilon = 0.001))
LAVAAN = [
    *[0.7803960, 0.7731300, 0.8389295, 0.0016677, 0.0406880, -0.0221450],
    *[0.0951893, 0.0138418, -0.1619739, 0.7769306, 0.7918476, 0.8032838],
]


@functools.cache
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    f = rng.normal(size=(500, 2)) @ np.linalg.cholesky([[1, 0.4], [0.4, 1]]).T
    loadings = np.array([[0.8, 0.1], [0.7, 0], [0.75, -0.1], [0, 0.8], [0.1, 0.7], [0, 0.75]])
    y = f @ loadings.T + rng.normal(size=(500, 6)) * 0.6
    return pd.DataFrame(np.searchsorted([-0.8, 0.5], y), columns=ITEMS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parameterization", ["theta", "delta"])
def test_rotated_loadings(parameterization):
    fit = ml.efa(answers(), 2, ITEMS, ordered=True, parameterization=parameterization)
    table = fit.standardized_solution().query("op == '=~'")
    np.testing.assert_allclose(table["est.std"], LAVAAN, atol=2e-5)
    measures = fit.fit_measures()
    assert measures["df"] == 4
    assert measures["chisq.scaled"] == pytest.approx(2.1930429, rel=1e-4)
    assert fit.rotation()["criterion"].notna().all()


@pytest.mark.timeout(300)
def test_standard_errors_by_rotating_again():
    """The delta method with derivatives of the whole rotation by finite differences."""
    text = 'efa("a")*f1 + efa("a")*f2 =~ ' + " + ".join(ITEMS)
    options = {"ordered": True, "parameterization": "delta"}
    asked = read_text("cfa", text, answers(), None, None, options)
    plain = estimate_model(unrotated(asked.specification), asked.data, asked.options)
    found = _exploratory.rotated(plain, asked.specification)
    model, block = plain.model, asked.specification.blocks[0]
    block = replace(block, rotation=replace(block.rotation, starts=3))

    def rotate(natural):
        loadings, correlations, sd = _exploratory.standardized(model.build, natural, block)
        seen = _exploratory.as_seen(loadings @ np.linalg.cholesky(correlations), sd, block)
        turned = _exploratory.rotate(seen, block.rotation).transformation.T
        return _exploratory.transformed(model.build, natural, found.model.build, [(block, turned)])

    steps = 1e-5 * np.eye(len(model.natural))
    slopes = np.stack([(rotate(model.natural + h) - rotate(model.natural - h)) / 2e-5 for h in steps], axis=1)
    expected = np.sqrt(np.diag(slopes @ vcov_natural(plain) @ slopes.T))
    np.testing.assert_allclose(np.sqrt(np.diag(vcov_natural(found))), expected, rtol=1e-4)


@pytest.mark.timeout(300)
def test_two_levels_with_one_of_them_saturated():
    rng = np.random.default_rng(7)
    school = np.repeat(np.arange(60), 8)
    y = rng.normal(size=(480, 1)) + 0.6 * rng.normal(size=(60, 1))[school] + 0.8 * rng.normal(size=(480, 4))
    y += 0.3 * rng.normal(size=(60, 4))[school]
    table = pd.DataFrame(np.searchsorted([-0.6, 0.8], y), columns=ITEMS[:4]).assign(school=school)
    fit = ml.efa(table, {"between": 1}, ITEMS[:4], "school", ordered=True)
    assert fit.fit_measures()["df"] == 2
    table = fit.parameter_estimates()
    assert (table.query("op == '~~' and level == 1 and lhs == rhs")["est"] == 1).all()


def test_what_is_refused_says_what_to_do():
    with pytest.raises(ml.ModelError, match=r"rotated factors have another likelihood.* Leave estimator= out"):
        ml.efa(answers(), 2, ITEMS, ordered=True, estimator="ML")
    with pytest.raises(ml.ModelError, match=r"write the model for ml.cfa with ordered="):
        ml.sam("f =~ u1 + u2 + u3", answers(), ordered=True)
    with pytest.raises(ml.ModelError, match="'zz', which is no column"):
        ml.efa(answers(), 2, ITEMS, ordered=["zz"])
