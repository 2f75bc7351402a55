"""The log-likelihood of a cluster of ordered (and continuous) answers: an integral over its random effects of integrals over its
rows' latent variables.

    l_j = log INT phi(z) prod_i p_i(z) dz,   p_i(z) = f(c_i | z) INT phi(w) prod_k P(y_ik | z, w) dw

Level 2 by adaptive Gauss-Hermite quadrature about the mode of each cluster (Liu & Pierce 1994; Rabe-Hesketh, Skrondal & Pickles
2005), with one point Laplace's approximation; level 1 by a trapezoid rule whose nodes all rows share, so that the categories'
probabilities are computed once for a cluster and rows pick theirs. First and second derivatives are means over the posterior of the
nodes (Louis 1982).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.ordinal.full._category import CategorySlopes
from mlsem_jax.ordinal.full._cells import (
    Cells,
    Cluster,
    cells_of,
    log_cells,
    log_density,
    of_rows,
    slopes_of_cells,
    to_cells,
)
from mlsem_jax.ordinal.full._conditional import Conditional, root_at
from mlsem_jax.ordinal.full._layout import Layout, hermite, trapezoid

# steps to the mode of a cluster; the longest one, in prior standard deviations; and where it is near enough
STEPS, LONGEST, NEAR = 30, 1.5, 1e-5


def log_rows(cells: Cells, layout: Layout, cluster: Cluster, z: Float[Array, "Q m2"]) -> Float[Array, " Q"]:
    """Sum over a cluster's rows of log p_i(z), each as often as it counts."""
    w, logw = trapezoid(layout.points[1], len(layout.within_pivots))
    joint = of_rows(layout, cluster, log_cells(cells, layout, z, w)).reshape(-1, z.shape[0], len(logw)) + logw
    found = jax.scipy.special.logsumexp(joint, axis=-1)
    return cluster.often @ (found + log_density(cells, layout, z) if layout.continuous else found)


def _bowl(
    z: Float[Array, " m2"], cells: Cells, layout: Layout, cluster: Cluster
) -> tuple[Float[Array, " m2"], Float[Array, "m2 m2"]]:
    """Gradient and minus the second derivatives of log p(y, z) in z, in closed form: the rows' scores and their curvature, as means
    over the posterior of the rows' own latent variables, and the spread of the scores there (Louis 1982).
    """
    m = z.shape[0]
    w, logw = trapezoid(layout.points[1], len(layout.within_pivots))
    s, slope = slopes_of_cells(cells, layout, z[None], w), cells.slope[:, :m]
    inner = jax.nn.softmax(of_rows(layout, cluster, s.value) + logw, axis=-1)
    inner = jnp.broadcast_to(inner, (cluster.often.shape[0], len(logw)))
    scores = -((s.lower + s.upper)[:, :, None] * slope[:, None, :]).reshape(slope.shape[0], -1)
    score = of_rows(layout, cluster, scores).reshape(*inner.shape, m)
    mean = jnp.sum(inner[:, :, None] * score, axis=1)
    weight = to_cells(layout, cluster, cluster.often[:, None] * inner)
    bend = jnp.sum(weight * (s.lower_lower + 2 * s.lower_upper + s.upper_upper), axis=1)
    left = (score - mean[:, None, :]).reshape(-1, m)
    spread = left.T @ ((cluster.often[:, None] * inner).reshape(-1, 1) * left)
    gradient = cluster.often @ mean - z
    curvature = jnp.eye(m) - slope.T @ (bend[:, None] * slope) - spread
    if layout.continuous:
        steep = cluster.often[:, None, None] * (cells.precision @ cells.residual_slope)
        rest = cells.residual - cells.residual_slope @ z
        gradient = gradient + jnp.einsum("ncm,nc->m", steep, rest)
        curvature = curvature + jnp.einsum("ncm,nck->mk", steep, cells.residual_slope)
    return gradient, curvature


def mode(cells: Cells, layout: Layout, cluster: Cluster) -> Float[Array, " m2"]:
    """Where a cluster's integrand is highest: Newton's method on a concave function. Not to be differentiated."""

    def step(state: Any) -> Any:
        z, _, count = state
        slope, bend = _bowl(z, cells, layout, cluster)
        move = inverse_and_logdet(jnp, bend)[0] @ slope
        size = jnp.sqrt(move @ move)
        return z + move * jnp.minimum(1.0, LONGEST / jnp.maximum(size, 1e-12)), size, count + 1

    def go_on(state: Any) -> Any:
        return (state[1] > NEAR) & (state[2] < STEPS)

    return jax.lax.while_loop(go_on, step, (jnp.zeros(len(layout.between_pivots)), jnp.asarray(jnp.inf), 0))[0]


def _nodes(cells: Cells, layout: Layout, cluster: Cluster) -> tuple[Float[Array, "Q m2"], Float[Array, " Q"]]:
    """Nodes of level 2 and their log-weights, the normal density and the rule's scale included, about the mode of the cluster.

    Many nodes are held fixed where the integral is differentiated. With few the derivative follows the rule as it moves: one more
    Newton step at the mode is none, but has the mode's derivative.
    """
    m = len(layout.between_pivots)
    if not m:
        return jnp.zeros((1, 0)), jnp.zeros(1)
    x, logw = hermite(layout.points[0], m)
    still, frozen = jax.lax.stop_gradient((cells, cluster))
    centre = mode(still, layout, frozen)
    held, data = (cells, cluster) if layout.moving else (still, frozen)
    if layout.moving:
        inverse, _ = inverse_and_logdet(jnp, _bowl(centre, still, layout, frozen)[1])
        centre = centre + inverse @ _bowl(centre, cells, layout, cluster)[0]
    spread, logdet = inverse_and_logdet(jnp, _bowl(centre, held, layout, data)[1])
    root, _ = root_at(spread, tuple(range(m)))
    z = centre + x @ root.T
    return z, logw + 0.5 * np.sum(x * x, axis=1) - 0.5 * jnp.sum(z * z, axis=1) - 0.5 * logdet


def cluster_log_likelihood(at: Conditional, layout: Layout, cluster: Cluster) -> Float[Array, ""]:
    cells = cells_of(at, layout, cluster)
    z, logw = _nodes(cells, layout, cluster)
    return jax.scipy.special.logsumexp(log_rows(cells, layout, cluster, z) + logw) + cells.above


class Posterior(Record):
    """Of one cluster, at nodes held fixed: its log-likelihood; the nodes (Q, m2), their probabilities (Q,) and those of each row's
    nodes given them (n, Q, R), given the data; the cells' log-probabilities with their derivatives.
    """

    value: Float[Array, ""]
    nodes: Float[Array, "Q m2"]
    share: Float[Array, " Q"]
    inner: Float[Array, "n Q R"]
    slopes: CategorySlopes

    def weight(self, layout: Layout, cluster: Cluster) -> Float[Array, "cells QR"]:
        """How often each cell counts at each node."""
        rows = (cluster.often[:, None] * self.share)[:, :, None] * self.inner
        return to_cells(layout, cluster, rows.reshape(rows.shape[0], -1))


def posterior(cells: Cells, layout: Layout, cluster: Cluster) -> Posterior:
    z, logw2 = _nodes(cells, layout, cluster)
    w, logw1 = trapezoid(layout.points[1], len(layout.within_pivots))
    slopes = slopes_of_cells(cells, layout, z, w)
    joint = of_rows(layout, cluster, slopes.value).reshape(-1, z.shape[0], len(logw1)) + logw1
    by_row = jax.scipy.special.logsumexp(joint, axis=-1)
    inner = jnp.exp(joint - by_row[:, :, None])
    total = cluster.often @ (by_row + log_density(cells, layout, z) if layout.continuous else by_row) + logw2
    value = jax.scipy.special.logsumexp(total)
    return Posterior(value + cells.above, z, jnp.exp(total - value), inner, slopes)


def _axes(known: Posterior, layout: Layout) -> Float[Array, "QR m"]:
    """The coordinates of the nodes, those of level 2 first."""
    w, _ = trapezoid(layout.points[1], len(layout.within_pivots))
    count = known.nodes.shape[0]
    return jnp.concatenate([jnp.repeat(known.nodes, len(w), axis=0), jnp.tile(w, (count, 1))], axis=1)


def gradient_in_cells(cells: Cells, layout: Layout, cluster: Cluster, known: Posterior) -> Cells:
    """Derivatives of the log-likelihood of a cluster in what its cells hold."""
    weight, axes = known.weight(layout, cluster), _axes(known, layout)
    low, high = weight * known.slopes.lower, weight * known.slopes.upper
    found = jax.tree.map(jnp.zeros_like, cells)
    if layout.continuous:
        share = cluster.often[:, None] * known.share
        found = jax.grad(lambda c: jnp.sum(share * log_density(c, layout, known.nodes)))(cells)
    return replace(found, low=low.sum(axis=1), high=high.sum(axis=1), slope=-(low + high) @ axes, above=jnp.ones(()))


class Quadratic(Record):
    """A function of a cluster's cells with the gradient of the log-likelihood at `about`, and there the mean second derivative of
    the complete data's, given the data. bend (cells, m + 2, m + 2): in low, high and slope of each cell.
    """

    about: Cells
    slope: Cells
    bend: Float[Array, "cells d d"]
    nodes: Float[Array, "Q m2"]
    share: Float[Array, " Q"]

    def __call__(self, cells: Cells, layout: Layout, cluster: Cluster) -> Float[Array, ""]:
        move = _packed(cells) - _packed(self.about)
        total = (
            cells.above + jnp.sum(_packed(self.slope) * move) + 0.5 * jnp.einsum("ci,cij,cj->", move, self.bend, move)
        )
        if layout.continuous:
            total = total + jnp.sum(cluster.often[:, None] * self.share * log_density(cells, layout, self.nodes))
        return total


def _packed(cells: Cells) -> Float[Array, "cells d"]:
    return jnp.concatenate([cells.low[:, None], cells.high[:, None], cells.slope], axis=1)


def quadratic(cells: Cells, layout: Layout, cluster: Cluster, known: Posterior) -> Quadratic:
    weight, axes, s = known.weight(layout, cluster), _axes(known, layout), known.slopes
    ll, lu, uu = (weight * x for x in (s.lower_lower, s.lower_upper, s.upper_upper))
    m = axes.shape[1]
    squares = ((ll + 2 * lu + uu) @ (axes[:, :, None] * axes[:, None, :]).reshape(-1, m * m)).reshape(-1, m, m)
    on_low, on_high = -(ll + lu) @ axes, -(lu + uu) @ axes
    ll, lu, uu = (x.sum(axis=1)[:, None, None] for x in (ll, lu, uu))
    first = jnp.concatenate([ll, lu, on_low[:, None, :]], axis=2)
    second = jnp.concatenate([lu, uu, on_high[:, None, :]], axis=2)
    rest = jnp.concatenate([on_low[:, :, None], on_high[:, :, None], squares], axis=2)
    bend = jnp.concatenate([first, second, rest], axis=1)
    return Quadratic(cells, gradient_in_cells(cells, layout, cluster, known), bend, known.nodes, known.share)


def score_spread(
    cells: Cells, tangents: Cells, layout: Layout, cluster: Cluster, known: Posterior
) -> Float[Array, "q q"]:
    """The covariance of the complete data's scores given the data, along tangents of the cells with a leading axis q: what the
    second derivative of the log-likelihood has beside the mean one of the complete data.
    """
    axes, s = _axes(known, layout), known.slopes
    q, (n, z, r) = tangents.low.shape[0], known.inner.shape

    def along(t: Cells) -> Array:
        shift = t.slope @ axes.T
        rows = of_rows(layout, cluster, s.lower * (t.low[:, None] - shift) + s.upper * (t.high[:, None] - shift))
        if not layout.continuous:
            return rows
        push = jax.jvp(lambda c: log_density(c, layout, known.nodes), (cells,), (t,))[1]
        return rows + jnp.repeat(push, r, axis=1)

    slope = jax.vmap(along)(tangents)
    mean = jnp.sum(slope.reshape(q, n, z, r) * known.inner, axis=-1)
    often = cluster.often[:, None] * known.share
    weight = (often[:, :, None] * known.inner).ravel()
    flat, middle = slope.reshape(q, -1), mean.reshape(q, -1)
    within = (flat * weight) @ flat.T - (middle * often.ravel()) @ middle.T
    score = jnp.einsum("n,qnz->qz", cluster.often, mean)
    centre = score @ known.share
    return within + (score * known.share) @ score.T - centre[:, None] * centre[None, :]
