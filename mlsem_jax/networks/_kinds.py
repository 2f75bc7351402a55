"""The five ways to write a covariance matrix, in NumPy: names, conversions, derived matrices.

The differentiable counterpart is `mlsem_jax.models.Covariance`; a test holds the two together.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax.models import Kind

# the matrix that holds the dependences, and for two kinds the diagonal matrix of scales
CORE: dict[Kind, str] = {"cov": "sigma", "chol": "lowertri", "prec": "kappa", "ggm": "omega", "cor": "rho"}
SCALE: dict[Kind, str] = {"ggm": "delta", "cor": "SD"}


def covariance(kind: Kind, core: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Sigma (d, d) from its core (d, d) and, for ggm and cor, its diagonal matrix of scales (d, d).

    A variable without a diagonal element in kappa has no variance: its row of Sigma is zero.
    """
    eye = np.eye(len(core))
    if kind == "cov":
        return core
    if kind == "chol":
        return core @ core.T
    if kind == "prec":
        exists = np.diag(core) != 0
        out = np.zeros_like(core)
        out[np.ix_(exists, exists)] = np.linalg.inv(core[np.ix_(exists, exists)])
        return out
    inside = np.linalg.inv(eye - core) if kind == "ggm" else eye + core
    return scale @ inside @ scale


def decompose(kind: Kind, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Core and scale matrices (d, d) of a covariance matrix; zero for variables without variance.

    The others must have a positive definite matrix, but for cov and cor. The scale is the identity where a kind has none.
    """
    keep = np.flatnonzero(np.diag(cov) != 0)
    core, scale = np.zeros_like(cov), np.eye(len(cov))
    c, s = _decompose(kind, cov[np.ix_(keep, keep)])
    core[np.ix_(keep, keep)] = c
    if kind in SCALE:
        scale = np.zeros_like(cov)
        scale[keep, keep] = s
    return core, scale


def _decompose(kind: Kind, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ones = np.ones(len(cov))
    if kind == "cov":
        return cov, ones
    if kind == "chol":
        return np.linalg.cholesky(cov), ones
    if kind == "cor":
        sd = np.sqrt(np.diag(cov))
        return cov / np.outer(sd, sd) - np.eye(len(cov)), sd
    kappa = np.linalg.inv(cov)
    kappa = (kappa + kappa.T) / 2
    return (kappa, ones) if kind == "prec" else (partial_correlations(kappa), 1 / np.sqrt(np.diag(kappa)))


def partial_correlations(kappa: np.ndarray) -> np.ndarray:
    """omega_ij = -kappa_ij / sqrt(kappa_ii kappa_jj), zero diagonal."""
    scale = 1 / np.sqrt(np.diag(kappa))
    omega = -kappa * np.outer(scale, scale)
    np.fill_diagonal(omega, 0.0)
    return omega


def derived(cov: np.ndarray) -> dict[str, np.ndarray]:
    """kappa, omega, rho (unit diagonal) and SD of a covariance matrix; empty for a zero matrix.

    Variables without variance have zeros in all of them. NaN where the rest is singular or a variance negative.
    """
    exists = np.diag(cov) != 0
    if not exists.any():
        return {}
    at = np.ix_(exists, exists)
    part, out = cov[at], {}
    with np.errstate(all="ignore"):
        sd = np.sqrt(np.diag(part))
        regular = np.linalg.cond(part / np.abs(np.outer(sd, sd))) < 1e13 if np.all(sd > 0) else False
        kappa = np.linalg.inv(part) if regular else np.full_like(part, np.nan)
        parts = {
            "kappa": kappa,
            "omega": partial_correlations(kappa),
            "rho": part / np.outer(sd, sd),
            "SD": np.diag(sd),
        }
    for name, values in parts.items():
        out[name] = np.zeros_like(cov)
        out[name][at] = values
    return out


def definite(kind: Kind, core: np.ndarray, margin: float = 1e-3) -> bool:
    """Whether a core gives a positive definite covariance matrix, with smallest scaled eigenvalue above `margin`."""
    if kind == "chol":
        return bool(np.all(np.abs(np.diag(core)) > 0))
    matrix = {"ggm": np.eye(len(core)) - core, "cor": np.eye(len(core)) + core}.get(kind, core)
    keep = np.diag(matrix) != 0
    matrix = matrix[np.ix_(keep, keep)]
    diagonal = np.diag(matrix)
    if not len(diagonal) or np.any(diagonal <= 0):
        return not len(diagonal)
    return bool(np.linalg.eigvalsh(matrix / np.sqrt(np.outer(diagonal, diagonal)))[0] > margin)


def make_core_definite(kind: Kind, core: np.ndarray, margin: float = 1e-3) -> np.ndarray:
    """Shrink the elements off the diagonal until `definite`."""
    diagonal = np.diag(np.diag(core))
    for _ in range(60):
        if definite(kind, core, margin):
            return core
        core = diagonal + 0.8 * (core - diagonal)
    return diagonal
