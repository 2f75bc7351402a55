"""What a model says, before any array exists: the parameter table that both front ends write and everything else reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from mlsem_jax.models._covariance import Kind
from mlsem_jax.models._exploratory import ExploratoryBlock
from mlsem_jax.models._expressions import Expression

MatrixName = Literal["nu", "alpha", "lambda", "beta", "psi", "theta", "psi_scale", "theta_scale", "tau", "delta"]


@dataclass(frozen=True)
class Cell:
    """One element of one model matrix; rows and columns count from 0. Symmetric matrices are named by row >= column."""

    matrix: MatrixName
    row: int
    col: int = 0


@dataclass(frozen=True)
class Parameter:
    """One row of the parameter table, free or fixed.

    level: 1 within, 2 between. group: 1..G. value: what the element is fixed at (None for exogenous moments that the data
    decide, and for what `follows` from other parameters). start: the user's starting value. label: the user's, '' if none; free
    parameters with one label are one parameter. exo: a moment of a fixed covariate. random: name of the random slope (rv) that this
    path is. user: 0 added by default, 1 written, 2 written by the user through a fixed value or an option.
    line, column: where the text says so (0 if it does not).
    """

    lhs: str
    op: str
    rhs: str
    level: int
    group: int = 1
    free: bool = True
    value: float | None = None
    start: float | None = None
    label: str = ""
    exo: bool = False
    lower: float | None = None
    upper: float | None = None
    random: str = ""
    user: int = 1
    line: int = 0
    column: int = 0
    cell: Cell | None = None

    def but(self, **changes) -> Parameter:
        """A copy with some fields changed.

        By way of the fields, at a third of the time of `dataclasses.replace`: models have hundreds of rows, and many copies.
        """
        if not changes.keys() <= self.__dict__.keys():
            return replace(self, **changes)  # says which field does not exist
        copy = object.__new__(Parameter)
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    @property
    def follows(self) -> bool:
        """Whether the value is a function of other parameters: the scale of a latent response whose residual variance is its unit
        (theta parameterization), or the residual variance where the scale is (delta).
        """
        return not self.free and self.value is None and not self.exo

    @property
    def is_scale(self) -> bool:
        """Whether this is the scale of a latent response as a parameter, free or fixed."""
        return self.op == "~*~" and not self.follows

    @property
    def shown_label(self) -> str:
        """The user's label; '' for labels made by an option such as group_equal, which start with '.p'."""
        return "" if self.label.startswith(".p") else self.label

    @property
    def name(self) -> str:
        """lavaan's name of the parameter: 'fb=~y2.l2', 'y1~1.g2.l2'; the user's label where there is one."""
        if self.shown_label:
            return self.label
        suffix = (f".g{self.group}" if self.group > 1 else "") + (f".l{self.level}" if self.level > 1 else "")
        return f"{self.lhs}{self.op}{self.rhs}{suffix}"


@dataclass(frozen=True)
class Constraint:
    """left op right between expressions of parameter labels, op one of ==, <, >. text is as the user wrote it."""

    left: Expression
    op: Literal["==", "<", ">"]
    right: Expression
    text: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Definition:
    """name := expression."""

    name: str
    expression: Expression
    text: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Level:
    """The variables of one level, in any group: `Specification.group` says what a group has of them.

    observed: names in lavaan's order (those of the measurement part first, covariates last); latent: names in order of
    appearance; covariates: the exogenous observed ones whose moments are held at the data's (empty with fixed_x=False).
    structural: the members of eta, the vector that paths run between; None leaves it to
    `members`, as in lavaan-style tables. psi_kind, theta_kind: how the covariance matrix of eta's and of y's residuals is
    parametrised; where
    all of a model are None, they are plain covariances and the structure has no switch between kinds.
    present: False for the second level of a model that has one.
    """

    observed: tuple[str, ...]
    latent: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    label: str = ""
    structural: tuple[str, ...] | None = None
    psi_kind: Kind | None = None
    theta_kind: Kind | None = None
    present: bool = True


# the second level of a model of one level
NO_LEVEL = Level((), structural=(), present=False)


@dataclass(frozen=True)
class Slope:
    """A random slope: `target ~ rv("name")*covariate` at level 1; `name` is a variable of level 2."""

    name: str
    target: str
    covariate: str


@dataclass(frozen=True)
class Ordered:
    """An ordered variable y = 0, ..., K - 1 with a latent response y* behind it: y = c where tau_c < y* <= tau_{c+1}.

    categories: their number K, in all groups. Thresholds are rows 'y | t1' of the highest level; the scale, 1 / sd of y* given the
    fixed covariates, is the row 'y ~*~ y' of the level that has the unit.
    """

    name: str
    categories: int


@dataclass(frozen=True)
class Specification:
    """A complete model: variables by level, parameter table, constraints, definitions.

    Rows of the table are in lavaan's order: group by group, level 1 before level 2. `groups` holds the group labels as
    strings, empty for one group; a variable that no row of a group speaks of is none of that group. A model of one level has
    NO_LEVEL as its second. means: whether there is a mean structure; without one, at one level, the means are the sample's, no
    parameters and no moments that a test counts. blocks: factors that are rotated. ordered: the variables that are seen in
    categories.
    """

    within: Level
    between: Level
    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    definitions: tuple[Definition, ...] = ()
    groups: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)
    means: bool = True
    blocks: tuple[ExploratoryBlock, ...] = ()
    ordered: tuple[Ordered, ...] = ()

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What was worked out from the specification alone and is asked for again (`remembered`): neither compared nor pickled."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "derived"}

    @property
    def conditions(self) -> int:
        """How many equations rotation adds: as many of the free parameters are no parameters of the model."""
        return sum(block.conditions for block in self.blocks)

    @property
    def ngroups(self) -> int:
        return max(len(self.groups), 1)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """All observed variables, p of them: those of level 1, then the between-only ones."""
        return self.within.observed + self.between_only

    @cached_property
    def between_only(self) -> tuple[str, ...]:
        return tuple(v for v in self.between.observed if v not in self.within.observed)

    @cached_property
    def within_only(self) -> tuple[str, ...]:
        return tuple(v for v in self.within.observed if v not in self.between.observed)

    @cached_property
    def _by_group(self) -> tuple[Specification, ...]:
        if self.ngroups == 1:
            return (self,)
        rows: list[list[Parameter]] = [[] for _ in range(self.ngroups)]
        for row in self.parameters:
            rows[row.group - 1].append(row)
        return tuple(
            self.but(
                within=_own(self.within, 1, own),
                between=_own(self.between, 2, own) if self.between.present else self.between,
                parameters=tuple(own),
                groups=(),
            )
            for own in rows
        )

    def group(self, number: int) -> Specification:
        """What the model says of one group, counted from 1: its rows, which keep the group's number, and of each level the
        variables that they speak of. Itself where there is one group.
        """
        return self._by_group[number - 1]

    @cached_property
    def absent(self) -> np.ndarray:
        """(G, p) True for variables that a group has at no level: columns that its data need not have."""
        own = [set(one.variables) for one in self._by_group]
        return np.array([[v not in has for v in self.variables] for has in own], bool).reshape(self.ngroups, -1)

    @cached_property
    def alone_within(self) -> np.ndarray:
        """(G, p) True for variables that a group has at level 1 alone: their means are there."""
        own = [set(one.within_only) for one in self._by_group]
        return np.array([[v in has for v in self.variables] for has in own], bool).reshape(self.ngroups, -1)

    @property
    def slopes(self) -> tuple[Slope, ...]:
        """The random slopes in order of appearance, alike in all groups."""
        found = (Slope(row.random, row.lhs, row.rhs) for row in self.parameters if row.random)
        return tuple(dict.fromkeys(found))

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that there are, the lowest first."""
        return (self.within, self.between) if self.between.present else (self.within,)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the levels: (1, 2), or (1,)."""
        return tuple(range(1, 1 + len(self.levels)))

    @property
    def single(self) -> bool:
        """Whether the model has one level."""
        return not self.between.present

    def unit_level(self, name: str) -> int:
        """The level whose residual variance is the unit of an ordered variable's latent response: 2 where it is a variable of
        level 2 alone, else 1.
        """
        return 1 if name in self.within.observed else 2

    def level(self, level: int) -> Level:
        """A level by its number, 1 or 2; an empty one where the model has no second."""
        return (self.within, self.between)[level - 1]

    def but(self, **changes) -> Specification:
        """A copy with some fields changed."""
        return replace(self, **changes)


def _own(block: Level, number: int, rows: list[Parameter]) -> Level:
    """The level of one group, whose rows these are."""
    spoken = {name for row in rows if row.level == number for name in (row.lhs, row.rhs)}
    fixed = {name for row in rows if row.level == number and row.exo for name in (row.lhs, row.rhs)}
    return replace(
        block,
        observed=tuple(v for v in block.observed if v in spoken),
        latent=tuple(v for v in block.latent if v in spoken),
        covariates=tuple(v for v in block.covariates if v in fixed),
    )
