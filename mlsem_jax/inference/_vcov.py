"""Information matrices and sampling covariances of the estimates."""

from __future__ import annotations

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation import Estimation, Fitted, patterns_of
from mlsem_jax.estimation import _kernels as kernels
from mlsem_jax.likelihood import PatternTerm
from mlsem_jax.numerics import float64


@float64
def cluster_log_likelihoods(fitted: Fitted, estimation: Estimation) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood (J,) and score (J, q) of every cluster at the maximum of `fitted`, in the order of the data's clusters.

    Joint log-likelihoods, covariates included; they sum to the log-likelihood and to its gradient in theta.
    """
    structure, padded, q = fitted.problem.structure, fitted.problem.full(fitted.theta), fitted.problem.q
    reduction, data = estimation.reduction, estimation.data
    value, score = np.zeros(data.nclusters), np.zeros((data.nclusters, q))
    if reduction.clusters is not None:
        some, their = kernels.cluster_scores(structure, padded, reduction.clusters)
        value[reduction.complete_codes] = np.asarray(some)
        score[reduction.complete_codes] = np.asarray(their)[:, :q]
    if len(reduction.pattern_codes):
        which = np.isin(np.arange(data.nclusters), reduction.pattern_codes)
        patterns = patterns_of(fitted.build.specification, data, which, by_pair=True)
        some, their = kernels.term_scores(structure, padded, PatternTerm(patterns))
        count = len(reduction.pattern_codes)
        value[reduction.pattern_codes] = np.asarray(some)[:count]
        score[reduction.pattern_codes] = np.asarray(their)[:count, :q]
    return value, score


def scores(fitted: Fitted, estimation: Estimation) -> np.ndarray:
    """Score (J, q) of every cluster at the maximum of `fitted`: derivatives of its log-likelihood in theta."""
    return cluster_log_likelihoods(fitted, estimation)[1]


@float64
def information(fitted: Fitted, estimation: Estimation, kind: str) -> np.ndarray:
    """Total information (q, q) in theta, a sum over clusters: observed, expected or first.order."""
    if kind == "first.order":
        s = scores(fitted, estimation)
        return s.T @ s
    if kind == "expected":
        return fitted.problem.expected(fitted.theta)
    known = fitted.maximum.information if fitted.maximum.observed else None
    return fitted.problem.observed(fitted.theta) if known is None else known


def invert(matrix: np.ndarray, jacobian: np.ndarray | None = None) -> np.ndarray:
    """Z (Z' A Z)^-1 Z' with Z the null space of the constraints' jacobian (c, q); the plain inverse without constraints.

    NaN where the matrix has no information (a singular matrix), so that nothing finite is reported there.
    """
    z = np.eye(len(matrix))
    if jacobian is not None and len(jacobian):
        from scipy.linalg import null_space  # slow to import, and few models have constraints

        z = null_space(jacobian)
    reduced = z.T @ matrix @ z
    diagonal = np.diag(reduced)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = reduced * np.outer(scale, scale)
    if not np.all(np.isfinite(scaled)):
        return np.full_like(matrix, np.nan)
    try:
        inverse = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)
    # the condition number in the 1-norm, which has the inverse at hand
    if len(scaled) and not np.linalg.norm(scaled, 1) * np.linalg.norm(inverse, 1) < 1e14:
        return np.full_like(matrix, np.nan)
    return z @ (inverse * np.outer(scale, scale)) @ z.T


def vcov_theta(estimation: Estimation) -> np.ndarray:
    """Sampling covariance (q, q) of theta under the options of the fit.

    standard: inverse information. robust.huber.white: A^-1 B A^-1 with A the observed information and B the sum over clusters
    of score outer products (Huber 1967; White 1982). bootstrap: of the estimates from resampled clusters. NaN where the model
    is not identified.
    """
    options, model = estimation.options, estimation.model
    if model.maximum.status is Status.NOT_IDENTIFIED:
        # where a search stopped the matrices may be regular all the same: their inverses would be rounding
        return np.full((model.problem.q,) * 2, np.nan)
    if options.se == "bootstrap":
        from mlsem_jax.inference._bootstrap_vcov import bootstrap_vcov  # which needs this module

        return bootstrap_vcov(estimation)
    jacobian = model.maximum.jacobian
    if options.se == "none":
        return np.full((model.problem.q,) * 2, np.nan)
    if options.se == "robust.huber.white":
        kind = "observed" if options.information == "first.order" else options.information
        bread = invert(information(model, estimation, kind), jacobian)
        s = scores(model, estimation)
        return bread @ (s.T @ s) @ bread
    return invert(information(model, estimation, options.information), jacobian)


def vcov_natural(estimation: Estimation, theta: np.ndarray | None = None) -> np.ndarray:
    """Sampling covariance (k, k) of the natural parameters; equality constraints make it singular."""
    model = estimation.model
    k = len(model.build.names)
    basis = model.build.basis[:k, : model.build.free]
    return basis @ (vcov_theta(estimation) if theta is None else theta) @ basis.T
