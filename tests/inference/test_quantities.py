"""Quantities: derivatives against finite differences; bootstrap, influence and profile of any; edges of the delta method."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODEL, rows, tiny_fit

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.inference import Quantity, estimated
from mlsem_jax.inference.parameters._standardized import rsquare_quantity, standardized_quantity
from mlsem_jax.numerics import delta_errors, delta_variances, float64

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ModelWarning", "ignore::mlsem_jax.ImproperSolutionWarning"),
]

# labels that rows share, a linear constraint, definitions that use others
CONSTRAINED = (
    SCHOOLS_MODEL.replace("math2 + math3\n", "a*math2 + c*math3\n", 1)
    + "\nc == 0.5*a + 0.5\ndouble := 2*a + a^2\nratio := log(abs(double)) / c\nconstant := 2\n"
)
FITS = {
    "tiny": tiny_fit,
    "constrained": functools.cache(lambda: ml.sem(CONSTRAINED, load_schools(), cluster="school")),
    "groups": functools.cache(
        lambda: ml.sem(
            MODEL, rows().assign(half=lambda d: d.g % 2), cluster="g", group="half", h1=False, baseline=False
        )
    ),
}
QUANTITIES = {
    "estimated": lambda e: estimated(e.model.build),
    "std.all": standardized_quantity,
    "std.lv": lambda e: standardized_quantity(e, "std.lv"),
    "std.nox": lambda e: standardized_quantity(e, "std.nox"),
    "rsquare": rsquare_quantity,
    # without a closed form: by automatic differentiation
    "traced": lambda e: Quantity(estimated(e.model.build).names, traced=estimated(e.model.build).traced),
}


def differences(function, natural: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a function of the natural parameters, along a last axis."""
    moves = step * np.eye(len(natural))
    return np.stack([(function(natural + d) - function(natural - d)) / (2 * step) for d in moves], axis=-1)


@pytest.mark.parametrize("which", FITS)
@pytest.mark.parametrize("name", QUANTITIES)
def test_jacobians_are_finite_differences(which, name):
    estimation = FITS[which]().estimation
    quantity, natural = QUANTITIES[name](estimation), estimation.model.natural
    values, jacobian = quantity.evaluate(natural)
    assert len(quantity.names) == len(values) == len(jacobian)
    # a share of explained variance does not exist where the residual variance is negative, as one of the groups has it
    assert (np.isfinite(jacobian) == np.isfinite(values)[:, None]).all()
    assert np.isfinite(values).sum() >= len(values) - 1
    # central differences: step^2 and rounding / step, both near 1e-10
    np.testing.assert_allclose(jacobian, differences(quantity.value, natural), atol=1e-7, rtol=1e-7)
    vcov = inference.vcov_natural(estimation)
    full = quantity.vcov(natural, vcov)
    np.testing.assert_allclose(quantity.standard_errors(natural, vcov) ** 2, np.diag(full), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["estimated", "rsquare"])
def test_second_derivatives_and_many_points(name):
    estimation = tiny_fit().estimation
    quantity, natural = QUANTITIES[name](estimation), estimation.model.natural
    values, jacobian, hessian = quantity.curvature(natural)
    np.testing.assert_allclose(hessian, differences(quantity.jacobian, natural), atol=1e-7)
    points = natural * np.array([[1.0], [1.1], [0.9]])
    each = float64(lambda: jax.tree.map(np.asarray, quantity.at_each(jnp.asarray(points))))()
    for got, want in zip(zip(*each, strict=True), map(quantity.evaluate, points), strict=True):
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], want[1], atol=1e-12)
    some = quantity.chosen([2, 0])
    assert some.names == (quantity.names[2], quantity.names[0])
    np.testing.assert_array_equal(some.jacobian(natural), jacobian[[2, 0]])
    np.testing.assert_array_equal(some.value(natural), values[[2, 0]])


def test_names_and_values_are_those_of_the_tables():
    fit = FITS["groups"]()
    quantity = rsquare_quantity(fit.estimation)
    assert quantity.names[:3] == ("y1~r2", "y2~r2", "y3~r2")
    assert {"y2~r2.g2", "y3~r2.l2", "y3~r2.g2.l2"} < set(quantity.names)
    shares = fit.rsquare()
    values = dict(zip(quantity.names, quantity.value(fit.estimation.model.natural), strict=True))
    assert values["y3~r2.g2.l2"] == shares["1"]["between"]["y3"]
    standardized = standardized_quantity(fit.estimation)
    assert len(set(standardized.names)) == len(standardized.names)
    with pytest.raises(ml.ModelError, match="no standardization 'std'"):
        standardized_quantity(fit.estimation, "std")


def test_bootstrap_and_influence_of_any_quantity():
    """Draws of explained variance are those of the parameters, put into its formula; its influence follows the chain rule."""
    estimation = tiny_fit().estimation
    shares, k = rsquare_quantity(estimation).chosen([0, 1, 2]), len(estimation.model.natural)
    plain = inference.bootstrap(estimation, 64, 3)
    boot = inference.bootstrap(estimation, 64, 3, quantity=shares)
    assert boot.names == ("y1~r2", "y2~r2", "y3~r2") == shares.names
    for i in (0, 7):
        np.testing.assert_allclose(boot.draws[i], shares.value(plain.draws[i, :k]), rtol=1e-12)
    # 64 draws: the ratio has a standard deviation of about 0.1 around something near 1
    assert ((boot.draws.std(0) / boot.se > 0.6) & (boot.draws.std(0) / boot.se < 1.6)).all()
    np.testing.assert_allclose(boot.se, shares.standard_errors(estimation.model.natural, tiny_fit().vcov().to_numpy()))
    low, high = inference.intervals(
        "bca", boot.estimate, boot.plain_se, boot.draws, boot.draws_se, boot.influence, 0.95
    )
    assert ((low < boot.estimate) & (boot.estimate < high)).all()
    by_parameter = inference.influence(estimation).derivative[:, :k]
    jacobian = shares.jacobian(estimation.model.natural)
    np.testing.assert_allclose(boot.influence, by_parameter @ jacobian.T, atol=1e-12)


@pytest.mark.parametrize("kind", ["traced", "closed"])
def test_profile_limits_go_along_with_transformations(kind):
    """Likelihood-ratio limits of exp(a) are exp of those of a."""
    estimation = tiny_fit().estimation
    at = estimation.model.build.labels["a"]

    def closed(natural):
        value = np.exp(natural[[at]])
        return value, value * (np.arange(len(natural)) == at)[None]

    quantity = Quantity(("e",), **{kind: {"traced": lambda x: jnp.exp(x[at : at + 1]), "closed": closed}[kind]})
    found, plain = inference.profile(estimation, quantity=quantity), inference.profile(estimation, ["a"])
    np.testing.assert_allclose(found.lower, np.exp(plain.lower), rtol=1e-7)
    np.testing.assert_allclose(found.upper, np.exp(plain.upper), rtol=1e-7)
    assert found.names == ("e",)
    with pytest.raises(ml.ModelError, match="no quantity 'b'; there are e"):
        inference.profile(estimation, ["b"], quantity=quantity)


def test_a_quantity_needs_a_function():
    with pytest.raises(TypeError, match="needs a function"):
        Quantity(("nothing",))


def test_edges_of_the_delta_method():
    jacobian = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [np.nan, 0.0]])
    vcov = np.array([[4.0, -4.0], [-4.0, 4.0 - 1e-14]])
    np.testing.assert_array_equal(delta_errors(np, jacobian, vcov), [2.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(delta_variances(jacobian[:1], vcov), [4.0])
    # no covariance matrix: no standard error
    assert np.isnan(delta_errors(np, jacobian[:1], -vcov)[0])
    assert np.isnan(delta_errors(np, jacobian[:3], np.full((2, 2), np.nan))).all()

    @float64
    def traced():
        slope = jax.jacfwd(lambda x: delta_errors(jnp, jnp.asarray(jacobian[:3]) * x, jnp.asarray(vcov)))(1.0)
        return np.asarray(jax.vmap(lambda v: delta_errors(jnp, jacobian, v))(vcov[None])), np.asarray(slope)

    batch, slope = traced()
    np.testing.assert_array_equal(batch[0], [2.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(slope, [2.0, 0.0, 0.0])
