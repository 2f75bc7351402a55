"""Reliability of ordered items: of their latent responses with variance 1, whatever these are parametrised by."""

import functools

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.measurement import reliability_quantity

TEXT = "f =~ u1 + u2 + u3"


@functools.cache
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(300, 1)) * [1.0, 0.8, 1.2] + rng.normal(size=(300, 3))
    return pd.DataFrame(np.searchsorted([-0.8, 0.9], y), columns=["u1", "u2", "u3"])


@functools.cache
def fitted(**options) -> ml.Fit:
    return ml.cfa(TEXT, answers(), ordered=True, **options)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parameterization", ["theta", "delta"])
def test_the_default_is_of_latent_responses(parameterization):
    fit = fitted(parameterization=parameterization)
    table = fit.reliability(se=True)
    loadings = fit.standardized_solution().query("op == '=~'")["est.std"].to_numpy()
    own, off = loadings.sum() ** 2, loadings.sum() ** 2 - (loadings**2).sum()
    # one factor of three items reproduces the polychoric correlations
    total = 3 + off
    assert table.loc["f", "omega_within"] == pytest.approx(own / (own + (1 - loadings**2).sum()), rel=1e-7)
    assert table.loc["f", "alpha_within"] == pytest.approx(1.5 * off / total, rel=1e-7)
    assert table.loc["f", "ave_within"] == pytest.approx((loadings**2).mean(), rel=1e-7)
    assert table.loc["f", "omega_within.se"] > 0
    assert "latent responses" in table.attrs["of"]
    assert "latent responses" in repr(table)
    with pytest.raises(ml.ModelError, match=r"obs_var=True takes .* leave it out"):
        fit.reliability(obs_var=True)


@pytest.mark.timeout(300)
def test_units_do_not_matter():
    one, two = (fitted(parameterization=p).reliability(se=True) for p in ("theta", "delta"))
    np.testing.assert_allclose(one, two, rtol=1e-5)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parameterization", ["theta", "delta"])
def test_derivatives(parameterization):
    fit = fitted(parameterization=parameterization)
    quantity, natural = reliability_quantity(fit.estimation), fit.estimation.model.natural
    steps = 1e-5 * np.eye(len(natural))
    slopes = np.stack([(quantity.value(natural + h) - quantity.value(natural - h)) / 2e-5 for h in steps], axis=1)
    np.testing.assert_allclose(quantity.jacobian(natural), slopes, atol=1e-8)
    np.testing.assert_allclose(quantity.at_each(natural[None])[0][0], quantity.value(natural), rtol=1e-5)


@pytest.mark.timeout(300)
def test_full_information_and_two_levels():
    full = fitted(estimator="ML").reliability()
    assert full.loc["f", "omega_within"] == pytest.approx(fitted().reliability().loc["f", "omega_within"], abs=0.03)
    rng = np.random.default_rng(7)
    school = np.repeat(np.arange(50), 8)
    common = rng.normal(size=400) + 0.7 * rng.normal(size=50)[school]
    y = common[:, None] * [1.0, 0.8, 1.2] + rng.normal(size=(400, 3)) + 0.4 * rng.normal(size=(50, 3))[school]
    table = pd.DataFrame(np.searchsorted([-0.5, 0.9], y), columns=["u1", "u2", "u3"]).assign(school=school)
    both = "level: 1\nf =~ u1 + u2 + u3\nlevel: 2\nf =~ u1 + u2 + u3"
    found = ml.cfa(both, table, cluster="school", ordered=["u1", "u2", "u3"]).reliability()
    assert 0 < found.loc["f", "omega_within"] < 1
    assert found.loc["f", "omega_between"] < found.loc["f", "omega_between_latent"]
