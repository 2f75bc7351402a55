"""Model text -> Syntax: block headers, formulas, constraints and definitions with their positions.

A formula ends with its line unless the line ends, or the next one begins, with an operator.
"""

from __future__ import annotations

import functools

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.models import Constraint, Definition, Name
from mlsem_jax.syntax._cursor import Cursor
from mlsem_jax.syntax._expression_parser import parse_whole_expression
from mlsem_jax.syntax._lexer import FORMULA_OPERATORS, RELATIONS, Token, tokenize
from mlsem_jax.syntax._look_alikes import with_plain_line_ends
from mlsem_jax.syntax._terms import HEADER_WORDS, parse_terms
from mlsem_jax.syntax._tree import EXAMPLE, Formula, Header, Mention, Statement, Syntax

_ALL_RELATIONS = (*FORMULA_OPERATORS, *RELATIONS, ":")
_MPLUS = {"BY": "=~", "ON": "~", "WITH": "~~"}
_ARITHMETIC = ("+", "-", "*", "/", "^", ",")
# model texts whose statements are remembered: studies fit few models to many data sets
TEXTS = 32


def parse(text: str) -> Syntax:
    """The statements of a model text.

    **Raises:** ModelSyntaxError, with line, column and a caret, where the text is not a model; ModelError where there is
    no text.
    """
    if not isinstance(text, str):
        raise ModelError(f"The model must be a text in lavaan's syntax, not {type(text).__name__}.")
    return _parsed(with_plain_line_ends(text))


@functools.lru_cache(maxsize=TEXTS)
def _parsed(text: str) -> Syntax:
    cursor = Cursor(tokenize(text), text)
    statements: list[Statement] = []
    while True:
        while cursor.peek().kind in ("newline", "semicolon"):
            cursor.advance()
        if cursor.peek().kind == "end":
            break
        statements.append(_statement(cursor))
        if not cursor.at_end_of_statement():
            raise cursor.error(f"'{cursor.peek().text}' is not expected here: a new line or ';' is missing before it.")
    if not statements:
        raise cursor.error(f"The model is empty. A two-level model has two blocks, for example:\n{EXAMPLE}")
    return Syntax(text, tuple(statements))


def _statement(cursor: Cursor) -> Statement:
    start = cursor.peek()
    if start.kind == "name" and start.text.lower() in HEADER_WORDS:
        header = _header(cursor, start)
        if header is not None:
            return header
    operator = _main_operator(cursor)
    if operator is None:
        known = ", ".join((*FORMULA_OPERATORS, *RELATIONS))
        said = {cursor.peek(ahead).text.upper() for ahead in range(1, 4)} & set(_MPLUS)
        hint = "".join(f" Mplus's {word} is '{_MPLUS[word]}' here." for word in sorted(said))
        raise cursor.error(f"This is no formula: it has none of the operators {known}.{hint}", start)
    if operator.text == ":":
        raise cursor.error(_about_colon(cursor, start), operator)
    if operator is start:
        raise cursor.error(f"There is nothing on the left-hand side of '{operator.text}'.", start)
    if operator.text in RELATIONS:
        return _relation(cursor, start, operator)
    return _formula(cursor, start)


def _header(cursor: Cursor, word: Token) -> Header | None:
    """The block header at the cursor, or None where the word is a variable's name (`level ~ x`)."""
    kind, following = word.text.lower(), cursor.peek(1)
    if following.kind in ("name", "number", "string"):
        after = cursor.peek(2)
        if after.is_op(":") or after.kind in ("newline", "semicolon", "end"):
            raise cursor.error(
                f"A block header has its colon after the word: write '{kind}: {following.text}'"
                f" instead of '{word.text} {following.text}{after.text if after.is_op(':') else ''}'.",
                word,
            )
    if not following.is_op(":"):
        return None
    if kind not in ("level", "group"):
        raise cursor.error(f"'{kind}:' blocks are not supported; there are 'level:' and 'group:' blocks.", word)
    cursor.advance()
    cursor.advance()
    value = cursor.peek()
    if value.kind not in ("name", "number", "string"):
        example = "level: 1" if kind == "level" else "group: 1"
        raise cursor.error(f"'{word.text}:' needs a number or a word after the colon, for example '{example}'.", word)
    cursor.advance()
    if not cursor.at_end_of_statement():
        raise cursor.error(f"A new line (or ';') is missing after '{kind}: {value.text}'.")
    return Header(kind, value.text, word.line, word.column)  # type: ignore[arg-type]


def _main_operator(cursor: Cursor) -> Token | None:
    """The first operator outside parentheses that makes the statement a formula, a constraint or a definition."""
    ahead, depth, last = 0, 0, None
    while True:
        token = cursor.peek(ahead)
        if token.kind in ("end", "semicolon"):
            return None
        if token.kind == "newline" and depth == 0:
            joined = last is not None and last.is_op(*_ARITHMETIC)
            if not joined and not cursor.peek(ahead + 1).is_op("+", "*", "/", "^", *_ALL_RELATIONS):
                return None
        elif token.is_op("("):
            depth += 1
        elif token.is_op(")"):
            depth = max(depth - 1, 0)
        elif depth == 0 and token.is_op(*_ALL_RELATIONS):
            return token
        last = token if token.kind != "newline" else last
        ahead += 1


def _about_colon(cursor: Cursor, start: Token) -> str:
    before, after = start.text, cursor.peek(2).text
    if cursor.peek(1).is_op(":"):
        if meant := nearest(before, ("level", "group"), 1):
            return f"'{before}:' starts no block.{meant}"
        return (
            f"'{before}:{after}': a product of columns stands on the right-hand side only (y ~ x + w + x:w), and '{before}' starts"
            " no block ('level:', 'group:' do)."
        )
    return "':' does not belong here. Blocks start with 'level:' or 'group:'."


def _relation(cursor: Cursor, start: Token, operator: Token) -> Constraint | Definition:
    """`name := expression` or `expression == expression`."""
    first = cursor.position
    if operator.is_op(">") and cursor.before(operator).is_op("-"):
        raise cursor.error("An arrow has no meaning in a model: write y ~ x for a path from x to y.", operator)
    left = parse_whole_expression(cursor)
    cursor.skip_newlines()
    if cursor.peek() is not operator:
        raise cursor.error(f"An operator is missing before '{cursor.peek().text}'.")
    cursor.advance()
    if cursor.peek_over_newlines().kind in ("end", "semicolon"):
        raise cursor.error(f"There is nothing on the right-hand side of '{operator.text}'.", operator)
    right = parse_whole_expression(cursor)
    text = cursor.source(first, cursor.position)
    following = cursor.peek()
    if following.is_op(*_ALL_RELATIONS):
        raise cursor.error(f"A second '{following.text}' in one line: write two constraints, one a line.", following)
    if operator.text == ":=":
        if left != Name(start.text, start.line, start.column):
            raise cursor.error("The left-hand side of ':=' must be one new name.", start)
        return Definition(start.text, right, text, start.line, start.column)
    return Constraint(left, operator.text, right, text, start.line, start.column)  # type: ignore[arg-type]


def _formula(cursor: Cursor, start: Token) -> Formula:
    lhs = [_left_mention(cursor)]
    while cursor.peek_over_newlines().is_op("+"):
        cursor.skip_newlines()
        cursor.advance()
        cursor.skip_newlines()
        lhs.append(_left_mention(cursor))
    cursor.skip_newlines()
    operator = cursor.advance()
    if not operator.is_op(*FORMULA_OPERATORS):
        if operator.is_op("*"):
            message = "Labels and fixed values belong on the right-hand side of a formula, before the variable."
        elif operator.kind in ("name", "number", "string"):
            message = f"'+' or an operator is missing before '{operator.text}'."
        else:
            message = f"'{operator.text}' does not belong on the left-hand side of a formula."
        raise cursor.error(message, operator)
    terms = parse_terms(cursor, operator)
    return Formula(tuple(lhs), operator.text, terms, start.line, start.column)  # type: ignore[arg-type]


def _left_mention(cursor: Cursor) -> Mention:
    token = cursor.advance()
    if token.kind == "name" and cursor.peek().is_op("("):
        if token.text == "efa":
            return _in_efa_block(cursor, token)
        raise cursor.error(f"'{token.text}(...)' does not belong on the left-hand side of a formula.", token)
    if token.kind not in ("name", "string"):
        found = f", not '{token.text}'" if token.text.strip() else ""
        raise cursor.error(f"A variable's name is expected here{found}.", token)
    if not token.text.strip():
        raise cursor.error("A variable's name is expected between these quotation marks.", token)
    return Mention(token.text, token.line, token.column)


def _in_efa_block(cursor: Cursor, efa: Token) -> Mention:
    """`efa("block")*factor`, from its parenthesis on."""
    opening = cursor.advance()
    name = cursor.advance()
    if name.kind not in ("name", "string") or not name.text.strip():
        raise cursor.error(
            'efa() takes the name of a block in quotation marks, as in efa("a")*f1 + efa("a")*f2 =~ ...', efa
        )
    cursor.expect_closing(opening)
    if not cursor.peek().is_op("*"):
        raise cursor.error(f'A factor is missing after efa("{name.text}"): write efa("{name.text}")*f1.', efa)
    cursor.advance()
    factor = _left_mention(cursor)
    return Mention(factor.name, factor.line, factor.column, name.text)
