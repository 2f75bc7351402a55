"""Model text -> tokens, each with its line and column (from 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mlsem_jax._errors import ModelSyntaxError, nearest

Kind = Literal["name", "number", "string", "op", "newline", "semicolon", "end"]

FORMULA_OPERATORS = ("=~", "~~", "~")
RELATIONS = (":=", "==", "<", ">")
# What lavaan reads and this program does not (yet), with what to do instead.
UNSUPPORTED = {
    "<~": "composites are not supported: define a factor with '=~', or compute the composite as a column of the data",
    "~*~": "scaling factors of categorical indicators are not supported: indicators are continuous here",
    "|": "thresholds of categorical indicators are not supported: indicators are continuous here",
    "%": "the operator '%' is not supported: compute the term as a column of the data and use that column",
    "?": "the operator '?' is not supported: write start(0.5)*x to give a starting value",
    "<=": "write '<' instead: for an estimate, 'less' and 'less or equal' are the same constraint",
    ">=": "write '>' instead: for an estimate, 'greater' and 'greater or equal' are the same constraint",
}
_OPERATORS = (*FORMULA_OPERATORS, *RELATIONS, ":")
_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+|[#!][^\n]*)
      | (?P<newline>\n)
      | (?P<semicolon>;)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>(?:[^\W\d]|\.)[\w.]*)
      | (?P<string>"[^"\n]*"|'[^'\n]*')
      | (?P<op>~\*~|[-+*/^(),]|[~=<>:|%?&@$]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """kind and text as written (strings without quotes); line and column from 1; start and end: offsets in the text."""

    kind: Kind
    text: str
    line: int
    column: int
    start: int
    end: int

    def is_op(self, *texts: str) -> bool:
        return self.kind == "op" and self.text in texts


def tokenize(text: str) -> list[Token]:
    """All tokens of the model text, ending with one of kind 'end'; blanks and comments are left out.

    **Raises:** ModelSyntaxError on a character or an operator that the language does not have.
    """
    tokens: list[Token] = []
    position, line, line_start = 0, 1, 0
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    while position < len(text):
        column = position - line_start + 1
        match = _TOKEN.match(text, position)
        if match is None:
            raise ModelSyntaxError(_bad_character(text[position]), text, line, column)
        kind, found = match.lastgroup or "", match.group()
        if kind == "op":
            _check_operator(found, text, line, column)
        if kind != "blank":
            shown = found[1:-1] if kind == "string" else found
            tokens.append(Token(kind, shown, line, column, position, match.end()))  # type: ignore[arg-type]
        if kind == "newline":
            line, line_start = line + 1, match.end()
        position = match.end()
    tokens.append(Token("end", "", line, position - line_start + 1, position, position))
    return tokens


def _bad_character(character: str) -> str:
    if character in "\"'":
        return f"A quotation mark {character} is opened and not closed on this line."
    return f"The character {character!r} has no meaning in a model. Put a name that holds it in quotation marks."


def _check_operator(found: str, text: str, line: int, column: int) -> None:
    if found in UNSUPPORTED:
        raise ModelSyntaxError(f"'{found}': {UNSUPPORTED[found]}.", text, line, column)
    if (len(found) > 1 and found not in _OPERATORS) or found in "=&@$":
        known = ", ".join((*FORMULA_OPERATORS, *RELATIONS))
        hint = " Did you mean '=='?" if found == "=" else nearest(found, _OPERATORS)
        raise ModelSyntaxError(f"'{found}' is not an operator; there are {known}.{hint}", text, line, column)
