"""A model as lavaan syntax with every parameter written out: `lavaan(text, ...)` in R and `ml.lavaan(text, ...)` fit the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mlsem_jax._errors import ModelError
from mlsem_jax.models import ExploratoryBlock, Parameter, Specification, kind_named
from mlsem_jax.report.exchange._exported_names import labels_in_r, on_one_line, variables_in_r, written


def to_lavaan(specification: Specification, starts: dict[int, float] | None = None) -> str:
    """The model text. starts: values by row of the parameter table, written as start() of the free ones.

    Moments of fixed covariates are left out, which lavaan adds by itself, and what follows from other parameters of ordered
    variables; a comment says which parameterization these are in. Names that lavaan cannot read (with blanks or
    operators, words of R) become those that R's `read.csv` gives such columns; comments at the top say which.

    **Raises:** ModelError for a network model, and for group labels that cannot be written.
    """
    refuse_networks(specification, "lavaan")
    variables, labels = variables_in_r(specification), labels_in_r(specification)
    lines = [f"# {on_one_line(name)} is called {new} here" for name, new in variables.items() if name != new]
    lines += [f"# the label {on_one_line(name)} is {new} here" for name, new in labels.items() if _is_odd(name, new)]
    if specification.ordered:
        delta = any(row.is_scale for row in specification.parameters)
        lines.append(f'# ordered variables, parameterization = "{"delta" if delta else "theta"}"')
    numbered = list(enumerate(specification.parameters))
    for group in range(1, specification.ngroups + 1):
        if specification.groups:
            lines.append(f"group: {_group(specification.groups, group)}")
        for level in specification.numbers:
            lines += [] if specification.single else [f"level: {level}"]
            rows = [(i, r) for i, r in numbered if (r.group, r.level) == (group, level) and not r.exo and not r.follows]
            blocks = [b for b in specification.blocks if (b.group, b.level) == (group, level)]
            rows = [(i, r) for i, r in rows if not any(b.has(r) for b in blocks)]
            lines += [f"  {_block(block, variables)}" for block in blocks]
            made = _composites(specification, level)
            rows = [(i, r) for i, r in rows if not (r.op in ("~~", "~1") and r.lhs in made and not r.free)]
            rows = [(i, r.but(op="<~") if r.op == "~" and r.lhs in made else r) for i, r in rows]
            lines += [f"  {_formula(r, (starts or {}).get(i), variables, labels)}" for i, r in rows]
    same = all(name == new for name, new in labels.items())
    for d in specification.definitions:
        right = _right_of(d.text, ":=") if same and d.text else written(d.expression, labels)
        lines.append(f"{labels[d.name]} := {right}")
    for c in specification.constraints:
        lines.append(c.text if same and c.text else f"{written(c.left, labels)} {c.op} {written(c.right, labels)}")
    return "\n".join(lines) + "\n"


def _composites(specification: Specification, level: int) -> set[str]:
    """Latent variables of a level that have no items and are no random slopes."""
    measured = {row.lhs for row in specification.parameters if row.op == "=~" and row.level == level}
    slopes = {slope.name for slope in specification.slopes} if level == 2 else set()
    return {name for name in specification.level(level).latent if name not in measured | slopes}


def _block(block: ExploratoryBlock, variables: dict[str, str]) -> str:
    """A block of factors that are rotated; how is an option of lavaan, which the comment says."""
    factors = " + ".join(f'efa("{block.name}")*{variables[name]}' for name in block.factors)
    items = " + ".join(variables[name] for name in block.items)
    return f'{factors} =~ {items}  # rotation = "{block.rotation.criterion}"'


def _is_odd(name: str, new: str) -> bool:
    return name != new and not name.startswith(".p")


def _group(groups: Sequence[str], number: int) -> str:
    """The label of a group as a block header takes it: a word, in quotation marks, or else the group's number."""
    label = groups[number - 1]
    if re.fullmatch(r"(?:[^\W\d_]|\d)\w*", label) and (label.isdecimal() or not label[0].isdecimal()):
        return label
    if label.strip() and label.isprintable() and not set(label) & set('"\\'):
        return f'"{label}"'
    if str(number) in groups:
        raise ModelError(f"The group {label!r} has no name that a model text can hold: give the groups other labels.")
    return f"{number}  # {on_one_line(label)}"


def refuse_networks(specification: Specification, program: str) -> None:
    """ModelError for models with a covariance matrix that the program has no way to write."""
    plain = all(kind_named(kind).plain for level in specification.levels for kind in (level.psi_kind, level.theta_kind))
    if not plain or specification.within.structural is not None:
        raise ModelError(
            f"{program} has no syntax for the matrices of a network model; save the fit with fit.save() instead."
        )


def _formula(row: Parameter, start: float | None, variables: dict[str, str], labels: dict[str, str]) -> str:
    before = _modifiers(row, start, variables, labels)
    if row.op == "~1":
        return f"{variables[row.lhs]} ~ {before}1"
    if row.op == "|":
        return f"{variables[row.lhs]} | {before}{row.rhs}"
    return f"{variables[row.lhs]} {row.op} {before}{variables[row.rhs]}"


def _modifiers(row: Parameter, start: float | None, variables: dict[str, str], labels: dict[str, str]) -> str:
    label = f"{labels[row.label]}*" if row.label else ""
    if row.random:
        return f'rv("{variables[row.random]}")*'
    if not row.free:
        return f"{_number(row.value or 0.0)}*{label}"
    start = row.start if start is None else start
    parts = [
        "NA*" if row.op in ("=~", "<~") and not label else "",
        f"start({_number(start)})*" if start is not None and math.isfinite(start) else "",
        f"lower({_number(row.lower)})*" if row.lower is not None and math.isfinite(row.lower) else "",
        f"upper({_number(row.upper)})*" if row.upper is not None and math.isfinite(row.upper) else "",
        label,
    ]
    return "".join(parts)


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _right_of(text: str, operator: str) -> str:
    return text.split(operator, 1)[1].strip() if operator in text else text.strip()
