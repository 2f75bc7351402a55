"""The parameter tables of lavaan's reference cases, row by row."""

import json

import pytest
from conftest import reference_root

from mlsem_jax.syntax import SyntaxOptions, specify

ROOT = reference_root()
CASES = sorted((ROOT / "lavaan").glob("*/case.json"))
# ordered indicators and regressions counted as moments of covariates are not part of the front end
LEFT_OUT = {"categorical-wlsmv", "conditional-x"}
OPTIONS = ("std.lv", "fixed.x", "orthogonal", "effect.coding", "group.equal")

pytestmark = pytest.mark.skipif(not CASES, reason="no reference cases at MLSEM_REFERENCE")


def wanted_rows(case):
    """lavaan's rows without constraints, definitions and the rows that mark a random slope as latent."""
    rows = [
        r
        for r in case["expected"]["parameters"]
        if r["op"] not in ("==", "<", ">", ":=") and not (r["op"] == "=~" and r["lhs"] == r["rhs"])
    ]
    levels = list(dict.fromkeys(r["level"] for r in rows))
    groups = list(dict.fromkeys(r["group"] for r in rows))
    return [
        {
            "element": (r["lhs"], r["op"], r["rhs"], levels.index(r["level"]) + 1, groups.index(r["group"]) + 1),
            "free": r["free"] > 0,
            "exo": bool(r["exo"]),
            "label": r["label"],
            "user": r["user"],
            "value": None if r["free"] or r["exo"] else r["est"],
        }
        for r in rows
    ]


def specified(case):
    args = case["call"]["args"]
    function = {"sam": "sem"}.get(case["call"]["function"], case["call"]["function"])
    options = SyntaxOptions.for_function(function, **{k.replace(".", "_"): v for k, v in args.items() if k in OPTIONS})
    groups = ("BE", "NL") if "group" in args else ()
    return specify(case["model"], options=options, data_variables=case["columns"], group_labels=groups)


@pytest.mark.parametrize("path", [p for p in CASES if p.parent.name not in LEFT_OUT], ids=lambda p: p.parent.name)
def test_parameter_table_is_lavaans(path):
    case = json.loads(path.read_text())
    effect_coding = case["call"]["args"].get("effect.coding")
    got = [
        {
            "element": (p.lhs, p.op, p.rhs, p.level, p.group),
            "free": p.free,
            "exo": p.exo,
            # lavaan keeps the labels that effect coding needs to itself
            "label": "" if effect_coding else p.label,
            "user": p.user,
            "value": None if p.free or p.exo else pytest.approx(p.value),
        }
        for p in specified(case).parameters
    ]
    assert got == wanted_rows(case)


@pytest.mark.parametrize("path", [p for p in CASES if p.parent.name not in LEFT_OUT], ids=lambda p: p.parent.name)
def test_order_of_observed_variables_is_lavaans(path):
    case = json.loads(path.read_text())
    implied = case["expected"].get("implied") or {}
    orders = [tuple(level["cov"]["names"]) for level in implied.values() if isinstance(level, dict) and "cov" in level]
    spec = specified(case)
    for i, order in enumerate(orders):
        assert order == (spec.between if i % 2 else spec.within).observed


@pytest.mark.parametrize("path", [p for p in CASES if "constraint" in p.parent.name], ids=lambda p: p.parent.name)
def test_definitions_are_kept(path):
    case = json.loads(path.read_text())
    defined = [r["lhs"] for r in case["expected"]["parameters"] if r["op"] == ":="]
    assert [d.name for d in specified(case).definitions] == defined


def test_effect_coding_constraints_are_lavaans():
    case = json.loads((ROOT / "lavaan" / "effect-coding" / "case.json").read_text())
    wanted = [r["lhs"] + r["op"] + r["rhs"] for r in case["expected"]["parameters"] if r["op"] == "=="]
    assert [c.text for c in specified(case).constraints] == wanted


def read(model, groups):
    columns = [f"y{i}" for i in range(1, 7)] + ["x1", "x2", "x3", "w1", "w2", "cluster"]
    return specify(model, options=SyntaxOptions.for_function("sem"), data_variables=columns, group_labels=groups)


ERRORS = json.loads((ROOT / "lavaan" / "errors.json").read_text()) if (ROOT / "lavaan" / "errors.json").exists() else []


@pytest.mark.parametrize(
    "item", [e for e in ERRORS if e["outcome"] == "accepted" and "lavaan_message" in e], ids=lambda e: e["id"]
)
def test_what_lavaan_accepts_is_read_or_refused_with_a_position(item):
    groups = ("1", "2") if "group" in item["call"]["args"] else ()
    refused = {
        "duplicated-element": "already in line 3",
        "duplicated-indicator": "already on this right-hand side",
    }
    if item["id"] not in refused:
        read(item["model"], groups)
        return
    with pytest.raises(ValueError, match=refused[item["id"]]) as caught:
        read(item["model"], groups)
    assert caught.value.line is not None
