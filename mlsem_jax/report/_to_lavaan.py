"""A model as lavaan syntax with every parameter written out: `lavaan(text, ...)` in R and `ml.lavaan(text, ...)` fit the same."""

from __future__ import annotations

import re

from mlsem_jax._errors import ModelError
from mlsem_jax.models import Parameter, Specification


def to_lavaan(specification: Specification, starts: dict[int, float] | None = None) -> str:
    """The model text. starts: values by row of the parameter table, written as start() of the free ones.

    Moments of fixed covariates are left out, which lavaan adds by itself.
    """
    refuse_networks(specification, "lavaan")
    lines: list[str] = []
    numbered = list(enumerate(specification.parameters))
    for group in range(1, specification.ngroups + 1):
        if specification.groups:
            lines.append(f"group: {specification.groups[group - 1]}")
        for level in (1, 2):
            lines.append(f"level: {level}")
            rows = [(i, r) for i, r in numbered if (r.group, r.level) == (group, level) and not r.exo]
            lines += [f"  {_formula(r, (starts or {}).get(i))}" for i, r in rows]
    for definition in specification.definitions:
        lines.append(f"{definition.name} := {_right_of(definition.text, ':=') or definition.expression}")
    lines += [c.text or f"{c.left} {c.op} {c.right}" for c in specification.constraints]
    return "\n".join(lines) + "\n"


def refuse_networks(specification: Specification, program: str) -> None:
    """ModelError for models with a covariance matrix that the program has no way to write."""
    kinds = {
        k for level in (1, 2) for k in (specification.level(level).psi_kind, specification.level(level).theta_kind)
    }
    if kinds - {None, "cov"} or specification.within.structural is not None:
        raise ModelError(
            f"{program} has no syntax for the matrices of a network model; save the fit with fit.save() instead."
        )


def label_of(row: Parameter) -> str:
    """The row's label as a word that a user may type: those that options made ('.p3.') lose their dots."""
    return row.label if row.shown_label or not row.label else "eq_" + re.sub(r"\W", "", row.label)


def _formula(row: Parameter, start: float | None) -> str:
    if row.op == "~1":
        return f"{row.lhs} ~ {_modifiers(row, start)}1"
    return f"{row.lhs} {row.op} {_modifiers(row, start)}{row.rhs}"


def _modifiers(row: Parameter, start: float | None) -> str:
    label = f"{label_of(row)}*" if row.label else ""
    if row.random:
        return f'rv("{row.random}")*'
    if not row.free:
        return f"{_number(row.value or 0.0)}*{label}"
    start = row.start if start is None else start
    parts = [
        "NA*" if row.op == "=~" and not label else "",
        f"start({_number(start)})*" if start is not None else "",
        f"lower({_number(row.lower)})*" if row.lower is not None else "",
        f"upper({_number(row.upper)})*" if row.upper is not None else "",
        label,
    ]
    return "".join(parts)


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _right_of(text: str, operator: str) -> str:
    return text.split(operator, 1)[1].strip() if operator in text else text.strip()
