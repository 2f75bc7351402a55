"""What robust indices of ordered variables are made of, with one level: the normal-theory discrepancy of polychoric correlations.

Chi-squares of diagonal weights grow with the misfit in their own units, and indices of them with the number of categories. Savalei
(2021) takes n F instead, F = log |P| - log |R| + tr(R P^-1) - p of the polychoric correlations R and the implied ones P at the
least-squares estimates, so that the index estimates that of the latent responses. Under the model E(n F) = tr(C' V C Gamma),
C = I - D H^-1 D'W the change of residuals with the statistics and V the second derivative of F over 2.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.fit._chi_square import ChiSquare
from mlsem_jax.inference.moments import limited_h1, limited_implied
from mlsem_jax.inference.variance import limited, pieces, residual_change

# smallest eigenvalue of a correlation matrix that has a log-determinant
SINGULAR = 1e-8


def latent_tests(estimation: Estimation, inverse: np.ndarray) -> tuple[ChiSquare, ChiSquare] | None:
    """n F of the model and of the baseline without correlations, each with its scaling factor; None where they are not defined:
    with two levels, covariates or continuous outcomes, or polychoric correlations that are no correlation matrix. inverse (q, q):
    of `Pieces.bread`.
    """
    specification, layout = estimation.model.build.specification, limited(estimation).layout
    covariates = specification.within.covariates
    if not specification.single or covariates or set(layout.responses) != set(layout.ordered):
        return None
    found, df = pieces(estimation.model, estimation), estimation.degrees_of_freedom
    sample, implied = (
        [level.cov for (level,) in part] for part in (limited_h1(estimation), limited_implied(estimation))
    )
    if min(np.linalg.eigvalsh(matrix)[0] for matrix in (*sample, *implied)) < SINGULAR:
        return None
    groups, count = found.implied.shape
    change = residual_change(found, found.divisor * inverse)
    statistic = trace = statistic0 = trace0 = 0.0
    for g, (r, p) in enumerate(zip(sample, implied, strict=True)):
        pairs, bend = _curvature(layout, p)
        n, gamma = float(limited(estimation).rows[g]), found.gamma[g]
        statistic += n * _discrepancy(r, p)
        statistic0 += n * _discrepancy(r, np.eye(len(r)))
        trace0 += float(np.trace(gamma[np.ix_(pairs, pairs)]))
        for h in range(groups):
            own = change[g * count + pairs, h * count : (h + 1) * count]
            trace += found.share[g] / found.share[h] * float(np.sum((own.T @ bend @ own) * found.gamma[h]))
    df0 = groups * len(pairs)
    return ChiSquare(statistic, df, trace / df if df else 1.0), ChiSquare(statistic0, df0, trace0 / df0 if df0 else 1.0)


def _discrepancy(r: np.ndarray, p: np.ndarray) -> float:
    left = np.linalg.solve(p, r)
    return float(np.trace(left) - np.linalg.slogdet(left)[1] - len(r))


def _curvature(layout, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which statistics (t,) are correlations, and (t, t) of the discrepancy e'V e of small residuals e: of two pairs ab and cd
    Q_ac Q_bd + Q_ad Q_bc with Q the inverse of P.
    """
    pairs = np.flatnonzero(~layout.own())
    at = {place: i for i, place in enumerate(layout.responses)}
    a, b = (np.array([at[ends[s]] for s in pairs], int) for ends in (layout.row, layout.col))
    q = np.linalg.inv(p)
    return pairs, q[np.ix_(a, a)] * q[np.ix_(b, b)] + q[np.ix_(a, b)] * q[np.ix_(b, a)]
