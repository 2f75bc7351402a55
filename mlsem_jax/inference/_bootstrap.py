"""The cluster bootstrap: all draws in one batch, from weights on clusters or from drawn statistics; rows are never read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._status import Status
from mlsem_jax.estimation import BatchMaximum, Estimation, Fitted, fit_batch
from mlsem_jax.inference._clusters import refuse_constraints
from mlsem_jax.inference._influence import influence
from mlsem_jax.inference._quantities import Quantity, estimated, with_errors
from mlsem_jax.inference._resampled import ITERATIONS, resampled
from mlsem_jax.inference._vcov import information, vcov_natural
from mlsem_jax.numerics import float64

Type = Literal["nonparametric", "parametric", "bollen.stine"]
TYPES: tuple[Type, ...] = ("nonparametric", "parametric", "bollen.stine")


@dataclass(frozen=True)
class Bootstrap:
    """Draws of a bootstrap. names (r,): natural parameters, then `:=` quantities, or those of the quantity asked for; estimate,
    se (r,) of the fit; plain_se (r,) by the observed information, as are those of the draws; draws, draws_se (B, r), NaN where a
    draw did not converge; chisq (B,) or None; status (B,) codes. observed_chisq: the fit's own. influence (J, r) for
    bias-corrected intervals, or None.
    """

    type: str
    names: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    plain_se: np.ndarray
    draws: np.ndarray
    draws_se: np.ndarray
    chisq: np.ndarray | None
    status: np.ndarray
    observed_chisq: float
    influence: np.ndarray | None

    @property
    def usable(self) -> np.ndarray:
        """(B,) draws that ended at a maximum."""
        return np.isin(self.status, [code for code in Status if code.converged])

    @property
    def pvalue(self) -> float:
        """Share of draws whose chi-square is at least the observed one: Bollen & Stine's (1992) test if they were its draws."""
        if self.chisq is None:
            raise ModelError("This bootstrap has no chi-squares: pass chisq=True, or type='bollen.stine'.")
        known = self.chisq[np.isfinite(self.chisq)]
        return float((1 + np.sum(known >= self.observed_chisq)) / (1 + len(known)))


@float64
def bootstrap(
    estimation: Estimation,
    n: int,
    key: Any,
    type: str = "nonparametric",
    chisq: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
    quantity: Quantity | None = None,
) -> Bootstrap:
    """n draws. key: of jax.random, or an integer; draw i depends on the key and i alone. quantity: what is drawn of (default:
    natural parameters and `:=` quantities).

    nonparametric: clusters drawn with replacement, within groups. parametric: statistics drawn from the fitted model.
    bollen.stine: clusters drawn from data that are transformed so that the model holds exactly (in balanced data; nearly in
    unbalanced data), for the test of the model.
    """
    if type not in TYPES:
        raise ModelError(f"type={type!r} is not available: {', '.join(map(repr, TYPES))}.{nearest(type, TYPES)}")
    refuse_constraints(estimation, "The bootstrap")
    chisq = type == "bollen.stine" if chisq is None else chisq
    if chisq and estimation.h1 is None:
        raise ModelError("Chi-squares of bootstrap draws need the unrestricted model: fit with h1=True.")
    key = jax.random.key(key) if isinstance(key, (int, np.integer)) else key
    lanes = resampled(estimation, n, key, type)
    model = estimation.model
    end = fit_batch(model.build.structure, theta0=model.theta, **lanes, progress=progress, iterations=ITERATIONS)
    quantity = estimated(model.build) if quantity is None else quantity
    estimate, se = quantity.with_standard_errors(model.natural, vcov_natural(estimation))
    observed = information(model, estimation, "observed")
    draws, draws_se = _with_errors(estimation, quantity, end.theta, end.information)
    bad = ~end.converged
    draws[bad], draws_se[bad] = np.nan, np.nan
    return Bootstrap(
        type=type,
        names=quantity.names,
        estimate=estimate,
        se=se,
        plain_se=_with_errors(estimation, quantity, model.theta[None], observed[None])[1][0],
        draws=draws,
        draws_se=draws_se,
        chisq=_chi_squares(estimation.h1, end, lanes) if chisq and estimation.h1 is not None else None,
        status=end.status,
        observed_chisq=np.nan if estimation.h1 is None else 2 * (estimation.h1.value - model.value),
        influence=influence(estimation, quantity=quantity).derivative if type == "nonparametric" else None,
    )


def _with_errors(
    estimation: Estimation, quantity: Quantity, theta: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors (B, r) at theta (B, q); NaN for a standard error that is not positive."""
    build = estimation.model.build
    values, se = with_errors(quantity, build.offset, build.basis, theta, information)
    return np.array(values), np.where(np.asarray(se) > 0, se, np.nan)


def _chi_squares(h1: Fitted, end: BatchMaximum, lanes: dict[str, Any]) -> np.ndarray:
    free = fit_batch(h1.build.structure, theta0=h1.theta, newton=False, iterations=ITERATIONS, **lanes)
    both = end.converged & free.converged
    return np.where(both, 2 * np.maximum(free.value - end.value, 0.0), np.nan)
