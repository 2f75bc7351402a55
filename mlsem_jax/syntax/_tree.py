"""What a model text says, statement by statement, before anything is added by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlsem_jax.models import Constraint, Definition

EXAMPLE = "  level: 1\n    fw =~ y1 + y2 + y3\n  level: 2\n    fb =~ y1 + y2 + y3"

ModifierKind = Literal["fixed", "start", "label", "equal", "rv", "lower", "upper"]


@dataclass(frozen=True)
class Modifier:
    """What stands before a '*': one value for all groups, or one for each (`c(a, b)`).

    kind 'fixed', 'start', 'lower' and 'upper' hold numbers, None for NA; the others hold words, '' for none.
    """

    kind: ModifierKind
    values: tuple[float | str | None, ...]
    line: int
    column: int
    vector: bool = False


@dataclass(frozen=True)
class Mention:
    """A variable where it is written. block: the name in the efa() before it, '' for none."""

    name: str
    line: int
    column: int
    block: str = ""


@dataclass(frozen=True)
class Term:
    """A variable on the right-hand side with its modifiers; name None is the intercept (`1`)."""

    name: str | None
    modifiers: tuple[Modifier, ...]
    line: int
    column: int


@dataclass(frozen=True)
class Formula:
    """lhs1 + lhs2 op term + term."""

    lhs: tuple[Mention, ...]
    op: Literal["=~", "<~", "~~", "~", "|", "~*~"]
    terms: tuple[Term, ...]
    line: int
    column: int


@dataclass(frozen=True)
class Header:
    """`level: 1` or `group: NL`."""

    kind: Literal["level", "group"]
    label: str
    line: int
    column: int


Statement = Header | Formula | Constraint | Definition


@dataclass(frozen=True)
class Syntax:
    """A parsed model text: its statements in the order written."""

    text: str
    statements: tuple[Statement, ...]

    def __hash__(self) -> int:
        """By the text alone: equal statements come of equal texts, and a table looks it up for every fit."""
        return hash(self.text)

    def headers(self, kind: Literal["level", "group"]) -> tuple[Header, ...]:
        return tuple(s for s in self.statements if isinstance(s, Header) and s.kind == kind)

    @property
    def has_means(self) -> bool:
        """Whether a formula speaks of a mean or an intercept."""
        return any(term.name is None for formula in self.formulas for term in formula.terms)

    @property
    def has_levels(self) -> bool:
        """Whether the model has `level:` blocks."""
        return bool(self.headers("level"))

    @property
    def has_groups(self) -> bool:
        """Whether the model has `group:` blocks."""
        return bool(self.headers("group"))

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return tuple(s for s in self.statements if isinstance(s, Formula))

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return tuple(s for s in self.statements if isinstance(s, Constraint))

    @property
    def definitions(self) -> tuple[Definition, ...]:
        return tuple(s for s in self.statements if isinstance(s, Definition))
