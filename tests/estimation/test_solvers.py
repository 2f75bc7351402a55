"""Every solver ends at the same verified maximum, with one status and one trace."""

import io

import numpy as np
import optax
import optimistix
import pytest
from tiny import MODEL, rows

import mlsem_jax as ml
from mlsem_jax.report import progress

QUICK = dict(cluster="g", h1=False, baseline=False)
# what is left to gain at a verified maximum is 1e-13; its square root bounds the error in standard errors
AGREEMENT = 1e-6


@pytest.fixture(scope="module")
def scoring():
    return ml.sem(MODEL, rows(), **QUICK)


@pytest.mark.parametrize(
    "method",
    [
        "newton",
        "bfgs",
        optimistix.NonlinearCG(rtol=1e-8, atol=1e-8),
        optax.lbfgs(),
    ],
    ids=["newton", "bfgs", "optimistix", "optax"],
)
def test_solvers_agree(method, scoring):
    fit = ml.sem(MODEL, rows(), optim_method=method, **QUICK)
    assert fit.status is scoring.status is ml.Status.CONVERGED
    assert fit.loglik == pytest.approx(scoring.loglik, abs=1e-9)
    np.testing.assert_allclose(fit.coef(), scoring.coef(), rtol=AGREEMENT, atol=AGREEMENT)
    np.testing.assert_allclose(fit.vcov(), scoring.vcov(), rtol=1e-5, atol=1e-8)
    trace = fit.trace
    assert list(trace.columns) == ["iteration", "loglik", "decrement", "gradient", "step"]
    assert list(trace["iteration"]) == list(range(1, len(trace) + 1))
    assert fit.iterations == len(trace)
    assert trace["decrement"].iloc[-1] < 1e-12


def test_a_solver_that_stops_short_is_finished_and_says_so(scoring):
    with pytest.warns(ml.ModelWarning, match="optax transformation.*stopped early.*limit of 5 iterations"):
        fit = ml.sem(MODEL, rows(), optim_method=optax.sgd(1e-4), iter_max=5, **QUICK)
    assert fit.estimation.model.notes
    assert fit.status is ml.Status.CONVERGED or fit.status is ml.Status.ITERATION_LIMIT
    with pytest.warns(ml.ModelWarning, match="stopped early"):
        wild = ml.sem(MODEL, rows(), optim_method=optax.sgd(1e3), **QUICK)
    # a first step into nowhere costs nothing: the search goes on from the best point seen
    assert wild.status is ml.Status.CONVERGED
    np.testing.assert_allclose(wild.coef(), scoring.coef(), rtol=AGREEMENT, atol=AGREEMENT)


def test_what_is_no_solver_is_refused():
    with pytest.raises(ml.ModelError, match="optim_method must be 'scoring', 'bfgs'"):
        ml.sem(MODEL, rows(), optim_method=3.0, **QUICK)
    with pytest.raises(ml.ModelError, match="bfgs"):
        ml.sem(MODEL, rows(), optim_method="bfsg", **QUICK)


def test_constraints_go_by_quadratic_programming_whatever_was_asked_for():
    model = MODEL.replace("product := a*b", "a > 0.2")
    with pytest.warns(ml.ModelWarning, match="'bfgs' knows no inequality"):
        fit = ml.sem(model, rows(), optim_method="bfgs", **QUICK)
    assert fit.converged


@pytest.mark.parametrize("method", ["scoring", "em", "bfgs"])
def test_verbose_writes_a_line_an_iteration(method, capsys):
    ml.sem(MODEL, rows(), optim_method=method, verbose=True, **QUICK)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iteration")]
    assert len(lines) > 3
    assert all(word in lines[0] for word in (f"({method})", "loglik", "expected gain", "largest gradient"))


def test_progress_rewrites_its_line_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    show = progress(stream)
    for i in (1, 2):
        show({"iteration": i, "loglik": -10.0, "decrement": 0.1, "gradient": 1.0, "step": "em"})
    assert stream.getvalue().count("\r") >= 2
    assert stream.getvalue().count("\n") == 0
