"""The unrestricted model and the baseline by Fisher scoring in coordinates where everything is diagonal.

Given within-only variables x and between-only variables z, the variables y of both levels follow a linear mixed model,

    y_ij = a + Gamma x_ij + C z_j + u_j + e_ij,   e ~ N(0, E),   u ~ N(0, U),

and x and z keep their sample moments. With E = T T' and U = T Lambda T' (one eigenproblem) the responses T^-1 y are independent
given x and z: their regressions are generalised least squares one by one, and the expected information of the elements (i, j) of
E and U is a 2 x 2 matrix, so an iteration costs p^3 whatever the number of parameters. U may be indefinite, as long as E and
every E + nU are positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.observed import CompleteStatistics

DECREMENT = 1e-11
ITERATIONS = 500


@dataclass(frozen=True)
class Sums:
    """Second moments of one group about its grand mean, of variables in the order given.

    within (v, v): pooled within cross-products; size, count (S,): distinct sizes and their clusters; between (S, 1 + v, 1 + v):
    sums of (1, m)(1, m)' over the clusters of a size, m the cluster means; rows, clusters: N and J.
    """

    within: np.ndarray
    size: np.ndarray
    count: np.ndarray
    between: np.ndarray
    rows: float
    clusters: float


class Blocks(NamedTuple):
    """Of the sums those of regressors r = (1, x, z) and responses y: of cluster means by size rr (S, 1 + r, 1 + r), ry and yy, and
    within clusters xx, xy and yy.
    """

    rr: np.ndarray
    ry: np.ndarray
    yy: np.ndarray
    within_xx: np.ndarray
    within_xy: np.ndarray
    within_yy: np.ndarray

    @classmethod
    def of(cls, s: Sums, y: np.ndarray, x: np.ndarray, z: np.ndarray) -> Blocks:
        r = np.concatenate([[0], 1 + x, 1 + z])
        means = s.between[:, r]
        yy = s.between[:, 1 + y][:, :, 1 + y]
        within = (s.within[np.ix_(x, x)], s.within[np.ix_(x, y)], s.within[np.ix_(y, y)])
        return cls(means[:, :, r], means[:, :, 1 + y], yy, *within)


@dataclass(frozen=True)
class State:
    """E, U, regression coefficients (1 + r, y), log-likelihood up to a constant, score step (dE, dU) and its decrement."""

    e: np.ndarray
    u: np.ndarray
    coefficients: np.ndarray
    value: float
    step: tuple[np.ndarray, np.ndarray]
    decrement: float


def sums_of(statistics: CompleteStatistics, group: int, centre: np.ndarray) -> Sums:
    """The sums of one group about `centre` (p,)."""
    s = statistics
    keep = np.asarray(s.count[group]) > 0
    size, count = np.asarray(s.size[group])[keep], np.asarray(s.count[group])[keep]
    mean = np.asarray(s.mean[group])[keep] - centre
    full = np.concatenate([np.ones((len(mean), 1)), mean], axis=1)
    between = count[:, None, None] * full[:, :, None] * full[:, None, :]
    between[:, 1:, 1:] += count[:, None, None] * np.asarray(s.cov[group])[keep]
    return Sums(np.asarray(s.within[group]), size, count, between, float(s.rows[group]), float(s.clusters[group]))


def mixed_model(
    s: Sums, y: np.ndarray, x: np.ndarray, z: np.ndarray, start: tuple[np.ndarray, np.ndarray], diagonal: bool
) -> tuple[State, int, Status]:
    """Maximum likelihood of E, U and the regressions of y on (1, x, z); y, x, z index variables.

    diagonal: E and U are diagonal (every response a model of its own).
    """
    blocks = Blocks.of(s, y, x, z)
    state = _state(s, blocks, *start, diagonal)
    if state is None:
        state = _state(s, blocks, start[0], 0.0 * start[1], diagonal)
    if state is None:
        raise FloatingPointError("the within covariance matrix is not positive definite")
    for iteration in range(1, ITERATIONS + 1):
        length, found = 1.0, None
        while length > 1e-8:
            trial = _state(s, blocks, state.e + length * state.step[0], state.u + length * state.step[1], diagonal)
            if trial is not None and trial.value >= state.value - 1e-12 * abs(state.value):
                found = trial
                break
            length /= 2
        if found is None:
            return state, iteration, Status.CONVERGED if state.decrement < 1e-7 else Status.STALLED
        done = state.decrement < DECREMENT
        state = found
        if done:
            return state, iteration, Status.CONVERGED
    return state, ITERATIONS, Status.ITERATION_LIMIT


def _state(s: Sums, blocks: Blocks, e: np.ndarray, u: np.ndarray, diagonal: bool) -> State | None:
    """Everything at E and U; None outside the domain."""
    try:
        root = np.linalg.cholesky(e)
    except np.linalg.LinAlgError:
        return None
    inverse = np.linalg.inv(root)
    pencil = inverse @ u @ inverse.T
    # a diagonal one in the order of the variables
    values, vectors = (np.diag(pencil), np.eye(len(e))) if diagonal else np.linalg.eigh(pencil)
    t, t_inverse = root @ vectors, vectors.T @ inverse
    d = 1.0 / (1.0 + s.size[:, None] * values)
    if not (d.min() > 0 and d.max() < np.inf):
        return None
    b, within, between = _regressions(s, blocks, t_inverse, d)
    n, contrasts = s.size, s.rows - s.clusters
    once, often = s.count[:, None] * d, n[:, None] * d
    excess = often[:, :, None] * between * d[:, None, :]
    _diagonal(excess)[:] -= once
    g_e, g_u = 0.5 * (within + excess.sum(0)), 0.5 * (n @ excess.reshape(len(n), -1)).reshape(e.shape)
    _diagonal(g_e)[:] -= 0.5 * contrasts
    a0, a1, a2 = once.T @ d + contrasts, once.T @ often, (n[:, None] * once).T @ often
    determinant = a0 * a2 - a1 * a1
    # rounding at the edge of the domain, where the cluster means of one size have no variance left
    if not (determinant > 1e-14 * a0 * a2).all():
        return None
    # one distinct size leaves E and U apart all the same: the contrasts know E alone
    step_e, step_u = 2 * (a2 * g_e - a1 * g_u) / determinant, 2 * (a0 * g_u - a1 * g_e) / determinant
    if diagonal:
        step_e, step_u = (np.diag(np.diag(step)) for step in (step_e, step_u))
    value = -0.5 * (
        s.rows * 2 * np.log(np.diag(root)).sum()
        + np.trace(within)
        - s.count @ np.log(d).sum(axis=1)
        + (often * _diagonal(between)).sum()
    )
    decrement = 0.5 * float((g_e * step_e).sum() + (g_u * step_u).sum())
    return State(e, u, b @ t.T, value, (t @ step_e @ t.T, t @ step_u @ t.T), decrement)


def _diagonal(x: np.ndarray) -> np.ndarray:
    """The diagonals (..., p) of matrices (..., p, p), as a view that can be written to."""
    return np.einsum("...ii->...i", x)


def _regressions(
    s: Sums, blocks: Blocks, t_inverse: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients (1 + r, y) of the transformed responses by generalised least squares; their residual cross-products within
    clusters (y, y) and of cluster means by size (S, y, y).
    """
    m_rr, w_xx, r = blocks.rr, blocks.within_xx, len(blocks.within_xx)
    weight = s.size[:, None] * d
    m_ry = blocks.ry @ t_inverse.T
    m_yy = t_inverse @ blocks.yy @ t_inverse.T
    left = (weight.T @ m_rr.reshape(len(m_rr), -1)).reshape(-1, *m_rr.shape[1:])
    right = (weight[:, None, :] * m_ry).sum(axis=0).T
    w_xy = blocks.within_xy @ t_inverse.T
    left[:, 1 : 1 + r, 1 : 1 + r] += w_xx
    right[:, 1 : 1 + r] += w_xy.T
    b = np.linalg.solve(left, right[:, :, None])[:, :, 0].T
    gamma = b[1 : 1 + r]
    w_yy = t_inverse @ blocks.within_yy @ t_inverse.T
    cross = w_xy.T @ gamma
    within = w_yy - cross - cross.T + gamma.T @ w_xx @ gamma
    mixed = np.swapaxes(m_ry, 1, 2) @ b
    return b, within, m_yy - mixed - np.swapaxes(mixed, 1, 2) + b.T @ m_rr @ b


def block_moments(
    s: Sums,
    y: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
    diagonal: bool,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int, Status]:
    """Moments of one block of variables, saturated (or diagonal) at both levels and unrelated to the other variables.

    sample: within covariance, between covariance (p, p) and mean (p,) of the group by analysis of variance. The result has the
    same form, zero outside the block.
    """
    within, between, mean = sample
    out_within, out_between, out_mean = np.zeros_like(within), np.zeros_like(between), np.array(mean, float)
    s_xx, s_zz = within[np.ix_(x, x)], between[np.ix_(z, z)]
    if diagonal:
        s_xx, s_zz = s_xx * np.eye(len(x)), s_zz * np.eye(len(z))
    out_within[np.ix_(x, x)], out_between[np.ix_(z, z)] = s_xx, s_zz
    if not len(y):
        return (out_within, out_between, out_mean), 0, Status.CONVERGED
    regressors = (np.zeros(0, int), np.zeros(0, int)) if diagonal else (x, z)
    start = _conditional_start(within, between, y, *regressors)
    if diagonal:
        start = (np.diag(np.diag(start[0])), np.diag(np.diag(start[1])))
    state, iterations, status = mixed_model(s, y, *regressors, start, diagonal)
    out_mean[y] += state.coefficients[0]
    # x and z are centred at their own means in `sums_of`, so the intercept is the mean of y
    gamma, c = state.coefficients[1 : 1 + len(regressors[0])], state.coefficients[1 + len(regressors[0]) :]
    out_within[np.ix_(y, y)], out_between[np.ix_(y, y)] = state.e, state.u
    if not diagonal:
        out_within[np.ix_(x, y)], out_between[np.ix_(z, y)] = s_xx @ gamma, s_zz @ c
        out_within[np.ix_(y, x)], out_between[np.ix_(y, z)] = (s_xx @ gamma).T, (s_zz @ c).T
        out_within[np.ix_(y, y)] += gamma.T @ s_xx @ gamma
        out_between[np.ix_(y, y)] += c.T @ s_zz @ c
    return (out_within, out_between, out_mean), iterations, status


def _conditional_start(within, between, y, x, z) -> tuple[np.ndarray, np.ndarray]:
    """E and U that the analysis of variance implies, U made positive definite relative to E."""

    def given(cov, other):
        block = cov[np.ix_(y, y)]
        if not len(other):
            return block
        return block - cov[np.ix_(y, other)] @ np.linalg.solve(cov[np.ix_(other, other)], cov[np.ix_(other, y)])

    e, u = given(within, x), given(between, z)
    values = np.linalg.eigvalsh(e)
    if values[0] <= 1e-10 * values[-1]:
        e = np.diag(np.diag(within)[y])
    root = np.linalg.inv(np.linalg.cholesky(e))
    values, vectors = np.linalg.eigh(root @ u @ root.T)
    back = np.linalg.inv(root) @ vectors
    return e, (back * np.maximum(values, 0.01)) @ back.T
