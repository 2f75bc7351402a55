"""Standardized solution: unit variances, delta-method errors against finite differences, lavaan's numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import reference_root

import mlsem_jax as ml
from mlsem_jax import inference
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools

MODEL = SCHOOLS_MODEL.replace("math2 + math3\n", "a*math2 + math3\n", 1) + "\ndouble := 2*a + a^2\n"


@pytest.fixture(scope="module")
def fit():
    return ml.sem(MODEL, load_schools(), cluster="school")


@pytest.mark.parametrize("kind", ["std.all", "std.lv", "std.nox"])
def test_errors_equal_finite_differences(fit, kind):
    estimation = fit.estimation

    def at(theta):
        maximum = replace(estimation.model.maximum, theta=theta)
        moved = replace(estimation, model=replace(estimation.model, maximum=maximum))
        return inference.standardized(moved, kind).values

    theta, h = estimation.model.theta, 1e-5
    steps = h * np.eye(len(theta))
    jacobian = np.stack([(at(theta + s) - at(theta - s)) / (2 * h) for s in steps], axis=1)
    want = np.sqrt(np.einsum("ri,ij,rj->r", jacobian, fit.vcov().to_numpy(), jacobian))
    # central differences: h^2 and rounding / h, both near 1e-10
    np.testing.assert_allclose(inference.standardized(estimation, kind).se, want, atol=1e-8)


def test_variances_become_one(fit):
    table = fit.parameter_estimates(standardized=True)
    shares = fit.rsquare()
    for level, word in ((1, "within"), (2, "between")):
        rows = table[(table.op == "~~") & (table.lhs == table.rhs) & (table.level == level)]
        for name, residual in zip(rows.lhs, rows["std.all"], strict=True):
            assert residual + shares[word].get(name, 0.0) == pytest.approx(1.0, abs=1e-12)


def test_kinds_differ_as_they_say(fit):
    by_kind = {
        k: fit.standardized_solution(k).set_index(["lhs", "op", "rhs", "level"])["est.std"]
        for k in ("std.all", "std.lv", "std.nox")
    }
    raw = fit.parameter_estimates().set_index(["lhs", "op", "rhs", "level"])["est"]
    path, sd = ("math", "~", "ses", 1), np.sqrt(raw["ses", "~~", "ses", 1])
    assert by_kind["std.all"][path] == pytest.approx(by_kind["std.nox"][path] * sd)
    assert by_kind["std.lv"][path] == pytest.approx(by_kind["std.nox"][path])
    assert by_kind["std.nox"]["ses", "~~", "ses", 1] == raw["ses", "~~", "ses", 1]


def test_definitions_take_standardized_values(fit):
    table = fit.parameter_estimates(standardized=True)
    a = table.loc[table.label == "a", "std.all"].iloc[0]
    assert table.loc[table.label == "double", "std.all"].iloc[0] == pytest.approx(2 * a + a**2)


def test_unknown_kind_names_the_known_ones(fit):
    with pytest.raises(ml.ModelError, match=r"std\.all"):
        fit.standardized_solution("std.al")


@pytest.mark.parametrize("case", ["demo-twolevel", "contextual-fixedx", "multigroup-metric"])
def test_equals_lavaan(case):
    folder = reference_root() / "lavaan" / case
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    reference = json.loads((folder / "case.json").read_text())
    data = pd.read_csv(folder / reference.get("data_file", "data.csv"))
    fit = getattr(ml, reference["call"]["function"])(
        reference["model"], data, **{k.replace(".", "_"): v for k, v in reference["call"]["args"].items()}
    )
    rows = [r for r in reference["expected"]["parameters"] if r["op"] not in ("==", "<", ">")]
    errors = [
        r["se"]
        for r, p in zip(reference["expected"]["standardized_all"], reference["expected"]["parameters"], strict=True)
        if p["op"] not in ("==", "<", ">")
    ]
    table = fit.parameter_estimates(standardized=True)
    # the reference optimum is polished to about 1e-8; its standard errors rest on numerical Hessians
    np.testing.assert_allclose(table["std.all"], [r["std.all"] for r in rows], atol=1e-6)
    np.testing.assert_allclose(table["std.lv"], [r["std.lv"] for r in rows], atol=1e-6)
    np.testing.assert_allclose(fit.standardized_solution()["se"], errors, atol=1e-5)


def test_nothing_is_standardized_by_a_negative_variance(fit):
    """At a between variance of the factor that makes its total negative: no 1.000 for the variance, no number for a loading."""
    estimation = fit.estimation
    table = fit.parameter_estimates().reset_index(drop=True)
    factor = table.index[
        (table.lhs == "achievement") & (table.op == "~~") & (table.rhs == "achievement") & (table.level == 2)
    ][0]
    theta = estimation.model.theta.copy()
    theta[estimation.model.build.index[factor]] = -1e4
    moved = replace(estimation, model=replace(estimation.model, maximum=replace(estimation.model.maximum, theta=theta)))
    values = inference.standardized(moved).values
    on_factor = (table.level == 2) & (
        ((table.lhs == "achievement") & table.op.isin(["=~", "~", "~~"])) | (table.rhs == "achievement")
    )
    assert np.isnan(values[: len(table)][on_factor]).all()
    assert np.isfinite(values[: len(table)][table.level == 1]).all()


def test_a_variance_of_zero_gives_nan_with_a_sentence_and_no_warning_of_numpy():
    text = "level: 1\n math1 ~ ses\nlevel: 2\n math1 ~~ 0*math1"
    fit = ml.sem(text, load_schools(), cluster="school", h1=False, baseline=False)
    with pytest.warns(ml.ModelWarning, match="the variance of 'math1' at level 2 are NaN: it is 0") as told:
        solution = fit.standardized_solution()
    assert {w.category for w in told} == {ml.ModelWarning}
    level = solution["level"]
    assert np.isfinite(solution.loc[level == 1, "est.std"]).all()
    assert solution.loc[level == 2, "est.std"].isna().all()
