"""A position in a list of tokens, with the look-ahead and the errors that every parser needs."""

from __future__ import annotations

import re
from itertools import pairwise

from mlsem_jax._errors import ModelSyntaxError
from mlsem_jax.syntax._lexer import Token


class Cursor:
    """Moves over tokens. Newlines are tokens, as they end a formula; inside parentheses the parser skips them."""

    def __init__(self, tokens: list[Token], text: str):
        self._tokens, self._at, self.text = tokens, 0, text
        self.nesting = 0

    @property
    def position(self) -> int:
        """Which token the cursor is at, counted from 0; for `source`."""
        return self._at

    def peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else self._tokens[-1]

    def peek_over_newlines(self) -> Token:
        """The next token that is no newline; the cursor stays."""
        ahead = 0
        while self.peek(ahead).kind == "newline":
            ahead += 1
        return self.peek(ahead)

    def advance(self) -> Token:
        token = self.peek()
        if token.kind != "end":
            self._at += 1
        return token

    def previous(self) -> Token:
        return self._tokens[max(self._at - 1, 0)]

    def before(self, token: Token) -> Token:
        """The token before one that comes at the cursor or later."""
        at = self._at
        while self._tokens[at] is not token:
            at += 1
        return self._tokens[max(at - 1, 0)]

    def skip_newlines(self) -> None:
        while self.peek().kind == "newline":
            self._at += 1

    def at_end_of_statement(self) -> bool:
        return self.peek().kind in ("newline", "semicolon", "end")

    def expect_closing(self, opening: Token) -> None:
        """Move over ')', or say that the parenthesis opened at `opening` is not closed."""
        self.skip_newlines()
        if not self.peek().is_op(")"):
            raise self.error("This parenthesis is not closed: ')' is missing.", opening)
        self.advance()

    def error(self, message: str, token: Token | None = None) -> ModelSyntaxError:
        token = token or self.peek()
        return ModelSyntaxError(message, self.text, token.line, token.column)

    def source(self, first: int, last: int) -> str:
        """The text of the tokens from one position to another (not included), on one line and without comments."""
        within = [t for t in self._tokens[first:last] if t.kind != "newline"]
        pieces = [as_written(within[0])]
        for left, right in pairwise(within):
            pieces.append((" " if right.start > left.end else "") + as_written(right))
        return "".join(pieces)


def as_written(token: Token) -> str:
    """The token with quotation marks where it needs them to be read as one name again."""
    return quoted(token.text) if token.kind == "string" else token.text


def quoted(name: str) -> str:
    """A name as it stands in a model text, in quotation marks where it needs them."""
    if re.fullmatch(r"(?:[^\W\d]|\.)[\w.]*", name) and name != "NA":
        return name
    return next((f"{mark}{name}{mark}" for mark in "\"'`" if mark not in name), name)
