"""Cluster effects given a cluster's data: the posterior that the likelihood, EM and factor scores share, in NumPy or traced.

Before the rows of a cluster are seen, its effects u are normal with mean c and covariance S. The rows say of them

    log p(rows | u) = b'u - u'A u / 2 + constant.

With T = (I + A S)^-1 A and s = (I + A S)^-1 (b - A c), the information and the score that the rows have for c, u given the rows
is normal with mean c + S s and covariance S - S T S. What depends on the rows through u alone, with prior mean m and covariances
V among themselves and C with u, has mean m + C s and covariance V - C T C' (best linear unbiased prediction; Robinson 1991).

A may be singular, and S singular or, as a formal prior with the same algebra, indefinite.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array
from mlsem_jax.numerics import root, sweep


class EffectInformation(NamedTuple):
    """What the rows of clusters say of their effects: A (..., u, u) and b (..., u); of u - centre where a centre (u,) is given."""

    a: Array
    b: Array
    centre: Array | None = None


class EffectPrior(NamedTuple):
    """Effects, and whatever the rows speak of through them, before the rows: mean (..., v) and covariance (..., v, v)."""

    mean: Array
    cov: Array

    def given(self, xp: ModuleType, observed: Array, values: Array) -> EffectPrior:
        """After those of the first p of v that `observed` (p,) marks were seen: values (..., p), NaN or anything for the others."""
        seen = regression(xp, self.cov, observed)
        deviation = xp.where(observed, values - self.mean[..., : observed.shape[-1]], 0.0)
        return EffectPrior(self.mean + deviation @ xp.swapaxes(seen.map, -1, -2), seen.rest)


class Effects(NamedTuple):
    """The two for the same clusters; or derivatives in their A, b, c and S."""

    rows: EffectInformation
    prior: EffectPrior

    def times(self, weight: Array) -> Effects:
        """Each times the weight (...) of its cluster."""
        one, two = weight[..., None], weight[..., None, None]
        rows = EffectInformation(two * self.rows.a, one * self.rows.b)
        return Effects(rows, EffectPrior(one * self.prior.mean, two * self.prior.cov))


class EffectPosterior(NamedTuple):
    """Given the rows: mean (..., v) and covariance (..., v, v); of their effects slope s (..., u) and information T (..., u, u).

    value (...): log of the integral of exp(b'u - u'A u / 2) over the prior of u; in NumPy it means something only where the
    covariance matrix of the cluster is positive definite (`inside`).
    """

    value: Array
    mean: Array
    cov: Array
    slope: Array
    information: Array


def posterior(xp: ModuleType, prior: EffectPrior, rows: EffectInformation, at: Array | None = None) -> EffectPosterior:
    """Of all v of the prior, of which those at `at` (u,) are the effects; None: all of them."""
    mean, towards = (prior.mean, prior.cov) if at is None else (prior.mean[..., at], prior.cov[..., at])
    centred = mean if rows.centre is None else mean - rows.centre
    value, slope, information = _seen(xp, rows, centred, towards if at is None else towards[..., at, :])
    return EffectPosterior(
        value=value,
        mean=prior.mean + xp.einsum("...vu,...u->...v", towards, slope),
        cov=remaining(xp, prior.cov, towards, information),
        slope=slope,
        information=information,
    )


def _seen(xp: ModuleType, rows: EffectInformation, c: Array, s: Array) -> tuple[Array, Array, Array]:
    """Value, slope and information, as in EffectPosterior.

    I + A S as it stands needs the pivoting of LAPACK, which traced code cannot have. There A = R R' and b = R beta, so that all
    is in the symmetric K = I + R' S R, which is positive definite where the covariance matrix of the cluster is.
    """
    if xp is np:
        unpivoted = np.eye(s.shape[-1]) + rows.a @ s
        inverse = np.linalg.inv(unpivoted)
        centre = _times(rows.a, c)
        rest = rows.b - centre
        slope = _times(inverse, rest)
        quadratic = np.sum(c * (rows.b - 0.5 * centre), -1) + 0.5 * np.sum(_times(s, slope) * rest, -1)
        return quadratic - 0.5 * np.linalg.slogdet(unpivoted)[1], slope, inverse @ rows.a
    r, beta = root(rows.a, rows.b)
    k = jnp.eye(s.shape[-1], dtype=s.dtype) + jnp.swapaxes(r, -1, -2) @ s @ r
    inverse, logdet, _ = sweep(k)
    shifted = beta - jnp.einsum("...uv,...u->...v", r, c)
    solved = jnp.einsum("...uv,...v->...u", inverse, shifted)
    value = -0.5 * (logdet + jnp.sum(shifted * solved, -1) - jnp.sum(beta**2, -1))
    return value, jnp.einsum("...uv,...v->...u", r, solved), r @ inverse @ jnp.swapaxes(r, -1, -2)


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]


def inside(information: np.ndarray, priors: np.ndarray, which: np.ndarray) -> bool:
    """Whether the covariance matrices of all clusters are positive definite, given that those of their rows are (NumPy).

    information (L, u, u): A of the clusters; priors (R, u, u): the different S; which (L,): the S that each cluster has.

    The eigenvalues of I + A S are those of K, and at least 1 + min(0, s) a with s the least one of S and a the greatest of A, which
    is no more than the trace.
    """
    least = min(np.linalg.eigvalsh(priors).min(), 0.0)
    if 1 + least * np.trace(information, axis1=1, axis2=2).max(initial=0.0) > 0:
        return True
    values, vectors = np.linalg.eigh(information)
    r = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    k = np.eye(r.shape[-1]) + np.swapaxes(r, -1, -2) @ priors[which] @ r
    return bool(np.all(np.linalg.eigvalsh(k) > 0))


def by_effects(at: EffectPosterior) -> Effects:
    """Derivatives of `EffectPosterior.value` in A, b, c and S, where all of v are effects."""
    return Effects(
        EffectInformation(a=-0.5 * (at.cov + at.mean[..., :, None] * at.mean[..., None, :]), b=at.mean),
        EffectPrior(mean=at.slope, cov=0.5 * (at.slope[..., :, None] * at.slope[..., None, :] - at.information)),
    )


def remaining(xp: ModuleType, cov: Array, towards: Array, information: Array) -> Array:
    """Covariance (..., v, v) of v after something was seen that has covariances `towards` (..., v, u) with it: V - C T C', with T
    (..., u, u) the precision matrix of what was seen, or the information that it has for the mean of u.
    """
    return cov - towards @ information @ xp.swapaxes(towards, -1, -2)


class Regression(NamedTuple):
    """Of v on what is observed of its first p: map (..., v, p), zero for what is not; covariance of the rest (..., v, v); and
    precision matrix (..., p, p) of what is observed, zero elsewhere, with the log-determinant (...) of its covariance matrix.
    """

    map: Array
    rest: Array
    precision: Array
    logdet: Array


def regression(xp: ModuleType, cov: Array, observed: Array) -> Regression:
    """For the covariance (..., v, v) of v and masks (..., p)."""
    towards = cov[..., : observed.shape[-1]]
    precision, logdet = inverse_of_observed(xp, towards[..., : observed.shape[-1], :], observed)
    return Regression(towards @ precision, remaining(xp, cov, towards, precision), precision, logdet)


def inverse_of_observed(xp: ModuleType, cov: Array, observed: Array) -> tuple[Array, Array]:
    """Inverse of the observed block, zero elsewhere, and its log-determinant, for (..., p, p) and masks (..., p)."""
    both = observed[..., :, None] * observed[..., None, :]
    block = both * cov + xp.eye(cov.shape[-1], dtype=cov.dtype) * (1 - observed)[..., None, :]
    precision, logdet = (np.linalg.inv(block), np.linalg.slogdet(block)[1]) if xp is np else sweep(block)[:2]
    return both * precision, logdet
