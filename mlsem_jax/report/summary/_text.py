"""A summary as text in lavaan's layout."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mlsem_jax.report.summary._blocks import Block, Estimates, Facts, Heading, Prose, Row

# the right edges of lavaan's value columns
FIRST, SECOND, NAMES, CELL, PROSE = 54, 12, 18, 9, 78


@dataclass(frozen=True)
class _Edges:
    """Widths that all sections share, so that their columns line up: lavaan's, or what the longest name or number needs.

    first: right edge of the first value of facts; second: width of their other values; names: of the names of parameters with
    their labels; cells: of the columns of the parameter table, by place.
    """

    first: int = FIRST
    second: int = SECOND
    names: int = NAMES
    cells: tuple[int, ...] = ()

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> _Edges:
        facts = [row for block in blocks if isinstance(block, Facts) for row in block.rows if len(row) > 1]
        facts += [("", *block.columns) for block in blocks if isinstance(block, Facts) and block.columns]
        rows = [row for block in blocks if isinstance(block, Estimates) for row in block.rows if row.values]
        return cls(
            max([FIRST, *(3 + len(label) + len(values[0]) for label, *values in facts)]),
            max([SECOND, *(2 + len(value) for _, _, *more in facts for value in more)]),
            max([NAMES, *(_needed(row) for row in rows)]),
            tuple(
                max([CELL, *(1 + len(value) for value in column)])
                for column in zip_longest(*(row.values for row in rows), fillvalue="")
            ),
        )


def text(blocks: Sequence[Block]) -> str:
    """All blocks, one under the other. Names and numbers longer than lavaan's columns widen them, in all sections alike."""
    edges = _Edges.of(blocks)
    parts = [_block(block, edges) for block in blocks]
    return "\n".join(line.rstrip() for part in parts for line in [*part, ""]).rstrip("\n") + "\n"


def _block(block: Block, edges: _Edges) -> list[str]:
    if isinstance(block, Heading):
        return [block.text] if block.depth == 1 else ["", f"{block.text}:"]
    if isinstance(block, Facts):
        return _facts(block, edges)
    if isinstance(block, Prose):
        lines = [line for sentence in block.sentences for line in _wrapped(sentence)]
        return [f"{block.title}:", "", *lines] if block.title else lines
    return _estimates(block, edges)


def _wrapped(sentence: str) -> list[str]:
    """Paragraphs at the page width; lines that a message laid out itself (an example, a caret) stay as they are."""
    lines = sentence.splitlines() or [""]
    return [
        out
        for line in lines
        for out in (
            textwrap.wrap(line, PROSE, initial_indent="  ", subsequent_indent="  ")
            if line == line.lstrip()
            else [f"  {line}"]
        )
    ]


def _facts(block: Facts, edges: _Edges) -> list[str]:
    lines = [f"{block.title}:"] if block.title else []
    if block.columns:
        lines.append(" " * (edges.first - len(block.columns[0])) + "".join(_right(block.columns, edges)))
    elif block.title:
        lines.append("")
    for label, *values in block.rows:
        if not values:
            lines.append(f"  {label}")
            continue
        room = edges.first - len(values[0])
        lines.append(f"  {label}".ljust(room) + "".join(_right(values, edges)))
    return lines


def _right(values: Sequence[str], edges: _Edges) -> list[str]:
    return [values[0], *(value.rjust(edges.second) for value in values[1:])]


def _needed(row: Row) -> int:
    """Width of indent, name and label with a space between them."""
    return 2 + len(row.name) + (len(row.label) + 3 if row.label else 0)


def _estimates(block: Estimates, edges: _Edges) -> list[str]:
    lines = [f"{block.title}:", " " * edges.names + _cells(block.columns, edges)]
    for row in block.rows:
        label = f"({row.label})" if row.label else ""
        name = f" {row.name}" if row.name.startswith(".") else f"  {row.name}"
        lines.append(name + label.rjust(edges.names - len(name)) + _cells(row.values, edges))
    return lines


def _cells(values: Sequence[str], edges: _Edges) -> str:
    widths = (*edges.cells, *[CELL] * len(values))
    return "".join(value.rjust(width) for value, width in zip(values, widths, strict=False))
