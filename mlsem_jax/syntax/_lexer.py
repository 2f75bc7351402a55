"""Model text -> tokens, each with its line and column (from 1)."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from mlsem_jax._errors import ModelSyntaxError, nearest
from mlsem_jax.syntax._look_alikes import in_plain_characters, with_plain_line_ends

Kind = Literal["name", "number", "string", "op", "newline", "semicolon", "end"]

FORMULA_OPERATORS = ("=~", "<~", "~~", "~", "|", "~*~")
RELATIONS = (":=", "==", "<", ">")
# What lavaan reads and this program does not (yet), with what to do instead.
UNSUPPORTED = {
    "||": "'||' of mixed-model formulas is not supported: write y ~ rv(\"s\")*x at level 1 for a random slope",
    "%": "Mplus's %WITHIN% and %BETWEEN% are 'level: 1' and 'level: 2' here, and the"
    " operator '%' is not supported: compute the term as a column of the data and use that column",
    "?": "the operator '?' is not supported: write start(0.5)*x to give a starting value",
    "<=": "write '<' instead: for an estimate, 'less' and 'less or equal' are the same constraint",
    ">=": "write '>' instead: for an estimate, 'greater' and 'greater or equal' are the same constraint",
}
LONGEST_NAME = 1000
_OPERATORS = (*FORMULA_OPERATORS, *RELATIONS, ":")
_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+)
      | (?P<newline>\n)
      | (?P<semicolon>;)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>(?:[^\W\d]|\.)[\w.]*)
      | (?P<string>"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)
      | (?P<op>~\*~|[-+*/^(),]|[~=<>:|%?&@$]+)""",
    re.VERBOSE,
)
_REST_OF_WORD = re.compile(r"[\w.]*")


@dataclass(frozen=True, slots=True)
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

    Line ends that follow one another are one token, as empty lines mean nothing.

    **Raises:** ModelSyntaxError on a character, a number or an operator that the language does not have.
    """
    tokens: list[Token] = []
    position, line, line_start = 0, 1, 0
    text = with_plain_line_ends(text)
    plain = in_plain_characters(text)
    while position < len(plain):
        column = position - line_start + 1
        match = _TOKEN.match(plain, position)
        if match is None:
            raise ModelSyntaxError(_bad_character(text[position]), text, line, column)
        kind, found = match.lastgroup or "", match.group()
        if problem := _problem(kind, found, plain, match.end()):
            raise ModelSyntaxError(problem, text, line, column)
        if kind != "blank" and not (kind == "newline" and tokens and tokens[-1].kind == "newline"):
            shown = found[1:-1] if kind == "string" else found
            tokens.append(Token(kind, shown, line, column, position, match.end()))  # type: ignore[arg-type]
        if kind == "newline":
            line, line_start = line + 1, match.end()
        position = match.end()
    tokens.append(Token("end", "", line, position - line_start + 1, position, position))
    return tokens


_OTHER_CHARACTERS = {
    "≤": f"'<=': {UNSUPPORTED['<=']}.",
    "≥": f"'>=': {UNSUPPORTED['>=']}.",
    "→": "An arrow has no meaning in a model: write y ~ x for a path from x to y.",
    "←": "An arrow has no meaning in a model: write y ~ x for a path from x to y.",
    "↔": "An arrow has no meaning in a model: write x ~~ y for a covariance.",
    "[": "'[' has no meaning in a model: a mean or intercept is written y ~ 1.",
}


def _bad_character(character: str) -> str:
    if character in "\"'`“”„‟‘’‚‛":
        return f"A quotation mark {character} is opened and not closed on this line."
    if character in _OTHER_CHARACTERS:
        return _OTHER_CHARACTERS[character]
    shown = character.encode("unicode_escape").decode() if not character.isprintable() else character
    name = unicodedata.name(character, "")
    described = f"'{shown}'" + (f" ({name})" if name and not character.isascii() else "")
    return f"The character {described} has no meaning in a model. Put a name that holds it in quotation marks."


def _problem(kind: str, found: str, text: str, end: int) -> str:
    """What is wrong with a token, '' if nothing is."""
    if kind == "op":
        return _about_operator(found)
    if kind == "number":
        return _about_number(found, _REST_OF_WORD.match(text, end).group())  # type: ignore[union-attr]
    if kind in ("name", "string") and len(found) > LONGEST_NAME + 2:
        return f"This name has {len(found)} characters; at most {LONGEST_NAME} are read. Rename the column."
    return ""


def _about_number(found: str, rest: str) -> str:
    if rest:
        word = f"{found}{rest}"
        word = word if len(word) <= 60 else f"{word[:60]}..."
        product = "" if rest[0] == "." else f" For a value fixed at {found}, write {found}*x."
        return (
            f'The name {word} begins with a digit: put it in quotation marks wherever it stands, "{word}", or rename'
            f" the column.{product}"
        )
    value, digits = float(found), found.lower().split("e")[0]
    if math.isinf(value) or (value == 0.0 and any(d not in "0." for d in digits)):
        size = "large" if value else "small"
        return f"This number is too {size}: numbers go from about 1e-308 to 1e308 in size."
    return ""


def _about_operator(found: str) -> str:
    if found in UNSUPPORTED:
        return f"'{found}': {UNSUPPORTED[found]}."
    if found == "=":
        return (
            "'=' is not an operator; write '=~' to define a factor by its indicators, '~' for a regression,"
            " '==' for an equality constraint."
        )
    if (len(found) > 1 and found not in _OPERATORS) or found in "&@$":
        known = ", ".join((*FORMULA_OPERATORS, *RELATIONS))
        shown = found if len(found) <= 20 else f"{found[:20]}..."
        return f"'{shown}' is not an operator; there are {known}.{nearest(found, _OPERATORS)}"
    return ""
