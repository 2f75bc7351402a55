"""From a specification to the arrays of a Structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlsem_jax.models._constraints import check_names, is_linear, solve_linear, with_constants
from mlsem_jax.models._covariance import kind_named
from mlsem_jax.models._filling import filled_level
from mlsem_jax.models._layout import members, place
from mlsem_jax.models._numbering import fixed_values, number
from mlsem_jax.models._specification import Constraint, Specification
from mlsem_jax.models._structure import Filled, Moments, OrderedStructure, Structure


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
                filled_level(specification, level, self.index, self.values, not plain, self.means)
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
