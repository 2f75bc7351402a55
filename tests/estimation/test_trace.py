"""What the trace and `verbose=True` show: the log-likelihood of the fit, and the kind of every step."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation.search import _scoring
from mlsem_jax.report import progress

REGRESSION = "level: 1\n math1 ~ ses + girl\nlevel: 2\n math1 ~ public\n"
SLOPES = "level: 1\n math1 ~ rv('s')*ses\n math1 ~ girl\nlevel: 2\n math1 ~ public\n s ~~ s\n s ~~ math1\n"
STEPS = {"scoring", "newton", "secant", "trust region"}


@pytest.fixture(scope="module")
def schools():
    return ml.datasets.load_schools()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("text", "options", "kinds"),
    [
        (REGRESSION, {}, STEPS),
        (REGRESSION, {"optim_method": "newton"}, STEPS),
        (REGRESSION, {"optim_method": "bfgs"}, {"bfgs", *STEPS}),
        (REGRESSION, {"optim_method": "em"}, {"em", *STEPS}),
        (REGRESSION, {"bounds": "pos.var"}, {"sqp"}),
        (REGRESSION, {"missing": "ml"}, STEPS),
        (SLOPES, {}, STEPS),
    ],
)
def test_the_trace_ends_at_the_log_likelihood_of_the_fit(schools, capsys, text, options, kinds):
    """Covariates of either level are conditioned on, in every row."""
    fit = ml.sem(text, schools, cluster="school", verbose=True, **options)
    assert fit.trace["loglik"].iloc[-1] == pytest.approx(fit.loglik, abs=1e-6)
    assert fit.trace["loglik"].max() < fit.loglik + 1e-6
    assert set(fit.trace["step"]) <= kinds
    first = options.get("optim_method")
    if first in ("bfgs", "em"):
        # the Newton steps that verify the maximum are not the solver's
        assert fit.trace["step"].iloc[0] == first
        assert fit.trace["step"].iloc[-1] == "newton"
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) >= len(fit.trace)
    assert f"({fit.trace['step'].iloc[-1]})" in lines[-1]
    assert f"loglik {fit.trace.loglik.iloc[-1]:.6f}" in lines[-1]


@pytest.mark.timeout(120)
def test_networks_and_solvers_of_other_packages(schools, capsys):
    optax = pytest.importorskip("optax")
    fit = ml.ml_ggm(schools, clusters="school", vars=["math1", "math2", "math3"], verbose=True).fit()
    assert fit.trace["loglik"].iloc[-1] == pytest.approx(fit.loglik, abs=1e-6)
    assert f"loglik {fit.trace.loglik.iloc[-1]:.6f}" in capsys.readouterr().err.strip().splitlines()[-1]
    fit = ml.sem(REGRESSION, schools, cluster="school", optim_method=optax.adam(0.1), iter_max=5)
    assert "optax" in fit.trace["step"].iloc[0]
    assert fit.trace["loglik"].iloc[-1] <= fit.loglik + 1e-6


def test_the_row_of_the_highest_maximum_comes_last(schools, capsys):
    """Where several searches ran, the last of them need not have found it."""
    few = schools[schools.school.isin(schools.school.unique()[:12])]
    text = (
        "level: 1\n f =~ math1 + math2 + math3 + reading1\n f ~ ses\nlevel: 2\n b =~ math1 + math2 + math3 + reading1\n"
    )
    fit = ml.sem(text, few, cluster="school", bounds="pos.var", verbose=True, h1=False)
    lines = capsys.readouterr().err.strip().splitlines()
    assert sum("iteration    1 " in line for line in lines) > 1
    assert f"loglik {fit.trace.loglik.iloc[-1]:.6f}" in lines[-1]


def test_a_line_of_progress():
    shown = io.StringIO()
    progress(shown)({"iteration": 3, "loglik": -12.5, "decrement": 1e-3, "gradient": np.float64(0.5), "step": "em"})
    line = "iteration    3 (em)  loglik -12.500000  expected gain 1.00e-03  largest gradient 5.00e-01\n"
    assert shown.getvalue() == line


def test_a_reference_with_missing_values_ends_by_secant_steps(monkeypatch):
    """Of h1 only the log-likelihood is asked, so that no Hessian is computed; with the metric alone it takes longer."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(50), 6)
    frame = pd.DataFrame(rng.normal(size=(300, 3)) + rng.normal(size=(50, 3))[cluster], columns=["y1", "y2", "y3"])
    frame = frame.where(rng.random(frame.shape) > 0.25).assign(c=cluster)
    model = "level: 1\n y1 ~~ y2\n y3 ~~ y3\nlevel: 2\n y1 ~~ y2\n y3 ~ y1\n"

    def reference():
        return ml.sem(model, frame, cluster="c", missing="ml").estimation.h1

    ours = reference()
    monkeypatch.setattr(_scoring, "SECANT_STEPS", 0)
    scoring = reference()
    assert {row["step"] for row in ours.maximum.trace} == {"scoring", "secant"}
    assert ours.maximum.iterations < scoring.maximum.iterations
    assert ours.maximum.status.converged
    # both stop where less than 1e-9 is left to gain
    assert ours.value == pytest.approx(scoring.value, abs=1e-8)
