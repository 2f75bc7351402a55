"""What the functions of the JAX layer answer to wrong arguments: a sentence of the library's own, before anything is compiled."""

from __future__ import annotations

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, SIZES, THETA, rows, tiny_batch, tiny_fit, tiny_model

import mlsem_jax as ml
from mlsem_jax.estimation import settings
from mlsem_jax.likelihood import ClusterSizes, Statistics, Term

pytestmark = pytest.mark.timeout(300)

KEY = jax.random.key(1)


@functools.cache
def stats():
    return ml.statistics(tiny_model(), rows())


@functools.cache
def other():
    """A model of two of the three variables, and one of the same variables in another order."""
    texts = ("level: 1\n y1 ~ y2\nlevel: 2\n y1 ~~ y1", "level: 1\n f =~ y3 + y2 + y1\nlevel: 2\n b =~ y3 + y2 + y1")
    return tuple(ml.model(text, rows(), cluster="g") for text in texts)


@functools.cache
def stacked():
    return jax.tree.map(lambda x: np.stack([np.asarray(x)] * 2), tiny_model())


def one(i=0):
    return jax.tree.map(lambda x: x[i], tiny_batch(8))


WRONG = {
    "table for statistics": (lambda: ml.estimate(tiny_model(), rows()), r"ml\.statistics\(model, data\)"),
    "fit for a model": (lambda: ml.estimate(tiny_fit(), stats()), r"not a Fit.*ml\.model"),
    "text for a model": (lambda: ml.estimate(MODEL, stats()), "not text"),
    "nothing for a model": (lambda: ml.estimate(None, stats()), "not None"),
    "swapped": (lambda: ml.estimate(stats(), tiny_model()), "the model first"),
    "model for statistics": (lambda: ml.estimate(tiny_model(), tiny_model()), "the statistics last"),
    "batch in estimate": (lambda: ml.estimate(tiny_model(), tiny_batch(8)), "estimate_batch"),
    "batch in log_likelihood": (lambda: ml.log_likelihood(tiny_model(), THETA, tiny_batch(8)), "jax.vmap"),
    "one in estimate_batch": (lambda: ml.estimate_batch(tiny_model(), stats()), r"ml\.estimate\(model, stats\)"),
    "list in estimate": (
        lambda: ml.estimate(tiny_model(), [stats(), stats()]),
        r"ml\.estimate_batch\(model, stats\) takes",
    ),
    "empty list in estimate_batch": (lambda: ml.estimate_batch(tiny_model(), []), "takes the statistics"),
    "stacked models": (lambda: ml.estimate(stacked(), stats()), "estimate_batch"),
    "stacked in log_likelihood": (lambda: ml.log_likelihood(stacked(), THETA, stats()), "one model"),
    "stacked in simulate": (lambda: ml.simulate(stacked(), THETA, 1, SIZES), "one model"),
    "fewer variables": (lambda: ml.estimate(other()[0], stats()), "another model"),
    "another order": (lambda: ml.estimate(other()[1], stats()), "y3, y2, y1"),
    "nameless of another model": (lambda: ml.estimate(other()[0], one()), "of 3 variables, the model of 2"),
    "theta too short": (lambda: ml.log_likelihood(tiny_model(), np.zeros(2), stats()), r"14 elements.*\(2,\)"),
    "theta of many": (lambda: ml.log_likelihood(tiny_model(), np.zeros((3, 14)), stats()), "jax.vmap"),
    "theta as text": (lambda: ml.log_likelihood(tiny_model(), "x", stats()), "not text"),
    "theta of text": (lambda: ml.log_likelihood(tiny_model(), ["x"] * 14, stats()), "14 numbers"),
    "theta of complex": (lambda: ml.log_likelihood(tiny_model(), THETA + 0j, stats()), "14 numbers"),
    "theta0 too short": (lambda: ml.estimate(tiny_model(), stats(), theta0=[0.0]), "theta0 must have 14"),
    "theta0 NaN": (lambda: ml.estimate(tiny_model(), stats(), theta0=THETA * np.nan), "theta0 is NaN"),
    "names of another model": (lambda: ml.log_likelihood(tiny_model(), {"a": 1.0}, stats()), "no value for"),
    "unknown name": (lambda: ml.simulate(tiny_model(), named() | {"bb": 1.0}, 1, SIZES), "'bb', which is no free"),
    "contradicting name": (lambda: ml.simulate(tiny_model(), named() | {"product": 9.0}, 1, SIZES), "it is 0.88"),
    "solver by name": (lambda: ml.estimate(tiny_model(), stats(), solver="em"), r"estimation\.settings"),
    "chisq of text": (lambda: ml.estimate(tiny_model(), stats(), chisq="yes"), "True or False"),
    "jitted batch": (lambda: jax.jit(ml.estimate_batch)(tiny_model(), tiny_batch(8)), r"jax\.vmap\(ml\.estimate"),
    "no lanes": (lambda: ml.estimate_batch(tiny_model(), jax.tree.map(lambda x: x[:0], tiny_batch(8))), "1 or more"),
    "lanes of theta0": (
        lambda: ml.estimate_batch(tiny_model(), tiny_batch(8), theta0=np.zeros((3, 14))),
        "theta0 of 3",
    ),
    "theta NaN": (lambda: ml.simulate(tiny_model(), np.where(THETA == 0.8, np.nan, THETA), 1, SIZES), "NaN.* for a, "),
    "theta infinite": (lambda: ml.montecarlo(tiny_model(), THETA * np.inf, SIZES, 2), "infinite"),
    "structure in simulate": (lambda: ml.simulate(tiny_model().structure, THETA, 1, SIZES), "bare Structure"),
    "spread": (lambda: ml.simulate(tiny_model(), THETA, 1, SIZES, rows=True, distribution="t", freedom="x"), "freedom"),
    "missing share": (lambda: ml.simulate(tiny_model(), THETA, 1, SIZES, rows=True, missing=0.2), "for which variable"),
    "missing of text": (lambda: ml.simulate(tiny_model(), THETA, 1, SIZES, rows=True, missing={"y1": "x"}), "shares"),
    "group": (lambda: ml.simulate(tiny_model(), THETA, 1, SIZES, group=["a"] * 60), "group must say"),
    "rows of montecarlo": (lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, rows=True), "leave it out"),
    "unknown option of montecarlo": (
        lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, distributon="t"),
        "'distribution'",
    ),
    "level": (lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, level=95), "between 0 and 1"),
    "path": (lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, path=3), "path must be"),
    "folder of the path": (lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, path="no/such/a.csv"), "no folder"),
    "progress": (lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, progress=3), "function of"),
    "data before text": (lambda: ml.model(rows(), MODEL, cluster="g"), "text first, not a DataFrame"),
    "statistics swapped": (lambda: ml.statistics(rows(), tiny_model()), "the model comes first"),
    "statistics of a fit": (lambda: ml.statistics(tiny_fit(), rows()), "not a Fit"),
    "statistics of statistics": (lambda: ml.statistics(tiny_model(), stats()), "statistics already"),
    "added to a number": (lambda: stats() + 3, "not an int"),
    "added to a table": (lambda: stats() + rows(), "ml.statistics"),
    "method": (lambda: tiny_model().parameters(np.zeros(2)), "14 elements"),
    "moments": (lambda: tiny_model()(np.zeros(2)), "14 elements"),
    "vcov of a method": (lambda: tiny_model().standard_errors(THETA, np.eye(2)), r"\(14, 14\)"),
    "lrt of a number": (lambda: ml.lrt(tiny_fit(), 3), "'fit 2' is an int"),
    "lrt of a list": (lambda: ml.lrt([tiny_fit(), tiny_fit()]), "one by one"),
    "lrt of a model": (lambda: ml.lrt(tiny_fit(), tiny_model()), "ml.sem"),
    "compare of nothing": (lambda: ml.compare(), "two fits or more"),
    "compare of a table": (lambda: ml.compare(tiny_fit(), rows()), "'fit 2' is a DataFrame"),
    "cache of a number": (lambda: ml.enable_compilation_cache(3), "name of a folder"),
    "cache in a file": (lambda: ml.enable_compilation_cache(__file__), "cannot be made"),
}


def named():
    return dict(zip(tiny_model().names, THETA.tolist(), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_answered_in_words(name):
    call, words = WRONG[name]
    with pytest.raises((ml.ModelError, ml.DataError), match=words):
        call()


@pytest.mark.parametrize(
    "sizes", [[0] * 9, [-1] * 9, [1.5] * 9, [], ["a"], 40, [np.nan], [np.inf], None, [[1], [1, 2]], [True]]
)
def test_cluster_sizes(sizes):
    for call in (
        lambda: ml.simulate(tiny_model(), THETA, 1, sizes),
        lambda: ml.montecarlo(tiny_model(), THETA, sizes, 2),
    ):
        with pytest.raises(ml.DataError, match="cluster_sizes"):
            call()


@pytest.mark.parametrize("count", [0, -1, 1.5, "x", None, True])
def test_counts(count):
    calls = {
        "n_datasets": lambda: ml.simulate(tiny_model(), THETA, 1, SIZES, count),
        "n_datasets ": lambda: ml.montecarlo(tiny_model(), THETA, SIZES, count),
        "chunk": lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, chunk=count),
        "iterations": lambda: ml.estimate_batch(tiny_model(), tiny_batch(8), iterations=count),
    }
    if count is not None:
        calls["chunk "] = lambda: ml.estimate_batch(tiny_model(), tiny_batch(8), chunk=count)
    for name, call in calls.items():
        with pytest.raises(ml.DataError, match=f"{name.strip()} must be a whole number"):
            call()


@pytest.mark.parametrize("memory", [0, -1, "1GB", float("nan"), float("inf"), True])
def test_memory(memory):
    with pytest.raises(ml.DataError, match="memory must be a budget in bytes"):
        ml.estimate_batch(tiny_model(), tiny_batch(8), memory=memory)


@pytest.mark.parametrize("devices", ["cpu", [], 2, ["cpu"], jax.devices()[0]])
def test_devices(devices):
    with pytest.raises(ml.DataError, match="devices must be a list"):
        ml.estimate_batch(tiny_model(), tiny_batch(8), devices=devices)


@pytest.mark.parametrize(
    "key", [None, 1.5, "x", True, 2**70, jax.random.split(KEY, 2), np.random.default_rng(1), [1, 2]]
)
def test_keys(key):
    for call in (
        lambda: ml.simulate(tiny_model(), THETA, key, SIZES),
        lambda: ml.montecarlo(tiny_model(), THETA, SIZES, 2, key),
    ):
        with pytest.raises(ml.DataError, match="key"):
            call()


def test_theta_by_name_in_any_form():
    want = float(ml.log_likelihood(tiny_model(), THETA, stats()))
    shuffled = dict(sorted(named().items()))
    # a fit's coefficients, what a model makes of theta (with its `:=` quantities), a list, old keys
    whole = {name: float(value) for name, value in tiny_model().parameters(THETA).items()}
    for theta in (list(THETA), shuffled, pd.Series(shuffled), whole, THETA.astype(object)):
        assert float(ml.log_likelihood(tiny_model(), theta, stats())) == pytest.approx(want, rel=1e-14)
    with jax.enable_x64(True):
        a = ml.simulate(tiny_model(), shuffled, KEY, SIZES, 8)
        b = ml.simulate(tiny_model(), THETA, jax.random.key_data(KEY), SIZES, 8)
    np.testing.assert_array_equal(a.complete.mean, b.complete.mean)


def test_arguments_of_mixed_precision_are_searched_in_the_wider_one():
    single = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, tiny_model())
    want = ml.estimate(tiny_model(), stats())
    for found in (
        ml.estimate(single, stats(), theta0=THETA.astype(np.float32)),
        ml.estimate(tiny_model(), stats(), theta0=jnp.asarray(THETA), solver=settings(np.float64)),
    ):
        assert found.theta.dtype == np.float64
        np.testing.assert_allclose(found.theta, want.theta, atol=1e-6)


def single_precision(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [w for w in caught if "float32" in str(w.message)]
    assert {w.filename for w in found} <= {__file__}
    return [str(w.message).split(" runs")[0] for w in found]


def test_single_precision_is_told_while_tracing():
    """JAX rounds float64 arguments before a transformed function sees them."""
    assert not jax.config.jax_enable_x64
    shape = jax.eval_shape  # traces without compiling
    many = tiny_batch(8)
    assert single_precision(lambda: shape(jax.jit(ml.estimate), tiny_model(), one())) == ["ml.estimate"]
    assert single_precision(lambda: shape(jax.vmap(ml.estimate, (None, 0)), tiny_model(), many)) == ["ml.estimate"]
    graded = jax.grad(lambda t: ml.log_likelihood(tiny_model(), t, one()))
    assert single_precision(lambda: shape(graded, jnp.asarray(THETA))) == ["ml.log_likelihood"]
    draw = jax.jit(lambda t: ml.simulate(tiny_model(), t, 1, SIZES).complete.mean)
    assert single_precision(lambda: shape(draw, THETA)) == ["ml.simulate"]
    # outside float64 arrays are enough, and 64 bits are 64 bits
    assert not single_precision(lambda: ml.log_likelihood(tiny_model(), THETA, one()))
    with jax.enable_x64(True):
        assert not single_precision(lambda: shape(jax.jit(ml.estimate), tiny_model(), one()))


OPTIONS = {
    "bounds": "pos.var",
    "estimator": "MLR",
    "se": "none",
    "iter_max": 3,
    "start": "x",
    "verbose": True,
    "test": "none",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_model_refuses_options_of_a_fit(name):
    with pytest.raises(ml.ModelError, match=f"{name}= would have no effect"):
        ml.model(MODEL, rows(), cluster="g", **{name: OPTIONS[name]})


def test_a_model_refuses_unknown_options_and_takes_those_of_the_text():
    with pytest.raises(ml.ModelError, match="'bounds'"):
        ml.model(MODEL, rows(), cluster="g", bound="pos.var")
    assert ml.model(MODEL, rows(), cluster="g", missing="fiml").labels.source.missing == "fiml"


def test_a_lane_of_nan_is_quiet():
    batch = jax.tree.map(np.array, tiny_batch(8))
    batch.complete.within[3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        end = ml.estimate_batch(tiny_model(), batch, chisq=True)
    assert np.isnan(end.chisq[3])
    assert np.isfinite(np.delete(end.chisq, 3)).all()
    # lane by lane, as NumPy arrays are given
    np.testing.assert_allclose(end.vcov[0], np.linalg.inv(end.information[0]), rtol=1e-6)
    assert end.vcov.shape == end.information.shape


def test_a_living_trace_in_32_bits_does_not_spoil_calls_in_64():
    """JAX remembers the NumPy arrays that it closed over, by identity."""
    data = one()
    graded = jax.grad(lambda t: ml.log_likelihood(tiny_model(), t, data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jax.eval_shape(graded, jnp.asarray(THETA))
    assert ml.log_likelihood(tiny_model(), THETA, data).dtype == np.float64
    assert ml.estimate_batch(tiny_model(), tiny_batch(8)).theta.dtype == np.float64


@pytest.mark.filterwarnings("ignore:ml.simulate runs in float32")
def test_rows_are_not_drawn_while_tracing():
    with pytest.raises(ml.DataError, match="draw them outside"):
        jax.jit(lambda t: ml.simulate(tiny_model(), t, 1, SIZES, rows=True).values)(THETA)


class Constant(Term):
    """A term that depends on nothing and says that it has no unrestricted model."""

    mark: np.ndarray
    saturated = property(lambda self: False)
    expected = property(lambda self: True)
    curved = property(lambda self: 0)
    sizes = property(lambda self: None)
    lane_mark = property(lambda self: self.mark)
    lane_elements = n_values = lambda self, *given: 0.0
    expected_sums = covariate_sums = lambda self, *given: None

    def cluster_sizes(self):
        return ClusterSizes(np.zeros(0, int), np.zeros(0), np.zeros(0))

    def value_and_gradient(self, moments, between_only):
        return jnp.zeros(()), jax.tree.map(jnp.zeros_like, moments)

    def gradient_near(self, moments, between_only):
        return lambda moments: jax.tree.map(jnp.zeros_like, moments)

    def curvature(self, moments, jacobian, between_only, at=None):
        return jnp.zeros((jax.tree.leaves(jacobian)[0].shape[-1],) * 2)

    expected_information = curvature


def test_terms_of_ones_own_are_not_taken_for_random_slopes():
    """And where they are not of free moments, a chi-square is refused and not NaN."""
    with jax.enable_x64(True):
        stats = ml.statistics(tiny_model(), rows()).reduced
        more = Statistics((*stats.terms, Constant(np.zeros(1))), stats.pools)
        end = ml.estimate(tiny_model(), more)
        assert ml.Status(int(end.status)).converged
        np.testing.assert_allclose(end.theta, ml.estimate(tiny_model(), stats).theta, rtol=1e-8)
        with pytest.raises(ml.ModelError, match="a term of the statistics says"):
            ml.estimate(tiny_model(), more, chisq=True)
        with pytest.raises(ml.ModelError, match="a term of the statistics says"):
            ml.estimate_batch(
                tiny_model(), jax.tree.map(lambda x: np.asarray(x)[None], more), theta0=end.theta, chisq=True
            )
