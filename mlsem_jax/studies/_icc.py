"""Populations with another intraclass correlation."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mlsem_jax._arguments import number_of
from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.estimation import Model
from mlsem_jax.models import Parameter

_STEPS = 200
_moments = jax.jit(lambda structure, theta: structure(theta))


def with_icc(model: Model, theta: np.ndarray, icc: Any) -> np.ndarray:
    """theta at which the mean intraclass correlation of the variables of both levels is icc.

    One factor multiplies the level-2 (residual) variances and covariances of factors and of variables of both levels; paths,
    loadings and the variables of level 2 alone stay as they are. ModelError where such a variance is fixed, DataError where what
    covariates of level 2 explain is more than icc already.
    """
    target = number_of(icc)
    if target is None or not 0 < target < 1:
        raise DataError(f"icc={icc!r}: an intraclass correlation lies between 0 and 1, such as 0.1.")
    specification = model.labels.specification
    covariates = {*specification.within.covariates, *specification.between.covariates}
    both = [v for v in specification.within.observed if v in specification.between.observed and v not in covariates]
    if specification.single or not both:
        raise ModelError("icc is about variables of both levels, and the population has none. Leave the column out.")
    scaled = _powers(model)
    at = [specification.variables.index(v) for v in both]

    def mean_icc(factor: float) -> float:
        moments = _moments(model.structure, theta * factor**scaled)
        within, between = np.asarray(moments.within_cov), np.asarray(moments.between_cov)
        w, b = (np.diagonal(x, axis1=1, axis2=2)[:, at] for x in (within, between))
        return float(np.mean(b / (b + w)))

    low, high = -14.0, 14.0
    if not mean_icc(np.exp(low)) < target < mean_icc(np.exp(high)):
        raise DataError(
            f"icc={target:g} cannot be reached: with next to no residual variance at level 2 the mean intraclass correlation is "
            f"{mean_icc(np.exp(low)):.3f} already. Make the paths of level 2 smaller, or icc larger."
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_icc(np.exp(middle)) < target else (low, middle)
        if high - low < 1e-14:
            break
    return theta * np.exp((low + high) / 2) ** scaled


def _powers(model: Model) -> np.ndarray:
    """(q,): 1 for what is multiplied by the factor, 1/2 for covariances with a variable of level 2 alone, 0 for the rest."""
    specification, places = model.labels.specification, dict(model.labels.by_label)
    alone = {*specification.between_only, *specification.between.covariates}
    powers, fixed = {}, []
    for row in specification.parameters:
        if row.level != 2 or row.op != "~~":
            continue
        power = _power(row, alone)
        if not power:
            continue
        if row.free:
            powers[model.labels.natural[places[row.name]]] = power
        elif row.value:
            fixed.append(row.name)
    if fixed:
        raise ModelError(
            f"icc multiplies the (co)variances of level 2, and the population fixes {listing(fixed)}. Fix a loading in its place, "
            "1*y1, and write start() before the variance."
        )
    return np.array([powers.get(name, 0.0) for name in model.names])


def _power(row: Parameter, alone: set[str]) -> float:
    return (2 - (row.lhs in alone) - (row.rhs in alone)) / 2
