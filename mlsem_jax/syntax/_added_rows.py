"""Parameters written apart from a model text, for tests of adding them to a fit that exists."""

from __future__ import annotations

from collections.abc import Iterator

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import Parameter, Specification
from mlsem_jax.syntax._parser import parse
from mlsem_jax.syntax._tree import Formula, Header

_LEVELS = {"1": 1, "within": 1, "2": 2, "between": 2}


def read_added(text: str, specification: Specification) -> tuple[Parameter, ...]:
    """The parameters of a text such as "f =~ y4; y1 ~~ y2", in several groups one for each, in two levels under `level:` headers.

    **Raises:** ModelSyntaxError, ModelError for what the model does not have, and for parameters that are free in it.
    """
    if not isinstance(text, str):
        raise ModelError(f"add= is a text in model syntax, such as 'f =~ y4; y1 ~~ y2', not {type(text).__name__}.")
    if not text.strip():
        raise ModelError("add= names no parameter: write them as in a model text, such as 'f =~ y4; y1 ~~ y2'.")
    level, groups = 1 if specification.single else 0, tuple(range(1, specification.ngroups + 1))
    out: list[Parameter] = []
    for statement in parse(text).statements:
        if isinstance(statement, Header):
            if statement.kind == "level":
                level = _level(statement.label, specification)
            else:
                groups = (_group(statement.label, specification),)
        elif isinstance(statement, Formula) and statement.op in ("=~", "~", "~~"):
            if not level:
                raise ModelError(
                    f"add={text!r}: the model has two levels; say where, as in 'level: 2; {text.strip()}'."
                )
            out += [
                _row(lhs, op, rhs, level, group, specification)
                for group in groups
                for lhs, op, rhs in _parts(statement)
            ]
        else:
            raise ModelError(
                f"add={text!r}: write parameters, such as 'f =~ y4' or 'y1 ~~ y2'; nothing else is tested."
            )
    if not out:
        raise ModelError("add= names no parameter: write them as in a model text, such as 'f =~ y4; y1 ~~ y2'.")
    return tuple(dict.fromkeys(out))


def _level(label: str, specification: Specification) -> int:
    own = {specification.level(n).label: n for n in specification.numbers if specification.level(n).label}
    known = {} if specification.single else _LEVELS | own
    if label not in known:
        raise ModelError(f"add=: the model has no level {label!r}.")
    return known[label]


def _group(label: str, specification: Specification) -> int:
    if label not in specification.groups:
        raise ModelError(f"add=: the model has no group {label!r}.{nearest(label, specification.groups)}")
    return specification.groups.index(label) + 1


def _parts(formula: Formula) -> Iterator[tuple[str, str, str]]:
    for lhs in formula.lhs:
        for term in formula.terms:
            if term.modifiers:
                raise ModelError("add= takes parameters without labels, values and other modifiers.")
            yield (lhs.name, formula.op, term.name) if term.name is not None else (lhs.name, "~1", "")


def _row(lhs: str, op: str, rhs: str, level: int, group: int, specification: Specification) -> Parameter:
    """The parameter as the model has it, fixed, or as it would be added."""
    block = specification.level(level)
    names = (*block.observed, *block.latent)
    for name in (lhs, rhs):
        if name and name not in names:
            raise ModelError(
                f"add=: there is no {name!r} at this level of the model.{nearest(name, names) or f' It has {listing(names, 12)}.'}"
            )
    for row in specification.parameters:
        same = (row.lhs, row.rhs) == (lhs, rhs) or (op == "~~" and (row.rhs, row.lhs) == (lhs, rhs))
        if same and (row.op, row.level, row.group) == (op, level, group):
            if row.free:
                raise ModelError(f"add=: {row.name!r} is free in the model already.")
            return row
    return Parameter(lhs, op, rhs, level, group, value=0.0, free=False, user=0)
