"""Expected information under given patterns of missing values (missing completely at random), without dense matrices.

With V = D + Z S Z' the covariance of a cluster's rows (D the observed blocks of Sigma_W, S the between covariance given the
between-only variables) and N = A^-1 - M^-1 in the notation of _patterns, V^-1 = D^-1 - D^-1 Z N Z' D^-1, so that all traces
1/2 tr(V^-1 dV V^-1 dV) reduce to p x p products by pattern and by cluster:

    WW = sum_r tr((n_r W_r - 2 W_r Nbar_r W_r) dW W_r dW) + sum_j tr(N_j X_j N_j X_j),   X_j = sum_r n_jr W_r dW W_r
    WB = sum_j tr((I - N A)' X_j (I - N A) dS),     BB = sum_j tr(T_j dS T_j dS),     T_j = A_j - A_j N_j A_j

where Nbar_r sums n_jr N_j over clusters. Means add dm' T dm, averaged over the between-only variables.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import product, traces
from mlsem_jax.likelihood._pairs import Pairs, sums_by
from mlsem_jax.likelihood._pattern_clusters import Between, between_patterns, row_patterns
from mlsem_jax.models import Moments, PlainParts
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.observed import ClusterChunk, PatternStatistics


def pattern_information(
    moments: Moments | PlainParts,
    jacobian: Moments | PlainParts,
    s: PatternStatistics | Any,
    xp: ModuleType = jnp,
    clusters: Any = None,
) -> Float[Array, "q q"]:
    """Expected information (q, q), a sum over clusters; jacobian: derivatives of the moments along a new last axis (q).

    For models without random slopes. In NumPy the clusters come as one chunk.
    """
    d_within, d_between_cov = (xp.moveaxis(x, -1, 0) for x in (jacobian.within_cov, jacobian.between_cov))
    d_row_mean, d_between_mean = (xp.moveaxis(x, -1, 0) for x in (jacobian.mean, jacobian.between_mean))
    between, rows = between_patterns(moments, s, xp), row_patterns(moments, s, xp)
    d_between = _along(between, d_between_cov, d_between_mean, s, xp)
    within = d_within[:, s.group] * s.observed[:, :, None] * s.observed[:, None, :]
    w = rows.precision
    spread = w @ within @ w

    def chunk_of(chunk):
        return _chunk(w, spread, between, d_between, d_row_mean, s, chunk, xp)

    if xp is jnp:
        total, n_bar = _over_chunks(chunk_of, within.shape[0], w, s.clusters)
        clusters = s.clusters
    else:
        total, n_bar = chunk_of(clusters)
    left = s.rows[:, None, None] * w - 2 * w @ n_bar @ w
    by_rows = 0.5 * traces(left @ within, w @ within)
    outside = _between_only(between, d_between_cov, d_between_mean, s, clusters, xp)
    return total + (by_rows + by_rows.T) / 2 + outside


def _over_chunks(function, q: int, w: Array, clusters: ClusterChunk) -> Any:
    """Sums over the chunks of what the function makes of one: (q, q) and the shape of w."""

    def one(carry, chunk):
        return jax.tree.map(jnp.add, carry, function(chunk)), None

    return jax.lax.scan(one, (jnp.zeros((q, q), w.dtype), jnp.zeros_like(w)), clusters)[0]


def _along(between: Between, d_cov: Array, d_mean: Array, s: PatternStatistics | Any, xp: ModuleType) -> Any:
    """Derivatives of what u is given z: of its covariance and map (q, Rb, ...), and of the mean of z (q, Rb, p).

    With the regression C = S P of all on z and Q = I - C: dC = Q dS P and the covariance of the rest moves by Q dS Q'.
    """
    turn = xp.eye(between.map.shape[-2], dtype=between.map.dtype) - between.map
    d = d_cov[:, s.between_group]
    mean = d_mean[:, s.between_group] * s.between_observed
    return turn @ d @ xp.swapaxes(turn, -1, -2), turn @ d @ between.precision, mean


def _chunk(w, spread, between, d_between, d_row_mean, s, chunk: ClusterChunk | Any, xp: ModuleType):
    """Information of one chunk's clusters and the sum of n_jr N_j by pattern (R, p, p)."""
    length = chunk.group.shape[0]
    d_cov, d_map, d_z = d_between
    q, patterns, p = spread.shape[:3]
    pairs = Pairs(chunk, patterns, xp)

    def by_cluster(what, x):
        """Sums (L, n) over the pairs of what they hold times x (R, ...) of the pattern."""
        return pairs.to_clusters(what, x.reshape(patterns, 1, -1))

    a = by_cluster("number", w).reshape(length, p, p)
    seen = xp.minimum(by_cluster("occupied", s.observed), 1.0)
    unseen = xp.eye(a.shape[-1], dtype=a.dtype) * (1 - seen)[:, None, :]
    which = chunk.between_pattern
    cov = seen[:, :, None] * between.cov[which] * seen[:, None, :]
    n = inverse_and_logdet(xp, a + unseen)[0] - inverse_and_logdet(xp, a + a @ cov @ a + unseen)[0]
    t = chunk.weight[:, None, None] * (a - a @ n @ a)
    x = xp.moveaxis(by_cluster("number", xp.moveaxis(spread, 0, 1)).reshape(length, q, p, p), 1, 0)
    ds = d_cov[:, which] * chunk.weight[:, None, None]
    nx = n @ x
    ww = traces(nx, nx)
    keep = xp.eye(a.shape[-1], dtype=a.dtype) - n @ a
    wb = traces(xp.swapaxes(keep, -1, -2) @ x @ keep, ds)
    tds = t @ ds
    bb = traces(tds, tds)
    # mean of y given z: mu_y - C mu_z + C z; its derivative at z = mu_z, and the part that varies with z
    dm = d_row_mean[:, chunk.group] - (between.map @ d_z[..., None])[..., 0][:, which]
    mean = product(_flat((t @ dm[..., None])[..., 0]), _flat(dm).T)
    dc = d_map[:, which]
    varying = product(_flat(t @ dc @ between.cov_between[which]), _flat(dc).T)
    n_bar = pairs.to_patterns("number", n)
    return 0.5 * (ww + wb + wb.T + bb) + mean + varying, n_bar


def _flat(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)


def _between_only(between: Between, d_cov: Array, d_mean: Array, s, clusters: Any, xp: ModuleType) -> Array:
    """Information of the between-only variables themselves."""
    count = sums_by(xp, clusters.weight.ravel(), clusters.between_pattern.ravel(), s.between_observed.shape[0])
    mask = s.between_observed
    cov = d_cov[:, s.between_group] * mask[:, :, None] * mask[:, None, :]
    mean = d_mean[:, s.between_group] * mask
    x = between.precision @ cov
    first = traces(count[:, None, None] * x, x)
    return 0.5 * first + _flat(count[:, None] * mean) @ _flat((between.precision @ mean[..., None])[..., 0]).T
