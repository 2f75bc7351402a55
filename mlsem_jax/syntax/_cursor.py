"""A position in a list of tokens, with the look-ahead and the errors that every parser needs."""

from __future__ import annotations

from itertools import pairwise

from mlsem_jax._errors import ModelSyntaxError
from mlsem_jax.syntax._lexer import Token


class Cursor:
    """Moves over tokens. Newlines are tokens, as they end a formula; inside parentheses the parser skips them."""

    def __init__(self, tokens: list[Token], text: str):
        self._tokens, self._at, self.text = tokens, 0, text

    def peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

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

    def source(self, first: Token, last: Token) -> str:
        """The text from one token to another, on one line and without comments."""
        within = [t for t in self._tokens if first.start <= t.start and t.end <= last.end and t.kind != "newline"]
        pieces = [within[0].text]
        for left, right in pairwise(within):
            pieces.append((" " if right.start > left.end else "") + right.text)
        return "".join(pieces)
