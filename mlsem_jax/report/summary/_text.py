"""A summary as text in lavaan's layout."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mlsem_jax.report.summary._blocks import Block, Estimates, Facts, Heading, Prose, Row

# the right edges of lavaan's value columns
FIRST, SECOND, NAMES, CELL, PROSE = 54, 12, 18, 9, 78


def text(blocks: Sequence[Block]) -> str:
    """All blocks, one under the other. Names longer than lavaan's column widen it rather than being cut."""
    width = max([NAMES, *(_needed(row) for b in blocks if isinstance(b, Estimates) for row in b.rows if row.values)])
    parts = [_block(block, width) for block in blocks]
    return "\n".join(line.rstrip() for part in parts for line in [*part, ""]).rstrip("\n") + "\n"


def _block(block: Block, width: int) -> list[str]:
    if isinstance(block, Heading):
        return [block.text] if block.depth == 1 else ["", f"{block.text}:"]
    if isinstance(block, Facts):
        return _facts(block)
    if isinstance(block, Prose):
        lines = [line for sentence in block.sentences for line in _wrapped(sentence)]
        return [f"{block.title}:", "", *lines] if block.title else lines
    return _estimates(block, width)


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


def _facts(block: Facts) -> list[str]:
    lines = [f"{block.title}:"] if block.title else []
    if block.columns:
        lines.append(" " * (FIRST - len(block.columns[0])) + "".join(_right(block.columns)))
    elif block.title:
        lines.append("")
    for label, *values in block.rows:
        if not values:
            lines.append(f"  {label}")
            continue
        room = FIRST - len(values[0])
        lines.append(f"  {label}".ljust(room) + "".join(_right(values)))
    return lines


def _right(values: Sequence[str]) -> list[str]:
    return [values[0], *(value.rjust(SECOND) for value in values[1:])]


def _needed(row: Row) -> int:
    """Width of indent, name and label with a space between them."""
    return 2 + len(row.name) + (len(row.label) + 3 if row.label else 0)


def _estimates(block: Estimates, width: int) -> list[str]:
    lines = [f"{block.title}:", " " * width + "".join(head.rjust(CELL) for head in block.columns)]
    for row in block.rows:
        label = f"({row.label})" if row.label else ""
        name = f" {row.name}" if row.name.startswith(".") else f"  {row.name}"
        lines.append(name + label.rjust(width - len(name)) + "".join(value.rjust(CELL) for value in row.values))
    return lines
