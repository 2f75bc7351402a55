"""Constraints and definitions of a model text, checked against the labels that its parameters have."""

from __future__ import annotations

from collections.abc import Iterable

from mlsem_jax._errors import ModelSyntaxError, listing, nearest
from mlsem_jax.models._expressions import Expression
from mlsem_jax.models._specification import Constraint, Definition
from mlsem_jax.syntax._expression_parser import names_with_positions, substitute
from mlsem_jax.syntax._tree import Syntax


def checked_definitions(syntax: Syntax, labels: Iterable[str]) -> tuple[Definition, ...]:
    """The definitions in an order in which each uses only labels and quantities defined before it.

    **Raises:** ModelSyntaxError for an unknown label, a name defined twice or a circle of definitions.
    """
    labels = set(labels)
    by_name: dict[str, Definition] = {}
    for definition in syntax.definitions:
        name = definition.name
        if name in by_name or name in labels:
            what = "is already the label of a parameter" if name in labels else "is defined twice"
            message = f"'{name}' {what}: give this quantity a name of its own."
            raise ModelSyntaxError(message, syntax.text, definition.line, definition.column)
        by_name[name] = definition
    for definition in by_name.values():
        _check_known(definition.expression, labels, set(by_name), syntax)
    ordered: dict[str, Definition] = {}

    def visit(definition: Definition, path: tuple[str, ...]) -> None:
        if definition.name in path:
            message = f"'{definition.name}' is defined by itself: {' -> '.join((*path, definition.name))}."
            raise ModelSyntaxError(message, syntax.text, definition.line, definition.column)
        for name in names_with_positions(definition.expression):
            if name.name in by_name and name.name not in ordered:
                visit(by_name[name.name], (*path, definition.name))
        ordered[definition.name] = definition

    for definition in by_name.values():
        if definition.name not in ordered:
            visit(definition, ())
    return tuple(ordered.values())


def checked_constraints(
    syntax: Syntax, labels: Iterable[str], definitions: tuple[Definition, ...]
) -> tuple[Constraint, ...]:
    """The written constraints in terms of labels alone: defined quantities are replaced by their expressions.

    **Raises:** ModelSyntaxError for an unknown label, or a constraint without any.
    """
    labels = set(labels)
    expressions: dict[str, Expression] = {}
    for definition in definitions:
        expressions[definition.name] = substitute(definition.expression, expressions)
    checked = []
    for c in syntax.constraints:
        for side in (c.left, c.right):
            _check_known(side, labels, set(expressions), syntax)
        if not names_with_positions(c.left) + names_with_positions(c.right):
            message = f"'{c.text}' holds no parameter label, so it constrains nothing."
            raise ModelSyntaxError(message, syntax.text, c.line, c.column)
        left, right = substitute(c.left, expressions), substitute(c.right, expressions)
        checked.append(Constraint(left, c.op, right, c.text, c.line, c.column))
    return tuple(checked)


def _check_known(expression: Expression, labels: set[str], defined: set[str], syntax: Syntax) -> None:
    known = labels | defined
    for name in names_with_positions(expression):
        if name.name not in known:
            have = f"Labels are {listing(sorted(labels))}." if labels else "No parameter has a label."
            message = (
                f"'{name.name}' is not the label of a parameter.{nearest(name.name, known)} {have}"
                f" A label is written before a variable, as in {name.name}*x."
            )
            raise ModelSyntaxError(message, syntax.text, name.line, name.column)
