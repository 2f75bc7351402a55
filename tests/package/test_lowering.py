"""What can be known of the programs for a GPU without one: each is lowered for CUDA and looked at as it is handed to the compiler.

Looked for are calls to the host and to libraries, which make a program wait or may not exist on a GPU, numbers in double precision
where single precision was asked for, and loops, each step of which costs a GPU the launch of its kernels, a few microseconds,
however small the arrays are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax import export
from tiny import MODEL, SIZES, THETA, rows, tiny_batch, tiny_fit, tiny_model

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import settings
from mlsem_jax.estimation.batch._devices import program
from mlsem_jax.inference.variance._clusters import weighted_clusters
from mlsem_jax.numerics import float64
from mlsem_jax.numerics._sweep import SWITCH, _as_loop, _unrolled, unrolled_up_to

pytestmark = pytest.mark.timeout(240)

LANES = 4
# custom calls that a program may make on a GPU, and why
ALLOWED = {"cu_threefry2x32_ffi": "JAX's own kernel for random numbers, a part of jax[cuda]"}
# what talks to the host, and the program waits for it
HOST = ("callback", "infeed", "outfeed", "stablehlo.send", "stablehlo.recv")

Program = tuple[Callable, tuple]


def on_lanes(lanes: tuple, shared: tuple) -> Program:
    """The program of `ml.estimate_batch` and its arguments: all lanes at once, as on a GPU."""
    return program((jax.devices("cpu")[0],), True, True, None), (lanes, shared, None, settings(np.float64))


def batch() -> Program:
    stats = jax.tree.map(lambda x: x[:LANES], tiny_batch())
    return on_lanes((None, stats, None, None), (tiny_model().structure, None, None, None))


def bootstrap() -> Program:
    source, weights = weighted_clusters(tiny_fit().estimation), np.ones((LANES, len(SIZES)))
    return on_lanes((None, None, None, weights), (tiny_model().structure, source, THETA, None))


def gaps() -> pd.DataFrame:
    data = rows()
    for i, name in enumerate(["y1", "y2", "y3"]):
        data.loc[i::7, name] = np.nan
    return data


def missing() -> Program:
    model = ml.model(MODEL, gaps(), cluster="g", missing="ml")
    one = ml.statistics(model, gaps()).reduced
    stats = jax.tree.map(lambda x: np.stack([np.asarray(x)] * LANES), one)
    return on_lanes((None, stats, None, None), (model.structure, None, np.asarray(model.start), None))


def kernel(function: Callable) -> Callable[[], Program]:
    """A kernel of single fits."""

    def made() -> Program:
        stats = jax.tree.map(lambda x: x[0], tiny_batch())
        return jax.jit(function), (tiny_model().structure, jnp.asarray(THETA), stats)

    return made


def of_estimate(model: ml.Model, stats: Any) -> jax.Array:
    return jax.grad(lambda one: ml.estimate(model, one).theta.sum())(stats)


def gradient() -> Program:
    return jax.jit(of_estimate), (tiny_model(), jax.tree.map(lambda x: x[0], tiny_batch()))


def draws() -> Program:
    return jax.jit(lambda key: ml.simulate(tiny_model(), THETA, key, SIZES, LANES)), (jax.random.key(1),)


# by name: the program and the most loops that it may have. Four are the search itself (scoring, secant steps, the round of both,
# the choice of a start); one is in each pass over the chunks of clusters with missing values, two in drawing chi-squares; the
# others are sweeps, one for every matrix that is inverted. More than these would be more launches for each step of a search
PROGRAMS: dict[str, tuple[Callable[[], Program], int]] = {
    "batch": (batch, 38),
    "bootstrap": (bootstrap, 25),
    "missing": (missing, 46),
    "gradient": (gradient, 49),
    "evaluate": (kernel(likelihood.evaluate), 5),
    "observed information": (kernel(likelihood.observed_information), 7),
    "expected information": (kernel(likelihood.expected_information), 4),
    "draws": (draws, 8),
}


def lowered(function: Callable, *arguments: Any) -> str:
    """The program for CUDA, before compilation."""
    return str(export.export(function, platforms=["cuda"])(*arguments).mlir_module())


def custom_calls(text: str) -> set[str]:
    return set(re.findall(r"custom_call @(\w+)", text)) | set(re.findall(r'call_target_name = "([^"]+)"', text))


@pytest.mark.parametrize("name", PROGRAMS)
@float64
def test_programs_for_a_gpu(name):
    make, most = PROGRAMS[name]
    function, arguments = make()
    text = lowered(function, *arguments)
    assert [word for word in HOST if word in text] == []
    assert custom_calls(text) <= set(ALLOWED)
    loops = text.count("stablehlo.while")
    assert loops <= most, f"{loops} loops, {most} before"


# of the loops of PROGRAMS those that are left where sweeps of small matrices, as all here are, are unrolled: on a GPU
UNROLLED = {"batch": 12, "evaluate": 1, "expected information": 1}


@pytest.mark.parametrize("name", UNROLLED)
@float64
def test_small_sweeps_are_no_loops_on_a_gpu(name, monkeypatch):
    monkeypatch.setenv(SWITCH, "8")
    jax.clear_caches()  # of programs traced without
    make, _ = PROGRAMS[name]
    function, arguments = make()
    text = lowered(function, *arguments)
    jax.clear_caches()
    assert text.count("stablehlo.while") <= UNROLLED[name]
    assert custom_calls(text) <= set(ALLOWED)


def test_sweeps_unrolled_and_as_loops_are_one_function(monkeypatch):
    for p in range(1, 9):
        a = np.random.default_rng(p).normal(size=(3, p, 2 * p))
        a = (a @ a.swapaxes(1, 2)).astype(np.float32)
        a[1, 0, 0] = -1.0  # not positive definite
        loop, unrolled = jax.jit(_as_loop)(a), jax.jit(jax.vmap(_unrolled))(a)
        for x, y in zip(loop, unrolled, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-4)
    monkeypatch.delenv(SWITCH, raising=False)
    assert unrolled_up_to() == (0 if jax.default_backend() == "cpu" else 8)
    monkeypatch.setenv(SWITCH, "5")
    assert unrolled_up_to() == 5


@float64
def test_the_text_would_show_it():
    text = lowered(jax.jit(jnp.linalg.cholesky), jnp.eye(3))
    assert any("potrf" in call for call in custom_calls(text))
    assert "stablehlo.while" in lowered(jax.jit(lambda x: jax.lax.fori_loop(0, 9, lambda i, y: y @ x, x)), jnp.eye(3))


def in_single(tree: Any) -> Any:
    def one(x):
        x = np.asarray(x)
        return x.astype(np.float32) if x.dtype == np.float64 else x

    return jax.tree.map(one, tree)


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, also those inside of loops and branches."""
    for equation in jaxpr.eqns:
        yield equation
        for part in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def doubles(function: Callable, *arguments: Any) -> list[str]:
    """Arrays of more than a number in double precision. A lone number is a constant that the compiler folds."""
    found = jax.make_jaxpr(function)(*arguments).jaxpr
    return [
        str(out.aval)
        for equation in equations(found)
        for out in equation.outvars
        if getattr(out.aval, "dtype", None) == np.float64 and out.aval.ndim
    ]


@float64
def test_float32_stays_float32_where_float64_is_allowed():
    """With jax_enable_x64 set a program that was given single precision computes in it: a GPU has little of the other kind."""
    model, stats = in_single(tiny_model()), in_single(jax.tree.map(lambda x: x[0], tiny_batch()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*runs in float32")
        warnings.filterwarnings("error", message="scatter inputs have incompatible types")
        assert doubles(of_estimate, model, stats) == []
        assert doubles(jax.vmap(ml.estimate, (None, 0)), model, jax.tree.map(lambda x: x[None], stats)) == []
    assert doubles(lambda x: x + jnp.ones(3), np.ones(3, np.float32)) != []
