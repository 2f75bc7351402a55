"""Under bounds the fit is the highest of the maxima that there are: against known ones and searches from random starts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation import Problem
from mlsem_jax.estimation.problem._constraints import constraints_of
from mlsem_jax.estimation.search._rescaled import rescale
from mlsem_jax.estimation.search._sqp import maximise_constrained
from mlsem_jax.estimation.strategies._fallbacks_within import in_doubt_within
from mlsem_jax.numerics import float64

# searches with few clusters come to several forms of one model; each is compiled when it is first met
pytestmark = pytest.mark.timeout(600)

ONE = "level: 1\n f =~ y1 + y2 + y3 + y4\n f ~ w1\nlevel: 2\n fb =~ y1 + y2 + y3 + y4\n fb ~ b1\n"
VARIANCES = [f"y{i}~~y{i}.l2" for i in range(1, 5)]


def sample(seed: int, clusters: int, largest: int, icc: float) -> pd.DataFrame:
    """Four indicators of a factor at each level, a covariate of each, 1 to `largest` rows a cluster."""
    r = np.random.default_rng(seed)
    sizes = r.integers(1, largest + 1, clusters)
    cl = np.repeat(np.arange(clusters), sizes)
    n = len(cl)
    w1 = r.normal(size=n) + 0.7
    r.normal(size=clusters), r.normal(size=n)
    b1 = r.normal(size=clusters) + 0.4
    f1 = r.normal(size=n) + 0.4 * w1
    r.normal(size=n)
    fb = r.normal(size=clusters) + 0.4 * b1
    lw = r.uniform(0.6, 1.2, 4)
    within = f1[:, None] * lw + r.normal(size=(n, 4)) * r.uniform(0.6, 1, 4)
    between = np.outer(fb, r.uniform(0.6, 1.2, 4)) + 0.4 * r.normal(size=(clusters, 4))
    y = np.sqrt(1 - icc) * within + np.sqrt(icc) * between[cl] + 2
    frame = pd.DataFrame(y, columns=["y1", "y2", "y3", "y4"]).assign(w1=w1, b1=b1[cl], cl=[f"c{v}" for v in cl])
    return frame.iloc[r.permutation(n)].reset_index(drop=True)


@float64
def highest_from_random_starts(fit: ml.Fit, bounds: str | dict, count: int, seed: int = 0) -> float:
    """The highest joint log-likelihood to which constrained searches from random starting values converge."""
    estimation = fit.estimation
    made, problem = estimation.model.build, estimation.model.problem
    constraints = constraints_of(made, bounds)
    rows = {int(i): row for row, i in zip(made.specification.parameters, made.index, strict=True) if i >= 0}
    r, best = np.random.default_rng(seed), -np.inf
    for _ in range(count):
        theta = estimation.model.theta.copy()
        for at, i in enumerate(made.kept):
            row = rows[int(i)]
            if row.level == 2 and row.op == "~~":
                theta[at] = r.uniform(0.001, 0.3)
            elif row.level == 2 and row.op in ("=~", "~"):
                theta[at] = r.normal()
        end = maximise_constrained(problem, theta, constraints, iterations=60)
        if end.status.converged:
            best = max(best, end.value)
    return best


@pytest.mark.parametrize(
    ("seed", "clusters", "icc", "loglik"),
    [
        # dense likelihood with bounds, six starts
        (7, 10, 0.3, -573.19187),
        # the highest of constrained searches from 16 random starts
        (5, 15, 0.05, None),
        (0, 10, 0.3, None),
        (11, 40, 0.05, None),
    ],
)
def test_the_highest_maximum_under_bounds(seed, clusters, icc, loglik):
    fit = ml.sem(ONE, sample(seed, clusters, 20, icc), cluster="cl", bounds="pos.var", h1=False)
    assert fit.converged
    if loglik is not None:
        assert fit.loglik == pytest.approx(loglik, abs=1e-4)
    # no starting values lead higher
    assert fit.estimation.model.value > highest_from_random_starts(fit, "pos.var", 6) - 1e-5
    variances = fit.coef()[[*VARIANCES, "fb~~fb.l2"]]
    assert (variances > -1e-8).all()


@pytest.mark.parametrize("written", ["table", "dictionary", "inequalities"])
def test_bounds_of_every_kind_reach_it(written):
    """The bounds of "pos.var", said in other ways."""
    data = sample(5, 15, 20, 0.05)
    best = ml.sem(ONE, data, cluster="cl", bounds="pos.var", h1=False).loglik
    text, bounds = ONE, "none"
    variances = {f"{v}~~{v}": f"v{i}" for i, v in enumerate(("fb", "y1", "y2", "y3", "y4"))}
    if written == "table":
        text += "".join(f" {a}~~lower(0)*{a}\n" for a in ("fb", "y1", "y2", "y3", "y4"))
    elif written == "dictionary":
        bounds = {f"{name}.l2": (0, None) for name in variances}
    else:
        text += "".join(f" {name.replace('~~', f' ~~ {label}*')}\n" for name, label in variances.items())
        text += "".join(f" {label} > 0\n" for label in variances.values())
    fit = ml.sem(text, data, cluster="cl", bounds=bounds, h1=False)
    assert fit.loglik == pytest.approx(best, abs=1e-5)


def test_a_maximum_far_from_its_bounds_is_not_in_doubt():
    """200 clusters with large variances."""
    data = sample(3, 200, 12, 0.5)
    fit = ml.sem(ONE, data, cluster="cl", bounds="pos.ov.var", h1=False)
    model = fit.estimation.model
    assert not in_doubt_within(bounded(fit, "pos.lv.var"), model.maximum)


def bounded(fit: ml.Fit, bounds: str | dict) -> Problem:
    """The problem of a fit under other bounds."""
    problem = fit.estimation.model.problem
    return Problem(problem.build, problem.statistics, problem.sample, constraints_of(problem.build, bounds))


def test_bounds_in_the_form_with_scaled_factors():
    fit = ml.sem(ONE, sample(3, 40, 12, 0.5), cluster="cl", h1=False)
    problem = bounded(fit, "pos.var")
    plus, minus = (rescale(problem, {"f.1": 1.0, "fb.2": sign}) for sign in (1.0, -1.0))
    constraints, carried = problem.constraints, plus.constraints
    # the variances of both factors are 1 there
    assert len(carried.least) == len(constraints.least) - 2
    theta = fit.estimation.model.theta
    kept = [t for t in constraints.texts if not t.startswith("f")]
    assert list(carried.texts) == kept
    here = dict(zip(constraints.texts, constraints.residuals(theta), strict=True))
    np.testing.assert_allclose(carried.residuals(plus.forth(theta)), [here[t] for t in kept], atol=1e-12)
    assert minus is None
    assert rescale(bounded(fit, {"fb=~y2.l2": (0, 2)}), {"f.1": 1.0, "fb.2": 1.0}) is None
