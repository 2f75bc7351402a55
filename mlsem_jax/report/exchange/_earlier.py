"""Records of files that earlier versions wrote, in the form of this one: JSON values to JSON values, before they are decoded.

A record that moves to another package or changes its fields gets a line here; stored files of every version are tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def _statistics(record: Json) -> Json:
    """0.1.0: clusters without missing values, cluster sizes pooled in the form of the former, clusters by pattern."""
    terms = [
        {"record": f"likelihood.{term}", "data": record[name]}
        for name, term in (("complete", "CompleteTerm"), ("patterns", "PatternTerm"))
        if record.get(name) is not None
    ]
    pools = record.get("metric")
    if isinstance(pools, dict):
        pools = {"record": "observed.SizePools", "size": pools.get("size"), "count": pools.get("count")}
    return {"record": "likelihood.Statistics", "terms": {"tuple": terms}, "pools": pools}


def _moments(record: Json) -> Json:
    """0.1.0: two levels by the names of their fields."""
    if "levels" in record:
        return record
    levels = [
        {"record": "models.LevelMoments", "cov": record.get(f"{level}_cov"), "mean": record.get(f"{level}_mean")}
        for level in ("within", "between")
    ]
    return {"record": "models.Moments", "levels": {"tuple": levels}, "directions": record.get("directions")}


def _maximum(record: Json) -> Json:
    """0.1.0: one matrix, which was the observed information or the metric."""
    if "information" not in record:
        return record
    matrix, observed = record["information"], record.get("observed") is True
    new = {name: value for name, value in record.items() if name not in ("information", "observed")}
    return new | {"metric": None if observed else matrix, "observed": matrix if observed else None}


# packages of 0.1.0 by the names that they have now
_MOVED = {"statistics": "observed"}
_CHANGED: dict[str, Callable[[Json], Json]] = {
    "statistics.Statistics": _statistics,
    "models.Moments": _moments,
    "estimation.Maximum": _maximum,
}


def current(record: Json) -> Json:
    """The record as this version writes it; unchanged where nothing became of it."""
    name = record["record"]
    if not isinstance(name, str):
        return record
    if name in _CHANGED:
        return _CHANGED[name](record)
    package, _, kind = name.partition(".")
    return record | {"record": f"{_MOVED[package]}.{kind}"} if package in _MOVED else record
