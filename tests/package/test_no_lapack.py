"""Nothing that may be batched calls LAPACK: batched LAPACK calls that run at the same time deadlock in jaxlib 0.10 on CPU
(measured by benchmarks/batched_lapack.py; not in 0.11 and 0.12, but Python 3.11 gets nothing newer than 0.10).

What is looked at is the program as it is handed to the compiler, in which such calls are custom calls with 'lapack' in their
name. Every kernel is batched over data sets; complete data, missing values and random slopes are separate programs.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlsem_jax import likelihood
from mlsem_jax.estimation.batch._nearby import climb
from mlsem_jax.estimation.search import _traced_search, _traced_state
from mlsem_jax.estimation.status import _status
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics
from mlsem_jax.models import Choice, Moments, build
from mlsem_jax.numerics import float64
from mlsem_jax.observed import cluster_statistics, pattern_statistics, pool_sizes, reduce
from mlsem_jax.syntax import SyntaxOptions, parse, specify

pytestmark = pytest.mark.timeout(240)

FACTORS = """
level: 1
  fw =~ y1 + y2 + y3
  fw ~ x
level: 2
  fb =~ y1 + y2 + y3
  fb ~ w
"""
SLOPES = """
level: 1
  y1 ~ rv("s")*x
  y2 + y3 ~ y1
level: 2
  s + y1 ~ w
  y2 ~~ y2
  y3 ~~ y3
"""
COLUMNS = ["y1", "y2", "y3", "x", "w"]


def problem(model: str, missing: bool, slopes: bool):
    """Structure, theta and the statistics of two data sets in one batch, and their cluster layers."""
    spec = specify(parse(model), options=SyntaxOptions.for_function("sem"), data_variables=COLUMNS, group_labels=())
    assert list(spec.variables) == COLUMNS
    exogenous = Moments.two_level(np.eye(5)[None], np.eye(5)[None], np.zeros((1, 5)), np.zeros((1, 5)))
    made = build(spec, exogenous)
    rng = np.random.default_rng(0)
    cluster, group = np.repeat(np.arange(6), 4), np.zeros(6, int)
    between_only = np.arange(5) == 4
    gone = rng.uniform(size=(len(cluster), 3)) < 0.2

    def one():
        values = rng.normal(size=(len(cluster), 5))
        values[:, 4] = rng.normal(size=6)[cluster]
        if not missing and not slopes:
            clusters = cluster_statistics(values, cluster, group)
            complete = reduce(clusters, 1)
            return clusters, Statistics((CompleteTerm(complete),), pool_sizes(complete))
        if missing:
            values[:, :3] = np.where(gone, np.nan, values[:, :3])
        columns = np.array([3]) if slopes else None
        patterns = pattern_statistics(
            values, cluster, group, between_only, reference=np.zeros(5), slope_columns=columns, by_pair=True
        )
        filled = reduce(cluster_statistics(np.nan_to_num(values), cluster, group), 1)
        return None, Statistics((PatternTerm(patterns),), None if slopes else pool_sizes(filled))

    pairs = [one(), one()]
    clusters, statistics = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *pairs)
    return made.structure, jnp.full(made.structure.basis.shape[1], 0.5), clusters, statistics


def lowered(function, *arguments) -> str:
    """The program of a function batched over its last argument, before compilation."""
    axes = (None,) * (len(arguments) - 1) + (0,)
    return jax.jit(jax.vmap(function, in_axes=axes)).lower(*arguments).as_text()


@float64
def test_the_text_would_show_it():
    assert "lapack" in lowered(jnp.linalg.cholesky, jnp.ones((2, 3, 3)))


KERNELS = {
    "evaluate": likelihood.evaluate,
    "log_likelihood": likelihood.log_likelihood,
    "observed_information": likelihood.observed_information,
    "expected_information": likelihood.expected_information,
}
DATA = {"complete": (FACTORS, False, False), "missing": (FACTORS, True, False), "slopes": (SLOPES, True, True)}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kernel", KERNELS)
@float64
def test_kernels(kernel, data):
    if (kernel, data) == ("expected_information", "slopes"):
        pytest.skip("with random slopes the information is observed")
    structure, theta, _, statistics = problem(*DATA[data])
    assert "lapack" not in lowered(KERNELS[kernel], structure, theta, statistics)


@float64
def test_cluster_scores():
    structure, theta, clusters, _ = problem(*DATA["complete"])
    assert "lapack" not in lowered(likelihood.cluster_scores, structure, theta, clusters)
    for data in ("missing", "slopes"):
        structure, theta, _, statistics = problem(*DATA[data])
        assert "lapack" not in lowered(likelihood.term_scores, structure, theta, statistics.terms[0])


@pytest.mark.parametrize("data", DATA)
@float64
def test_a_whole_fit(data):
    structure, theta, _, statistics = problem(*DATA[data])
    limits = _traced_state.settings(theta.dtype)

    def fit(structure, theta, statistics):
        return _traced_search.search_traced(structure, statistics, theta, limits)

    assert "lapack" not in lowered(fit, structure, theta, statistics)


@float64
def test_maxima_near_a_known_one():
    structure, theta, _, statistics = problem(*DATA["complete"])

    def near(structure, theta, statistics):
        inverse = _traced_state.scaled_inverse(likelihood.observed_information(structure, theta, statistics))[0]
        return climb(structure, statistics, theta, inverse)

    assert "lapack" not in lowered(near, structure, theta, statistics)


@pytest.mark.parametrize("data", ["complete", "slopes"])
@pytest.mark.parametrize("kind", [None, "cor", "prec"])
@float64
def test_the_status_of_a_fit(kind, data):
    structure, theta, _, _ = problem(*DATA[data])
    if kind is not None:
        both = (Choice.of(kind), Choice.of(kind))
        structure = dataclasses.replace(
            structure,
            levels=tuple(
                eqx.tree_at(lambda s: (s.psi.kind, s.theta.kind), level, both, is_leaf=lambda x: x is None)
                for level in structure.levels
            ),
        )

    def status(structure, theta):
        return _status.at_end(structure, _traced_state.start(theta))

    assert "lapack" not in lowered(status, structure, jnp.stack([theta, theta]))
