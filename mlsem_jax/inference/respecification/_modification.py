"""Modification indices: how much the fit would improve, and by how much a parameter would change, were it freed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mlsem_jax._errors import ModelError, ModelWarning, listing
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.moments import LimitedSpace, MomentSpace, padded
from mlsem_jax.inference.parameters import standardized_values
from mlsem_jax.inference.respecification._candidates import candidates
from mlsem_jax.inference.variance import invert
from mlsem_jax.models import Build, Parameter, Specification, build, remembered
from mlsem_jax.numerics import float64

IndexInformation = Literal["expected", "observed"]


@dataclass(frozen=True)
class Modification:
    """One entry per row: the index mi (chi-square with 1 df), the expected change epc, and epc standardized like a parameter
    (std.lv, std.all).
    """

    rows: tuple[Parameter, ...]
    mi: np.ndarray
    epc: np.ndarray
    epc_lv: np.ndarray
    epc_all: np.ndarray


@float64
def modification_indices(
    estimation: Estimation, rows: Sequence[Parameter] | None = None, information: IndexInformation = "expected"
) -> Modification:
    """Score tests of freeing each of `rows` alone (default: all candidates of the model), Sörbom (1989).

    With score s and information V of the candidate given the parameters of the model, whose equality constraints stay in
    force, mi = s^2 / V and epc = s / V. V is expected information, which as in lavaan counts every row as complete, so that with
    missing values mi and epc are too small; "observed" is minus the Hessian of the extended model's log-likelihood, which knows
    what is missing. Rows that could not be estimated beside the others (V zero up to rounding) are left out, such as a marker's
    loading; so are, with a warning, those whose observed V is not positive.
    """
    if information not in get_args(IndexInformation):
        raise ModelError(f"information must be 'expected' or 'observed', not {information!r}.")
    model, specification = estimation.model, estimation.model.build.specification
    least = estimation.limited is not None
    if not (estimation.statistics.saturated or least):
        raise ModelError(f"Modification indices need the saturated model; {estimation.why_unsaturated}.")
    rows = tuple(candidates(specification) if rows is None else rows)
    if not rows:
        return Modification((), *(np.zeros(0) for _ in range(4)))
    space, between_only = (
        (LimitedSpace if least else MomentSpace).of(estimation),
        np.asarray(model.build.structure.between_only),
    )
    extended, natural, spread = _extended(estimation, rows)
    delta = space.jacobian_of(extended, natural)
    gradient = space.gradient(model.moments, between_only, estimation.statistics)
    weight = space.information(model.moments, between_only, estimation.statistics)
    left, total = _given_the_model(delta.T @ weight @ delta, spread, model.maximum.jacobian)
    keep = (total > 0) & (left > 1e-8 * total)
    if information == "observed":
        weight = space.information(model.moments, between_only, estimation.statistics, information)
        hessian = delta.T @ weight @ delta - space.curvature(extended, natural, gradient, model.moments)
        left = _given_the_model(hessian, spread, model.maximum.jacobian)[0]
        _warn_of_indefinite([row for row, yes, v in zip(rows, keep, left, strict=True) if yes and not v > 0])
        keep &= left > 0
    score = delta[:, -len(rows) :].T @ gradient
    kept = tuple(row for row, yes in zip(rows, keep, strict=True) if yes)
    mi, epc = score[keep] ** 2 / left[keep], score[keep] / left[keep]
    std_lv, std_all = standardized_values(estimation, kept, epc, ("std.lv", "std.all"))
    return Modification(kept, mi, epc, std_lv, std_all)


@dataclass(frozen=True)
class Added:
    """The score test of adding parameters: rows; statistic and df of all together; each alone, those beside it left fixed."""

    rows: tuple[Parameter, ...]
    statistic: float
    df: int
    alone: np.ndarray


@float64
def score_test_of_adding(estimation: Estimation, rows: Sequence[Parameter]) -> Added:
    """With score s of the added parameters and V their information given those of the model, s' V^-1 s with the rank of V as
    degrees of freedom, and s_i^2 / V_ii of each alone. V is expected information, with missing values the observed one.
    """
    least, model = estimation.limited is not None, estimation.model
    if not (estimation.statistics.saturated or least):
        raise ModelError(f"Score tests need the saturated model; {estimation.why_unsaturated}.")
    space, rows = (LimitedSpace if least else MomentSpace).of(estimation), tuple(rows)
    between_only = np.asarray(model.build.structure.between_only)
    extended, natural, spread = _extended(estimation, rows)
    delta = space.jacobian_of(extended, natural)
    gradient = space.gradient(model.moments, between_only, estimation.statistics)
    kind: IndexInformation = "observed" if estimation.statistics.curved else "expected"
    full = delta.T @ space.information(model.moments, between_only, estimation.statistics, kind) @ delta
    if kind == "observed":
        full = full - space.curvature(extended, natural, gradient, model.moments)
    k = len(spread)
    across = spread.T @ full[:k, k:]
    left = full[k:, k:] - across.T @ invert(spread.T @ full[:k, :k] @ spread, model.maximum.jacobian) @ across
    total = np.diag(full)[k:]
    if lost := [row.name for row, own, all_ in zip(rows, np.diag(left), total, strict=True) if not own > 1e-8 * all_]:
        raise ModelError(f"{listing(lost)} could not be estimated beside the parameters of the model: nothing to test.")
    score = delta[:, -len(rows) :].T @ gradient
    scale = 1 / np.sqrt(np.diag(left))
    values, vectors = np.linalg.eigh(left * np.outer(scale, scale))
    known = values > 1e-8
    along = vectors[:, known].T @ (score * scale)
    return Added(rows, float(along**2 @ (1 / values[known])), int(known.sum()), score**2 / np.diag(left))


def _extended(estimation: Estimation, rows: tuple[Parameter, ...]) -> tuple[Build, np.ndarray, np.ndarray]:
    """The model with `rows` free as well: its build, in which every free row is a parameter of its own, those of `rows` last;
    the parameters (k,) at the estimates; and how the model's theta moves the first of them (k - rows, q).
    """
    built = estimation.model.build
    specification = built.specification
    usual = rows is candidates(specification)
    wider, kept = _with_candidates(specification) if usual else _wider(specification, rows)
    of = built.index[kept]
    values = [0.0 if row.value is None else row.value for row in rows]
    natural = np.append(estimation.model.natural[of], values)
    return build(wider, estimation.exogenous, padded(len(natural))), natural, built.basis[of]


@remembered
def _with_candidates(specification: Specification) -> tuple[Specification, list[int]]:
    return _wider(specification, candidates(specification))


def _wider(specification: Specification, rows: tuple[Parameter, ...]) -> tuple[Specification, list[int]]:
    """The specification with `rows` free as well, without labels and constraints, and where its first free rows stand in the
    table. What fixed rows hold is found as for the model itself.
    """
    chosen = {_place(row) for row in rows}
    present, kept = [], []
    for i, row in enumerate(specification.parameters):
        if _place(row) in chosen:
            continue
        if row.free:
            kept.append(i)
        present.append(row.but(label="", exo=row.exo and not row.free))
    freed = [row.but(free=True, label="", exo=False) for row in rows]
    return specification.but(parameters=(*present, *freed), constraints=(), definitions=()), kept


def _given_the_model(
    information: np.ndarray, spread: np.ndarray, jacobian: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Information of each candidate given the model's theta and alone (n,), from that of the extended model (k, k)."""
    k = len(spread)
    across = spread.T @ information[:k, k:]
    total = np.diag(information)[k:]
    inverse = invert(spread.T @ information[:k, :k] @ spread, jacobian)
    return total - np.sum(across * (inverse @ across), axis=0), total


def _warn_of_indefinite(rows: list[Parameter]) -> None:
    if rows:
        warnings.warn(
            f"The log-likelihood with {listing([row.name for row in rows])} free curves upwards at the estimates, so the observed "
            "information gives no index there. Use information='expected', or fit the model with the parameter free.",
            ModelWarning,
            stacklevel=5,
        )


def _place(row: Parameter) -> tuple:
    return (row.lhs, row.op, row.rhs, row.level, row.group, row.cell)
