"""From a specification to the arrays of a Structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlsem_jax.models._constraints import check_names, is_linear, solve_linear, with_constants
from mlsem_jax.models._covariance import kind_named
from mlsem_jax.models._kinds import Choice
from mlsem_jax.models._layout import members, place, width
from mlsem_jax.models._specification import Constraint, Specification
from mlsem_jax.models._structure import (
    Covariance,
    Filled,
    LevelStructure,
    Moments,
    OrderedStructure,
    Structure,
)

# a variable that a group does not have is there independent of all others, with mean 0 and this variance, and its values are 0: the
# logarithm of its density, -log(2 pi v) / 2, is 0, so that it is no part of the likelihood and the arrays of all groups are alike
ABSENT_VARIANCE = 1.0 / (2.0 * np.pi)


@dataclass(frozen=True)
class Build:
    """A specification with its arrays.

    index (rows of the table,): the natural parameter of each row, -1 where fixed. names (k,) of the natural parameters in
    lavaan's order; labels: every name and label with its natural parameter. values (rows,): what fixed rows hold. kept (q,):
    the natural parameters that theta consists of. nonlinear: the constraints that the basis does not already satisfy. offset
    (k,), basis (k, q): natural = offset + basis theta. width: columns that compiled programs have for theta, at least q. means
    (G, p): what a model without mean structure holds for them.

    The arrays of the structure are made when they are first asked for: the unrestricted model of complete data never needs them.
    """

    specification: Specification
    offset: np.ndarray
    basis: np.ndarray
    index: np.ndarray
    names: tuple[str, ...]
    labels: dict[str, int]
    values: np.ndarray
    kept: np.ndarray
    nonlinear: tuple[Constraint, ...] = ()
    width: int = 0
    means: np.ndarray | None = None

    @property
    def free(self) -> int:
        """Number q of elements of theta: parameters after linear equality constraints."""
        return len(self.kept)

    @property
    def theta_names(self) -> list[str]:
        """(q,) names of the natural parameters that theta consists of."""
        return [self.names[k] for k in self.kept]

    @property
    def dimension(self) -> int:
        """How many parameters the model has: theta less the equations that hold among its elements (constraints, rotations)."""
        return self.free - sum(c.op == "==" for c in self.nonlinear) - self.specification.conditions

    def natural(self, theta: np.ndarray) -> np.ndarray:
        """Natural parameters (k,) at theta (q,), or (..., k) at (..., q)."""
        return self.offset + theta @ self.basis.T

    def padded(self, theta: np.ndarray) -> np.ndarray:
        """theta (q,) as `padded_structure` takes it: zeros after its elements."""
        return np.pad(theta, (0, max(self.width - len(theta), 0)))

    @cached_property
    def between_only(self) -> np.ndarray:
        """(p,): 1 for variables that exist at level 2 only."""
        return np.array([float(v in self.specification.between_only) for v in self.specification.variables])

    @cached_property
    def structure(self) -> Structure:
        """The model as arrays only (NumPy)."""
        specification = self.specification
        blocks = specification.levels
        # where one matrix has a kind all have one: models of the same dimensions then share programs
        plain = all(kind is None for block in blocks for kind in (block.psi_kind, block.theta_kind))
        return Structure(
            levels=tuple(
                _level(specification, level, self.index, self.values, not plain, self.means)
                for level in specification.numbers
            ),
            offset=self.offset,
            basis=self.basis,
            between_only=self.between_only,
            slope_targets=_slope_targets(specification),
            ordered=_ordered(specification, self.index, self.values),
        )

    @cached_property
    def padded_structure(self) -> Structure:
        """The structure for a theta with zeros after its q elements, `width` long: models of nearly the same size share programs
        that take it.
        """
        (k, q), structure = self.basis.shape, self.structure
        if self.width <= q:
            return structure
        more = max(self.width - k, 0)
        offset, basis = np.pad(self.offset, (0, more)), np.pad(self.basis, ((0, more), (0, self.width - q)))
        return replace(structure, offset=offset, basis=basis)


def build(specification: Specification, exogenous: Moments | None = None, pad_to: int | None = None) -> Build:
    """Fill the model matrices. exogenous: NumPy moments by group and level for the rows that the data decide (`exo`).

    pad_to: the width of the build, where that is more than the length of theta.
    """
    for level in specification.levels:  # unknown kinds are errors here, not at the first array
        for kind in (level.psi_kind, level.theta_kind):
            kind_named(kind)
    specification = place(specification)
    index, names, labels = number(specification)
    values = fixed_values(specification, exogenous)
    fixed = {
        row.label: float(value)
        for row, value in zip(specification.parameters, values, strict=True)
        if row.label and not row.free and row.label not in labels
    }
    specification = with_constants(specification, fixed)
    k = len(names)
    check_names(specification.constraints, specification.definitions, labels)
    solved = [c.op == "==" and is_linear(c) for c in specification.constraints]
    linear = [c for c, yes in zip(specification.constraints, solved, strict=True) if yes]
    nonlinear = tuple(c for c, yes in zip(specification.constraints, solved, strict=True) if not yes)
    if linear:
        offset, basis, kept = solve_linear(linear, labels, k)
    else:
        offset, basis, kept = np.zeros(k), np.eye(k), np.arange(k)
    width = max(len(kept), pad_to or 0)
    means = None if specification.means or exogenous is None else np.asarray(exogenous.mean)
    return Build(specification, offset, basis, index, names, labels, values, kept, nonlinear, width, means)


def number(specification: Specification) -> tuple[np.ndarray, tuple[str, ...], dict[str, int]]:
    """The natural parameter of each row (-1: fixed), their names, and names and labels by natural parameter.

    Free rows that share a label are one parameter.
    """
    index: list[int] = []
    names: list[str] = []
    by_label: dict[str, int] = {}
    for row in specification.parameters:
        if not row.free:
            index.append(-1)
        elif row.label and row.label in by_label:
            index.append(by_label[row.label])
        else:
            if row.label:
                by_label[row.label] = len(names)
            index.append(len(names))
            names.append(row.name)
    by_label |= {name: i for i, name in enumerate(names) if name not in by_label}
    return np.array(index, int), tuple(names), by_label


def fixed_values(specification: Specification, exogenous: Moments | None) -> np.ndarray:
    """What each row is fixed at: its own value, or for exogenous moments the data's (rows,)."""
    place_of = {name: i for i, name in enumerate(specification.variables)}
    out, of_level = np.zeros(len(specification.parameters)), {}
    if exogenous is not None:
        of_level = {number: (part.cov, part.mean) for number, part in enumerate(exogenous.levels, 1)}
    for i, row in enumerate(specification.parameters):
        if row.value is not None:
            out[i] = row.value
        elif row.exo and exogenous is not None:
            cov, mean = of_level[row.level]
            left = place_of[row.lhs]
            out[i] = mean[row.group - 1, left] if row.op == "~1" else cov[row.group - 1, left, place_of[row.rhs]]
    return out


def _level(
    specification: Specification,
    level: int,
    index: np.ndarray,
    values: np.ndarray,
    chosen: bool,
    means: np.ndarray | None,
) -> LevelStructure:
    """The matrices of a level. chosen: whether its covariance matrices say in which kind they are written. means (G, p): what the
    model holds for the means, None where they are parameters.
    """
    block, variables, groups = specification.level(level), specification.variables, specification.ngroups
    names = members(specification, level)
    slopes = [slope.name for slope in specification.slopes] if level == 2 else []
    variables = (*variables, *slopes)
    p, m = len(variables), width(specification, level)
    shapes = {"nu": (p,), "alpha": (m,), "lambda": (p, m), "beta": (m, m), "psi": (m, m), "theta": (p, p)}
    shapes |= {"psi_scale": (m,), "theta_scale": (p,)}
    where = {name: np.full((groups, *shape), -1) for name, shape in shapes.items()}
    base = {name: np.zeros((groups, *shape)) for name, shape in shapes.items()}
    at_level = np.array([(v not in specification.within.observed) + 1 == level for v in specification.variables])
    for g, i in np.argwhere(specification.absent & at_level):
        base["theta"][g, i, i] = ABSENT_VARIANCE
    if means is not None and level == 1:
        base["nu"][:] = means
    for column, name in enumerate(names):
        if name in block.observed or name in slopes:
            base["lambda"][:, variables.index(name), column] = 1.0
    kinds = {"psi": kind_named(block.psi_kind), "theta": kind_named(block.theta_kind)}
    for row, free, value in zip(specification.parameters, index, values, strict=True):
        if row.level != level or row.cell is None or row.cell.matrix == "tau":
            continue
        matrix, g, i, j = row.cell.matrix, row.group - 1, row.cell.row, row.cell.col
        spots: list[tuple[int, ...]] = [(g, i) if base[matrix].ndim == 2 else (g, i, j)]
        if matrix in kinds and i != j and kinds[matrix].symmetric:
            spots.append((g, j, i))
        for spot in spots:
            where[matrix][spot] = free
            base[matrix][spot] = 0.0 if free >= 0 else value
    for name, kind in kinds.items():
        if kind.scale is None:
            _mark_absent(where[name], base[name], base[f"{name}_scale"], kind.absent)
    filled = {name: Filled(where[name], base[name]) for name in shapes}
    return LevelStructure(
        nu=filled["nu"],
        alpha=filled["alpha"],
        lambda_=filled["lambda"],
        beta=filled["beta"],
        psi=Covariance(filled["psi"], filled["psi_scale"], Choice.of(block.psi_kind) if chosen else None),
        theta=Covariance(filled["theta"], filled["theta_scale"], Choice.of(block.theta_kind) if chosen else None),
    )


def _slope_targets(specification: Specification) -> np.ndarray | None:
    """The member of the within eta that each random slope explains, as rows of the identity; None without random slopes."""
    if not specification.slopes:
        return None
    names = members(specification, 1)
    out = np.zeros((len(specification.slopes), len(names)))
    for i, slope in enumerate(specification.slopes):
        out[i, names.index(slope.target)] = 1.0
    return out


def _ordered(specification: Specification, index: np.ndarray, values: np.ndarray) -> OrderedStructure | None:
    """Thresholds and units of the ordered variables; None without ordered variables."""
    if not specification.ordered:
        return None
    variables, groups = specification.variables, specification.ngroups
    shapes = {
        "thresholds": (groups, len(variables), max(v.categories for v in specification.ordered) - 1),
        "unit": (groups, len(variables)),
    }
    where = {name: np.full(shape, -1) for name, shape in shapes.items()}
    base = {"thresholds": np.zeros(shapes["thresholds"]), "unit": np.ones(shapes["unit"])}
    units = {v.name: specification.unit_level(v.name) for v in specification.ordered}
    for row, free, value in zip(specification.parameters, index, values, strict=True):
        name, spot = "", (row.group - 1, *(() if row.lhs not in variables else (variables.index(row.lhs),)))
        if row.op == "|" and row.cell is not None:
            name, spot = "thresholds", (*spot, row.cell.col)
        elif row.op == "~~" and row.lhs == row.rhs and units.get(row.lhs) == row.level:
            name = "unit"
        if name:
            where[name][spot], base[name][spot] = free, 0.0 if free >= 0 else value
    return OrderedStructure(*(Filled(where[name], base[name]) for name in shapes))


def _mark_absent(index: np.ndarray, core: np.ndarray, scale: np.ndarray, absent: float) -> None:
    """A variable without elements in its row of a core does not exist at this level, which the scale then says by 0."""
    at = np.arange(core.shape[-1])
    exists = np.any((index >= 0) | (core != 0), axis=2)
    scale[:] = exists
    core[:, at, at] = np.where(exists, core[:, at, at], absent)
