"""Ordered variables in a model text: thresholds 'u | t1 + t2', the unit of the latent response, and what is not identified."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from mlsem_jax._errors import IdentificationError, ModelError, ModelSyntaxError, listing, nearest
from mlsem_jax.models import Ordered, Parameter
from mlsem_jax.syntax._names import BlockNames, unique
from mlsem_jax.syntax._rows import Row
from mlsem_jax.syntax._tree import Formula, Syntax

Where = tuple[int, int]


def endogenous(syntax: Syntax, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of the data that a model text explains: outcomes and indicators, in order of appearance."""
    known, found = set(columns), []
    for formula in syntax.formulas:
        if formula.op == "=~":
            found += [term.name for term in formula.terms]
        elif formula.op in ("~", "|"):
            found += [mention.name for mention in formula.lhs]
    return unique(name for name in found if name in known)


def without_scales(syntax: Syntax, ordered: Collection[str]) -> tuple[Syntax, list[str]]:
    """The text without the scales 'u ~*~ u' of latent responses, which follow from the residual variance, and a note for the user.

    **Raises:** ModelSyntaxError where a scale is fixed, freed or labelled, or is one of a variable that has none.
    """
    scales = [formula for formula in syntax.formulas if formula.op == "~*~"]
    for formula in scales:
        _check_scale(formula, ordered, syntax.text)
    if not scales:
        return syntax, []
    named = listing(unique(formula.lhs[0].name for formula in scales))
    note = (
        f"The scale of {named} follows from the residual variance of the latent response, which is the unit here (parameterization"
        " 'theta'): '~*~' adds no parameter."
    )
    return replace(syntax, statements=tuple(s for s in syntax.statements if s not in scales)), [note]


def _check_scale(formula: Formula, ordered: Collection[str], text: str) -> None:
    lhs, term = formula.lhs[0], formula.terms[0]
    name = lhs.name
    if len(formula.lhs) > 1 or len(formula.terms) > 1 or term.name != name:
        message = f"A scale is of one variable: write '{name} ~*~ {name}', a line for each variable."
    elif name not in ordered:
        message = f"{name!r} is not declared ordered and has no scale: add it to ordered=, or leave the line out."
    elif term.modifiers:
        message = (
            f"The scale of {name!r} follows from its residual variance (parameterization 'theta') and cannot be fixed, freed or"
            f" labelled. Where thresholds are equal across groups, free the residual variance in the others instead:"
            f" '{name} ~~ c(1, NA)*{name}'."
        )
    else:
        return
    raise ModelSyntaxError(message, text, lhs.line, lhs.column)


class OrderedRules:
    """What ordered variables ask of the rows of a table.

    categories: of each ordered variable their number; unit: the residual variance of a latent response, 1 with a probit link and
    pi^2 / 3 with a logit link. warnings: sentences for the user.
    """

    def __init__(self, categories: Mapping[str, int], unit: float, names: dict[Where, BlockNames], syntax: Syntax):
        self._syntax, self._unit, self._single = syntax, unit, (1, 2) not in names
        self._names = names
        self.warnings: list[str] = []
        self._categories = {name: k for name, k in categories.items() if self._response(name)}

    @property
    def ordered(self) -> tuple[Ordered, ...]:
        return tuple(Ordered(name, k) for name, k in self._categories.items())

    def _response(self, name: str) -> bool:
        """Whether a name declared ordered is a response of the model. **Raises:** ModelError where it is no variable of it."""
        blocks = [block for block in self._names.values() if name in block.observed]
        if not blocks:
            known = unique(chain.from_iterable(block.observed for block in self._names.values()))
            raise ModelError(
                f"ordered= names {name!r}, which is no observed variable of the model.{nearest(name, known)}"
            )
        if all(name in block.exogenous for block in blocks):
            self.warnings.append(
                f"{name!r} is exogenous: it enters as a number, without thresholds, and declaring it ordered has no effect. For a "
                f"latent response behind it, let the model explain it."
            )
            return False
        return True

    def placed(self, written: dict[Where, list[Row]]) -> dict[Where, list[Row]]:
        """Rows with all thresholds at the highest level, checked against the categories."""
        out = {where: [r for r in rows if r.parameter.op != "|"] for where, rows in written.items()}
        for (group, level), rows in written.items():
            for row in (r for r in rows if r.parameter.op == "|"):
                p = row.parameter
                self._check_threshold(p)
                if level == 1 and not self._single:
                    self.warnings.append(
                        f"The thresholds of {p.lhs!r} are written at level 1; they belong to the whole variable and stand at "
                        "level 2."
                    )
                top = 1 if self._single else 2
                same = [r for r in out[group, top] if r.key == row.key]
                if same:
                    message = f"'{p.lhs} | {p.rhs}' is written at both levels: keep the one of level 2."
                    raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
                out[group, top].append(row.but(level=top))
        self.warnings = list(dict.fromkeys(self.warnings))
        return out

    def _check_threshold(self, p: Parameter) -> None:
        k = self._categories.get(p.lhs)
        if k is None:
            message = f"Thresholds of {p.lhs!r}, which is not declared ordered: add it to ordered=."
        elif int(p.rhs[1:]) >= k:
            message = f"{p.lhs!r} has {k} categories, hence {k - 1} threshold{'s' * (k > 2)}; {p.rhs} does not exist."
        else:
            return
        raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)

    def complete(self, rows: list[Row], group: int, level: int) -> list[Row]:
        """The rows of a block with default thresholds, units and intercepts of the ordered variables it has."""
        here = [name for name in self._categories if name in self._names[group, level].observed]
        rows = [self._with_unit(row, group, level) if row.parameter.lhs in here else row for row in rows]
        if level != (1 if self._single else 2):
            return rows
        written = {(r.parameter.lhs, r.parameter.rhs): r for r in rows if r.parameter.op == "|"}
        rest = [r for r in rows if r.parameter.op != "|"]
        thresholds = [
            written.get((name, f"t{c}"), Row(Parameter(name, "|", f"t{c}", level, group, user=0)))
            for name, k in self._categories.items()
            for c in range(1, k)
        ]
        return [*rest, *thresholds]

    def _with_unit(self, row: Row, group: int, level: int) -> Row:
        p = row.parameter
        if p.op == "~1":
            return self._intercept(row)
        if p.op != "~~" or p.lhs != p.rhs or level != self._unit_level(p.lhs):
            return row
        if not p.user:
            return row.but(free=False, value=self._unit)
        if p.free and group == 1:
            raise IdentificationError(
                f"The residual variance of ordered {p.lhs!r} is the unit of its latent response and is fixed to "
                f"{self._unit:.4g}; freeing it needs equal thresholds in another group. Leave '{p.lhs} ~~ {p.lhs}' out"
                f"{' of level 1' if not self._single and level == 1 else ''}."
            )
        if not p.free and p.value is not None and p.value <= 0:
            message = (
                f"The residual variance of ordered {p.lhs!r} is the unit of its latent response: it must be above 0."
            )
            raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
        return row

    def _intercept(self, row: Row) -> Row:
        p = row.parameter
        if not p.user:
            return row.but(free=False, value=0.0)
        held = any(r.op == "|" and r.lhs == p.lhs and not r.free for block in self._names.values() for r in block.rows)
        if p.free and not held:
            raise IdentificationError(
                f"The intercept of ordered {p.lhs!r} and its thresholds are not identified together: leave '{p.lhs} ~ 1' out, or "
                f"fix a threshold ({p.lhs} | 0*t1)."
            )
        return row

    def _unit_level(self, name: str) -> int:
        return 1 if name in self._names[1, 1].observed else 2
