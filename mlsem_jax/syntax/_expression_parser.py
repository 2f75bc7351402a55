"""Arithmetic of `:=`, `==`, `<`, `>` and of numeric modifiers: tokens -> expression tree, by precedence climbing."""

from __future__ import annotations

import math

from mlsem_jax._errors import nearest
from mlsem_jax.models._expressions import FUNCTIONS, Binary, Call, Expression, Name, Number
from mlsem_jax.syntax._cursor import Cursor

# operator: (left binding power, right binding power); '^' binds to the right and tighter than a unary minus.
_POWERS = {"+": (1, 2), "-": (1, 2), "*": (3, 4), "/": (3, 4), "^": (8, 7)}
_UNARY_POWER = 5


def parse_expression(cursor: Cursor, minimum: int = 0) -> Expression:
    """The longest expression that starts at the cursor and whose operators bind at least as tightly as `minimum`."""
    left = _operand(cursor)
    while True:
        operator = cursor.peek_over_newlines()
        # a line that begins with a minus sign is a new statement, as in '-a < 0'
        if operator.is_op("-") and operator is not cursor.peek():
            return left
        powers = _POWERS.get(operator.text) if operator.kind == "op" else None
        if powers is None or powers[0] < minimum:
            return left
        cursor.skip_newlines()
        cursor.advance()
        cursor.skip_newlines()
        left = Binary(operator.text, left, parse_expression(cursor, powers[1]))


def _operand(cursor: Cursor) -> Expression:
    cursor.skip_newlines()
    token = cursor.advance()
    if token.is_op("-", "+"):
        inside = parse_expression(cursor, _UNARY_POWER)
        return Call("neg", inside) if token.text == "-" else inside
    if token.is_op("("):
        inside = parse_expression(cursor)
        cursor.expect_closing(token)
        return inside
    if token.kind == "number":
        return Number(float(token.text))
    if token.kind == "name" and cursor.peek().is_op("("):
        if token.text not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            message = f"There is no function '{token.text}'; there are {known}.{nearest(token.text, FUNCTIONS)}"
            raise cursor.error(message, token)
        opening = cursor.advance()
        argument = parse_expression(cursor)
        cursor.expect_closing(opening)
        return Call(token.text, argument)
    if token.kind in ("name", "string"):
        return Name(token.text, token.line, token.column)
    raise cursor.error("A number, a label or a function is missing here.", token)


def constant(expression: Expression) -> float:
    """The value of an expression without labels, in plain floating point.

    **Raises:** ValueError where it holds a label or has no finite value.
    """
    match expression:
        case Number(value):
            return value
        case Call("neg", argument):
            return -constant(argument)
        case Call(function, argument) if hasattr(math, function):
            return getattr(math, function)(constant(argument))
        case Binary(_, left, right):
            try:
                return Binary(expression.operator, Number(constant(left)), Number(constant(right))).evaluate({})
            except (ZeroDivisionError, OverflowError) as problem:
                raise ValueError("it has no finite value") from problem
    raise ValueError("a modifier in parentheses must be a number")


def names_with_positions(expression: Expression) -> list[Name]:
    """The labels in an expression, left to right, each as often as it occurs."""
    match expression:
        case Name():
            return [expression]
        case Binary(_, left, right):
            return names_with_positions(left) + names_with_positions(right)
        case Call(_, argument):
            return names_with_positions(argument)
    return []


def substitute(expression: Expression, replacements: dict[str, Expression]) -> Expression:
    """The expression with some names replaced by expressions."""
    match expression:
        case Name(name):
            return replacements.get(name, expression)
        case Binary(operator, left, right):
            return Binary(operator, substitute(left, replacements), substitute(right, replacements))
        case Call(function, argument):
            return Call(function, substitute(argument, replacements))
    return expression
