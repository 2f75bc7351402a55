"""Make the stored reference cases from full records of lavaan runs: what is compared, under this library's names, and no more.

    python tests/reference/convert.py FOLDER

FOLDER holds <case>/case.json and its data, as written by the R script that ran lavaan (README.md says what a record holds). The
data of the cases are simulated; cases on data of other people are left out.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
CATEGORIES = (
    "big",
    "cfa-balanced",
    "constraints",
    "covariate-both-levels",
    "growth",
    "identification",
    "improper",
    "information",
    "mediation",
    "multigroup",
    "robust",
    "unbalanced",
)
# made by lavaan's authors
OTHERS_DATA = ("demo-twolevel",)
# measures that other checks hold, that are no results, or whose definition differs between versions of lavaan
LEFT_OUT = ("fmin", "ntotal", "rmsea.ci.level", "rmsea.close.h0", "rmsea.notclose.h0")
LEFT_OUT_PARTS = ("gfi", "mfi", "ecvi")
EM_ARGUMENTS = {
    "fx_tol": "em_fx_tol",
    "dx_tol": "em_dx_tol",
    "max_iter": "em_iter_max",
    "acceleration": "em_acceleration",
}


def main(source: Path) -> None:
    for path in sorted(source.glob("*/case.json")):
        case = json.loads(path.read_text())
        data = str(case["data_file"]).removesuffix(".gz").removesuffix(".csv")
        name = path.parent.name if data == "data" else Path(data).parent.name
        if case["category"] not in CATEGORIES or name in OTHERS_DATA:
            continue
        frame = _read(source / name)
        _write(HERE / "data" / f"{name}.csv.gz", frame.to_csv(index=False))
        record = json.dumps(_rounded(_convert(path.parent.name, case, f"{name}.csv.gz")), separators=(",", ":"))
        _write(HERE / "lavaan" / f"{path.parent.name}.json.gz", record)
        print(path.parent.name)


def _read(folder: Path) -> pd.DataFrame:
    plain = folder / "data.csv"
    return pd.read_csv(plain if plain.exists() else folder / "data.csv.gz", dtype=str, keep_default_na=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())


def _rounded(value: Any) -> Any:
    """Eleven digits: four beyond what the sharpest tolerance asks for."""
    if isinstance(value, float):
        return float(f"{value:.11g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value


def _convert(name: str, case: dict, data: str) -> dict:
    expected = case["expected"]
    groups = [str(g) for g in expected.get("group_label") or []]
    out = {
        "name": name,
        "category": case["category"],
        "description": case["description"],
        "lavaan": case["lavaan_version"],
        "data": data,
        "function": case["call"]["function"],
        "model": case["model"],
        "args": _arguments(case["call"]["args"]),
        "groups": groups,
        "fit": _measures(expected["fit"]),
        "parameters": [_parameter(row, groups) for row in expected["parameters"] if row["op"] not in ("==", "<", ">")],
        "standardized": _standardized(expected, groups),
        "vcov": _matrix(expected["vcov"]),
        "implied": _moments(expected.get("implied")),
        "h1": _moments(expected.get("h1")),
        "icc": expected.get("icc"),
        "fit_by_level": _by_level(expected.get("fit_by_level")),
        "modindices": _modification(expected, groups),
        "factor_scores": _scores(expected.get("factor_scores")),
    }
    return {key: value for key, value in _without_unsharp(out, case).items() if value}


def _arguments(args: dict) -> dict:
    out: dict[str, Any] = {}
    for name, value in args.items():
        if name == "em.args":
            out |= {EM_ARGUMENTS[k]: v for k, v in value.items() if k in EM_ARGUMENTS}
        else:
            out[name.replace(".", "_")] = value
    return out


def _measures(fit: dict) -> dict:
    return {
        k: v
        for k, v in fit.items()
        if k not in LEFT_OUT and not any(part in k for part in LEFT_OUT_PARTS) and isinstance(v, int | float)
    }


def _level(level: Any) -> int:
    return {"within": 1, "between": 2}.get(level) or int(level or 0)


def _group(row: dict, groups: list[str]) -> int:
    group = str(row.get("group", 1))
    return groups.index(group) + 1 if group in groups else int(group)


def _parameter(row: dict, groups: list[str]) -> dict:
    """est, se (absent where fixed), std.lv, std.all of one row; `:=` rows are known by their name alone."""
    defined = row["op"] == ":="
    key = [row["lhs"], row["op"], "" if defined else row.get("rhs") or ""]
    key += [0, 0] if defined else [_level(row.get("level", 1)), _group(row, groups)]
    values = {name: row.get(name) for name in ("est", "se", "std.lv", "std.all")}
    if not values["se"]:
        values.pop("se")
    return {"key": key, **{k: v for k, v in values.items() if v is not None}}


def _standardized(expected: dict, groups: list[str]) -> list[dict]:
    """Standard errors of standardizedSolution(), which lists the rows of the parameter table in their order."""
    out = []
    for row, p in zip(expected.get("standardized_all") or [], expected["parameters"], strict=False):
        same = (row["lhs"], row["op"], row["rhs"]) == (p["lhs"], p["op"], p["rhs"])
        if same and p["op"] not in ("==", "<", ">") and row.get("se"):
            out.append({"key": _parameter(p, groups)["key"], "se": row["se"]})
    return out


def _matrix(block: dict | None) -> dict | None:
    """Names and the lower triangle by rows; of parameters that share a label the first is kept, lavaan's own labels are not."""
    if not block:
        return None
    names = block["names"]
    keep = [i for i, n in enumerate(names) if n not in names[:i] and not (n.startswith(".p") and n.endswith("."))]
    return {
        "names": [names[i] for i in keep],
        "lower": [block["values"][i][j] for a, i in enumerate(keep) for j in keep[: a + 1]],
    }


def _moments(blocks: dict | None) -> list[dict]:
    """One block per group and level, group '' where there is one."""
    out = []
    for key, block in (blocks or {}).items():
        group, _, level = key.rpartition(".")
        out.append(
            {"group": group, "level": "within" if level == "within" else "between", "cov": _matrix(block["cov"])}
        )
        if "mean" in block:
            out[-1]["mean"] = dict(zip(block["mean"]["names"], block["mean"]["values"], strict=True))
    return out


def _by_level(tables: dict | None) -> dict | None:
    names = ("chisq", "df", "pvalue", "cfi", "tli")
    if not tables or not isinstance(tables.get("within"), dict):
        return None
    found = {
        level: {n: tables[level][n] for n in names if isinstance(tables[level].get(n), int | float)}
        for level in ("within", "between")
        if isinstance(tables.get(level), dict)
    }
    # undefined where constraints tie the levels together
    return found if any(found.values()) else None


def _modification(expected: dict, groups: list[str]) -> list[dict]:
    """Of one group only; without rows that are no candidates here: covariates as outcomes, factors on their own indicators."""
    rows = expected["parameters"]
    table = expected.get("modindices")
    if not isinstance(table, list) or groups:
        return []
    covariates = {r["lhs"] for r in rows if r.get("exo") == 1}
    loadings = {(r["lhs"], r["rhs"]) for r in rows if r["op"] == "=~"}
    kept = [
        r
        for r in table
        if r["mi"] >= 1e-6 and r["lhs"] not in covariates and not (r["op"] == "~" and (r["lhs"], r["rhs"]) in loadings)
    ]
    return [
        {"key": [r["lhs"], r["op"], r["rhs"], _level(r.get("level"))], "mi": r["mi"], "epc": r["epc"]} for r in kept
    ]


def _scores(scores: dict | None) -> dict | None:
    """The first ten rows of either level (one group), and the clusters that those of level 2 belong to."""
    if not scores:
        return None
    out = {
        k: {n: scores[k][n] for n in ("names", "first")} for k in ("level1", "level2") if "first" in scores.get(k, {})
    }
    if out and "level2_cluster_ids" in scores:
        out["clusters"] = scores["level2_cluster_ids"]
    return out


def _without_unsharp(out: dict, case: dict) -> dict:
    """Take out what in lavaan is no sharp reference, for the reasons given."""
    free = case.get("h1_unconstrained")
    if free and "chisq_against_it" in free:
        # the unrestricted maximum has an indefinite between covariance matrix, lavaan's h1 keeps it positive definite
        sharp = ("npar", "df", "logl", "aic", "bic", "bic2", "baseline.df")
        out["fit"] = {k: out["fit"][k] for k in sharp if k in out["fit"]}
        out["fit"] |= {"unrestricted.logl": free["logl"], "chisq": free["chisq_against_it"]}
        out |= {"h1": None, "icc": None, "fit_by_level": None}
    if out["args"].get("estimator") == "MLF":
        # two-level MLF in lavaan reports the standard errors of the observed information
        out |= {"vcov": None, "standardized": None, "modindices": None}
        out["parameters"] = [{k: v for k, v in row.items() if k != "se"} for row in out["parameters"]]
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]))
