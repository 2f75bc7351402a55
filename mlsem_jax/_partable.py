"""lavaan's parameter table (`parTable(fit)` or `lavaanify(model)` written as CSV) as model text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsem_jax._errors import ModelError, listing
from mlsem_jax._files import read_table

_NEEDED = ("lhs", "op", "rhs", "free")
_FORMULAS = ("=~", "~", "~~", "~1")
_CONSTRAINTS = ("==", "<", ">")


def read_partable(source: Any) -> str:
    """Model text for [`mlsem_jax.lavaan`][] from lavaan's parameter table.

    **Arguments:**

    - `source`: path of a CSV file (in R: `write.csv(parTable(fit), "model.csv")` or `write.csv2`) or a DataFrame.

    **Returns:** lavaan syntax with every parameter written out, equality constraints of the table as common labels.

    **Raises:** DataError for a file that cannot be read, ModelError where columns are missing or a row is of a kind that
    two-level models do not have.
    """
    import pandas as pd

    table = read_table(source) if isinstance(source, str | Path) else pd.DataFrame(source)
    name = Path(source).name if isinstance(source, str | Path) else "This"
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise ModelError(
            f"{name} is no parameter table of lavaan: it has no column {listing(missing)}. "
            f"It needs {', '.join(_NEEDED)} and level, as write.csv(parTable(fit), ...) in R writes them."
        )
    if "level" not in table:
        raise ModelError("The parameter table has no column 'level': it belongs to a model with one level.")
    text = table[["lhs", "op", "rhs"]].fillna("").astype(str)
    table = table.assign(**{name: text[name].str.strip() for name in text})
    rows = [row for row in table.to_dict("records") if row["op"] in _FORMULAS]
    unknown = sorted(set(table.op) - {*_FORMULAS, *_CONSTRAINTS, ":=", "da"})
    if unknown:
        raise ModelError(f"Operators {', '.join(unknown)} are not available in two-level models.")
    labels = _common_labels(table.to_dict("records"))
    lines = _blocks(rows, labels)
    plain = [r for r in table.to_dict("records") if r["op"] in (":=", *_CONSTRAINTS) and not r["lhs"].startswith(".p")]
    return "\n".join([*lines, *(f"{r['lhs']} {r['op']} {r['rhs']}" for r in plain)]) + "\n"


def _common_labels(records: list[Mapping[str, Any]]) -> dict[str, str]:
    """Label of each plabel: rows that '.p3. == .p9.' makes equal get the label of the first, the user's where there is one."""
    own = {str(r.get("plabel", "")): _text(r.get("label")) for r in records if _text(r.get("plabel"))}
    found: dict[str, str] = {}
    for r in records:
        if r["op"] == "==" and r["lhs"].startswith(".p") and r["rhs"].startswith(".p"):
            label = found.get(r["lhs"]) or own.get(r["lhs"]) or "eq_" + r["lhs"].strip(".")
            found[r["lhs"]] = found[r["rhs"]] = label
    return {p: label for p, label in (own | found).items() if label and not label.startswith(".p")}


def _blocks(rows: list[dict[str, Any]], labels: Mapping[str, str]) -> list[str]:
    groups = list(dict.fromkeys(r.get("group", 1) for r in rows))
    levels = list(dict.fromkeys(r["level"] for r in rows))
    if len(levels) != 2:
        raise ModelError(f"The parameter table has {len(levels)} level(s); a two-level model has 2.")
    lines: list[str] = []
    for group in groups:
        lines += [f"group: {group}"] * (len(groups) > 1)
        for number, level in enumerate(levels, 1):
            lines.append(f"level: {number}")
            here = [
                r for r in rows if r.get("group", 1) == group and r["level"] == level and not int(r.get("exo") or 0)
            ]
            lines += [f"  {_formula(r, labels)}" for r in here]
    return lines


def _formula(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(_text(row.get("plabel")), "") or _text(row.get("label"))
    label = "" if label.startswith(".p") else f"{label}*" * bool(label)
    right = "1" if row["op"] == "~1" else row["rhs"]
    operator = "~" if row["op"] == "~1" else row["op"]
    random = _text(row.get("rv"))
    if random:
        return f'{row["lhs"]} {operator} rv("{random}")*{right}'
    if int(row["free"]) == 0:
        value = next((float(row[c]) for c in ("ustart", "est", "start") if c in row and row[c] == row[c]), 0.0)
        return f"{row['lhs']} {operator} {value!r}*{label}{right}"
    return f"{row['lhs']} {operator} {label or ('NA*' if operator == '=~' else '')}{right}"


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()
