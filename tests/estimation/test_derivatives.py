"""Derivatives of `ml.estimate` by the implicit function theorem, against finite differences of Newton-polished maxima."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODEL, SIZES, THETA, rows, tiny_batch, tiny_model

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import settings
from mlsem_jax.likelihood import weighted_statistics
from mlsem_jax.numerics import root_where
from mlsem_jax.observed import plan_sizes, traced_clusters

pytestmark = pytest.mark.timeout(300)

Q = len(THETA)
# central differences of maxima polished to rounding, along a direction of unit relative size: h^2 and 1e-15 / h
STEP, CLOSE = 1e-4, dict(rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module", autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def stats():
    return jax.tree.map(lambda x: jnp.asarray(x[0]), tiny_batch(8))


@pytest.fixture(scope="module")
def direction(stats):
    """A change of the statistics that leaves their symmetry and the design alone."""
    rng = np.random.default_rng(3)

    def symmetric(x):
        noise = rng.normal(size=x.shape)
        return 0.05 * (noise + np.swapaxes(noise, -1, -2)) * np.mean(np.diagonal(x, axis1=-2, axis2=-1))

    complete = stats.complete
    nothing = jax.tree.map(jnp.zeros_like, stats)
    changes = symmetric(complete.within), 0.1 * rng.normal(size=complete.mean.shape), symmetric(complete.cov)
    where = lambda s: (s.complete.within, s.complete.mean, s.complete.cov)  # noqa: E731
    return eqx.tree_at(where, nothing, tuple(map(jnp.asarray, changes)))


def moved(stats, direction, h):
    return jax.tree.map(lambda x, d: x + h * d, stats, direction)


_gradient = jax.jit(likelihood.gradient)
_hessian = jax.jit(likelihood.observed_information)
_value = jax.jit(likelihood.log_likelihood)


def polished(model, stats, theta):
    """The maximum to rounding: Newton steps with the inverse Hessian of the start, in NumPy."""
    inverse = np.linalg.inv(_hessian(model.structure, theta, stats))
    for _ in range(25):
        theta = theta + inverse @ _gradient(model.structure, theta, stats)
    return np.asarray(theta)


def slope(function):
    """Central difference at 0 with Richardson's correction: errors of fourth order in the step."""
    coarse, fine = ((function(h) - function(-h)) / (2 * h) for h in (2 * STEP, STEP))
    return (4 * fine - coarse) / 3


def along(model, stats, direction, start=None):
    """Estimates and their standard errors as functions of the step along the direction, through polished maxima."""
    start = np.asarray(ml.estimate(model.structure, stats).theta) if start is None else start

    def theta(h):
        return polished(model, moved(stats, direction, h), start)

    def se(h):
        there = moved(stats, direction, h)
        return np.sqrt(np.diag(np.linalg.inv(_hessian(model.structure, theta(h), there))))

    return theta, se


# every test shares these three compiled programs; a model comes in as its structure, whose pattern is data
def _outputs(structure, stats):
    end = ml.estimate(structure, stats)
    return {"theta": end.theta, "se": end.se, "value": end.value}


@jax.jit
def forward(structure, stats, by_structure, by_stats):
    return jax.jvp(_outputs, (structure, stats), (by_structure, by_stats))[1]


def _tangent(tree):
    """Zero tangents; integers have theirs of type float0."""
    return jax.tree.map(
        lambda x: (
            np.zeros(np.shape(x), jax.dtypes.float0)
            if jnp.issubdtype(jnp.asarray(x).dtype, jnp.integer)
            else jnp.zeros_like(x)
        ),
        tree,
    )


@pytest.fixture(scope="module")
def structure():
    return jax.tree.map(jnp.asarray, tiny_model().structure)


def test_in_the_statistics_forward(structure, stats, direction):
    theta, se = along(tiny_model(), stats, direction)
    exact = forward(structure, stats, _tangent(structure), direction)
    np.testing.assert_allclose(exact["theta"], slope(theta), **CLOSE)
    np.testing.assert_allclose(exact["se"], slope(se), **CLOSE)
    # the envelope theorem
    start = theta(0.0)
    fixed = slope(lambda h: np.asarray(_value(structure, start, moved(stats, direction, h))))
    assert float(exact["value"]) == pytest.approx(float(fixed), rel=1e-6)
    # `:=` quantities follow by the model's own function of theta
    defined = jax.jvp(lambda t: tiny_model().defined(t)["product"], (jnp.asarray(start),), (exact["theta"],))[1]
    by_difference = slope(lambda h: np.asarray(tiny_model().defined(theta(h))["product"]))
    assert float(defined) == pytest.approx(float(by_difference), rel=1e-6)


@jax.jit
def backward(structure, stats):
    """Derivatives of theta (q, ...) in every leaf of the statistics."""
    return jax.jacrev(lambda s: ml.estimate(structure, s).theta)(stats)


def contracted(jacobian, tangent):
    """Sum over the leaves of jacobian (q, ...) times tangent (..., r): (q, r)."""
    pairs = zip(jax.tree.leaves(jacobian), jax.tree.leaves(tangent), strict=True)
    return sum(jnp.tensordot(j, t, j.ndim - 1) for j, t in pairs)


def test_reverse_is_forward_and_both_vmap(structure, stats, direction):
    ahead = forward(structure, stats, _tangent(structure), direction)["theta"]
    np.testing.assert_allclose(contracted(backward(structure, stats), direction), ahead, rtol=1e-8, atol=1e-12)
    many = jax.tree.map(lambda x: jnp.asarray(x[:3]), tiny_batch(8))
    batched = jax.jit(jax.vmap(backward, in_axes=(None, 0)))(structure, many)
    for lane in range(3):
        one, own = (jax.tree.map(lambda x, lane=lane: x[lane], tree) for tree in (many, batched))
        np.testing.assert_allclose(
            contracted(own, direction),
            forward(structure, one, _tangent(structure), direction)["theta"],
            rtol=1e-8,
            atol=1e-12,
        )


def test_in_raw_data_and_weights(structure):
    """Through the reduction of rows: values and weights on clusters may be tracers."""
    frame, ones = rows(), jnp.ones(len(SIZES))
    values, cluster = jnp.asarray(frame[["y1", "y2", "y3"]].to_numpy()), jnp.asarray(frame.g.to_numpy())
    group = np.zeros(len(SIZES), int)
    plan = plan_sizes(SIZES, group, 1)
    rng = np.random.default_rng(5)
    change, heavier = jnp.asarray(rng.normal(size=values.shape)), jnp.asarray(rng.uniform(0, 1, len(SIZES)))

    @jax.jit
    def reduced(values, weights):
        clusters = traced_clusters(values, cluster, jnp.asarray(group), SIZES.astype(float))
        return weighted_statistics(clusters, plan, weights)

    here, tangent = jax.jvp(reduced, (values, ones), (change, heavier))
    start = np.asarray(ml.estimate(structure, here).theta)
    by_difference = slope(lambda h: polished(tiny_model(), reduced(values + h * change, ones + h * heavier), start))
    np.testing.assert_allclose(forward(structure, here, _tangent(structure), tangent)["theta"], by_difference, **CLOSE)
    # back to the rows: the first estimate in every value
    gradient = backward(structure, here)
    by_row, by_weight = jax.vjp(reduced, values, ones)[1](jax.tree.map(lambda j: j[0], gradient))
    assert by_row.shape == values.shape
    assert float(jnp.sum(by_row * change) + by_weight @ heavier) == pytest.approx(float(by_difference[0]), rel=1e-6)
    # weights alone are what fit.influence reports
    by_weights = contracted(gradient, jax.jacfwd(reduced, argnums=1)(values, ones))
    fit = ml.sem(MODEL, frame, cluster="g", h1=False, baseline=False)
    np.testing.assert_allclose(by_weights.T, fit.influence().derivative.iloc[:, :Q], rtol=1e-6, atol=1e-9)


def test_in_fixed_values_of_the_model(structure, stats):
    """The residual variance that the model holds at 0.2."""

    def where(s):
        return s.between.theta.core.base

    one = jnp.where(where(structure) == 0.2, 1.0, 0.0)
    assert one.sum() == 1
    exact = forward(structure, stats, eqx.tree_at(where, _tangent(structure), one), _tangent(stats))["theta"]
    start = np.asarray(ml.estimate(structure, stats).theta)
    changed = slope(lambda h: polished(_Bare(eqx.tree_at(where, structure, where(structure) + h * one)), stats, start))
    np.testing.assert_allclose(exact, changed, **CLOSE)
    assert np.abs(exact).max() > 0.01


def test_equalities_that_are_linear(stats, direction):
    """Under a == b the maximum moves within the constraint; b's element of theta is left without a column, as padding is."""
    a, b = (tiny_model().names.index(name) for name in "ab")
    basis = np.array(tiny_model().structure.basis)
    basis[b, b], basis[b, a] = 0.0, 1.0
    equal = eqx.tree_at(lambda s: s.basis, jax.tree.map(jnp.asarray, tiny_model().structure), jnp.asarray(basis))
    exact = forward(equal, stats, _tangent(equal), direction)["theta"]
    kept = np.delete(np.arange(Q), b)
    small = eqx.tree_at(lambda s: s.basis, equal, jnp.asarray(basis[:, kept]))
    start = np.asarray(ml.estimate(equal, stats).theta)[kept]
    np.testing.assert_allclose(exact[kept], slope(along(_Bare(small), stats, direction, start)[0]), **CLOSE)
    assert float(exact[b]) == 0.0


def test_of_chi_square_and_what_is_made_of_it(stats, direction):
    model = tiny_model()

    saturated = jax.tree.map(jnp.asarray, model.saturated)
    start, start_free = (np.asarray(ml.estimate(s, stats).theta) for s in (model.structure, saturated))

    def measures(s):
        end = ml.estimate(model, s, chisq=True)
        rmsea2 = (end.chisq - end.df) / (end.df * s.complete.rows[0])
        return jnp.stack([end.chisq, rmsea2])

    def chi_square(h):
        there = moved(stats, direction, h)
        top = polished(model, there, start)
        free = polished(_Bare(model.saturated), there, start_free)
        return 2 * np.asarray(_value(model.saturated, free, there) - _value(model.structure, top, there))

    exact = jax.jvp(measures, (stats,), (direction,))[1]
    by_difference = slope(chi_square)
    # a difference of two log-likelihoods near 2000, whose rounding is 1e-12, over steps of 1e-4
    assert float(exact[0]) == pytest.approx(float(by_difference), rel=1e-6, abs=1e-6)
    assert float(exact[1]) == pytest.approx(float(exact[0] / stats.complete.rows[0]), rel=1e-9)


class _Bare:
    """A structure where a model is expected."""

    def __init__(self, structure):
        self.structure = structure


def test_other_constraints_are_refused_in_words(stats):
    for addition, words in (("a == b*b", "a == b"), ("a > 0.1", r"a > 0\.1")):
        model = ml.model(MODEL + addition + "\n", rows(), cluster="g")
        with pytest.raises(ml.ModelError, match=words):
            ml.estimate(model, stats)
        with pytest.raises(ml.ModelError, match="linear"):
            ml.estimate_batch(model, tiny_batch(8))


def test_where_there_is_no_maximum_there_is_no_derivative(structure, stats, direction):
    broken = eqx.tree_at(lambda s: s.complete.within, stats, -stats.complete.within)
    tangent = forward(structure, broken, _tangent(structure), direction)
    assert not ml.Status(int(ml.estimate(structure, broken).status)).converged
    assert np.isnan(tangent["theta"]).all()
    # and so in reverse mode, where a `where` would give 0
    assert all(np.isnan(x).any() for x in _floats(backward(structure, broken).complete) if x.any())


def _floats(tree):
    leaves = (np.asarray(x) for x in jax.tree.leaves(tree))
    return [x for x in leaves if np.issubdtype(x.dtype, np.floating)]


OUTPUTS = ("theta", "value", "gradient", "information", "se", "vcov", "chisq")
# what the loss takes of the three lanes: each output by itself, and then all of them of the first and the last lane only
USES = {name: {name: np.ones(3)} for name in OUTPUTS} | {
    "masked": {name: np.array([1.0, 0.0, 2.0]) for name in OUTPUTS}
}


def _everything(stats):
    end = ml.estimate(tiny_model(), stats, chisq=True, solver=settings(float, iterations=60))
    return {name: getattr(end, name) for name in OUTPUTS}, end.status


@jax.jit
def both_modes(stats, tangents):
    """Outputs and their tangents, and the cotangents of the statistics for every use; all lead with the axis of lanes."""

    out, ahead, status = jax.linearize(jax.vmap(_everything), stats, has_aux=True)
    dots, back = ahead(tangents), jax.linear_transpose(ahead, stats)
    weights = [[use.get(name, np.zeros(3)) for use in USES.values()] for name in OUTPUTS]
    each = {
        name: jnp.asarray(w).reshape(len(USES), 3, *[1] * (out[name].ndim - 1)) * jnp.ones_like(out[name])
        for name, w in zip(OUTPUTS, weights, strict=True)
    }
    return out, status, dots, dict(zip(USES, _unstacked(jax.vmap(back)(each)[0]), strict=True))


def _unstacked(tree):
    return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(len(USES))]


@pytest.fixture(scope="module")
def lanes(direction):
    """Both modes for three data sets, and for them with cluster means in the second whose covariance is 0, less than any model's:
    its likelihood has no maximum.
    """
    stats = jax.tree.map(lambda x: jnp.asarray(x[:3]), tiny_batch(8))
    tangents = jax.tree.map(lambda x: jnp.stack([x] * 3), direction)
    mixed = eqx.tree_at(lambda s: s.complete.cov, stats, stats.complete.cov.at[1].multiply(0.0))
    return tangents, both_modes(stats, tangents), both_modes(mixed, tangents)


def test_every_output_of_a_lane_without_maximum_has_no_derivative(lanes):
    tangents, (_, _, _, good), (values, status, dots, back) = lanes
    assert status[1] > ml.Status.IMPROPER
    assert np.isfinite(values["value"][1])
    assert np.isnan(values["chisq"][1])
    assert np.isnan(values["se"][1]).all()
    for name in OUTPUTS:
        assert np.isnan(dots[name][1]).all(), name
        for mine, theirs in zip(_floats(back[name].complete), _floats(good[name].complete), strict=True):
            if theirs.any():
                assert np.isnan(mine[1]).any(), name
            np.testing.assert_allclose(mine[[0, 2]], theirs[[0, 2]], rtol=1e-8, atol=1e-10)
        # reverse is forward: the sum of the output in the direction
        pairs = zip(_floats(back[name]), _floats(tangents), strict=True)
        along = sum((x * d).reshape(3, -1)[[0, 2]].sum(1) for x, d in pairs)
        np.testing.assert_allclose(along, np.asarray(dots[name]).reshape(3, -1)[[0, 2]].sum(1), rtol=1e-7, atol=1e-9)


def test_a_lane_left_out_of_the_loss_harms_no_other(lanes):
    """Its cotangents are exactly 0: they must not become 0 * NaN in what the lanes share."""
    _, (*_, good), (*_, back) = lanes
    for mine, theirs in zip(_floats(back["masked"]), _floats(good["masked"]), strict=True):
        assert not mine[1].any()
        np.testing.assert_allclose(mine[[0, 2]], theirs[[0, 2]], rtol=1e-8, atol=1e-10)


def test_standard_errors_have_no_derivative_where_the_variance_is_not_positive():
    variance = jnp.asarray([4.0, 0.0, -1.0])

    def root(x):
        return root_where(x > 0, x)

    for mode in (jax.jacfwd, jax.jacrev):
        slope = np.asarray(mode(root)(variance))
        np.testing.assert_allclose(slope[0], [0.25, 0, 0])
        assert np.isnan(np.diagonal(slope)[1:]).all()
    np.testing.assert_allclose(jax.grad(lambda x: root(x)[0])(variance), [0.25, 0, 0])
    assert float(jax.hessian(lambda x: root(x)[0])(variance)[0, 0]) == pytest.approx(-1 / 32)
