"""Wald tests of equality constraints on a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.parameters import Quantity
from mlsem_jax.inference.variance import vcov_natural
from mlsem_jax.models import Constraint, residuals_with_jacobian
from mlsem_jax.numerics import float64


@dataclass(frozen=True)
class WaldTest:
    """Chi-square statistic, its degrees of freedom and p-value; se: the kind of standard errors that it rests on."""

    statistic: float
    df: int
    pvalue: float
    se: str


@float64
def wald(estimation: Estimation, constraints: Sequence[Constraint]) -> WaldTest:
    """Joint test of h(parameters) = 0: h' (H V H')^-1 h with H the Jacobian of h and V the fit's sampling covariance.

    constraints: in terms of labels of free parameters alone. Robust where the fit's standard errors are. Raises ModelError for
    inequalities, for constraints of which one follows from the others, and where there is no sampling variance.
    """
    h, cov = tested(estimation, constraints)
    sd = np.sqrt(np.diag(cov))
    z = h / sd
    statistic = float(z @ np.linalg.solve(cov / np.outer(sd, sd), z))
    return WaldTest(statistic, len(h), index.pvalue(statistic, len(h)), estimation.options.se)


def tested(estimation: Estimation, constraints: Sequence[Constraint]) -> tuple[np.ndarray, np.ndarray]:
    """What a test says is 0 (c,), and its sampling covariance (c, c); ModelError where there is no test."""
    build = estimation.model.build
    for c in constraints:
        if c.op != "==":
            raise ModelError(
                f"{c.text or c.op!r}: a Wald test is of equalities. Write each as expression == expression."
            )
    if not constraints:
        raise ModelError("A Wald test needs a constraint, for example 'a == b'.")
    if estimation.options.se == "none":
        raise ModelError("A Wald test needs standard errors, but the fit has se='none'.")
    differences = Quantity(
        names=tuple(c.text or c.op for c in constraints),
        closed=lambda natural: residuals_with_jacobian(natural, constraints, build.labels),
    )
    natural = estimation.model.natural
    h, cov = differences.value(natural), differences.vcov(natural, vcov_natural(estimation))
    if not np.all(np.isfinite(cov)):
        raise ModelError(
            "The fit has no finite standard errors for the parameters of these constraints, so there is no Wald test."
        )
    sd = np.sqrt(np.diag(cov).clip(0.0))
    for c, value in zip(constraints, sd, strict=True):
        if not value > 0:
            raise ModelError(
                f"{c.text!r} always holds, or never, in this model: it has no sampling variance to test it by."
            )
    if np.linalg.eigvalsh(cov / np.outer(sd, sd))[0] < 1e-10:
        raise ModelError("One of the constraints follows from the others: leave it out.")
    return h, cov
