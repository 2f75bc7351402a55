"""Expected information under given patterns of missing values (missing completely at random), without dense matrices.

With V = D + Z S Z' the covariance of a cluster's rows (D the observed blocks of Sigma_W, S the between covariance given the
between-only variables) and N = A^-1 - M^-1 in the notation of _patterns, V^-1 = D^-1 - D^-1 Z N Z' D^-1, so that all traces
1/2 tr(V^-1 dV V^-1 dV) reduce to p x p products by pattern and by cluster:

    WW = sum_r tr((n_r W_r - 2 W_r Nbar_r W_r) dW W_r dW) + sum_j tr(N_j X_j N_j X_j),   X_j = sum_r n_jr W_r dW W_r
    WB = sum_j tr((I - N A)' X_j (I - N A) dS),     BB = sum_j tr(T_j dS T_j dS),     T_j = A_j - A_j N_j A_j

where Nbar_r sums n_jr N_j over clusters. Means add dm' T dm, averaged over the between-only variables.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import traces, with_tangents
from mlsem_jax.likelihood._pattern_clusters import between_patterns, row_patterns
from mlsem_jax.models import Moments
from mlsem_jax.numerics import sweep
from mlsem_jax.observed import ClusterChunk, PatternStatistics


def pattern_information(moments: Moments, jacobian: Moments, s: PatternStatistics) -> Float[Array, "q q"]:
    """Expected information (q, q), a sum over clusters; jacobian: derivatives of the moments along a new last axis (q).

    For models without random slopes.
    """
    tangents = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), jacobian)
    between, d_between = with_tangents(lambda m: between_patterns(m, s), moments, tangents)
    rows = row_patterns(moments, s)
    within = tangents.within_cov[:, s.group] * s.observed[:, :, None] * s.observed[:, None, :]
    d_row_mean = tangents.within_mean + tangents.between_mean
    w = rows.precision
    spread = w @ within @ w

    def one(carry, chunk):
        total, by_pattern = carry
        more, pattern_sum = _chunk(w, spread, between, d_between, d_row_mean, s, chunk)
        return (total + more, by_pattern + pattern_sum), None

    q = within.shape[0]
    zero = (jnp.zeros((q, q), w.dtype), jnp.zeros_like(w))
    (total, n_bar), _ = jax.lax.scan(one, zero, s.clusters)
    left = s.rows[:, None, None] * w - 2 * w @ n_bar @ w
    by_rows = 0.5 * traces(left @ within, w @ within)
    outside = _between_only(between, tangents, s)
    return total + (by_rows + by_rows.T) / 2 + outside


def _chunk(w, spread, between, d_between, d_row_mean, s: PatternStatistics, chunk: ClusterChunk):
    """Information of one chunk's clusters and the sum of n_jr N_j by pattern (R, p, p)."""
    length = chunk.group.shape[0]
    count = chunk.products[:, 0, 0]
    a = jax.ops.segment_sum(count[:, None, None] * w[chunk.pattern], chunk.cluster, length)
    observed = s.observed[chunk.pattern] * (count > 0)[:, None]
    seen = jnp.minimum(jax.ops.segment_sum(observed, chunk.cluster, length), 1.0)
    unseen = jnp.eye(a.shape[-1], dtype=a.dtype) * (1 - seen)[:, None, :]
    which = chunk.between_pattern
    cov = seen[:, :, None] * between.cov[which] * seen[:, None, :]
    n = sweep(a + unseen)[0] - sweep(a + a @ cov @ a + unseen)[0]
    t = chunk.weight[:, None, None] * (a - a @ n @ a)
    x = jax.vmap(lambda g: jax.ops.segment_sum(count[:, None, None] * g[chunk.pattern], chunk.cluster, length))(spread)
    ds = d_between.cov[:, which] * chunk.weight[:, None, None]
    nx = n @ x
    ww = traces(nx, nx)
    keep = jnp.eye(a.shape[-1], dtype=a.dtype) - n @ a
    wb = traces(jnp.swapaxes(keep, -1, -2) @ x @ keep, ds)
    tds = t @ ds
    bb = traces(tds, tds)
    # mean of y given z: mu_y - C mu_z + C z; its derivative at z = mu_z, and the part that varies with z
    dm = d_row_mean[:, chunk.group] - jnp.einsum("lui,qli->qlu", between.map[which], d_between.mean[:, which])
    mean = jnp.einsum("qlu,luv,rlv->qr", dm, t, dm)
    dc = d_between.map[:, which]
    dc_cov = jnp.einsum("qlui,lij->qluj", dc, between.cov_between[which])
    varying = jnp.einsum("qluj,luv,rlvj->qr", dc_cov, t, dc)
    n_bar = jax.ops.segment_sum(count[:, None, None] * n[chunk.cluster], chunk.pattern, w.shape[0])
    return 0.5 * (ww + wb + wb.T + bb) + mean + varying, n_bar


def _between_only(between, tangents: Moments, s: PatternStatistics) -> Array:
    """Information of the between-only variables themselves."""
    p = s.observed.shape[-1]
    clusters = s.clusters
    count = jax.ops.segment_sum(clusters.weight.ravel(), clusters.between_pattern.ravel(), s.between_observed.shape[0])
    mask = s.between_observed
    cov = tangents.between_cov[:, s.between_group][:, :, :p, :p] * mask[:, :, None] * mask[:, None, :]
    mean = tangents.between_mean[:, s.between_group][:, :, :p] * mask
    x = between.precision @ cov
    first = traces(count[:, None, None] * x, x)
    return 0.5 * first + jnp.einsum("r,qri,rij,trj->qt", count, mean, between.precision, mean)
