"""Estimates with standard errors: one record per row of the parameter table, `:=` quantities by the delta method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference._vcov import vcov_natural
from mlsem_jax.models import defined_with_jacobian
from mlsem_jax.numerics import float64


@dataclass(frozen=True)
class Estimates:
    """values, se (rows,): of the rows of the parameter table; se is NaN for fixed rows. defined, defined_se: of the `:=`
    quantities in order. vcov (k, k) of the natural parameters, natural (k,) their values.
    """

    values: np.ndarray
    se: np.ndarray
    defined: np.ndarray
    defined_se: np.ndarray
    natural: np.ndarray
    vcov: np.ndarray


@float64
def estimates(estimation: Estimation) -> Estimates:
    """All estimates of a fit with their standard errors under its options."""
    build = estimation.model.build
    natural, vcov = estimation.model.natural, vcov_natural(estimation)
    se = standard_errors(vcov)
    base = row_values(estimation)
    free = build.index >= 0
    defined, jacobian = defined_values(estimation, natural)
    return Estimates(
        values=base,
        se=np.where(free, se[np.maximum(build.index, 0)] if len(se) else np.nan, np.nan),
        defined=defined,
        defined_se=standard_errors(jacobian @ vcov @ jacobian.T),
        natural=natural,
        vcov=vcov,
    )


def standard_errors(vcov: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal; rounding below zero is zero."""
    diagonal = np.diag(vcov)
    return np.sqrt(np.where(diagonal < 0, np.where(diagonal > -1e-12, 0.0, np.nan), diagonal))


def row_values(estimation: Estimation, natural: np.ndarray | None = None) -> np.ndarray:
    """The value of every row of the parameter table, fixed ones and exogenous moments included."""
    build = estimation.model.build
    natural = estimation.model.natural if natural is None else natural
    fixed = build.values
    return np.where(build.index >= 0, natural[np.maximum(build.index, 0)] if len(natural) else 0.0, fixed)


def defined_values(estimation: Estimation, natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `:=` quantities (d,) and their Jacobian (d, k) in the natural parameters."""
    build = estimation.model.build
    definitions = build.specification.definitions
    if not definitions:
        return np.zeros(0), np.zeros((0, len(natural)))
    return defined_with_jacobian(np.asarray(natural), build.labels, definitions)
