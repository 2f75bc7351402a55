"""Modification indices and score tests from observed information: against a finite-difference Hessian of the extended model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.estimation import Problem
from mlsem_jax.inference.parameters._estimates import row_values
from mlsem_jax.inference.respecification._candidates import candidates
from mlsem_jax.models import build
from mlsem_jax.numerics import float64

pytestmark = pytest.mark.timeout(300)

MODEL = """
level: 1
  f =~ y1 + a*y2 + y3 + 0.8*y4
  f ~ w
  y3 ~ 0*w
level: 2
  b =~ y1 + a*y2 + y3 + y4
  b ~ z
  y4 ~ 0*z
"""
# covariances at both levels, regressions and loadings that the model fixes
WANTED = {"y1~~y2", "y2~~y4", "y1~~y3.l2", "f=~y4", "y3~w", "y4~z.l2"}


def rows(seed: int = 1, clusters: int = 80, twist: float = 0.4) -> pd.DataFrame:
    """One factor and a covariate at each level, and at level 1 a second factor that the model does not have."""
    r = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), r.integers(2, 8, clusters))
    n = len(cluster)
    w, z = r.normal(size=n), r.normal(size=clusters)
    f = r.normal(size=n) + 0.4 * w
    y = f[:, None] * [1.0, 0.8, 0.7, 0.9] + r.normal(size=(n, 4)) * 0.8
    y += twist * np.outer(r.normal(size=n), [1.0, 1.0, 0.0, 0.0]) + 0.5 * np.outer(w, [0.0, 0.0, 0.0, 1.0])
    y += (0.6 * np.outer(r.normal(size=clusters) + 0.5 * z, [1.0, 0.6, 0.9, 0.7]))[cluster]
    y += (0.3 * r.normal(size=(clusters, 4)))[cluster]
    return pd.DataFrame(y, columns=["y1", "y2", "y3", "y4"]).assign(w=w, z=z[cluster], cl=cluster)


@pytest.fixture(scope="module", params=["complete", "missing"])
def fit(request):
    data = rows()
    if request.param == "missing":
        holes = np.random.default_rng(2).random((len(data), 4)) < 0.15
        data[["y1", "y2", "y3", "y4"]] = data[["y1", "y2", "y3", "y4"]].mask(holes)
    return ml.sem(MODEL, data, cluster="cl", missing="ml" if request.param == "missing" else "listwise")


def _place(row):
    return row.lhs, row.op, row.rhs, row.level


@float64
def hessian_and_score(estimation, row=None, apart=""):
    """Minus the Hessian, by central differences of the gradient, and the gradient of the model with `row` free at its value
    (the last parameter then) and without the label `apart`.
    """
    specification = estimation.model.build.specification
    values = {_place(r): v for r, v in zip(specification.parameters, row_values(estimation), strict=True)}
    present = [r.but(label="") if apart and r.label == apart else r for r in specification.parameters]
    if row is not None:
        values.setdefault(_place(row), row.value or 0.0)
        present = [r for r in present if _place(r) != _place(row)] + [row.but(free=True, value=None)]
    made = build(specification.but(parameters=tuple(present)), estimation.exogenous)
    problem = Problem(made, estimation.statistics)
    theta = np.zeros(made.free)
    for r, k in zip(made.specification.parameters, made.index, strict=True):
        if k >= 0:
            theta[k] = values[_place(r)]

    def change(direction, step=1e-4):
        far = [problem.evaluate(theta + n * step * direction).gradient for n in (1, -1, 2, -2)]
        return (8 * (far[0] - far[1]) - (far[2] - far[3])) / (12 * step)

    return -np.array([change(e) for e in np.eye(len(theta))]), problem.evaluate(theta).gradient


def test_indices_are_of_the_extended_models_hessian(fit):
    estimation = fit.estimation
    wanted = [r for r in candidates(estimation.model.build.specification) if r.name in WANTED]
    assert len(wanted) == len(WANTED)
    found = inference.modification_indices(estimation, wanted, "observed")
    by_name = {r.name: (mi, epc) for r, mi, epc in zip(found.rows, found.mi, found.epc, strict=True)}
    assert len(by_name) == len(WANTED)
    for row in found.rows:
        h, score = hessian_and_score(estimation, row)
        left = h[-1, -1] - h[-1, :-1] @ np.linalg.solve(h[:-1, :-1], h[:-1, -1])
        assert by_name[row.name] == pytest.approx((score[-1] ** 2 / left, score[-1] / left), rel=1e-5), row.name


def test_all_candidates_at_once_are_each_alone(fit):
    table = fit.modification_indices(information="observed", sort=False)
    some = candidates(fit.estimation.model.build.specification)
    row = next(r for r in some if r.name == "y1~~y2")
    alone = inference.modification_indices(fit.estimation, [row], "observed")
    here = (table.lhs == "y1") & (table.op == "~~") & (table.rhs == "y2") & (table.level == 1)
    assert table.loc[here, "mi"].item() == pytest.approx(alone.mi[0], rel=1e-8)
    expected = fit.modification_indices(sort=False)
    assert len(table) == len(expected), "identification does not depend on the kind of information"


def test_score_test_of_missing_data_is_of_the_hessian(fit):
    """The release of the only equality: s' H^-1 s, H the observed information without the equality."""
    if not fit.estimation.statistics.curved:
        pytest.skip("complete data go by expected information")
    h, score = hessian_and_score(fit.estimation, apart="a")
    assert fit.score_test().X2[0] == pytest.approx(score @ np.linalg.solve(h, score), rel=1e-5)
