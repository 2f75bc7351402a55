"""Characters that word processors, web pages and PDF files put in the place of those of the language, read as these."""

from __future__ import annotations

import re

# the first of each pair of words is what the language has, the second what is read as it, all of one character
_SAME = {
    "~": "˜∼～〜⁓",
    "=": "＝",
    "-": "−–—‒―‐‑－﹣",
    "+": "＋",
    "*": "＊×∗⁎",
    "/": "÷∕⁄／",
    "^": "＾",
    "(": "（",
    ")": "）",
    ",": "，",
    ":": "：",
    ";": "；",
    "<": "＜",
    ">": "＞",
    "|": "｜",
    " ": "\ufeff\u200b\u2060",
}
_TABLE = str.maketrans({odd: plain for plain, others in _SAME.items() for odd in others})
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_DOUBLE, _SINGLE = "“”„‟", "‘’‚‛"
_PIECES = re.compile(
    rf"""(?P<plain>"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)
      | (?P<typographic>[{_DOUBLE}][^{_DOUBLE}`\n]*[{_DOUBLE}]|[{_SINGLE}][^{_SINGLE}`\n]*[{_SINGLE}])
      | (?P<comment>[#!＃！][^\n]*)""",
    re.VERBOSE,
)


def with_plain_line_ends(text: str) -> str:
    """The text with every kind of line end as a newline: those of Windows and old Macs, a word processor's soft ones."""
    return _LINE_ENDS.sub("\n", text)


def in_plain_characters(text: str) -> str:
    """The text in the characters of the language, each at its old place; what stands in quotation marks stays.

    A tilde '˜', a minus '−' or a dash, full-width and typographic signs become what they look like, comments blanks.
    """
    parts, at = [], 0
    for match in _PIECES.finditer(text):
        parts.append(text[at : match.start()].translate(_TABLE))
        found, at = match.group(), match.end()
        if match.lastgroup == "typographic":
            found = f"`{found[1:-1]}`"
        parts.append(" " * len(found) if match.lastgroup == "comment" else found)
    return "".join([*parts, text[at:].translate(_TABLE)])
