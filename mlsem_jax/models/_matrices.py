"""The model matrices of one level and group as NumPy arrays, and the closed-form derivatives of the moments in their elements.

Automatic differentiation gives the same numbers (a test holds them equal), but would have to be compiled anew for every
number of parameters: with these forms indices, residuals and standardized solutions cost milliseconds from the first call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.models._covariance import CovarianceKind, kind_named
from mlsem_jax.models._scales import residual_slopes
from mlsem_jax.models._structure import Covariance, Filled, LevelStructure, Structure


@dataclass(frozen=True, eq=False)
class LevelMatrices:
    """nu (p,), alpha (m,), lambda_ (p, m), beta (m, m), psi (m, m), theta (p, p) of one level and group at some estimates.

    paths (p, m) = Lambda (I - B)^-1; eta_cov (m, m), eta_mean (m,): moments of eta.
    """

    nu: np.ndarray
    alpha: np.ndarray
    lambda_: np.ndarray
    beta: np.ndarray
    psi: np.ndarray
    theta: np.ndarray
    total: np.ndarray
    eta_cov: np.ndarray
    eta_mean: np.ndarray

    @property
    def paths(self) -> np.ndarray:
        return self.lambda_ @ self.total

    @property
    def cov(self) -> np.ndarray:
        """Model-implied covariance of the observed variables (p, p); zero rows for those that the level does not have."""
        return self.lambda_ @ self.eta_cov @ self.lambda_.T + self.theta

    @property
    def mean(self) -> np.ndarray:
        return self.nu + self.lambda_ @ self.eta_mean


def fill(filled: Filled, natural: np.ndarray, group: int) -> np.ndarray:
    """One group's matrix with its free elements taken from the natural parameters."""
    index, base = np.asarray(filled.index)[group], np.asarray(filled.base)[group]
    return np.where(index >= 0, natural[np.maximum(index, 0)], base) if len(natural) else base.copy()


def kinds_of(structure: Structure, level: int) -> tuple[CovarianceKind, CovarianceKind]:
    """The parametrisation of Psi and Theta of a level."""
    block = structure.levels[level - 1]
    psi, theta = (kind_named(None) if part.kind is None else part.kind.kind for part in (block.psi, block.theta))
    return psi, theta


def covariance(block: Covariance, kind: CovarianceKind, natural: np.ndarray, group: int) -> np.ndarray:
    """The covariance matrix of a block under its parametrisation."""
    core = fill(block.core, natural, group)
    return core if block.scale is None else kind.covariance(np, core, fill(block.scale, natural, group))


def level_matrices(structure: Structure, natural: np.ndarray, level: int, group: int) -> LevelMatrices:
    """The matrices of a level (1 or 2) and group (from 0) at the natural parameters (k,)."""
    block = structure.levels[level - 1]
    psi_kind, theta_kind = kinds_of(structure, level)
    nu, alpha, lambda_, beta = (fill(f, natural, group) for f in (block.nu, block.alpha, block.lambda_, block.beta))
    psi = covariance(block.psi, psi_kind, natural, group)
    theta = covariance(block.theta, theta_kind, natural, group)
    total = np.linalg.inv(np.eye(len(beta)) - beta)
    if block.scales is not None:
        _, psi, theta = block.scales.of_one(natural, group, lambda_ @ total, psi, theta)
    return LevelMatrices(nu, alpha, lambda_, beta, psi, theta, total, total @ psi @ total.T, total @ alpha)


@dataclass(frozen=True, eq=False)
class Directions:
    """Derivatives in t elements of the matrices of one level and group: d Sigma = left right' + right left' and d mean,
    each (t, p); the same of eta, (t, m). index (t,): the natural parameter of each element.
    """

    index: np.ndarray
    left: np.ndarray
    right: np.ndarray
    mean: np.ndarray
    eta_left: np.ndarray
    eta_right: np.ndarray

    @staticmethod
    def join(parts: list[Directions]) -> Directions:
        return Directions(*(np.concatenate([getattr(p, f) for p in parts]) for f in Directions.__dataclass_fields__))


def directions(structure: Structure, natural: np.ndarray, level: int, group: int) -> Directions:
    """All free elements of a level and group. Every element changes the covariance matrices by a symmetrised rank-one term."""
    x = level_matrices(structure, natural, level, group)
    block = structure.levels[level - 1]
    psi_kind, theta_kind = kinds_of(structure, level)
    p, m = x.lambda_.shape
    paths, through = x.paths, x.lambda_ @ x.eta_cov

    def spots(filled: Filled) -> tuple[np.ndarray, ...]:
        index = np.asarray(filled.index)[group]
        at = np.nonzero(index >= 0)
        return (index[at], *at)

    def part(index, left=None, right=None, mean=None, eta_left=None, eta_right=None) -> Directions:
        t = len(index)
        zero_p, zero_m = np.zeros((t, p)), np.zeros((t, m))
        given = [zero_p if a is None else a for a in (left, right, mean)]
        return Directions(index, *given, *(zero_m if a is None else a for a in (eta_left, eta_right)))

    k, i = spots(block.nu)
    parts = [part(k, mean=np.eye(p)[i])]
    k, i = spots(block.alpha)
    parts.append(part(k, mean=paths.T[i]))
    k, i, j = spots(block.lambda_)
    parts.append(part(k, np.eye(p)[i], through.T[j], np.eye(p)[i] * x.eta_mean[j, None]))
    k, i, j = spots(block.beta)
    parts.append(part(k, paths.T[i], through.T[j], paths.T[i] * x.eta_mean[j, None], x.total.T[i], x.eta_cov[j]))
    for k, left, right in covariance_directions(block.psi, psi_kind, natural, group):
        eta_left, eta_right = left @ x.total.T, right @ x.total.T
        parts.append(part(k, eta_left @ x.lambda_.T, eta_right @ x.lambda_.T, None, eta_left, eta_right))
    parts += [part(k, left, right) for k, left, right in covariance_directions(block.theta, theta_kind, natural, group)]
    slopes = residual_slopes(structure, natural, level, group)
    if slopes is not None:  # residual variances that follow move the variances too
        v, k = np.nonzero(slopes)
        parts.append(part(k, *_along_residuals(block, x, group, v, 0.5 * slopes[v, k])))
    return Directions.join(parts)


def _along_residuals(
    block: LevelStructure, x: LevelMatrices, group: int, v: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray | None, ...]:
    """left and right (t, p), no mean, and those of eta (t, m), of changes of twice `size` (t,) in residual variances v (t,)."""
    p, m = x.lambda_.shape
    assert block.scales is not None
    if block.scales.member is None:
        y, eta = np.eye(p)[v], np.zeros((len(v), m))
    else:
        member = np.asarray(block.scales.member)[group][v]
        eta = member @ x.total.T
        y = np.where(member.any(axis=1)[:, None], eta @ x.lambda_.T, np.eye(p)[v])
    return size[:, None] * y, y, None, size[:, None] * eta, eta


def covariance_directions(
    block: Covariance, kind: CovarianceKind, natural: np.ndarray, group: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(natural parameter, left, right) of the free elements of a covariance block: d Sigma = left right' + right left', summed
    over the rows of a parameter.
    """
    index = np.asarray(block.core.index)[group]
    i, j = np.nonzero(np.tril(index >= 0))
    core = fill(block.core, natural, group)
    scale = np.ones(len(core)) if block.scale is None else fill(block.scale, natural, group)
    element, left, right = kind.core_terms(core, scale, i, j)
    out = [(index[i, j][element], left, right)]
    if kind.scale is not None and block.scale is not None:
        scales = np.asarray(block.scale.index)[group]
        (s,) = np.nonzero(scales >= 0)
        element, left, right = kind.scale_terms(core, scale, s)
        out.append((scales[s][element], left, right))
    return out


def sum_by_parameter(index: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """(k, ...): the rows (t, ...) added up by natural parameter; elements that share one count together."""
    out = np.zeros((k, *rows.shape[1:]))
    if len(np.unique(index)) == len(index):
        out[index] = rows
    else:
        np.add.at(out, index, rows)
    return out
