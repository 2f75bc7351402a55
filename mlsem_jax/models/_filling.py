"""The matrices of one level from the rows of the table: where each row stands, and what it holds there.

Where a row stands, and what is fixed by the text, is worked out once for a specification; what the data decide (moments of fixed
covariates, means without a mean structure) is filled in for every build.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsem_jax.models._covariance import kind_named
from mlsem_jax.models._kinds import Choice
from mlsem_jax.models._layout import members, width
from mlsem_jax.models._numbering import number
from mlsem_jax.models._remembered import remembered
from mlsem_jax.models._scales import Scales
from mlsem_jax.models._specification import Specification
from mlsem_jax.models._structure import Covariance, Filled, LevelStructure

# a variable that a group does not have is there independent of all others, with mean 0 and this variance, and its values are 0: the
# logarithm of its density, -log(2 pi v) / 2, is 0, so that it is no part of the likelihood and the arrays of all groups are alike
ABSENT_VARIANCE = 1.0 / (2.0 * np.pi)


@dataclass(frozen=True)
class Pattern:
    """The rows of one level in its matrices, which are named as those of a `Cell`.

    index, base: the natural parameter of each element (-1: none), and what the text fixes it at. decided: the rows of the table
    that the data decide, with their places in the flattened matrix. silent (G, p): the means that no row speaks of. ready: what
    is made of the text alone.
    """

    index: dict[str, np.ndarray]
    base: dict[str, np.ndarray]
    decided: dict[str, tuple[np.ndarray, np.ndarray]]
    silent: np.ndarray
    ready: dict[str, Any] = field(default_factory=dict)

    def matrix(self, name: str, values: np.ndarray, means: np.ndarray | None = None) -> Filled:
        """One matrix or vector. values (rows,): of the table; means (G, p) where they are no parameters."""
        if means is None and name in self.ready:
            return self.ready[name]
        base, (rows, at) = self.base[name].copy(), self.decided[name]
        base.flat[at] = values[rows]
        if means is not None:
            base[self.silent] = means[self.silent]
        made = Filled(self.index[name], base)
        if means is None and not len(rows):
            base.flags.writeable = False  # fits share it
            self.ready[name] = made
        return made

    def covariance(self, name: str, values: np.ndarray, kind: Choice | None) -> Covariance:
        return Covariance(self.matrix(name, values), self.matrix(f"{name}_scale", values), kind)


def pattern(specification: Specification, level: int, index: np.ndarray) -> Pattern:
    """index (rows of the table,): the natural parameter of each row, -1 where fixed."""
    block, groups = specification.level(level), specification.ngroups
    names = members(specification, level)
    slopes = [slope.name for slope in specification.slopes] if level == 2 else []
    variables = (*specification.variables, *slopes)
    p, m = len(variables), width(specification, level)
    shapes = {"nu": (p,), "alpha": (m,), "lambda": (p, m), "beta": (m, m), "psi": (m, m), "theta": (p, p)}
    shapes |= {"psi_scale": (m,), "theta_scale": (p,)}
    where: dict[str, np.ndarray] = {name: np.full((groups, *shape), -1) for name, shape in shapes.items()}
    base: dict[str, np.ndarray] = {name: np.zeros((groups, *shape)) for name, shape in shapes.items()}
    at_level = np.array([(v not in specification.within.observed) + 1 == level for v in specification.variables])
    for g, i in np.argwhere(specification.absent & at_level):
        base["theta"][g, i, i] = ABSENT_VARIANCE
    for column, name in enumerate(names):
        if name in block.observed or name in slopes:
            base["lambda"][:, variables.index(name), column] = 1.0
    decided: dict[str, list[tuple[int, int]]] = {name: [] for name in shapes}
    kinds = {"psi": kind_named(block.psi_kind), "theta": kind_named(block.theta_kind)}
    silent = np.ones((groups, p), bool)
    for n, (row, free) in enumerate(zip(specification.parameters, index.tolist(), strict=True)):
        if row.level != level or row.cell is None or row.cell.matrix in ("tau", "delta"):
            continue
        matrix, g, i, j = row.cell.matrix, row.group - 1, row.cell.row, row.cell.col
        spots: list[tuple[int, ...]] = [(g, i) if base[matrix].ndim == 2 else (g, i, j)]
        if matrix in kinds and i != j and kinds[matrix].symmetric:
            spots.append((g, j, i))
        for spot in spots:
            where[matrix][spot] = free
            base[matrix][spot] = 0.0 if free >= 0 or row.value is None else row.value
            if free < 0 and row.value is None:
                decided[matrix].append((n, int(np.ravel_multi_index(spot, base[matrix].shape))))
        if matrix == "nu":
            silent[g, i] = False
    places = {name: np.array(pairs, int).reshape(-1, 2).T for name, pairs in decided.items()}
    for name, kind in kinds.items():
        if kind.scale is None:
            _mark_absent(where[name], base[name], base[f"{name}_scale"], kind.absent, places[name][1])
    for array in (*where.values(), *base.values()):
        array.flags.writeable = False  # fits share them
    return Pattern(where, base, {name: (pair[0], pair[1]) for name, pair in places.items()}, silent)


_remembered_pattern = remembered(lambda specification, level: pattern(specification, level, number(specification)[0]))


def filled_level(
    specification: Specification,
    level: int,
    index: np.ndarray,
    values: np.ndarray,
    chosen: bool,
    means: np.ndarray | None,
) -> LevelStructure:
    """The matrices of a level. index, values (rows,): the natural parameter of each row of the table, and what fixed ones hold.
    chosen: whether its covariance matrices say in which kind they are written. means (G, p): what the model holds for the means,
    None where they are parameters.
    """
    block = specification.level(level)
    # what kinds there are may change
    shared = not chosen and index is number(specification)[0]
    of = _remembered_pattern(specification, level) if shared else pattern(specification, level, index)
    kinds = {"psi": block.psi_kind, "theta": block.theta_kind}
    return LevelStructure(
        nu=of.matrix("nu", values, means if level == 1 else None),
        alpha=of.matrix("alpha", values),
        lambda_=of.matrix("lambda", values),
        beta=of.matrix("beta", values),
        **{name: of.covariance(name, values, Choice.of(kind) if chosen else None) for name, kind in kinds.items()},
        scales=_scales(specification, level, index, values),
    )


def _scales(specification: Specification, level: int, index: np.ndarray, values: np.ndarray) -> Scales | None:
    """The scales of a level that are parameters; None where there are none."""
    rows = [n for n, row in enumerate(specification.parameters) if row.level == level and row.is_scale]
    if not rows:
        return None
    names, groups, m = members(specification, level), specification.ngroups, width(specification, level)
    p = len(specification.variables) + (len(specification.slopes) if level == 2 else 0)
    at, base = np.full((groups, p), -1), np.ones((groups, p))
    here, given, member = np.zeros((groups, p)), np.zeros((groups, m)), np.zeros((groups, p, m))
    for n in rows:
        row = specification.parameters[n]
        spot = row.group - 1, specification.variables.index(row.lhs)
        at[spot], here[spot] = index[n], 1.0
        base[spot] = 1.0 if index[n] >= 0 else values[n]
        if row.lhs in names:
            member[(*spot, names.index(row.lhs))] = 1.0
    for g in range(groups):
        covariates = specification.group(g + 1).level(level).covariates
        given[g, [names.index(v) for v in covariates if v in names]] = 1.0
    return Scales(Filled(at, base), here, given, member if member.any() else None)


def _mark_absent(index: np.ndarray, core: np.ndarray, scale: np.ndarray, absent: float, decided: np.ndarray) -> None:
    """A variable without elements in its row of a core does not exist at this level, which the scale then says by 0. decided: the
    places in the flattened core that the data fill.
    """
    at, filled = np.arange(core.shape[-1]), (index >= 0) | (core != 0)
    filled.flat[decided] = True
    exists = filled.any(axis=2)
    scale[:] = exists
    core[:, at, at] = np.where(exists, core[:, at, at], absent)
