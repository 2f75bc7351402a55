"""Modification indices and score tests: against likelihood ratios, compiled kernels, separate groups, and lavaan."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import reference_root

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.datasets import load_schools
from mlsem_jax.estimation import Problem
from mlsem_jax.models import Parameter, build
from mlsem_jax.numerics import float64

MODEL = """
level: 1
  f =~ math1 + math2 + math3 + reading1
  f ~ ses
level: 2
  b =~ math1 + math2 + math3 + reading1
  b ~ public
"""
EQUAL = """
level: 1
  f =~ math1 + a*math2 + c*math3 + d*reading1
level: 2
  b =~ math1 + a*math2 + c*math3 + e*reading1
  d == e
"""


@pytest.fixture(scope="module")
def data():
    return load_schools()


@pytest.fixture(scope="module")
def fit(data):
    return ml.sem(MODEL, data, cluster="school")


@pytest.fixture(scope="module")
def equal(data):
    return ml.sem(EQUAL, data, cluster="school")


def index(table: pd.DataFrame, lhs: str, op: str, rhs: str, level: int, column: str = "mi") -> float:
    here = (table.lhs == lhs) & (table.op == op) & (table.rhs == rhs) & (table.level == level)
    return table.loc[here, column].item()


@pytest.mark.parametrize(
    ("lhs", "rhs", "level"), [("math1", "math2", 1), ("math2", "math3", 2), ("math3", "reading1", 1)]
)
def test_index_and_change_foretell_the_freed_model(data, fit, lhs, rhs, level):
    """Quadratic approximations of the likelihood ratio and of the estimate: alike where the change is small."""
    table = fit.modification_indices()
    extra = f"  {lhs} ~~ {rhs}\n"
    text = MODEL.replace("level: 2", extra + "level: 2") if level == 1 else MODEL + extra
    freed = ml.sem(text, data, cluster="school")
    ratio = 2 * (freed.loglik - fit.loglik)
    assert index(table, lhs, "~~", rhs, level) == pytest.approx(ratio, rel=0.12, abs=0.05)
    name = f"{lhs}~~{rhs}" + ".l2" * (level == 2)
    assert index(table, lhs, "~~", rhs, level, "epc") == pytest.approx(freed.coef()[name], rel=0.15, abs=0.005)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("which", ["fit", "equal"])
def test_closed_form_equals_the_compiled_kernels(which, request):
    """Gradient and expected information of the enlarged model by automatic differentiation of the likelihood."""
    estimation = request.getfixturevalue(which).estimation
    row = Parameter("math1", "~~", "math3", 2, value=0.0)
    found = inference.modification_indices(estimation, [row.but(free=False)])
    made = estimation.model.build
    specification = made.specification.but(parameters=(*made.specification.parameters, row.but(value=None)))

    @float64
    def by_kernels():
        wider = build(specification, estimation.exogenous)
        problem = Problem(wider, estimation.statistics)
        theta = np.append(estimation.model.natural, 0.0)[wider.kept]
        return problem.evaluate(theta).gradient, problem.expected(theta)

    score, information = by_kernels()
    left = information[-1, -1] - information[-1, :-1] @ np.linalg.solve(information[:-1, :-1], information[:-1, -1])
    assert found.mi[0] == pytest.approx(score[-1] ** 2 / left, rel=1e-7)
    assert found.epc[0] == pytest.approx(score[-1] / left, rel=1e-7)


def test_groups_without_equalities_are_separate_models(data):
    """lavaan 0.7 multiplies the scores by the group's share of the rows here; a group's indices cannot depend on other groups."""
    data = data.assign(kind=data.public.map({1: "public", 0: "private"}))
    model = MODEL.replace("  b ~ public\n", "")
    together = ml.sem(model, data, cluster="school", group="kind").modification_indices(sort=False)
    for number, kind in enumerate(data.kind.unique(), start=1):
        alone = ml.sem(model, data[data.kind == kind], cluster="school").modification_indices(sort=False)
        mine = together[together.group == number]
        assert list(mine.lhs + mine.op + mine.rhs) == list(alone.lhs + alone.op + alone.rhs)
        # the two searches end within 1e-6 of each other's estimates
        np.testing.assert_allclose(mine[["mi", "epc", "sepc.all"]], alone[["mi", "epc", "sepc.all"]], atol=1e-4)


def test_candidates(fit):
    table = fit.modification_indices(sort=False)
    keys = set(zip(table.lhs, table.op, table.rhs, table.level, strict=True))
    assert ("f", "=~", "math1", 1) not in keys, "a marker beside free loadings and variance is not identified"
    assert not {k for k in keys if "ses" in k or "public" in k}, "covariates are conditioned on"
    free = {(r.lhs, r.op, r.rhs, r.level) for r in fit.specification.parameters if r.free}
    assert not keys & free
    assert np.all(table.mi >= 0)


def test_table_arguments(fit):
    table = fit.modification_indices()
    assert table.mi.is_monotonic_decreasing
    assert list(table.columns) == ["lhs", "op", "rhs", "level", "group", "mi", "epc", "sepc.lv", "sepc.all"]
    assert (fit.modindices(minimum_value=3.0).mi >= 3.0).all()
    assert len(fit.modindices(maximum_number=2)) == 2
    assert set(fit.modindices(op="~~").op) == {"~~"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_observed_information_knows_what_is_missing(data, fit):
    """With a third of one indicator missing, expected information (lavaan's) foretells too little, observed the truth."""
    holes = data.copy()
    holes.loc[np.random.default_rng(1).random(len(data)) < 1 / 3, "math2"] = np.nan
    restricted = ml.sem(MODEL, holes, cluster="school", missing="ml")
    freed = ml.sem(MODEL.replace("level: 2", "  math1 ~~ math2\nlevel: 2"), holes, cluster="school", missing="ml")
    ratio = 2 * (freed.loglik - restricted.loglik)
    by_kind = {
        kind: index(restricted.modification_indices(information=kind), "math1", "~~", "math2", 1)
        for kind in ("expected", "observed")
    }
    assert by_kind["observed"] == pytest.approx(ratio, rel=0.15, abs=0.1)
    assert by_kind["expected"] < by_kind["observed"]


def test_score_tests_foretell_released_models(data, equal):
    table = equal.score_test()
    assert list(table.lhs[:1]) == ["total"]
    assert list(table.df) == [3, 1, 1, 1]
    free = EQUAL.replace("a*", "").replace("c*", "").replace("  d == e\n", "")
    ratio = 2 * (ml.sem(free, data, cluster="school").loglik - equal.loglik)
    # expected information at the restricted estimates; the total is near the likelihood ratio where both are moderate
    assert table.X2[0] == pytest.approx(ratio, rel=0.15, abs=0.3)
    one = ml.sem(EQUAL.replace("a*math2", "math2", 1), data, cluster="school")
    assert table.X2[1] == pytest.approx(2 * (one.loglik - equal.loglik), rel=0.15, abs=0.3)


def test_total_of_one_equality_is_that_equality(data):
    table = ml.sem(EQUAL.replace("  d == e\n", "").replace("c*", ""), data, cluster="school").score_test()
    assert table.X2[0] == pytest.approx(table.X2[1], rel=1e-10)
    assert table["p.value"][0] == pytest.approx(table["p.value"][1], rel=1e-8)


def test_releasing_some(equal):
    whole, some = equal.score_test(), equal.score_test(release=3)
    assert some.X2[0] == pytest.approx(whole.X2[3], rel=1e-10)
    with pytest.raises(ml.ModelError, match="from 1 to 3"):
        equal.score_test(release=[4])


def test_nothing_to_release(fit):
    with pytest.raises(ml.ModelError, match="no equality constraints"):
        fit.score_test()


def test_saturated_reference_is_not_needed(data, fit):
    lean = ml.sem(MODEL, data, cluster="school", h1=False, baseline=False)
    pd.testing.assert_frame_equal(lean.modification_indices(), fit.modification_indices(), rtol=1e-5, atol=1e-6)
    assert replace(lean.estimation).h1 is None


@pytest.mark.parametrize(
    "case",
    ["demo-twolevel", "contextual-fixedx", "constraint-nonlinear"],
)
def test_equals_lavaan(case):
    folder = reference_root() / "lavaan" / case
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    reference = json.loads((folder / "case.json").read_text())
    data = pd.read_csv(folder / reference.get("data_file", "data.csv"))
    fit = ml.sem(reference["model"], data, **reference["call"]["args"])
    table = fit.modification_indices()
    # lavaan lists what is zero by construction too: covariates as outcomes
    wanted = [r for r in reference["expected"]["modindices"] if r["mi"] > 1e-6]
    assert wanted
    for row in wanted:
        level = {"within": 1, "between": 2}.get(row["level"], row["level"])
        for column in ("mi", "epc", "sepc.lv", "sepc.all"):
            got = index(table, row["lhs"], row["op"], row["rhs"], int(level), column)
            # both at optima polished to about 1e-8
            assert got == pytest.approx(row[column], rel=1e-5, abs=1e-6)
