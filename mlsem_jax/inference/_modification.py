"""Modification indices: how much the fit would improve, and by how much a parameter would change, were it freed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference._candidates import candidates
from mlsem_jax.inference._estimates import row_values
from mlsem_jax.inference._moment_space import MomentSpace
from mlsem_jax.inference._standardized import standardize_rows
from mlsem_jax.inference._vcov import invert
from mlsem_jax.models import Parameter, Specification, build
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
    missing values mi and epc are too small; "observed" information knows what is missing. Rows that could not be estimated
    beside the others (V zero up to rounding) are left out, such as a marker's loading.
    """
    if information not in get_args(IndexInformation):
        raise ModelError(f"information must be 'expected' or 'observed', not {information!r}.")
    model, specification = estimation.model, estimation.model.build.specification
    if not estimation.statistics.saturated:
        raise ModelError("Modification indices need the saturated model, which models with random slopes do not have.")
    rows = tuple(candidates(specification) if rows is None else rows)
    if not rows:
        return Modification((), *(np.zeros(0) for _ in range(4)))
    space, between_only = MomentSpace.of(estimation), np.asarray(model.build.structure.between_only)
    weight = space.information(model.moments, between_only, estimation.statistics, information)
    basis = model.build.basis[: len(model.build.names), : model.build.free]
    current = space.jacobian(model.build.structure, model.natural) @ basis
    extra = space.jacobian(*_freed(estimation, rows))
    weighted = weight @ extra
    among, across = current.T @ weight @ current, current.T @ weighted
    total = np.sum(extra * weighted, axis=0)
    left = total - np.sum(across * (invert(among, model.maximum.jacobian) @ across), axis=0)
    score = extra.T @ space.gradient(model.moments, between_only, estimation.statistics)
    keep = (total > 0) & (left > 1e-8 * total)
    kept = tuple(row for row, yes in zip(rows, keep, strict=True) if yes)
    mi, epc = score[keep] ** 2 / left[keep], score[keep] / left[keep]
    std_lv, std_all = (standardize_rows(estimation, kept, epc, kind)[0] for kind in ("std.lv", "std.all"))
    return Modification(kept, mi, epc, std_lv, std_all)


def _freed(estimation: Estimation, rows: tuple[Parameter, ...]):
    """A structure at the estimates in which only `rows` are free, each by itself, and their present values (k,)."""
    build_ = estimation.model.build
    specification: Specification = build_.specification
    chosen = {_place(row) for row in rows}
    held = [
        row.but(free=False, value=float(value), label="", exo=False)
        for row, value in zip(specification.parameters, row_values(estimation), strict=True)
        if _place(row) not in chosen
    ]
    freed = [row.but(free=True, label="", exo=False) for row in rows]
    made = build(specification.but(parameters=(*held, *freed), constraints=(), definitions=()))
    return made.structure, np.array([0.0 if row.value is None else row.value for row in rows])


def _place(row: Parameter) -> tuple:
    return (row.lhs, row.op, row.rhs, row.level, row.group, row.cell)
