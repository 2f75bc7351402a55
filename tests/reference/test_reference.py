"""Stored lavaan results (tests/reference) against ours: every number of every table.

Run alone: `pytest -m reference`. One test a case, so that a model is fitted once; all discrepancies of a case are reported.
"""

from __future__ import annotations

import gzip
import json
import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lavaan_scores
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.inference.variance import _vcov

HERE = Path(__file__).parent
CASES = sorted(path.name.removesuffix(".json.gz") for path in (HERE / "lavaan").glob("*.json.gz"))

# kind: largest error allowed, relative to max(1, |wanted|) unless said otherwise
TOLERANCE = {
    "logl": 1e-5,  # relative to max(1, |wanted| / 100): 1e-7 of a log-likelihood
    "fit": 1e-4,  # lavaan's limits of RMSEA come from a root search with a tolerance of 1e-4
    "est": 2e-5,  # optimum polished to about 1e-6
    "se": 2e-4,  # relative; lavaan's Hessian is a difference of gradients
    "vcov": 5e-4,  # as correlations
    "std": 1e-4,
    "moments": 1e-4,
    "h1": 2e-3,  # lavaan's EM stops early even at 1e-12
    "icc": 1e-4,
    "mi": 5e-3,
    "scores": 1e-4,
}
# robust covariances of models with a level-1 covariate: lavaan's cluster scores leave a path out (test_robust_exact.py), so
# its numbers are compared with what our scores give without that path, to the same tolerances as everything else
LAVAANS_SCORES = ("ml-robust-se-only", "ml-yuanbentler", "mlr-nonnormal")
LOGL = ("logl", "unrestricted.logl", "chisq", "baseline.chisq", "df", "npar")

Pair = tuple[str, Any, float]  # label, what we have, what is wanted


class Comparison:
    """Discrepancies of one case, in words."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def check(self, what: str, kind: str, pairs: Iterable[Pair]) -> None:
        compared, bad = 0, []
        for label, got, want in pairs:
            compared += 1
            error = self._error(kind, got, want)
            if not error <= TOLERANCE[kind]:
                bad.append((error if error == error else math.inf, f"{label}: {got} for {want}"))
        if not compared:
            self.found.append(f"{what}: nothing was compared")
        if bad:
            self.found.append(f"{what}: {len(bad)} of {compared} off, worst {max(bad)[1]}")

    @staticmethod
    def _error(kind: str, got: Any, want: float) -> float:
        if got is None:
            return math.nan
        scale = {"se": max(abs(want), 1e-3), "logl": max(1.0, abs(want) / 100)}.get(kind, max(1.0, abs(want)))
        return abs(float(got) - want) / scale


def by_key(table: pd.DataFrame) -> dict[tuple, dict]:
    """Rows under (lhs, op, rhs, level, group), covariances under both orders of their sides, `:=` rows under their name."""
    out: dict[tuple, dict] = {}
    for row in table.to_dict("records"):
        if row["op"] == ":=":
            out[row["lhs"], ":=", "", 0, 0] = row
            continue
        key = row["lhs"], row["op"], row["rhs"], int(row["level"]), int(row["group"])
        out[key] = row
        if row["op"] == "~~":
            out[(row["rhs"], "~~", row["lhs"], *key[3:])] = row
    return out


def columns(table: pd.DataFrame, rows: list[dict], column: str, wanted: str | None = None) -> Iterator[Pair]:
    index = by_key(table)
    for row in rows:
        if (wanted or column) in row:
            found = index.get(tuple(row["key"]))
            yield " ".join(map(str, row["key"])), None if found is None else found[column], row[wanted or column]


def matrix(block: dict) -> pd.DataFrame:
    n = len(block["names"])
    out = np.zeros((n, n))
    out[np.tril_indices(n)] = block["lower"]
    out = out + np.tril(out, -1).T
    return pd.DataFrame(out, block["names"], block["names"])


def elements(got: pd.DataFrame, want: pd.DataFrame, label: str = "") -> Iterator[Pair]:
    got = got.reindex(index=want.index, columns=want.columns)
    for i, j in zip(*np.tril_indices(len(want)), strict=True):
        yield f"{label}[{want.index[i]}, {want.columns[j]}]", got.iat[i, j], want.iat[i, j]


def ordered(label: str) -> str:
    """A parameter's name with the two sides of ~~ in alphabetical order, levels as numbers."""
    label = label.replace(".lwithin", "").replace(".lbetween", ".l2")
    left, covariance, rest = label.partition("~~")
    right, dot, suffix = rest.partition(".")
    return "~~".join(sorted((left, right))) + dot + suffix if covariance else label


def covariances(fit: ml.Fit, block: dict) -> Iterator[Pair]:
    """Elements of vcov divided by the reference's standard errors; what is held at a bound has none."""
    want = matrix(block).rename(index=ordered, columns=ordered)
    got = fit.vcov().rename(index=ordered, columns=ordered)
    se = np.sqrt(np.diag(want).clip(0))
    kept = se > 1e-12
    want, se = want.loc[kept, kept], se[kept]
    scale = np.outer(se, se)
    got = got.reindex(index=want.index, columns=want.columns)
    return elements(got / scale, want / scale)


def moments(nested: dict, blocks: list[dict], means: bool) -> Iterator[Pair]:
    for block in blocks:
        part = (nested[block["group"]] if block["group"] else nested)[block["level"]]
        label = f"{block['group']} {block['level']}".strip()
        yield from elements(part["cov"], matrix(block["cov"]), label)
        if means:
            for name, value in block.get("mean", {}).items():
                yield f"{label} mean {name}", part["mean"].get(name), value


def intraclass(got: Any, want: dict) -> Iterator[Pair]:
    for name, value in want.items():
        if isinstance(value, dict):
            yield from ((f"{name} {v}", got[name].get(v), x) for v, x in value.items())
        else:
            yield name, got.get(name), value


def modification(fit: ml.Fit, rows: list[dict]) -> Iterator[Pair]:
    table = fit.modification_indices()
    index: dict[tuple, float] = {}
    for r in table.to_dict("records"):
        for a, b in ((r["lhs"], r["rhs"]), (r["rhs"], r["lhs"])) if r["op"] == "~~" else ((r["lhs"], r["rhs"]),):
            index[a, r["op"], b, int(r["level"])] = r["mi"]
    for row in rows:
        lhs, op, rhs, level = row["key"]
        # lavaan leaves the level out where one is saturated
        found = [index[lhs, op, rhs, n] for n in ((level,) if level else (1, 2)) if (lhs, op, rhs, n) in index]
        yield " ".join(map(str, row["key"])), found[0] if found else None, row["mi"]


def scores(fit: ml.Fit, stored: dict, level: int) -> Iterator[Pair]:
    block, got = stored[f"level{level}"], fit.predict(level=level)
    if level == 2 and "clusters" in stored:
        got = got.loc[stored["clusters"]]
    for i, row in enumerate(block["first"]):
        for name, want in zip(block["names"], row, strict=True):
            yield f"{name}[{i}]", got[name].iloc[i], want


def compare(fit: ml.Fit, case: dict) -> list[str]:
    out, rows = Comparison(), case["parameters"]
    measures, table = fit.fit_measures(), fit.parameter_estimates(standardized=True)
    out.check("log-likelihoods", "logl", [(n, measures.get(n), case["fit"][n]) for n in LOGL if n in case["fit"]])
    out.check("fit measures", "fit", [(n, measures.get(n), v) for n, v in case["fit"].items()])
    out.check("estimates", "est", columns(table, rows, "est"))
    if any("se" in row for row in rows):
        out.check("standard errors", "se", columns(table, rows, "se"))
    for kind in ("std.lv", "std.all"):
        out.check(kind, "std", columns(table, rows, kind))
    if "standardized" in case:
        solution = fit.standardized_solution()
        out.check("standardized se", "se", columns(solution, case["standardized"], "se"))
    if "vcov" in case:
        out.check("vcov", "vcov", covariances(fit, case["vcov"]))
    out.check("implied moments", "moments", moments(fit.implied(), case["implied"], means=True))
    if "h1" in case:
        out.check("h1 moments", "h1", moments(fit.h1(), case["h1"], means=False))
    if "icc" in case:
        out.check("icc", "icc", intraclass(fit.icc(), case["icc"]))
    if "fit_by_level" in case:
        got, want = fit.fit_measures_by_level(), case["fit_by_level"]
        pairs = [(f"{lv} {n}", got.loc[lv].get(n), v) for lv, table in want.items() for n, v in table.items()]
        out.check("fit by level", "fit", pairs)
    if "modindices" in case:
        out.check("modification indices", "mi", modification(fit, case["modindices"]))
    for level in (1, 2):
        if f"level{level}" in case.get("factor_scores", {}):
            out.check(f"factor scores {level}", "scores", scores(fit, case["factor_scores"], level))
    return out.found


@pytest.mark.reference
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CASES)
def test_equals_lavaan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = json.loads(gzip.decompress((HERE / "lavaan" / f"{name}.json.gz").read_bytes()))
    data = pd.read_csv(HERE / "data" / case["data"])
    if name in LAVAANS_SCORES:
        patched = lavaan_scores.lavaans(_vcov.cluster_log_likelihoods)
        monkeypatch.setattr(_vcov, "cluster_log_likelihoods", patched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # improper solutions and lavaan's defaults are warned of; here they are wanted
        fit = getattr(ml, case["function"])(case["model"], data, **case["args"])
        assert fit.converged, fit.status
        found = compare(fit, case)
    assert not found, "\n".join([f"{case['description']}:", *found])


def test_the_comparison_can_fail() -> None:
    """A discrepancy of twice the tolerance, a missing number and an empty table are all found."""
    out = Comparison()
    out.check("a", "est", [("x", 1.0 + 4e-5, 1.0), ("y", 1.0, 1.0)])
    out.check("b", "se", [("x", None, 0.5)])
    out.check("c", "fit", [])
    assert [sentence[:1] for sentence in out.found] == ["a", "b", "c"]
    assert "1 of 2 off" in out.found[0]
