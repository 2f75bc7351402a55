"""Formulas -> rows of the parameter table, as written, for one group and level."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlsem_jax._errors import ModelError, ModelSyntaxError
from mlsem_jax.models import Parameter
from mlsem_jax.syntax._blocks import Placed
from mlsem_jax.syntax._tree import Mention, Modifier, Term

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Row:
    """A parameter with what only the rules of defaults and equalities need to know.

    explicit: a fixed value or NA was written. equal: the name inside equal(). replicated: the row stands for one of
    several groups that share the line. block: the name in the efa() before the factor. composite: the row is the weight of a
    composite, which is a regression without residual.
    """

    parameter: Parameter
    explicit: bool = False
    equal: str = ""
    replicated: bool = False
    block: str = ""
    composite: bool = False

    def but(self, **changes) -> Row:
        """A copy with some fields of the parameter changed."""
        return replace(self, parameter=self.parameter.but(**changes))

    @property
    def key(self) -> Key:
        """The same for all rows of a block that speak of the same element."""
        p = self.parameter
        return key(p.lhs, p.op, p.rhs)


def key(lhs: str, op: str, rhs: str) -> Key:
    return (op, *sorted((lhs, rhs))) if op == "~~" else (op, lhs, rhs)  # type: ignore[return-value]


# rows of the parameter table in one level of one group: far more than can be estimated, few enough to be counted out
MOST_ROWS = 50_000


def check_size(count: int) -> None:
    """**Raises:** ModelError where one level has so many parameters that the table alone would take minutes."""
    if count > MOST_ROWS:
        raise ModelError(
            f"One level of this model has {count} parameters, variances, covariances and moments of covariates included; at"
            f" most {MOST_ROWS} are taken. Leave out variables, or replace covariates by a score."
        )


def rows_of_block(placed: list[Placed], group: int, level: int, text: str) -> list[Row]:
    """The rows that the formulas of a block write, in their order.

    **Raises:** ModelSyntaxError where an element is written twice or modifiers contradict one another.
    """
    rows: list[Row] = []
    seen: dict[Key, Parameter] = {}
    check_size(sum(len(item.formula.lhs) * len(item.formula.terms) for item in placed))
    for item in placed:
        for lhs in item.formula.lhs:
            for term in _merged(item.formula.terms, text):
                row = _row(item, lhs, term, group, level, text)
                p = row.parameter
                if row.key in seen:
                    first = seen[row.key]
                    message = f"'{p.lhs} {p.op} {p.rhs}'".replace(" '", "'") + (
                        f" is already in line {first.line}: write each element once in a level, with all its modifiers."
                    )
                    raise ModelSyntaxError(message, text, term.line, term.column)
                seen[row.key] = p
                rows.append(row)
    return rows


def _merged(terms: tuple[Term, ...], text: str) -> list[Term]:
    """Terms of the same variable joined into one with all modifiers, as in `NA*x + a*x`."""
    merged: dict[str | None, Term] = {}
    for term in terms:
        first = merged.get(term.name)
        if first is None:
            merged[term.name] = term
        elif term.modifiers:
            merged[term.name] = replace(first, modifiers=first.modifiers + term.modifiers)
        else:
            message = f"'{term.name or 1}' is already on this right-hand side: leave one of the two out."
            raise ModelSyntaxError(message, text, term.line, term.column)
    return list(merged.values())


def _row(item: Placed, lhs: Mention, term: Term, group: int, level: int, text: str) -> Row:
    composite = item.formula.op == "<~"
    op = "~" if composite else item.formula.op
    if op == "|":
        _check_threshold(term, lhs, text)
    if composite and term.name is None:
        raise ModelSyntaxError(
            f"'{lhs.name} <~ 1': a composite is a weighted sum of variables and has no intercept.",
            text,
            term.line,
            term.column,
        )
    if term.name == lhs.name and op not in ("~~", "~*~"):
        what = "its own indicator" if op == "=~" else "its own predictor"
        raise ModelSyntaxError(f"'{lhs.name}' cannot be {what}.", text, term.line, term.column)
    parameter = Parameter(
        lhs.name,
        op if term.name is not None else "~1",
        term.name or "",
        level,
        group,
        line=term.line,
        column=term.column,
    )
    values: dict[str, float | str | None] = {}
    for modifier in term.modifiers:
        value = _value(modifier, item, text)
        if modifier.kind == "rv":
            _check_slope(modifier, op, level, term, text)
        twice = modifier.kind in values and values[modifier.kind] != value
        if twice or {"label", "equal"} <= {*values, modifier.kind}:
            message = f"'{term.name or 1}' has two contradictory modifiers before it; keep one."
            raise ModelSyntaxError(message, text, modifier.line, modifier.column)
        values[modifier.kind] = value
    parameter = parameter.but(
        label=values.get("label", ""),
        start=values.get("start"),
        lower=values.get("lower"),
        upper=values.get("upper"),
    )
    if values.get("fixed") is not None:
        parameter = parameter.but(free=False, value=values["fixed"])
    if "rv" in values:
        parameter = parameter.but(free=False, value=0.0, random=values["rv"])
    explicit, equal = "fixed" in values or "rv" in values, str(values.get("equal", ""))
    return Row(parameter, explicit, equal, item.width > 1, lhs.block, composite)


def _check_threshold(term: Term, lhs: Mention, text: str) -> None:
    """**Raises:** ModelSyntaxError where what follows '|' is no threshold's name."""
    number = (term.name or "")[1:]
    if term.name is None or term.name[:1] != "t" or not (number.isdecimal() and number.isascii() and number[:1] != "0"):
        message = (
            f"Thresholds are written t1, t2, ...; did you mean {lhs.name} | {term.name}*t1?"
            if term.name
            else f"Thresholds are written t1, t2, ..., as in {lhs.name} | t1."
        )
        raise ModelSyntaxError(message, text, term.line, term.column)


def _value(modifier: Modifier, item: Placed, text: str) -> float | str | None:
    """The value of a modifier for this group."""
    if not modifier.vector:
        return modifier.values[0]
    if len(modifier.values) == item.width:
        return modifier.values[item.slot]
    if item.width == 1:
        groups = "this block is of one group"
    else:
        groups = f"there are {item.width} groups"
    message = f"c(...) has {len(modifier.values)} values, one for each group, but {groups}."
    raise ModelSyntaxError(message, text, modifier.line, modifier.column)


def _check_slope(modifier: Modifier, op: str, level: int, term: Term, text: str) -> None:
    problem = ""
    if level == 2:
        problem = "rv() stands at level 1 only: a slope varies between clusters, and level 2 is where it is a variable."
    elif op == "=~":
        problem = 'rv() cannot make a loading random; it stands before a predictor, as in y ~ rv("s")*x.'
    elif op == "~~" or term.name is None:
        problem = 'rv() stands before a predictor, as in y ~ rv("s")*x.'
    elif len(term.modifiers) > 1:
        problem = "A random slope has no value, start or label here: its mean and variance are level-2 parameters."
    elif not modifier.values[0]:
        problem = 'rv() needs a name for the slope, as in rv("s")*x.'
    if problem:
        raise ModelSyntaxError(problem, text, modifier.line, modifier.column)
