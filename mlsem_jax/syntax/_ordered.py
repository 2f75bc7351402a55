"""Ordered variables in a model text: thresholds 'u | t1 + t2', the unit of the latent response, and what is not identified."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

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


def parameterization_of(syntax: Syntax, asked: str | None, ordered: Collection[str]) -> tuple[bool, list[str]]:
    """Whether the scales of latent responses are parameters (delta) or their residual variances (theta), and a note for the user.
    asked: what the option says; None is delta where the text has values, labels or NA of scales, and theta elsewhere.

    **Raises:** ModelSyntaxError for scales that do not go with what was asked, or are of variables that have none.
    """
    scales = [formula for formula in syntax.formulas if formula.op == "~*~"]
    for formula in scales:
        _check_scale(formula, ordered, syntax.text)
    said = next((f for f in scales if any(term.modifiers for term in f.terms)), None)
    if said is not None and asked == "theta":
        name = said.lhs[0].name
        message = (
            f"With parameterization='theta' the scale of {name!r} follows from its residual variance and has no value of its own."
            f" Take parameterization='delta', or write the residual variance: '{name} ~~ c(1, NA)*{name}' frees it in the second"
            " group."
        )
        raise ModelSyntaxError(message, syntax.text, said.lhs[0].line, said.lhs[0].column)
    if asked is None and said is not None:
        note = (
            "The model text gives scales (~*~), so that these are parameters and residual variances follow from them"
            " (parameterization 'delta')."
        )
        return True, [note]
    if asked == "delta" or not scales:
        return asked == "delta", []
    named = listing(unique(formula.lhs[0].name for formula in scales))
    note = (
        f"The scale of {named} follows from the residual variance of the latent response, which is the unit here (parameterization"
        " 'theta'): '~*~' adds no parameter."
    )
    return False, [note]


def _check_scale(formula: Formula, ordered: Collection[str], text: str) -> None:
    lhs = formula.lhs[0]
    if len(formula.lhs) > 1 or any(term.name != lhs.name for term in formula.terms):
        message = f"A scale is of one variable: write '{lhs.name} ~*~ {lhs.name}', a line for each variable."
    elif lhs.name not in ordered:
        message = f"{lhs.name!r} is not declared ordered and has no scale: add it to ordered=, or leave the line out."
    else:
        return
    raise ModelSyntaxError(message, text, lhs.line, lhs.column)


class OrderedRules:
    """What ordered variables ask of the rows of a table.

    categories: of each ordered variable their number; unit: the residual variance of a latent response, 1 with a probit link and
    pi^2 / 3 with a logit link. delta: whether scales are parameters. equal: the classes of group_equal. warnings: sentences for the
    user.
    """

    def __init__(
        self,
        categories: Mapping[str, int],
        unit: float,
        names: dict[Where, BlockNames],
        syntax: Syntax,
        delta: bool,
        equal: Sequence[str],
    ):
        self._syntax, self._unit, self._single = syntax, unit, (1, 2) not in names
        self._names, self._delta, self._equal = names, delta, {*equal}
        if delta and unit != 1.0:
            raise ModelError(
                "parameterization='delta' is for the probit link: the residual of a latent response is standard logistic with "
                "link='logit'. Leave parameterization= and values of scales (~*~) out, or take link='probit'."
            )
        if delta and "residuals" in self._equal:
            raise ModelError(
                "group_equal='residuals' holds residual variances equal, which follow from the scales with "
                "parameterization='delta'. Take parameterization='theta', where they are parameters."
            )
        # equal thresholds give later groups their unit, as in lavaan
        self._open = "thresholds" in self._equal and (delta or "residuals" not in self._equal)
        self._scales: dict[Where, list[Row]] = {}
        self._written: dict[Where, list[Row]] = {}
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
        """Rows with all thresholds at the highest level, checked against the categories. Scales are put aside for `complete`."""
        out = {where: [r for r in rows if r.parameter.op not in ("|", "~*~")] for where, rows in written.items()}
        self._written = written
        self._set_aside(written)
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

    def _set_aside(self, written: dict[Where, list[Row]]) -> None:
        """The written scales by group and the level of their variable's unit, which may be written at either."""
        for (group, level), rows in written.items():
            for row in (r for r in rows if r.parameter.op == "~*~"):
                p = row.parameter
                at = self._unit_level(p.lhs)
                there = self._scales.setdefault((group, at), [])
                if any(r.key == row.key for r in there):
                    message = f"'{p.lhs} ~*~ {p.lhs}' is written at both levels: keep the one of level {at}."
                    raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
                if at != level:
                    self.warnings.append(
                        f"The scale of {p.lhs!r} is written at level {level}; it is 1 / sd of the latent response at level {at} "
                        "and stands there."
                    )
                there.append(row.but(level=at))

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
        """The rows of a block with default thresholds, units, scales and intercepts of the ordered variables it has."""
        here = [name for name in self._categories if name in self._names[group, level].observed]
        rows = [self._with_unit(row, group, level) if row.parameter.lhs in here else row for row in rows]
        scales = self._scale_rows(here, group, level)
        if level != (1 if self._single else 2):
            return [*rows, *scales]
        written = {(r.parameter.lhs, r.parameter.rhs): r for r in rows if r.parameter.op == "|"}
        rest = [r for r in rows if r.parameter.op != "|"]
        thresholds = [
            written.get((name, f"t{c}"), Row(Parameter(name, "|", f"t{c}", level, group, user=0)))
            for name, k in self._categories.items()
            for c in range(1, k)
        ]
        return [*rest, *thresholds, *scales]

    def _scale_rows(self, here: list[str], group: int, level: int) -> list[Row]:
        """A scale of every ordered variable that has its unit at this level."""
        written = {r.parameter.lhs: r for r in self._scales.get((group, level), ())}
        slopes = any(r.random for block in self._names.values() for r in block.rows)
        out = []
        for name in here:
            if self._unit_level(name) != level:
                continue
            row = written.get(name)
            if not self._delta:
                # with random slopes variances change from row to row
                fields: dict[str, Any] = {"free": False, "value": None}
                row = None if slopes else Row(Parameter(name, "~*~", name, level, group, user=0, **fields))
            elif row is None:
                free = group > 1 and self._open
                fields = {} if free else {"free": False, "value": 1.0}
                row = Row(Parameter(name, "~*~", name, level, group, user=0, **fields))
            else:
                self._check_scale_row(row)
            out += [] if row is None else [row]
        return out

    def _check_scale_row(self, row: Row) -> None:
        p = row.parameter
        if not p.free and p.value is not None and p.value <= 0:
            message = f"The scale of {p.lhs!r} is 1 / sd of its latent response: it must be above 0."
            raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
        if p.free and self._without_unit(p):
            raise IdentificationError(
                f"The scale of {p.lhs!r} is the unit of its latent response and is fixed to 1; freeing it needs thresholds that "
                f"are fixed, or equal to those of another group or variable. Leave '{p.lhs} ~*~ {p.lhs}' out of the first group, "
                f"or fix it there: '{p.lhs} ~*~ c(1, NA)*{p.lhs}'."
            )

    def _without_unit(self, p: Parameter) -> bool:
        """Whether nothing but a fixed scale or residual variance can be the unit of a variable of the first group: no threshold of
        it is fixed or equal to another.
        """
        if p.group > 1 or self._open:
            return False
        rows = (r for block in self._written.values() for r in block)
        own = [r for r in rows if r.parameter.op == "|" and (r.parameter.lhs, r.parameter.group) == (p.lhs, p.group)]
        return not any(r.equal or r.parameter.label or not r.parameter.free for r in own)

    def _with_unit(self, row: Row, group: int, level: int) -> Row:
        p = row.parameter
        if p.op == "~1":
            return self._intercept(row)
        if p.op != "~~" or p.lhs != p.rhs or level != self._unit_level(p.lhs):
            return row
        if self._delta:
            return self._left_over(row)
        if not p.user:
            free = group > 1 and self._open
            return row.but(free=True, value=None) if free else row.but(free=False, value=self._unit)
        if p.free and self._without_unit(p):
            raise IdentificationError(
                f"The residual variance of ordered {p.lhs!r} is the unit of its latent response and is fixed to "
                f"{self._unit:.4g}; freeing it needs thresholds that are fixed, or equal to those of another group or variable. "
                f"Leave '{p.lhs} ~~ {p.lhs}' out{' of level 1' if not self._single and level == 1 else ''}."
            )
        if not p.free and p.value is not None and p.value <= 0:
            message = (
                f"The residual variance of ordered {p.lhs!r} is the unit of its latent response: it must be above 0."
            )
            raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
        return row

    def _left_over(self, row: Row) -> Row:
        """The residual variance where the scale is a parameter."""
        p = row.parameter
        if p.user:
            message = (
                f"With parameterization='delta' the residual variance of {p.lhs!r} follows from its scale: leave '{p.lhs} ~~ "
                f"{p.lhs}' out, or write the scale, '{p.lhs} ~*~ {p.lhs}'. With parameterization='theta' it is a parameter."
            )
            raise ModelSyntaxError(message, self._syntax.text, p.line, p.column)
        return row.but(free=False, value=None)

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
