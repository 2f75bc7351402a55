"""The right-hand side of a formula: terms joined by '+', each a variable with its modifiers before '*'."""

from __future__ import annotations

from mlsem_jax._errors import nearest
from mlsem_jax.models import FUNCTIONS, Binary, Expression, constant
from mlsem_jax.syntax._cursor import Cursor
from mlsem_jax.syntax._expression_parser import parse_expression
from mlsem_jax.syntax._lexer import FORMULA_OPERATORS, RELATIONS, Token
from mlsem_jax.syntax._tree import Modifier, Term

HEADER_WORDS = ("level", "group", "block", "class")
_NUMBER_FUNCTIONS = ("start", "lower", "upper")
_WORD_FUNCTIONS = ("label", "equal", "rv")
_MODIFIERS = ("c", *_NUMBER_FUNCTIONS, *_WORD_FUNCTIONS)
_TIGHTER_THAN_PRODUCT = 5

Value = float | str | None


def parse_terms(cursor: Cursor, operator: Token) -> tuple[Term, ...]:
    """All terms after the operator of a formula, with newlines next to a '+' or '*' passed over."""
    if cursor.peek_over_newlines().kind in ("end", "semicolon"):
        raise cursor.error(f"There is nothing on the right-hand side of '{operator.text}'.", operator)
    before, terms = operator, []
    while True:
        cursor.skip_newlines()
        _no_header_here(cursor, before)
        terms.append(_term(cursor, operator))
        following = cursor.peek_over_newlines()
        if following.is_op("+"):
            cursor.skip_newlines()
            before = cursor.advance()
            continue
        if not cursor.at_end_of_statement():
            raise cursor.error(_about_leftover(cursor, before), cursor.peek())
        return tuple(terms)


def _no_header_here(cursor: Cursor, before: Token) -> None:
    token = cursor.peek()
    if token.kind == "name" and token.text.lower() in HEADER_WORDS and cursor.peek(1).is_op(":"):
        message = f"This '{before.text}' is followed by a block header; a variable is missing after it."
        raise cursor.error(message, before)
    if token.kind in ("end", "semicolon"):
        raise cursor.error(f"A variable is missing after this '{before.text}'.", before)


def _about_leftover(cursor: Cursor, before: Token) -> str:
    previous, token = cursor.previous(), cursor.peek()
    if token.kind in ("name", "number", "string"):
        missing = f"'+' or '*' is missing between '{previous.text}' and '{token.text}'"
        return f"{missing} (names with blanks go in quotation marks)."
    if token.is_op(":"):
        product = f"{previous.text}:{cursor.peek(1).text}"
        return f"'{product}': a product is written between two columns of the data, as in y ~ x + w + x:w."
    if token.is_op("-"):
        return "Terms are joined by '+'; a minus sign belongs to a number before '*', as in -1*x."
    if token.is_op(*FORMULA_OPERATORS, *RELATIONS):
        left_over = f" Is the '+' at the end of line {before.line} left over?" if before.is_op("+") else ""
        return f"A second operator '{token.text}' in one formula.{left_over}"
    return f"'{token.text}' is not expected here."


def _term(cursor: Cursor, operator: Token) -> Term:
    """modifier * modifier * variable."""
    first = cursor.peek()
    factors = [_factor(cursor)]
    while cursor.peek_over_newlines().is_op("*"):
        cursor.skip_newlines()
        star = cursor.advance()
        cursor.skip_newlines()
        _no_header_here(cursor, star)
        factors.append(_factor(cursor))
    token, target = factors[-1]
    modifiers = tuple(_as_modifier(cursor, *factor) for factor in factors[:-1])
    if isinstance(target, str):
        if not target.strip():
            raise cursor.error("A variable's name is expected between these quotation marks.", token)
        return Term(target, modifiers, token.line, token.column)
    if target in (0.0, 1.0) and operator.text == "~":
        # 'y ~ 0' says that the intercept is 0, as 'y ~ 0*1' does
        zero = (Modifier("fixed", (0.0,), token.line, token.column),) if target == 0.0 and not modifiers else ()
        if target == 1.0 or zero:
            return Term(None, modifiers + zero, token.line, token.column)
    if isinstance(target, Modifier):
        raise cursor.error(f"A variable is missing after '{token.text}(...)': write '{token.text}(...)*x'.", token)
    if target == 1.0:
        raise cursor.error(f"'1' (an intercept) can stand only after '~', not after '{operator.text}'.", token)
    raise cursor.error("A number alone is no term; write 2*x for a value fixed at 2.", first)


def _factor(cursor: Cursor) -> tuple[Token, str | float | Modifier]:
    """One factor of a term: a word, a number or a modifier function; with the token where it begins."""
    token = cursor.peek()
    calls = cursor.peek(1).is_op("(")
    if token.is_op("("):
        _no_mixed_model(cursor, token)
    if token.kind == "name" and calls and token.text not in FUNCTIONS:
        return token, _modifier_function(cursor)
    if token.kind in ("name", "string") and not (token.kind == "name" and calls):
        cursor.advance()
        return token, _with_products(cursor, token.text)
    if token.kind in ("number", "name") or token.is_op("-", "+", "("):
        return token, _number(cursor)
    if token.is_op(*FORMULA_OPERATORS, *RELATIONS):
        raise cursor.error(f"A variable is expected here, not a second operator '{token.text}'.", token)
    found = f", not '{token.text}'" if token.text.strip() else ""
    raise cursor.error(f"A variable is expected here{found}.", token)


def _with_products(cursor: Cursor, name: str) -> str:
    """The name, or with ':' behind it that of a product of columns, 'x:w'."""
    while cursor.peek().is_op(":") and cursor.peek(1).kind in ("name", "string"):
        cursor.advance()
        name = f"{name}:{cursor.advance().text}"
    return name


def _no_mixed_model(cursor: Cursor, opening: Token) -> None:
    """**Raises:** ModelSyntaxError for a random effect as formulas of mixed models write it, (1 + x | school)."""
    ahead = 1
    while not cursor.peek(ahead).is_op(")") and cursor.peek(ahead).kind not in ("end", "newline", "semicolon"):
        if cursor.peek(ahead).is_op("|", "||"):
            raise cursor.error(
                "Random effects are not written (... | cluster) here: intercepts vary between clusters by the second level of the"
                ' model, and a random slope is written y ~ rv("s")*x at level 1.',
                opening,
            )
        ahead += 1


def _number(cursor: Cursor) -> float:
    """A number, or arithmetic on numbers that binds tighter than the '*' before a variable: 1/3, sqrt(2), (1 + 2)."""
    token = cursor.peek()
    expression: Expression = parse_expression(cursor, _TIGHTER_THAN_PRODUCT)
    while cursor.peek().is_op("/"):
        cursor.advance()
        expression = Binary("/", expression, parse_expression(cursor, _TIGHTER_THAN_PRODUCT))
    try:
        return constant(expression)
    except ValueError as problem:
        raise cursor.error(f"This is not a number: {problem}.", token) from None


def _modifier_function(cursor: Cursor) -> Modifier:
    name = cursor.advance()
    if name.text == "efa":
        raise cursor.error(
            'efa() stands before the factors, on the left of =~: efa("a")*f1 + efa("a")*f2 =~ y1 + y2 + ...', name
        )
    if name.text not in _MODIFIERS:
        known = ", ".join(f"{m}()" for m in _MODIFIERS)
        message = (
            f"There is no modifier '{name.text}()'; there are {known}.{nearest(name.text, _MODIFIERS)}"
            " (Functions of variables are computed as columns of the data.)"
        )
        raise cursor.error(message, name)
    values, vector = _arguments(cursor, inside=name.text == "c")
    vector = vector or name.text == "c"
    if len(values) > 1 and not vector:
        raise cursor.error(f"{name.text}() takes one value, or c(...) with one for each group.", name)
    numbers = all(v is None or isinstance(v, float) for v in values)
    if name.text in _NUMBER_FUNCTIONS and not numbers:
        raise cursor.error(f"{name.text}() takes a number, as in {name.text}(0.5)*x.", name)
    if name.text in _WORD_FUNCTIONS and not all(v is None or isinstance(v, str) for v in values):
        raise cursor.error(f'{name.text}() takes a word in quotation marks, as in {name.text}("a")*x.', name)
    kind = name.text if name.text != "c" else ("fixed" if numbers else "label")
    if kind in ("label", *_WORD_FUNCTIONS):
        if not all(v is None or isinstance(v, str) for v in values):
            raise cursor.error("c(...) holds either labels or numbers, not both.", name)
        values = tuple(v or "" for v in values)
    return Modifier(kind, values, name.line, name.column, vector)  # type: ignore[arg-type]


def _arguments(cursor: Cursor, inside: bool = False) -> tuple[tuple[Value, ...], bool]:
    """The values between parentheses, and whether they were inside a c() of their own. inside: these are in a c() already."""
    opening = cursor.advance()
    values: list[Value] = []
    vector = False
    while True:
        cursor.skip_newlines()
        token = cursor.peek()
        if token.kind == "name" and token.text == "c" and cursor.peek(1).is_op("(") and not values:
            if inside:
                raise cursor.error("c(...) holds one value for each group, not another c(...).", token)
            cursor.advance()
            inner, _ = _arguments(cursor, inside=True)
            values.extend(inner)
            vector = True
        elif token.kind in ("name", "string") and not (token.kind == "name" and cursor.peek(1).is_op("(")):
            cursor.advance()
            values.append(None if token.kind == "name" and token.text == "NA" else token.text)
        elif token.kind in ("number", "name") or token.is_op("-", "+", "("):
            values.append(_number(cursor))
        else:
            raise cursor.error("A number or a word is missing in these parentheses.", opening)
        if cursor.peek_over_newlines().is_op(","):
            cursor.skip_newlines()
            cursor.advance()
            continue
        cursor.expect_closing(opening)
        return tuple(values), vector


def _as_modifier(cursor: Cursor, token: Token, value: str | float | Modifier) -> Modifier:
    if isinstance(value, Modifier):
        return value
    if isinstance(value, float):
        return Modifier("fixed", (value,), token.line, token.column)
    if token.kind == "name" and value == "NA":
        return Modifier("fixed", (None,), token.line, token.column)
    if token.kind == "name" and value.lower() in ("nan", "inf", "infinity"):
        message = (
            f"'{value}' is no value of a parameter; write NA*x to leave it free, lower(0)*x or upper(0)*x for a bound."
        )
        raise cursor.error(message, token)
    return Modifier("label", (value,), token.line, token.column)
