"""Exceptions and warnings: one class per kind of mistake, so that callers can catch what they can repair."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ModelSyntaxError(ValueError):
    """The model text cannot be read.

    `line` and `column` count from 1; the message ends with the offending line and a caret under the spot.
    """

    def __init__(self, message: str, text: str | None = None, line: int | None = None, column: int | None = None):
        self.line, self.column = line, column
        if text is not None and line is not None:
            lines = text.split("\n")
            shown, at = _window(lines[line - 1] if line <= len(lines) else "", max(column or 1, 1) - 1)
            message = f"{message}\n  line {line}, column {column or 1}:\n    {shown}\n    {' ' * at}^"
        super().__init__(message)


def _window(line: str, at: int, width: int = 120) -> tuple[str, int]:
    """The part of a line around a position, and the position in it; what does not print is shown as one character."""
    first = 0 if len(line) <= width else max(min(at - width // 2, len(line) - width), 0)
    cut = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in line[first : first + width])
    before, after = "... " * (first > 0), " ..." * (first + width < len(line))
    return before + cut + after, len(before) + at - first


class ModelError(ValueError):
    """The model can be read but makes no sense: contradictory constraints, an unknown option, a factor without indicators."""


class DataError(ValueError):
    """The data cannot be used as they are. The message names the variable, the level and the remedy."""


class IdentificationError(ValueError):
    """The parameters of the model are not determined by the moments of the data."""


class ConvergenceWarning(UserWarning):
    """The optimiser stopped at a point that is not a verified maximum."""


class ImproperSolutionWarning(UserWarning):
    """The maximum lies outside the space of proper parameters, for example at a negative variance."""


class ModelWarning(UserWarning):
    """The model or the data were used, but probably not in the way that was meant."""


def listing(names: Iterable[object], limit: int = 5) -> str:
    """Names separated by commas, cut after `limit`: 'a, b, c and 196 more'."""
    words = [str(name) for name in names]
    if len(words) <= limit:
        return ", ".join(words)
    return f"{', '.join(words[:limit])} and {len(words) - limit} more"


_LONGEST_COMPARED, _MOST_COMPARED = 80, 5000


def nearest(word: object, known: Iterable[object], count: int = 3) -> str:
    """' Did you mean a, b?' for the known words closest to an unknown one, or ''.

    Comparing takes time with the square of the length: very long words and very long lists have no neighbours.
    """
    by_lower = {str(name).lower(): str(name) for name in known if len(str(name)) <= _LONGEST_COMPARED}
    if len(str(word)) > _LONGEST_COMPARED or len(by_lower) > _MOST_COMPARED:
        return ""
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=count, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(by_lower[name]) for name in close)}?" if close else ""
