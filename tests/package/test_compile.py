"""When something is compiled: not for new data of the same shape, another pattern of the same dimensions, a pruned network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

pytestmark = pytest.mark.timeout(240)

# every function that jit has not met in these shapes is traced once; eager operations are such functions too
TRACED = "/jax/core/compile/jaxpr_trace_duration"
_counting: list[list[str]] = []


def _listen(event: str, duration: float, **about: object) -> None:
    if event == TRACED:
        for names in _counting:
            names.append(str(about.get("fun_name", "?")))


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def traces() -> Iterator[list[str]]:
    """The names of the functions traced inside the block."""
    names: list[str] = []
    _counting.append(names)
    try:
        yield names
    finally:
        _counting.remove(names)


MODEL = """
level: 1
  m =~ math1 + math2 + math3
  m ~ ses + girl
level: 2
  a =~ math1 + math2 + math3
  a ~ size + public
"""
# as many parameters: a covariate out, a residual covariance in; at level 2 a covariate explains an item
OTHER = """
level: 1
  m =~ math1 + math2 + math3
  m ~ ses
  math1 ~ girl
level: 2
  a =~ math1 + math2 + math3
  a ~ size
  math3 ~ public
"""


def everything(model: str, data: pd.DataFrame) -> ml.Fit:
    """A fit and what its tables compute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.sem(model, data, cluster="school", estimator="MLR")
    assert fit.converged
    fit.fit_measures()
    fit.parameter_estimates(standardized=True)
    return fit


@pytest.fixture(scope="module")
def schools() -> pd.DataFrame:
    return ml.datasets.load_schools()


@pytest.fixture(scope="module")
def fitted(schools) -> ml.Fit:
    return everything(MODEL, schools)


def test_the_counter_counts():
    with traces() as names:
        jax.jit(lambda x: 2 * x + 1)(1.0)
    assert names


def test_new_data_of_the_same_shape_trace_nothing(schools, fitted):
    rng = np.random.default_rng(1)
    numbers = ["math1", "math2", "math3", "ses"]
    new = schools.assign(**{v: schools[v] + 0.3 * rng.normal(size=len(schools)) for v in numbers})
    with traces() as names:
        again = everything(MODEL, new)
    assert names == []
    assert abs(again.loglik - fitted.loglik) > 1


def test_another_pattern_of_the_same_dimensions_traces_nothing(schools, fitted):
    with traces() as names:
        other = everything(OTHER, schools)
    assert names == []
    assert other.npar == fitted.npar
    assert abs(other.loglik - fitted.loglik) > 0.1


def test_other_numbers_of_clusters_and_rows_reuse_the_programs_of_the_fit(schools, fitted):
    """Statistics are padded to a few lengths: the model is fitted without tracing; only scores are by cluster."""
    fewer = schools[schools.school.isin(schools.school.unique()[:95])]
    with traces() as names, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ml.sem(MODEL, fewer, cluster="school").fit_measures()
    assert names == []


def test_a_pruned_network_traces_nothing(schools):
    """Fewer parameters, in the same padded length: fit, prune and refit share their programs."""
    model = ml.ml_ggm(schools, clusters="school", vars=["math1", "math2", "math3", "reading1"])
    fit = model.fit()
    fit.parameters()
    with traces() as names:
        pruned = fit.prune(alpha=0.001)
        pruned.parameters()
    assert pruned.npar < fit.npar
    assert names == []
