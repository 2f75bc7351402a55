"""Tests for fit indices after full-information maximum likelihood with missing values, at one level.

The likelihood-ratio statistic of incomplete data measures misfit in units of the information that there is, so that RMSEA and CFI
made of it depend on how much is missing. Zhang and Savalei (2023) take the discrepancy that complete data with the same estimated
moments would have, T = sum over groups of N_g F(Sigma_h1, Sigma(theta)), both at the maxima of the incomplete data's likelihood,
and its expectation k under the model,

    k = tr(Wc G) - 2 tr(D' B W^-1 Wc D H^-1) + tr(D' B D H^-1 D' Wc D H^-1),   G = W^-1 B W^-1,   H = D' W D

with W the information of the unrestricted moments, Wc what it would be if nothing were missing, D the derivatives of the model's
moments in its parameters, and B the sum of outer products of the scores under a robust test (their FIML-C version 3), or W under
the normal one (version 6).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference.fit._chi_square import (
    ChiSquare,
    RobustTests,
    baseline_chi_square,
    chi_square,
    robust_tests,
    unrestricted,
)
from mlsem_jax.inference.moments import MomentSpace
from mlsem_jax.inference.variance import Scaling, information, invert, meat, moments_as_theta
from mlsem_jax.likelihood import moments_and_jacobian
from mlsem_jax.numerics import float64


def applies(estimation: Estimation) -> bool:
    """Whether indices have such tests: one level, missing values kept, and an unrestricted model."""
    single = estimation.model.build.specification.single
    return (
        single
        and estimation.options.missing == "ml"
        and estimation.h1 is not None
        and estimation.options.test != "none"
    )


def completed_tests(estimation: Estimation) -> RobustTests:
    """The tests of the model and the baseline as if nothing were missing, c = k / df their scaling factors; computed once."""
    if "completed_tests" not in estimation.derived:
        estimation.derived["completed_tests"] = _completed_tests(estimation)
    return estimation.derived["completed_tests"]


@float64
def _completed_tests(estimation: Estimation) -> RobustTests:
    h1 = unrestricted(estimation)
    w = information(h1, estimation, "observed")
    inverse, outer = invert(w), w
    if estimation.options.robust:
        scores = meat(h1, estimation)
        outer = scores.T @ scores
    complete = MomentSpace.of(estimation).information(
        h1.moments, np.asarray(h1.build.between_only), estimation.statistics, "expected"
    )

    def of(fitted: Fitted, test: ChiSquare) -> ChiSquare:
        d = _derivatives(h1, fitted)
        inner = invert(d.T @ w @ d, fitted.maximum.jacobian)
        first = np.sum((complete @ inverse) * (outer @ inverse).T)
        crossed = np.sum((d.T @ outer @ inverse @ complete @ d) * inner)
        last = np.sum((d.T @ outer @ d @ inner) * (d.T @ complete @ d @ inner).T)
        factor = (first - 2 * crossed + last) / test.df if test.df else float("nan")
        return ChiSquare(_discrepancy(h1, fitted, estimation), test.df, float(factor))

    baseline = baseline_chi_square(estimation)
    known = estimation.baseline
    return RobustTests(
        model=of(estimation.model, chi_square(estimation)),
        baseline=None if baseline is None or known is None else of(known, baseline),
        h1=Scaling(1.0, 0),
        h0=Scaling(1.0, 0),
    )


# results of `robust_by_name`, under which they are kept with an estimation
TESTS = ("robust_tests", "completed_tests")


def robust_by_name(estimation: Estimation) -> dict[str, RobustTests]:
    """The tests of a robust fit that take scores of its units."""
    found = {"robust_tests": robust_tests(estimation)}
    return found | ({"completed_tests": completed_tests(estimation)} if applies(estimation) else {})


def _derivatives(h1: Fitted, fitted: Fitted) -> np.ndarray:
    """Derivatives (q1, q) of the unrestricted model's moments in the theta of a fitted model."""
    jacobian = moments_and_jacobian(fitted.problem.structure, jnp.asarray(fitted.theta))[1]
    parts = (np.asarray(x) for x in (jacobian.within_cov, jacobian.between_cov, jacobian.mean))
    return moments_as_theta(h1, *parts)


def _discrepancy(h1: Fitted, fitted: Fitted, estimation: Estimation) -> float:
    """Sum over groups of N (log|S| - log|S1| + tr(S^-1 (S1 + d d')) - p), d the difference of the means."""
    total = 0.0
    for g, count in enumerate(estimation.reduction.rows):
        model, free = fitted.moments.within_cov[g], h1.moments.within_cov[g]
        d = h1.moments.mean[g] - fitted.moments.mean[g]
        fit = np.linalg.slogdet(model)[1] - np.linalg.slogdet(free)[1] - len(d)
        total += count * (fit + float(np.trace(np.linalg.solve(model, free + np.outer(d, d)))))
    return max(total, 0.0)
