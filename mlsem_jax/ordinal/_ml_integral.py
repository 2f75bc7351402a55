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
from mlsem_jax.ordinal._ml_category import BEYOND, log_category
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


def _cells(at: Conditional, layout: Layout, cluster: Cluster, z: Float[Array, "Q m2"]) -> Float[Array, "cells QR"]:
    """Log-probabilities at all nodes, those of level 2 by those of level 1: of every category of every ordered outcome where rows differ
    in their answers alone (o k, Q R), else of every answer, and the log-density of the continuous outcomes of a row, (n (o + 1), Q R).
    """
    predictor = _predictor(at, layout, cluster)
    eta = predictor.offset[:, :, None] + jnp.einsum("nom,qm->noq", predictor.loading, z)
    w, _ = trapezoid(layout.points[1], len(layout.within_pivots))
    eta = eta[:, :, :, None] + (at.within_root @ w.T)[:, None, :]
    eta = eta.reshape(*eta.shape[:2], -1) * at.scale[:, None]
    k, cuts = max(layout.categories), at.cuts * at.scale[:, None]
    real = np.array([[t < c - 1 for t in range(k - 1)] for c in layout.categories])
    if not layout.aligned:
        far = jnp.where(real[:, :, None], cuts[:, :, None] - eta[0][:, None, :], BEYOND)
        ends = jnp.full_like(far[:, :1], BEYOND)
        upper, lower = jnp.concatenate([far, ends], axis=1), jnp.concatenate([-ends, far], axis=1)
        return log_category(lower, upper, layout.link).reshape(-1, eta.shape[-1])
    answer = jnp.maximum(cluster.answers, 0)
    ends = jnp.full_like(cuts[:, :1], 2 * BEYOND)
    limits = jnp.concatenate([-ends, jnp.where(real, cuts, 2 * BEYOND), ends], axis=1)
    places = jnp.arange(len(layout.ordered))
    low, high = (limits[places, answer + i][:, :, None] for i in (0, 1))
    low, high = (jnp.where(jnp.abs(x) > BEYOND, jnp.sign(x) * BEYOND, x - eta) for x in (low, high))
    found = jnp.where((cluster.answers >= 0)[:, :, None], log_category(low, high, layout.link), 0.0)
    if layout.continuous:
        left = predictor.residual[:, None, :] - jnp.einsum("ncm,qm->nqc", predictor.residual_loading, z)
        distance = jnp.einsum("nqc,cd,nqd->nq", left, at.precision, left)
        density = -0.5 * (distance + at.logdet + len(layout.continuous) * np.log(2 * np.pi))
        density = jnp.repeat(density, len(w), axis=1)[:, None, :]
        found = jnp.concatenate([found, density], axis=1)
    return found.reshape(-1, found.shape[-1])


def _of_rows(layout: Layout, cluster: Cluster, cells: Array) -> Float[Array, "n QR"]:
    """Sums of the cells of each row; linear, so that it serves their derivatives too."""
    if layout.aligned:
        return jnp.sum(cells.reshape(cluster.often.shape[0], -1, cells.shape[-1]), axis=1)
    return _choice(layout, cluster, cells.dtype) @ cells


def _choice(layout: Layout, cluster: Cluster, dtype: Any) -> Float[Array, "n ok"]:
    """1 where a row has the category."""
    chosen = cluster.answers[:, :, None] == jnp.arange(max(layout.categories))
    return chosen.reshape(chosen.shape[0], -1).astype(dtype)


def log_rows(at: Conditional, layout: Layout, cluster: Cluster, z: Float[Array, "Q m2"]) -> Float[Array, " Q"]:
    """Sum over a cluster's rows of log p_i(z), each as often as it counts."""
    _, logw = trapezoid(layout.points[1], len(layout.within_pivots))
    by_node = _of_rows(layout, cluster, _cells(at, layout, cluster, z)).reshape(-1, z.shape[0], len(logw))
    return cluster.often @ jax.scipy.special.logsumexp(by_node + logw, axis=-1)


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


def _nodes(at: Conditional, layout: Layout, cluster: Cluster) -> tuple[Float[Array, "Q m2"], Float[Array, " Q"]]:
    """Nodes of level 2 and their log-weights, the normal density and the rule's scale included, about the mode of the cluster.

    Many nodes are held fixed where the integral is differentiated. With few the derivative follows the rule as it moves: one more
    Newton step at the mode is none, but has the mode's derivative.
    """
    m = len(layout.between_pivots)
    if not m:
        return jnp.zeros((1, 0)), jnp.zeros(1)
    x, logw = hermite(layout.points[0], m)
    still = jax.lax.stop_gradient(at)
    centre = jax.lax.stop_gradient(mode(still, layout, cluster))
    held = at if layout.moving else still
    if layout.moving:
        inverse, _ = inverse_and_logdet(jnp, -jax.hessian(_joint)(centre, still, layout, cluster))
        centre = centre + inverse @ jax.grad(_joint)(centre, at, layout, cluster)
    spread, logdet = inverse_and_logdet(jnp, -jax.hessian(_joint)(centre, held, layout, cluster))
    root, _ = root_at(spread, tuple(range(m)))
    z = centre + x @ root.T
    return z, logw + 0.5 * np.sum(x * x, axis=1) - 0.5 * jnp.sum(z * z, axis=1) - 0.5 * logdet


def cluster_log_likelihood(at: Conditional, layout: Layout, cluster: Cluster) -> Float[Array, ""]:
    z, logw = _nodes(at, layout, cluster)
    return jax.scipy.special.logsumexp(log_rows(at, layout, cluster, z) + logw)


class Posterior(eqx.Module):
    """Of one cluster, at nodes (Q, m2) held fixed: their probabilities (Q,) and those of each row's nodes given them (n, Q, R), given
    the data.
    """

    nodes: Float[Array, "Q m2"]
    share: Float[Array, " Q"]
    inner: Float[Array, "n Q R"]

    def weight(self, layout: Layout, cluster: Cluster) -> Float[Array, "cells QR"]:
        """How often each cell counts at each node."""
        rows = ((cluster.often[:, None] * self.share)[:, :, None] * self.inner).reshape(self.inner.shape[0], -1)
        if not layout.aligned:
            return _choice(layout, cluster, rows.dtype).T @ rows
        return jnp.repeat(rows, len(layout.ordered) + bool(layout.continuous), axis=0)


def posterior(at: Conditional, layout: Layout, cluster: Cluster) -> Posterior:
    z, logw2 = _nodes(jax.lax.stop_gradient(at), layout, cluster)
    _, logw1 = trapezoid(layout.points[1], len(layout.within_pivots))
    rows = _of_rows(layout, cluster, _cells(at, layout, cluster, z))
    joint = rows.reshape(-1, z.shape[0], len(logw1)) + logw1
    by_row = jax.scipy.special.logsumexp(joint, axis=-1)
    return Posterior(z, jax.nn.softmax(cluster.often @ by_row + logw2), jnp.exp(joint - by_row[:, :, None]))


def score_spread(at: Conditional, tangents: Any, layout: Layout, cluster: Cluster) -> Float[Array, "q q"]:
    """What the second derivative of the log-likelihood has beside the mean one of the complete data, given the data: the covariance of
    their scores (Louis 1982), along tangents of the pieces with a leading axis q.
    """
    known = posterior(at, layout, cluster)
    push = jax.linearize(lambda a: _cells(a, layout, cluster, known.nodes), at)[1]
    slope = jax.vmap(lambda t: _of_rows(layout, cluster, push(t)))(tangents)
    q, (n, z, r) = slope.shape[0], known.inner.shape
    mean = jnp.sum(slope.reshape(q, n, z, r) * known.inner, axis=-1)
    often = cluster.often[:, None] * known.share
    weight = (often[:, :, None] * known.inner).ravel()
    flat, middle = slope.reshape(q, -1), mean.reshape(q, -1)
    within = (flat * weight) @ flat.T - (middle * often.ravel()) @ middle.T
    score = jnp.einsum("n,qnz->qz", cluster.often, mean)
    centre = score @ known.share
    return within + (score * known.share) @ score.T - centre[:, None] * centre[None, :]


def expected_cells(at: Conditional, layout: Layout, cluster: Cluster, known: Posterior) -> Float[Array, ""]:
    """Mean log-probability of the complete data, given the data at other pieces: its gradient there is that of the log-likelihood."""
    return jnp.sum(known.weight(layout, cluster) * _cells(at, layout, cluster, known.nodes))
