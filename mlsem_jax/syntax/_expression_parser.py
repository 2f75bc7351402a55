"""Arithmetic of `:=`, `==`, `<`, `>` and of numeric modifiers: tokens -> expression tree, by precedence climbing."""

from __future__ import annotations

from mlsem_jax._errors import nearest
from mlsem_jax.models import (
    DEEPEST,
    FUNCTIONS,
    Binary,
    Call,
    Expression,
    Name,
    Number,
    chained,
    constants_problem,
    depth,
    postorder,
)
from mlsem_jax.syntax._cursor import Cursor

# operator: (left binding power, right binding power); '^' binds to the right and tighter than a unary minus.
_POWERS = {"+": (1, 2), "-": (1, 2), "*": (3, 4), "/": (3, 4), "^": (8, 7)}
_UNARY_POWER = 5
_TOO_DEEP = (
    f"This expression is nested too deeply: at most {DEEPEST} operations inside one another are read. Take out parentheses, or"
    " define parts of it with ':=' on lines of their own."
)


def parse_whole_expression(cursor: Cursor) -> Expression:
    """The longest expression that starts at the cursor, checked as a whole.

    **Raises:** ModelSyntaxError where it is nested too deeply, or where a part of it without labels has no value.
    """
    cursor.skip_newlines()
    start = cursor.peek()
    expression = parse_expression(cursor)
    if depth(expression) > DEEPEST:
        raise cursor.error(_TOO_DEEP, start)
    if problem := constants_problem(expression):
        raise cursor.error(problem, start)
    return expression


def parse_expression(cursor: Cursor, minimum: int = 0) -> Expression:
    """The longest expression that starts at the cursor and whose operators bind at least as tightly as `minimum`."""
    cursor.nesting += 1
    if cursor.nesting > DEEPEST:
        raise cursor.error(_TOO_DEEP)
    left = _operand(cursor)
    chain: list[tuple[str, Expression]] = []
    while True:
        operator = cursor.peek_over_newlines()
        # a line that begins with a minus sign is a new statement, as in '-a < 0'
        new_statement = operator.is_op("-") and operator is not cursor.peek()
        powers = _POWERS.get(operator.text) if operator.kind == "op" and not new_statement else None
        if powers is None or powers[0] < minimum:
            cursor.nesting -= 1
            return chained(left, chain)
        cursor.skip_newlines()
        cursor.advance()
        cursor.skip_newlines()
        if chain and _POWERS[chain[0][0]] != powers:
            left, chain = chained(left, chain), []
        chain.append((operator.text, parse_expression(cursor, powers[1])))


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
    if token.kind in ("name", "string") and token.text.strip():
        return Name(token.text, token.line, token.column)
    raise cursor.error("A number, a label or a function is missing here.", token)


def names_with_positions(expression: Expression) -> list[Name]:
    """The labels in an expression, left to right, each as often as it occurs."""
    return [node for node in postorder(expression) if isinstance(node, Name)]


def substitute(expression: Expression, replacements: dict[str, Expression]) -> Expression:
    """The expression with some names replaced by expressions."""
    done: list[Expression] = []
    for node in postorder(expression):
        match node:
            case Name(name):
                done.append(replacements.get(name, node))
            case Call(function, _):
                done[-1] = Call(function, done[-1])
            case Binary(operator, _, _):
                right = done.pop()
                done[-1] = Binary(operator, done[-1], right)
            case _:
                done.append(node)
    return done[-1]
