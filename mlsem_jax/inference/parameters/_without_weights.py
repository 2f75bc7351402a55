"""How far sampling weights move the estimates: the model fitted without them, from where it is with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.estimation import Estimation, fit_build, make_statistics
from mlsem_jax.inference.variance import vcov_natural
from mlsem_jax.numerics import float64


@dataclass(frozen=True)
class Move:
    """Estimates with weights less those without. names (k,): of the natural parameters, change (k,) and in_errors (k,) the same in
    standard errors of the weighted estimates, NaN where these are none.
    """

    names: tuple[str, ...]
    change: np.ndarray
    in_errors: np.ndarray

    @property
    def largest(self) -> int | None:
        """Place of the parameter that moves farthest in standard errors; None where there are no standard errors."""
        size = np.abs(self.in_errors)
        return int(np.nanargmax(size)) if np.isfinite(size).any() else None


def move(estimation: Estimation) -> Move | None:
    """The move of a weighted fit; None without weights, without a maximum on either side, or without the rows, which a fit read
    from a file does not hold. Computed once for an estimation and kept with it.
    """
    kept = estimation.derived
    if "move" not in kept:
        kept["move"] = _moved(estimation)
    return kept["move"]


@float64
def _moved(estimation: Estimation) -> Move | None:
    data, model = estimation.data, estimation.model
    if not data.weighted or not data.has_rows or not model.maximum.status.converged:
        return None
    plain = make_statistics(model.build.specification, replace(data, survey=None))
    options = replace(estimation.options, verbose=False, start="default")
    other = fit_build(model.build, plain.statistics, plain.sample, start=model.natural, options=options)
    if not other.maximum.status.converged:
        return None
    change = model.natural - other.natural
    variance = np.diag(vcov_natural(estimation))
    with np.errstate(divide="ignore", invalid="ignore"):
        in_errors = np.where(variance > 0, change / np.sqrt(variance), np.nan)
    return Move(tuple(model.build.names), change, in_errors)
