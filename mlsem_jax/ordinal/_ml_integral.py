"""The log-likelihood of a cluster of ordered (and continuous) answers: an integral over its random effects of integrals over its
rows' latent variables.

    l_j = log INT phi(z) prod_i p_i(z) dz,   p_i(z) = f(c_i | z) INT phi(w) prod_k P(y_ik | z, w) dw

Level 2 by adaptive Gauss-Hermite quadrature about the mode of each cluster (Liu & Pierce 1994; Rabe-Hesketh, Skrondal & Pickles
2005), with one point Laplace's approximation; level 1 by a trapezoid rule whose nodes all rows share, so that the categories'
probabilities are computed once for a cluster and rows pick theirs.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.ordinal._ml_category import limits, log_category
from mlsem_jax.ordinal._ml_conditional import Conditional, root_at
from mlsem_jax.ordinal._ml_layout import Layout, hermite, trapezoid

# steps to the mode of a cluster; the longest one, in prior standard deviations; and where it is near enough
STEPS, LONGEST, NEAR = 30, 1.5, 1e-5


class Cluster(eqx.Module):
    """The rows of one cluster, or (leading axis J) of several: answers (n, o), -1 where missing; how often a row counts (n,), 0 for
    padding; covariates of level 1 (n, q1) and of random slopes (n, r), continuous outcomes (n, c); covariates of level 2 (q2,).
    """

    answers: Int[Array, "n o"]
    often: Float[Array, " n"]
    within_x: Float[Array, "n q1"]
    slope_x: Float[Array, "n r"]
    continuous: Float[Array, "n c"]
    between_x: Float[Array, " q2"]


class _Predictor(eqx.Module):
    """Linear predictors of the ordered outcomes of a cluster's rows, offset (n, o) and loadings on z (n, o, m2), n = 1 where all rows
    have the same; residuals (n, c) of the continuous ones and their loadings (n, c, m2).
    """

    offset: Array
    loading: Array
    residual: Array
    residual_loading: Array


def _predictor(at: Conditional, layout: Layout, cluster: Cluster) -> _Predictor:
    count, total = len(layout.ordered), len(layout.outcomes)
    about = cluster.between_x - at.between_mean
    between = at.on_between @ about
    rows = (cluster.within_x - at.within_mean) @ at.on_within.T if layout.aligned else jnp.zeros((1, total))
    mean = at.mean + between[:total] + rows
    loading = jnp.broadcast_to(at.between_root[:total], (mean.shape[0], *at.between_root[:total].shape))
    if layout.slopes:
        slope = at.slope_mean + between[total:]
        mean = mean + (cluster.slope_x * slope) @ at.directions
        loading = loading + jnp.einsum("nr,rp,rm->npm", cluster.slope_x, at.directions, at.between_root[total:])
    residual = cluster.continuous - mean[:, count:] if layout.continuous else jnp.zeros((mean.shape[0], 0))
    own = loading[:, count:]
    offset = mean[:, :count] + residual @ at.on_continuous.T
    return _Predictor(offset, loading[:, :count] - jnp.einsum("oc,ncm->nom", at.on_continuous, own), residual, own)


def _answers(at: Conditional, layout: Layout, cluster: Cluster, eta: Array) -> Array:
    """Sum over the outcomes of log P(answer | eta): (n, Q) from predictors (n or 1, o, Q)."""
    k, cuts = max(layout.categories), at.cuts * at.scale[:, None]
    real = np.array([[t < c - 1 for t in range(k - 1)] for c in layout.categories])
    from_below = jnp.where(real, cuts, 0.0)
    if not layout.aligned:
        lower, upper = _category_limits(from_below, real, eta[0] * at.scale[:, None], k)
        table = log_category(lower, upper, layout.link)
        chosen = (cluster.answers[:, :, None] == jnp.arange(k)).astype(eta.dtype)
        return jnp.einsum("nok,oqk->nq", chosen, table)
    lower, upper = limits(jnp.where(real, cuts, 2 * 1e3), k)
    answer = jnp.maximum(cluster.answers, 0)
    pick = jax.vmap(lambda row: (lower[jnp.arange(len(row)), row], upper[jnp.arange(len(row)), row]))
    low, high = pick(answer)
    shift = eta * at.scale[:, None]
    bound = 1e3
    low, high = (jnp.where(jnp.abs(x)[:, :, None] >= bound, x[:, :, None], x[:, :, None] - shift) for x in (low, high))
    found = log_category(low, high, layout.link)
    return jnp.sum(jnp.where((cluster.answers >= 0)[:, :, None], found, 0.0), axis=1)


def _category_limits(cuts: Array, real: np.ndarray, shift: Array, k: int) -> tuple[Array, Array]:
    """Limits (o, Q, k) of every category at predictors (o, Q); categories that a variable lacks are empty ones beyond all others."""
    far = jnp.where(real[:, None, :], cuts[:, None, :] - shift[:, :, None], 1e3)
    return limits(far, k)


def log_rows(at: Conditional, layout: Layout, cluster: Cluster, z: Float[Array, "Q m2"]) -> Float[Array, " Q"]:
    """Sum over a cluster's rows of log p_i(z), each as often as it counts."""
    predictor = _predictor(at, layout, cluster)
    eta = predictor.offset[:, :, None] + jnp.einsum("nom,qm->noq", predictor.loading, z)
    if layout.within_pivots:
        w, logw = trapezoid(layout.points[1], len(layout.within_pivots))
        inner = at.within_root @ w.T
        both = (eta[:, :, :, None] + inner[:, None, :]).reshape(*eta.shape[:2], -1)
        by_node = _answers(at, layout, cluster, both).reshape(-1, z.shape[0], len(logw))
        found = jax.scipy.special.logsumexp(by_node + logw, axis=-1)
    else:
        found = _answers(at, layout, cluster, eta)
    if layout.continuous:
        left = predictor.residual[:, None, :] - jnp.einsum("ncm,qm->nqc", predictor.residual_loading, z)
        distance = jnp.einsum("nqc,cd,nqd->nq", left, at.precision, left)
        found = found - 0.5 * (distance + at.logdet + len(layout.continuous) * jnp.log(2 * jnp.pi))
    return cluster.often @ found


def _joint(z: Array, at: Conditional, layout: Layout, cluster: Cluster) -> Array:
    """log p(y, z) less its constant."""
    return log_rows(at, layout, cluster, z[None])[0] - 0.5 * z @ z


def mode(at: Conditional, layout: Layout, cluster: Cluster) -> Float[Array, " m2"]:
    """Where a cluster's integrand is highest: Newton's method on a concave function. Not to be differentiated."""
    m = len(layout.between_pivots)
    slope, bend = jax.grad(_joint), jax.hessian(_joint)

    def step(state: Any) -> Any:
        z, _, count = state
        inverse, _ = inverse_and_logdet(jnp, -bend(z, at, layout, cluster))
        move = inverse @ slope(z, at, layout, cluster)
        size = jnp.sqrt(move @ move)
        return z + move * jnp.minimum(1.0, LONGEST / jnp.maximum(size, 1e-12)), size, count + 1

    def go_on(state: Any) -> Any:
        return (state[1] > NEAR) & (state[2] < STEPS)

    return jax.lax.while_loop(go_on, step, (jnp.zeros(m), jnp.asarray(jnp.inf), 0))[0]


def cluster_log_likelihood(at: Conditional, layout: Layout, cluster: Cluster, centre: Float[Array, " m2"]) -> Array:
    """l_j by the rule about a centre that `mode` found. With few points the derivative follows the rule as it moves: one more Newton
    step at the mode is none, but has the mode's derivative.
    """
    m = len(layout.between_pivots)
    if not m:
        return log_rows(at, layout, cluster, jnp.zeros((1, 0)))[0]
    x, logw = hermite(layout.points[0], m)
    held = at if layout.moving else jax.lax.stop_gradient(at)
    centre = jax.lax.stop_gradient(centre)
    if layout.moving:
        inverse, _ = inverse_and_logdet(jnp, -jax.hessian(_joint)(centre, jax.lax.stop_gradient(at), layout, cluster))
        centre = centre + inverse @ jax.grad(_joint)(centre, at, layout, cluster)
    spread, logdet = inverse_and_logdet(jnp, -jax.hessian(_joint)(centre, held, layout, cluster))
    root, _ = root_at(spread, tuple(range(m)))
    z = centre + x @ root.T
    value = log_rows(at, layout, cluster, z) - 0.5 * jnp.sum(z * z, axis=1) + 0.5 * np.sum(x * x, axis=1)
    return jax.scipy.special.logsumexp(value + logw) - 0.5 * logdet
