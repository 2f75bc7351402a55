"""Factor scores of models of one level: posterior means of the latent variables of every row, and Bartlett's."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.prediction._patterns import by_pattern, precision_of
from mlsem_jax.models import LevelMatrices, level_matrices, members

# singular values of the loadings, relative to the largest, below which a latent variable cannot be told from the others
SINGULAR = 1e-8


def scores_of_one_level(
    estimation: Estimation, data: TwoLevelData, at: list[int], method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and their standard errors (N, m) of the latent variables at places `at` of eta, rows in the order of the data.

    method "regression": posterior means and standard deviations. "Bartlett": see `_bartlett`.
    """
    structure, natural = estimation.model.build.structure, estimation.model.natural
    values, se = np.full((len(data.values), len(at)), np.nan), np.full((len(data.values), len(at)), np.nan)
    specification, of = estimation.model.build.specification, data.group[data.cluster]
    for group in range(len(structure.within.nu.base)):
        x = level_matrices(structure, natural, 1, group)
        rows = np.flatnonzero(of == group)
        has = specification.group(group + 1).within.latent
        own = np.flatnonzero([name in has for name in specification.within.latent])
        for seen, here in by_pattern(data.values[rows]):
            y = data.values[rows[here]]
            score = _bartlett if method == "Bartlett" else _regression
            spot = np.ix_(rows[here], own)
            values[spot], se[spot] = score(estimation, x, y, seen, [at[i] for i in own])
    return values, se


def _regression(
    estimation: Estimation, x: LevelMatrices, y: np.ndarray, seen: np.ndarray, at: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    towards = x.eta_cov[at] @ x.lambda_.T
    weight = towards @ precision_of(x, seen)
    deviation = np.where(seen, y - x.mean, 0.0)
    variance = np.diag(x.eta_cov)[at] - np.sum(weight * towards, axis=1)
    return x.eta_mean[at] + deviation @ weight.T, np.broadcast_to(np.sqrt(np.maximum(variance, 0.0)), (len(y), len(at)))


def _bartlett(
    estimation: Estimation, x: LevelMatrices, y: np.ndarray, seen: np.ndarray, at: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised least squares of the observed values on the latent variables l, (A' V^-1 A)^-1 A' V^-1 (y - c) and the roots of
    the diagonal of (A' V^-1 A)^-1, with y = c + A l + e, e ~ N(0, V), from which the distribution of l is left out.

    Observed members of eta, o = a + B_oo o + B_ol l + z, are solved for. NaN where the values seen do not tell the scores apart.
    """
    latent, m = np.array(at, int), x.beta.shape[0]
    other = np.setdiff1d(np.arange(m), latent)
    inner = np.linalg.inv(np.eye(len(other)) - x.beta[np.ix_(other, other)])
    through = x.lambda_[:, other] @ inner
    a = (x.lambda_[:, latent] + through @ x.beta[np.ix_(other, latent)])[seen]
    c = (x.nu + through @ x.alpha[other])[seen]
    v = (through @ x.psi[np.ix_(other, other)] @ through.T + x.theta)[np.ix_(seen, seen)]
    nothing = np.full((len(y), len(at)), np.nan)
    names = members(estimation.model.build.specification, 1)
    if seen.all():
        _check_measured([names[i] for i in at], a, v)
    try:
        left = np.linalg.solve(v, a)
        spread = np.linalg.inv(a.T @ left)
    except np.linalg.LinAlgError:
        return nothing, nothing
    if np.linalg.matrix_rank(a, tol=SINGULAR * max(np.abs(a).max(initial=0.0), 1e-300)) < len(at):
        return nothing, nothing
    error = np.sqrt(np.maximum(np.diag(spread), 0.0))
    return (y[:, seen] - c) @ left @ spread, np.broadcast_to(error, nothing.shape)


def _check_measured(latent: list[str], a: np.ndarray, v: np.ndarray) -> None:
    """ModelError where the latent variables have no Bartlett scores even in a complete row."""
    bare = [name for name, column in zip(latent, a.T, strict=True) if not np.any(column)]
    if bare:
        raise ModelError(
            f"Bartlett scores need observed indicators, which {listing(bare)} has not (its indicators are factors). Use "
            "method='regression'."
        )
    values = np.linalg.eigvalsh(v)
    if values[0] <= SINGULAR * values[-1]:
        raise ModelError(
            "Bartlett scores weight indicators by their residual variances, some of which are zero or negative. Use "
            "method='regression'."
        )
