"""Estimates with standard errors: one record per row of the parameter table, and the `:=` quantities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.parameters._following import following_values
from mlsem_jax.inference.parameters._quantities import estimated
from mlsem_jax.inference.variance import vcov_natural
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
    quantity, k = estimated(build), len(natural)
    values, se = quantity.with_standard_errors(natural, vcov)
    free = build.index >= 0
    return Estimates(
        values=row_values(estimation),
        se=np.where(free, se[np.maximum(build.index, 0)] if k else np.nan, np.nan),
        defined=values[k:],
        defined_se=se[k:],
        natural=natural,
        vcov=vcov,
    )


def row_values(estimation: Estimation, natural: np.ndarray | None = None) -> np.ndarray:
    """The value of every row of the parameter table, fixed ones and exogenous moments included."""
    build = estimation.model.build
    natural = estimation.model.natural if natural is None else natural
    out = np.where(build.index >= 0, natural[np.maximum(build.index, 0)] if len(natural) else 0.0, build.values)
    return following_values(build, natural, out) if build.specification.ordered else out
