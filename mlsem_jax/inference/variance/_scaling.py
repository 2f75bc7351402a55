"""Scaling factors that correct likelihood-ratio tests for non-normality (Yuan & Bentler 2000; Asparouhov & Muthen 2005)."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference.variance._vcov import information, invert, meat
from mlsem_jax.likelihood import moments_and_jacobian
from mlsem_jax.models import Specification
from mlsem_jax.numerics import float64, positive_definite


@dataclass(frozen=True)
class Scaling:
    """c = trace(A^-1 B) / q of a model with q parameters: A its information, B the sum of cluster score outer products.

    1 under normality, larger for heavy tails. q * c is the trace itself, which differences are taken of.
    """

    factor: float
    q: int


@dataclass(frozen=True)
class Unrestricted:
    """h1 without the moments of fixed covariates: places `keep` (q1,) in its theta, information A1 (q1, q1) at its maximum
    and cluster scores (J, q1) there.
    """

    keep: np.ndarray
    information: np.ndarray
    scores: np.ndarray

    @property
    def scaling(self) -> Scaling:
        return Scaling(_trace(invert(self.information), self.scores) / len(self.keep), len(self.keep))

    @property
    def gamma(self) -> np.ndarray:
        """Sandwich A1^-1 B1 A1^-1 (q1, q1): sampling covariance of the unrestricted moments whatever their distribution."""
        half = self.scores @ invert(self.information)
        return half.T @ half


def difference(smaller: Scaling, larger: Scaling) -> float:
    """Scaling factor of the likelihood-ratio test of `smaller` within `larger`; NaN without degrees of freedom."""
    df = larger.q - smaller.q
    return (larger.q * larger.factor - smaller.q * smaller.factor) / df if df else float("nan")


@float64
def unrestricted_scores(estimation: Estimation) -> Unrestricted:
    """What scaling factors need of h1."""
    h1 = _h1(estimation)
    keep = free_of_covariates(h1, estimation.model.build.specification)
    a = information(h1, estimation, _kind(estimation))[np.ix_(keep, keep)]
    return Unrestricted(keep, a, meat(h1, estimation)[:, keep])


def by_moments(estimation: Estimation) -> bool:
    """Whether scaling factors go by the information of the unrestricted moments, which random slopes do not leave."""
    return estimation.options.test == "yuan.bentler" and not estimation.model.build.specification.slopes


def parameters_of(fitted: Fitted) -> int:
    """Number of free parameters after equality constraints."""
    return fitted.build.dimension


@float64
def model_scaling(fitted: Fitted, estimation: Estimation) -> Scaling:
    """Of a fitted model or the baseline, by its own information.

    Under test="yuan.bentler" that is the information of the unrestricted moments, taken at the model's, carried to the
    parameters, so that the curvature of the model in its parameters has no part in it. Random slopes leave no unrestricted
    moments: there it is the model's own under either test.
    """
    q = parameters_of(fitted)
    if not q:
        return Scaling(1.0, 0)
    if by_moments(estimation):
        keep = free_of_covariates(_h1(estimation), estimation.model.build.specification)
        a, d = moment_information(fitted, estimation, keep)
        a = d.T @ a @ d
    else:
        a = information(fitted, estimation, _kind(estimation))
    return Scaling(_trace(invert(a, fitted.maximum.jacobian), meat(fitted, estimation)) / q, q)


@float64
def test_scaling(fitted: Fitted, estimation: Estimation, h1: Unrestricted) -> float:
    """Scaling factor c of the test of a model, or the baseline, against h1; NaN without degrees of freedom.

    yuan.bentler.mplus: the difference of the two traces (Asparouhov & Muthen 2005). yuan.bentler: trace(U Gamma) / d with
    U = A - A D (D'AD)^-1 D'A at the model's moments and Gamma the sandwich at h1 (Satorra & Bentler 1994; Yuan & Bentler
    2000). Far from the data, as a baseline is, observed information A may be indefinite: there expected information takes
    its place, so that c is positive.
    """
    df = len(h1.keep) - parameters_of(fitted)
    if estimation.options.test != "yuan.bentler" or not df:
        return difference(model_scaling(fitted, estimation), h1.scaling)
    return moment_trace(fitted, estimation, h1.keep, h1.gamma) / df


@float64
def moment_trace(fitted: Fitted, estimation: Estimation, keep: np.ndarray, gamma: np.ndarray) -> float:
    """trace(U Gamma), U = A - A D (D'AD)^-1 D'A at the model's moments: what the chi-square against unrestricted moments `keep` of
    sampling covariance gamma (q1, q1) is on average.
    """
    a, d = moment_information(fitted, estimation, keep)
    ad = a @ d
    explained = np.sum(invert(d.T @ ad, fitted.maximum.jacobian) * (ad.T @ gamma @ ad)) if d.shape[1] else 0.0
    return float(np.sum(a * gamma) - explained)


def free_of_covariates(h1: Fitted, specification: Specification) -> np.ndarray:
    """Places in h1's theta of the moments that are not moments among fixed covariates of their level."""
    out = []
    for row, i in zip(h1.build.specification.parameters, h1.build.index, strict=True):
        fixed = specification.level(row.level).covariates
        if i >= 0 and not (row.lhs in fixed and (row.op == "~1" or row.rhs in fixed)):
            out.append(i)
    return np.array(out, int)


def moments_as_theta(h1: Fitted, within_cov: np.ndarray, between_cov: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Moments by group, (G, p, p, ...) and (G, p, ...), as elements of h1's theta: (q1, ...)."""
    column_of = {name: i for i, name in enumerate(h1.build.specification.variables)}
    out = np.zeros((h1.build.free, *mean.shape[2:]))
    for row, i in zip(h1.build.specification.parameters, h1.build.index, strict=True):
        if i < 0:
            continue
        g, left = row.group - 1, column_of[row.lhs]
        if row.op == "~1":
            out[i] = mean[g, left]
        else:
            out[i] = (within_cov if row.level == 1 else between_cov)[g, left, column_of[row.rhs]]
    return out


def moment_information(fitted: Fitted, estimation: Estimation, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Information A (q1, q1) of the unrestricted moments at the model's, and their derivatives D (q1, q) in theta."""
    h1, m = _h1(estimation), fitted.moments
    at = moments_as_theta(h1, m.within_cov, m.between_cov, m.mean)
    a = h1.problem.observed(at)
    if _kind(estimation) == "expected" or not positive_definite(a[keep][:, keep]):
        a = h1.problem.expected(at)
    jacobian = moments_and_jacobian(fitted.problem.structure, jnp.asarray(fitted.theta))[1]
    parts = (np.asarray(x) for x in (jacobian.within_cov, jacobian.between_cov, jacobian.mean))
    d = moments_as_theta(h1, *parts)
    return a[keep][:, keep], d[keep]


def _kind(estimation: Estimation) -> str:
    return "expected" if estimation.options.information == "expected" else "observed"


def _trace(inverse: np.ndarray, s: np.ndarray) -> float:
    """trace(A^-1 S'S) without forming the product."""
    return float(np.einsum("ij,ij->", s @ inverse, s))


def _h1(estimation: Estimation) -> Fitted:
    if estimation.h1 is None:
        raise ModelError("A scaled test needs the unrestricted model: fit with h1=True.")
    return estimation.h1
