"""Weighted least squares on statistics of limited information: sandwich, chi-square, and the traces that correct it.

Groups count by f = n / N. H = sum f D'WD and B = sum f D'W Gamma W D, D the derivatives of a group's implied statistics in theta
and Gamma = n acov; vcov = H^-1 B H^-1 / (N - G) (Muthen 1984; Muthen, du Toit & Spisic 1997). With U = W - W D H^-1 D'W, over all
groups together, the chi-square has the mean tr(U Gamma) and the variance 2 tr(U Gamma U Gamma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import WeightedLeastSquaresTerm, implied_of


def limited(estimation: Estimation) -> WeightedLeastSquaresTerm:
    """The term of an estimation with limited information."""
    term = estimation.limited
    if term is None:
        raise ModelError(
            f"estimator={estimation.options.estimator!r} has no statistics of limited information: WLSMV has."
        )
    return term


def refuse_limited(estimation: Estimation, what: str, instead: str = "estimator='ML' has it.") -> None:
    """**Raises:** ModelError for what rests on a likelihood, where there is none."""
    if estimation.limited is not None:
        raise ModelError(
            f"{what} with estimator={estimation.options.estimator!r}, which fits thresholds and polychoric covariances and has no "
            f"likelihood: {instead}"
        )


@dataclass(frozen=True, eq=False)
class Pieces:
    """implied (G, S), derivatives (G, S, q) in theta, weight (G, S, S) W, gamma (G, S, S), share (G,) n / N, and N - G."""

    implied: np.ndarray
    delta: np.ndarray
    weight: np.ndarray
    gamma: np.ndarray
    share: np.ndarray
    divisor: float

    @property
    def bread(self) -> np.ndarray:
        """(N - G) H (q, q), whose inverse is the covariance matrix where W is the inverse of Gamma."""
        return self.divisor * np.einsum("g,gsq,gst,gtr->qr", self.share, self.delta, self.weight, self.delta)

    @property
    def meat(self) -> np.ndarray:
        """(N - G) B (q, q)."""
        wd = self.weight @ self.delta
        return self.divisor * np.einsum("g,gsq,gst,gtr->qr", self.share, wd, self.gamma, wd)


@float64
def pieces(fitted: Fitted, estimation: Estimation) -> Pieces:
    """What sandwiches and tests are made of, at the estimates; computed once for the model and kept."""
    kept, own = estimation.derived, fitted is estimation.model
    if own and "limited" in kept:
        return kept["limited"]
    term, rows = limited(estimation), np.asarray(limited(estimation).rows, float)
    sigma, delta = implied_of(fitted.problem.structure, jnp.asarray(fitted.theta), term)
    weight = np.asarray(term.weight) / (rows - 1)[:, None, None]
    gamma = np.asarray(term.acov) * rows[:, None, None]
    total = rows.sum()
    out = Pieces(np.asarray(sigma), np.asarray(delta), weight, gamma, rows / total, float(total - len(rows)))
    if own:
        kept["limited"] = out
    return out


@dataclass(frozen=True)
class LimitedTest:
    """A chi-square with its degrees of freedom, and the traces of U Gamma and of its square.

    factor: what the chi-square is divided by; shift: what is then added to it, zero unless test="scaled.shifted" (Asparouhov &
    Muthen 2010).
    """

    statistic: float
    df: int
    trace: float = math.nan
    trace_of_square: float = math.nan
    test: str = "standard"

    @property
    def factor(self) -> float:
        if not self.df or self.test == "standard":
            return math.nan if self.test != "standard" else 1.0
        if self.test == "satorra.bentler":
            return self.trace / self.df
        return math.sqrt(self.trace_of_square / self.df)

    @property
    def shift(self) -> float:
        return self.df - self.trace / self.factor if self.test == "scaled.shifted" and self.df else 0.0

    @property
    def scaled(self) -> float:
        """The corrected chi-square; the plain one, 0 but for rounding, without degrees of freedom."""
        if not self.df:
            return self.statistic
        return self.statistic / self.factor + self.shift if self.factor > 0 else math.nan


def model_test(estimation: Estimation, inverse: np.ndarray) -> LimitedTest:
    """The test of the model. inverse (q, q): of `Pieces.bread`, under nonlinear constraints along these."""
    found, model = pieces(estimation.model, estimation), estimation.model
    statistic = max(0.0, -2.0 * model.value)
    if not estimation.degrees_of_freedom:
        return LimitedTest(statistic, 0, test=estimation.options.test)
    trace, square = _traces(found, found.delta, found.divisor * inverse)
    return LimitedTest(statistic, estimation.degrees_of_freedom, trace, square, estimation.options.test)


def baseline_test(estimation: Estimation) -> LimitedTest:
    """The test of the baseline: thresholds, means, variances and slopes free, no covariances. It is linear in its parameters."""
    term, found = limited(estimation), pieces(estimation.model, estimation)
    groups, count = np.shape(term.target)
    own = np.flatnonzero(term.layout.own())
    delta = np.zeros((groups, count, groups * len(own)))
    for g in range(groups):
        delta[g, own, g * len(own) + np.arange(len(own))] = 1.0
    weight, target = np.asarray(term.weight), np.asarray(term.target)
    h = np.einsum("gsq,gst,gtr->qr", delta, weight, delta)
    theta = np.linalg.solve(h, np.einsum("gsq,gst,gt->q", delta, weight, target))
    left = target - delta @ theta
    statistic = float(np.einsum("gs,gst,gt->", left, weight, left))
    bread = np.einsum("g,gsq,gst,gtr->qr", found.share, delta, found.weight, delta)
    trace, square = _traces(found, delta, np.linalg.inv(bread))
    return LimitedTest(statistic, groups * (count - len(own)), trace, square, estimation.options.test)


def residual_change(found: Pieces, inverse: np.ndarray) -> np.ndarray:
    """I - D H^-1 D'W (G S, G S): how residuals change with the statistics, group after group. inverse (q, q): of H."""
    groups, count = found.implied.shape
    wd = (found.share[:, None, None] * (found.weight @ found.delta)).reshape(groups * count, -1)
    return np.eye(groups * count) - found.delta.reshape(groups * count, -1) @ inverse @ wd.T


def _traces(found: Pieces, delta: np.ndarray, inverse: np.ndarray) -> tuple[float, float]:
    """Traces of U Gamma and (U Gamma)^2 over all groups. inverse (q, q): of H."""
    groups, count = delta.shape[:2]
    wd = (found.share[:, None, None] * (found.weight @ delta)).reshape(groups * count, -1)
    product = -wd @ inverse @ wd.T
    for g in range(groups):
        here = slice(g * count, (g + 1) * count)
        product[here, here] += found.share[g] * found.weight[g]
    for g in range(groups):
        here = slice(g * count, (g + 1) * count)
        product[:, here] = product[:, here] @ (found.gamma[g] / found.share[g])
    return float(np.trace(product)), float(np.sum(product * product.T))
