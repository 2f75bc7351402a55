"""Probabilities of the categories of ordered variables, row by row: over all latent variables, or at their posterior means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import Moments
from mlsem_jax.ordinal.full._category import log_category
from mlsem_jax.ordinal.full._cells import Cluster, cells_of, predictors, row_patterns
from mlsem_jax.ordinal.full._conditional import Conditional, compiled_regressions, cuts_of, of_groups
from mlsem_jax.ordinal.full._design import RowColumns, ordinal_term, with_patterns
from mlsem_jax.ordinal.full._integral import posterior
from mlsem_jax.ordinal.full._layout import Layout, trapezoid
from mlsem_jax.ordinal.full._scores import cluster_starts, codes_of_blocks
from mlsem_jax.ordinal.full._term import in_chunks

# points of the integral over a normal variable of a logistic category
POINTS = 61


def marginal_probabilities(moments: Moments, layout: Layout, data: TwoLevelData) -> Float[np.ndarray, "N o K"]:
    """Given the covariates of a row and nothing else; categories that a variable lacks have probability 0.

    The latent response less its residual is normal given the covariates: by probit the probability is one of the normal
    distribution, by logit an integral of one dimension.
    """
    layout = replace(layout, continuous=(), above=(), seen=(), pattern_pivots=(), within_pivots=(), between_pivots=())
    columns, moments = RowColumns(layout, data, merge=False), jax.tree.map(jnp.asarray, moments)
    order, group = np.argsort(data.cluster, kind="stable"), data.group[np.sort(data.cluster)]
    cluster, count = np.sort(data.cluster), len(layout.ordered)
    out = np.empty((len(data.values), count, max(layout.categories)))
    for g in range(data.ngroups):
        rows = np.flatnonzero(group == g)
        left = compiled_regressions(moments, layout, g)
        above = columns.between_x[cluster[rows]] - np.asarray(moments.mean[g])[list(layout.between_x)]
        inner = columns.within_x[rows] - np.asarray(moments.within_mean[g])[list(layout.within_x)]
        shift = above @ np.asarray(left.on_between).T
        mean = (
            np.asarray(moments.mean[g])[list(layout.ordered)] + shift[:, :count] + inner @ np.asarray(left.on_within).T
        )
        load = np.broadcast_to(np.eye(count), (len(rows), count, count))
        if layout.slopes and moments.directions is not None:
            directions = np.asarray(moments.directions[g])[:, list(layout.ordered)]
            slope = np.asarray(moments.between_mean[g])[list(layout.slopes)] + shift[:, count:]
            mean = mean + (columns.slope_x[rows] * slope) @ directions
            load = np.concatenate([load, np.einsum("nr,ro->nor", columns.slope_x[rows], directions)], axis=2)
        variance = np.diag(np.asarray(left.within[0])) + np.einsum(
            "nou,uv,nov->no", load, np.asarray(left.between), load
        )
        limits, scale = cuts_of(moments, layout, g)
        out[order[rows]] = _of_normal(mean, np.maximum(variance, 0.0), limits, scale, layout.link)
    return out


def _of_normal(
    mean: np.ndarray, variance: np.ndarray, limits: np.ndarray, scale: np.ndarray, link: str
) -> Float[np.ndarray, "N o K"]:
    """Of latent responses with normal parts of these means and variances (N, o); limits (o, K + 1), in units of the residual."""
    sd = np.sqrt(variance) * scale
    if link == "probit":
        total = np.sqrt(1.0 + sd**2)[:, :, None]
        at = (limits - (mean * scale)[:, :, None]) / total
        return np.asarray(jnp.exp(log_category(jnp.asarray(at[..., :-1]), jnp.asarray(at[..., 1:]), link)))
    z, logw = trapezoid(POINTS, 1)
    out = np.zeros((*mean.shape, limits.shape[1] - 1))
    for node, weight in zip(z[:, 0], np.exp(logw), strict=True):
        at = limits - (mean * scale + sd * node)[:, :, None]
        out += weight * np.asarray(jnp.exp(log_category(jnp.asarray(at[..., :-1]), jnp.asarray(at[..., 1:]), link)))
    return out


def probabilities_at_scores(moments: Moments, layout: Layout, data: TwoLevelData) -> Float[np.ndarray, "N o K"]:
    """At the posterior means of the latent variables given the answers of a row's cluster, its own among them."""
    layout = with_patterns(layout, moments, data)
    term = ordinal_term(layout, data, merge=False)
    moments = jax.tree.map(jnp.asarray, moments)
    parts, _ = of_groups(moments, layout)
    out = np.empty((len(data.values), len(layout.ordered), max(layout.categories)))
    for group, clusters, rows in _rows_of_blocks(term, data):
        limits, _ = cuts_of(moments, layout, group)
        found = np.asarray(_block(parts[group], layout, clusters, jnp.asarray(limits)))
        for j, at in enumerate(rows):
            out[at] = found[j, : len(at)]
    return out


def _rows_of_blocks(term, data: TwoLevelData) -> Iterator[tuple[int, Cluster, list[np.ndarray]]]:
    """Group, clusters, and the rows of the data of each of these, by block."""
    order, start = np.argsort(data.cluster, kind="stable"), cluster_starts(data)
    for block, codes in zip(term.blocks, codes_of_blocks(term), strict=True):
        yield block.group, block.clusters, [order[start[code] : start[code + 1]] for code in codes]


def _block(at: Conditional, layout: Layout, clusters: Cluster, limits: Array) -> Float[Array, "J n o K"]:
    w, _ = trapezoid(layout.points[1], len(layout.within_pivots))

    def one(cluster: Cluster) -> Array:
        known = posterior(cells_of(at, layout, cluster), layout, cluster)
        own = jnp.einsum("q,nqr,rm->nm", known.share, known.inner, w)
        offset, loading, *_ = predictors(at, layout, cluster)
        root = jnp.broadcast_to(at.within_root[row_patterns(layout, cluster)], (len(own), *at.within_root.shape[1:]))
        eta = (offset + loading @ (known.share @ known.nodes) + jnp.einsum("nm,nom->no", own, root)) * at.scale
        ends = limits - eta[:, :, None]
        return jnp.exp(log_category(ends[..., :-1], ends[..., 1:], layout.link))

    size = int(np.prod(np.shape(clusters.answers))) * len(w) * layout.points[0] ** len(layout.between_pivots)
    return in_chunks(one, (clusters,), size)
