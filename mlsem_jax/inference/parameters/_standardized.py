"""Standardized solution and explained variance: closed-form values and delta-method standard errors.

Every standardized row is value * product of standard deviations to some power; its relative derivatives are those of the
model-implied variances, which _matrices has in closed form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from mlsem_jax._errors import ModelError, ModelWarning, listing, nearest
from mlsem_jax.estimation import Estimation
from mlsem_jax.estimation import exogenous as exogenous_variables
from mlsem_jax.inference.parameters._estimates import row_values
from mlsem_jax.inference.parameters._following import following_slopes
from mlsem_jax.inference.parameters._quantities import Quantity
from mlsem_jax.inference.variance import vcov_natural
from mlsem_jax.models import (
    Parameter,
    Specification,
    Structure,
    covariance_directions,
    defined_with_jacobian,
    directions,
    kind_named,
    kinds_of,
    level_matrices,
    members,
    residual_slopes,
    sum_by_parameter,
)
from mlsem_jax.numerics import delta_errors, float64, outside_level

Standardization = Literal["std.all", "std.lv", "std.nox"]


@dataclass(frozen=True)
class Standardized:
    """values, se (rows + defined,): standardized estimates of every row of the table, then of the `:=` quantities.

    se is 0 for rows that no free parameter moves.
    """

    values: np.ndarray
    se: np.ndarray


@dataclass(frozen=True, eq=False)
class Scales:
    """Variances that rows of a level and group are divided by, by name, with their derivatives (k,) in the natural parameters.

    total: model-implied variance; residual: the diagonal of Psi (or Theta). Names that are left alone are absent.
    """

    total: dict[str, tuple[float, np.ndarray]]
    residual: dict[str, tuple[float, np.ndarray]]

    def of(self, wanted: Callable[[str], bool]) -> Scales:
        """Those of some of the names."""
        total, residual = ({n: v for n, v in part.items() if wanted(n)} for part in (self.total, self.residual))
        return Scales(total, residual)


@float64
def standardized(estimation: Estimation, kind: Standardization = "std.all") -> Standardized:
    """Standardize with the variances of each row's own level and group (Bollen 1989, p. 349).

    std.all: all variables; std.lv: only latent ones; std.nox: all but exogenous observed ones. Elements of matrices that are
    parametrised otherwise than by covariances (partial correlations, standard deviations, Cholesky factors) stay as they are.
    NaN where the total variance to divide by is negative, as in an improper solution, or 0 (with a warning); covariances of
    residuals, and of latent variables, are divided by the root of the size of theirs, as in lavaan.
    """
    values, jacobian = standardized_quantity(estimation, kind).evaluate(estimation.model.natural)
    rows = estimation.model.build.specification.parameters
    _tell_of_zero_variances(rows, values[: len(rows)], row_values(estimation))
    # a marker's loading times its own scale can cancel to rounding error
    moving = np.any(jacobian != 0, axis=1)
    return Standardized(values, np.where(moving, delta_errors(np, jacobian, vcov_natural(estimation)), 0.0))


def standardized_quantity(estimation: Estimation, kind: Standardization = "std.all") -> Quantity:
    """`standardized` as a function of the natural parameters. Names are those of rows without labels, which rows may share."""
    kinds = get_args(Standardization)
    if not isinstance(kind, str) or kind not in kinds:
        raise ModelError(f"There is no standardization {kind!r}; there are {', '.join(kinds)}.{nearest(kind, kinds)}")
    build = estimation.model.build
    rows = build.specification.parameters
    free = np.flatnonzero(build.index >= 0)

    def closed(natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, jacobian = standardize_rows(estimation, rows, row_values(estimation, natural), kind, natural)
        # the standardized value also moves with the parameter itself
        unit, _ = standardize_rows(estimation, rows, np.ones(len(rows)), kind, natural)
        jacobian[free, build.index[free]] += unit[free]
        for i, slope in following_slopes(build, natural).items():
            jacobian[i] += unit[i] * slope
        if kind != "std.lv":  # of latent responses with unit variance
            scales = [i for i, row in enumerate(rows) if row.op == "~*~"]
            values[scales], jacobian[scales] = 1.0, 0.0
        defined, defined_jacobian = _defined(estimation, values, jacobian)
        return np.concatenate([values, defined]), np.concatenate([jacobian, defined_jacobian])

    names = [replace(row, label="").name for row in rows] + [d.name for d in build.specification.definitions]
    return Quantity(tuple(names), closed=closed)


def _tell_of_zero_variances(rows: Sequence[Parameter], values: np.ndarray, raw: np.ndarray) -> None:
    """ModelWarning where standardized values are NaN because a variance in the table is 0."""
    at = {level: f" at level {level}" if any(r.level > 1 for r in rows) else "" for level in (1, 2)}
    zero = {
        (r.lhs, r.level, r.group)
        for r, value in zip(rows, raw, strict=True)
        if r.op == "~~" and r.lhs == r.rhs and value == 0
    }
    lost = [
        (r, name)
        for r, value in zip(rows, values, strict=True)
        if np.isnan(value)
        for name in dict.fromkeys((r.lhs, r.rhs))
    ]
    names = [f"{name!r}{at[r.level]}" for r, name in lost if (name, r.level, r.group) in zero]
    if names:
        warnings.warn(
            f"Standardized values that would be divided by the variance of {listing(dict.fromkeys(names))} are NaN: it is 0.",
            ModelWarning,
            stacklevel=outside_level(),
        )


def standardize_rows(
    estimation: Estimation,
    rows: Sequence[Parameter],
    raw: np.ndarray,
    kind: Standardization,
    natural: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Standardized values (rows,) of raw ones and their derivatives (rows, k) through the variances alone.

    natural (k,): where (default: at the estimates).
    """
    natural = estimation.model.natural if natural is None else natural
    specification, k = estimation.model.build.specification, len(natural)
    values, jacobian = np.empty(len(rows)), np.zeros((len(rows), k))
    scales: dict[tuple[int, int], Scales] = {}
    for i, (row, value) in enumerate(zip(rows, raw, strict=True)):
        where = (row.level, row.group)
        if where not in scales:
            scales[where] = scales_of(
                estimation, natural, *where, standardizes(specification.group(row.group), row.level, kind)
            )
        factor, relative = _factor(row, specification, scales[where])
        values[i], jacobian[i] = value * factor, value * factor * relative
    return values, jacobian


def standardized_values(
    estimation: Estimation, rows: Sequence[Parameter], raw: np.ndarray, kinds: Sequence[Standardization]
) -> list[np.ndarray]:
    """Standardized values (rows,) of raw ones at the estimates, of every kind: as by `standardize_rows`, without derivatives."""
    natural, specification = estimation.model.natural, estimation.model.build.specification
    places = dict.fromkeys((row.level, row.group) for row in rows)
    every = {where: scales_of(estimation, natural, *where, slopes=False) for where in places}
    out = []
    for kind in kinds:
        scales = {
            (level, group): every[level, group].of(standardizes(specification, level, kind)) for level, group in places
        }
        factors = [_factor(row, specification, scales[row.level, row.group])[0] for row in rows]
        out.append(raw * np.array(factors, float))
    return out


def standardizes(specification: Specification, level: int, kind: Standardization) -> Callable[[str], bool]:
    """Which variables of a level a kind of standardization gives unit variance."""
    if kind == "std.all":
        return lambda name: True
    observed = set(specification.level(level).observed)
    if kind == "std.lv":
        return lambda name: name not in observed
    left_alone = set(exogenous_variables(specification, level)) | set(specification.level(level).covariates)
    return lambda name: name not in left_alone


def scales_of(
    estimation: Estimation,
    natural: np.ndarray,
    level: int,
    group: int,
    wanted: Callable[[str], bool] = bool,
    slopes: bool = True,
) -> Scales:
    """What the rows of a level (1, 2) and group (from 1) are standardized by, for the variables that are wanted. slopes: with
    derivatives; without them these are () zeros.
    """
    build = estimation.model.build
    specification = build.specification
    x = level_matrices(build.structure, natural, level, group - 1)
    (p, m), by = x.lambda_.shape, _variance_slopes(build.structure, natural, level, group - 1) if slopes else None
    total, eta_total, psi, theta = by or (np.zeros(p), np.zeros(m), np.zeros(m), np.zeros(p))
    cov, out, names = x.cov, Scales({}, {}), members(specification, level)
    for i, name in enumerate(specification.variables):
        if name in specification.level(level).observed and name not in names and wanted(name):
            out.total[name] = (cov[i, i], total[..., i])
            out.residual[name] = (x.theta[i, i], theta[..., i])
    for i, name in enumerate(names):
        if wanted(name):
            out.total[name] = (x.eta_cov[i, i], eta_total[..., i])
            out.residual[name] = (x.psi[i, i], psi[..., i])
    return out


def _variance_slopes(structure: Structure, natural: np.ndarray, level: int, group: int) -> tuple[np.ndarray, ...]:
    """Derivatives in the natural parameters of the variances of y (k, p) and eta (k, m), and of their residuals, eta's first."""
    block, k = structure.levels[level - 1], len(natural)
    d = directions(structure, natural, level, group)
    residuals = []
    for part, kind in zip((block.psi, block.theta), kinds_of(structure, level), strict=True):
        parts = covariance_directions(part, kind, natural, group)
        index = np.concatenate([index for index, _, _ in parts])
        residuals.append(sum_by_parameter(index, np.concatenate([2 * left * right for _, left, right in parts]), k))
    slopes = residual_slopes(structure, natural, level, group)
    if slopes is not None and block.scales is not None:
        member = block.scales.member
        in_psi = np.zeros((slopes.shape[0], residuals[0].shape[1])) if member is None else np.asarray(member)[group]
        residuals = [residuals[0] + slopes.T @ in_psi, residuals[1] + slopes.T * (1.0 - in_psi.sum(axis=1))]
    total = sum_by_parameter(d.index, 2 * d.left * d.right, k)
    return total, sum_by_parameter(d.index, 2 * d.eta_left * d.eta_right, k), *residuals


def _factor(row: Parameter, specification: Specification, scales: Scales) -> tuple[float, np.ndarray | float]:
    """What a row is multiplied by, and the derivatives (k,) of its logarithm."""
    if row.cell is not None and row.cell.matrix in ("psi", "theta", "psi_scale", "theta_scale"):
        block = specification.level(row.level)
        kind = block.psi_kind if row.cell.matrix.startswith("psi") else block.theta_kind
        if not kind_named(kind).plain:
            return 1.0, 0.0
    if row.op == "~*~":
        return 1.0, 0.0
    if row.op == "~~":
        source, power = (scales.total, -1.0) if row.lhs == row.rhs else (scales.residual, -0.5)
        names = {row.lhs: power, row.rhs: power}
    elif row.op == "~1":
        source, names = scales.total, {row.lhs: -0.5}
    else:
        cause, effect = (row.lhs, row.rhs) if row.op == "=~" else (row.rhs, row.lhs)
        source, names = scales.total, {cause: 0.5, effect: -0.5}
    factor = 1.0
    relative: np.ndarray | float = 0.0
    for name, power in names.items():
        if name in source:
            variance, derivatives = source[name]
            if source is scales.residual:
                variance, derivatives = abs(variance), derivatives * np.sign(variance)
            elif variance < 0:  # also in the row of the variance itself, which would be a flawless-looking 1
                variance = np.nan
            if variance == 0 and power > 0:  # a cause without variance has no standardized effect
                factor, relative = factor * 0.0, relative + np.where(derivatives == 0, 0.0, np.nan)
                continue
            # nothing can be divided by the root of nothing
            variance = np.nan if variance == 0 else variance
            factor = factor * np.power(np.float64(variance), power)
            relative = relative + power * derivatives / variance
    return float(factor), relative


def _defined(estimation: Estimation, values: np.ndarray, jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `:=` quantities at standardized values, and their derivatives (d, k). A label shared by several rows means the first."""
    build = estimation.model.build
    definitions = build.specification.definitions
    if not definitions:
        return np.zeros(0), np.zeros((0, jacobian.shape[1]))
    _, first = np.unique(build.index[build.index >= 0], return_index=True)
    first = np.flatnonzero(build.index >= 0)[first]
    defined, derivatives = defined_with_jacobian(values[first], build.labels, definitions)
    return defined, derivatives @ jacobian[first]


@float64
def rsquare(estimation: Estimation) -> list[tuple[dict[str, float], ...]]:
    """Share of explained variance of every endogenous variable, by group: one dictionary for each level.

    1 - residual / total variance; NaN where the residual variance is negative, for which no share exists.
    Outcomes of random slopes are left out at level 1: the share of a slope differs from row to row.
    """
    specification = estimation.model.build.specification
    out: list[tuple[dict[str, float], ...]]
    out = [tuple({} for _ in specification.levels) for _ in range(specification.ngroups)]
    values = rsquare_quantity(estimation).value(estimation.model.natural)
    for (group, level, name), value in zip(_explained(estimation), values.tolist(), strict=True):
        out[group - 1][level - 1][name] = value
    return out


def rsquare_quantity(estimation: Estimation) -> Quantity:
    """`rsquare` as a function of the natural parameters; names are as in "y1~r2", with the group and the level at the end."""
    explained = _explained(estimation)

    def closed(natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales = {
            where: scales_of(estimation, natural, where[1], where[0]) for where in {(g, lv) for g, lv, _ in explained}
        }
        values, jacobian = np.full(len(explained), np.nan), np.full((len(explained), len(natural)), np.nan)
        for i, (group, level, name) in enumerate(explained):
            (residual, by_residual), (total, by_total) = (
                source[name] for source in (scales[group, level].residual, scales[group, level].total)
            )
            if residual >= 0 and total > 0:
                values[i] = 1 - residual / total
                jacobian[i] = (residual / total * by_total - by_residual) / total
        return values, jacobian

    suffix = {1: "", 2: ".l2"}
    names = (f"{name}~r2" + (f".g{group}" if group > 1 else "") + suffix[level] for group, level, name in explained)
    return Quantity(tuple(names), closed=closed)


def _explained(estimation: Estimation) -> list[tuple[int, int, str]]:
    """(group, level, name) of every variable that has a share of explained variance, observed ones first."""
    specification = estimation.model.build.specification
    out = []
    for group in range(1, specification.ngroups + 1):
        for level in specification.numbers:
            rows = [r for r in specification.parameters if r.level == level and r.group == group]
            explained = {r.rhs for r in rows if r.op == "=~"} | {r.lhs for r in rows if r.op == "~"}
            explained -= {slope.target for slope in specification.slopes} if level == 1 else set()
            known = scales_of(estimation, estimation.model.natural, level, group).total
            out += [(group, level, name) for name in known if name in explained]
    return out
