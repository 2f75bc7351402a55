"""What a summary consists of, before it is text, HTML, Markdown or LaTeX: four kinds of block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.report._decimals import decimal


@dataclass(frozen=True)
class Heading:
    """A line of its own: depth 1 for a part of the summary, 2 for a group or a level."""

    text: str
    depth: int = 2


@dataclass(frozen=True)
class Facts:
    """Labels with one or two values each; a row without values is a sub-heading, one with an empty label a gap."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One parameter: its name, the user's label, the formatted values. No values: the left-hand side that heads its rows."""

    name: str
    values: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Estimates:
    """A section of the parameter table, such as the regressions of one level."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Prose:
    """Sentences, each a paragraph of its own."""

    title: str
    sentences: tuple[str, ...]


Block = Heading | Facts | Estimates | Prose


def number(value: object, digits: int = 3) -> str:
    """A number with `digits` decimals, '' for what is not there."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, int | np.integer):
        return str(value)
    return decimal(float(value), digits)  # type: ignore[arg-type]


def small(value: float) -> str:
    """A number of unknown magnitude with three significant digits."""
    return "not finite" if not np.isfinite(value) else f"{value:.3g}"
