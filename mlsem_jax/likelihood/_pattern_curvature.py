"""Second derivatives of the log-likelihood by pattern, without differentiating through the clusters.

Let A, b, c and S of a cluster (see _effects) move in a direction d. With the posterior mean m and covariance M of u, with
s, T and P = I - T S, and with alpha = db - dA m, gamma = dc + dS s, the second derivative of log L_j along two directions is

    alpha1' M alpha2 + alpha1' P' gamma2 + gamma1' P alpha2 - gamma1' T gamma2
    + 1/2 [tr(dA1 M dA2 M) - tr(dA1 P' dS2 P) - tr(dS1 P dA2 P') + tr(dS1 T dS2 T)],

which follows from dm = M alpha + P' gamma and ds = P alpha - T gamma: what Louis (1982) calls the missing information. Sums over
clusters are products of matrices, one row for each direction. The second derivatives of A, b, c and S themselves come from
the function of the moments that is linear in them, `expected_by_pattern`.
"""

from __future__ import annotations

from types import ModuleType

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import product, traces
from mlsem_jax.likelihood._effects import Effects, posterior
from mlsem_jax.likelihood._pattern_clusters import cluster_effects, effects_along
from mlsem_jax.models import Moments
from mlsem_jax.observed import ClusterChunk, PatternStatistics


def missing_curvature(moments: Moments, jacobian: Moments, s: PatternStatistics) -> Float[Array, "q q"]:
    """Second derivatives (q, q) of the log-likelihood, summed over clusters, as if A, b, c and S of each were linear in the
    moments: what their own second derivatives add is in `expected_by_pattern`.

    jacobian: derivatives of the moments along a new last axis (q).
    """
    tangents = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), jacobian)
    with_derivatives = effects_along(moments, tangents, s)

    def one(total, chunk: ClusterChunk):
        here, along = with_derivatives(chunk, cluster_effects)
        return total + louis(here, along, chunk.weight), None

    q = jax.tree.leaves(tangents)[0].shape[0]
    return jax.lax.scan(one, jnp.zeros((q, q), moments.mean.dtype), s.clusters)[0]


def louis(x: Effects, d: Effects, weight: Array, xp: ModuleType = jnp) -> Array:
    """The formula above for the clusters of one chunk; d has a leading axis of directions."""
    at = posterior(xp, x.prior, x.rows)
    d_a, d_s = d.rows.a, d.prior.cov
    p = xp.eye(d_a.shape[-1], dtype=d_a.dtype) - at.information @ x.prior.cov
    alpha = d.rows.b - xp.einsum("qluv,lv->qlu", d_a, at.mean)
    gamma = d.prior.mean + xp.einsum("qluv,lv->qlu", d_s, at.slope)
    w = weight[:, None, None]

    def flat(x):
        return x.reshape(x.shape[0], -1)

    on_alpha = xp.einsum("luv,qlv->qlu", w * at.cov, alpha) + xp.einsum("lvu,qlv->qlu", w * p, gamma)
    on_gamma = xp.einsum("luv,qlv->qlu", w * p, alpha) - xp.einsum("luv,qlv->qlu", w * at.information, gamma)
    effects = product(flat(alpha), flat(on_alpha).T) + product(flat(gamma), flat(on_gamma).T)
    am, st = d_a @ at.cov, d_s @ at.information
    crossed = traces(p @ d_a @ xp.swapaxes(p, -1, -2), w * d_s)
    return effects + 0.5 * (traces(w * am, am) + traces(w * st, st) - crossed - crossed.T)
