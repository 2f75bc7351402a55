"""What the linear predictors of a cluster's answers are made of, cell by cell.

A cell is a category of an ordered outcome, or, where rows differ in covariates too, one answer of a row. At nodes z of level 2 and
w of level 1 its log-probability is log P(low - s < e <= high - s), s = slope [z, w]: so the integrals, and their derivatives, are
of a few numbers a cell, whatever the model is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.ordinal.full._category import BEYOND, CategorySlopes, category_slopes, log_category
from mlsem_jax.ordinal.full._conditional import Conditional
from mlsem_jax.ordinal.full._layout import Layout


class Cluster(Record):
    """The rows of one cluster, or (leading axis J) of several: answers (n, o), -1 where missing; how often a row counts (n,), 0 for
    padding; covariates of level 1 (n, q1) and of random slopes (n, r), continuous outcomes (n, c), NaN where missing; covariates,
    and outcomes, of level 2 alone (q2,).
    """

    answers: Int[Array, "*J n o"]
    often: Float[Array, "*J n"]
    within_x: Float[Array, "*J n q1"]
    slope_x: Float[Array, "*J n r"]
    continuous: Float[Array, "*J n c"]
    between_x: Float[Array, "*J q2"]


class Cells(Record):
    """low, high (cells,) and slope (cells, m2 + m1), in standard deviations of the residual; of the continuous outcomes residuals
    (n, c), zero where missing, and their slopes on z (n, c, m2), precision (n, c, c) and the log-determinant of their covariance
    with its 2 pi (n,); above: the log-density of the outcomes of level 2 alone.
    """

    low: Float[Array, " cells"]
    high: Float[Array, " cells"]
    slope: Float[Array, "cells m"]
    residual: Float[Array, "n c"]
    residual_slope: Float[Array, "n c m2"]
    precision: Float[Array, "n c c"]
    logdet: Float[Array, " n"]
    above: Float[Array, ""]


def cells_of(at: Conditional, layout: Layout, cluster: Cluster) -> Cells:
    """Of one cluster: o k cells, outcome by outcome, or n o cells, row by row."""
    offset, loading, residual, own = predictors(at, layout, cluster)
    pattern = row_patterns(layout, cluster)
    k, cuts = max(layout.categories), at.cuts * at.scale[:, None]
    real = np.array([[t < c - 1 for t in range(k - 1)] for c in layout.categories])
    ends = jnp.full_like(cuts[:, :1], BEYOND)
    limits = jnp.concatenate([-ends, jnp.where(real, cuts, BEYOND), ends], axis=1)
    shift, on_between = offset * at.scale, loading * at.scale[:, None]
    on_within = at.within_root[pattern] * at.scale[:, None]
    on_within = jnp.broadcast_to(on_within, (*shift.shape, on_within.shape[-1]))
    slope = jnp.concatenate([on_between, on_within], axis=-1)
    if not layout.aligned:
        exists = np.array([[t < c for t in range(k)] for c in layout.categories])
        # a category that a variable lacks, and no row has: certain, and so without derivatives
        low = jnp.where(exists, limits[:, :-1] - shift[0][:, None], -BEYOND)
        high = jnp.where(exists, limits[:, 1:] - shift[0][:, None], BEYOND)
        slope = jnp.broadcast_to(slope[0][:, None, :], (*low.shape, slope.shape[-1]))
    else:
        answer, seen = jnp.maximum(cluster.answers, 0), cluster.answers >= 0
        places = jnp.arange(len(layout.ordered))
        low = jnp.where(seen, limits[places, answer] - shift, -BEYOND)
        high = jnp.where(seen, limits[places, answer + 1] - shift, BEYOND)
        slope = jnp.where(seen[:, :, None], slope, 0.0)
    flat = slope.reshape(-1, slope.shape[-1])
    precision, logdet = at.precision[pattern], at.logdet[pattern]
    return Cells(low.ravel(), high.ravel(), flat, residual, own, precision, logdet, _above(at, layout, cluster))


def row_patterns(layout: Layout, cluster: Cluster) -> Int[Array, " n"]:
    """Which pattern of missing values each row has; n = 1 where all have the same, and nothing but their answers."""
    if len(layout.patterns) == 1:
        return np.zeros(cluster.often.shape[-1] if layout.aligned else 1, int)
    table = np.array([[j in seen for j in range(len(layout.continuous))] for seen in layout.patterns])
    return jnp.argmax(jnp.all(~jnp.isnan(cluster.continuous)[:, None, :] == table, axis=-1), axis=1)


def _above(at: Conditional, layout: Layout, cluster: Cluster) -> Float[Array, ""]:
    """Log-density of a cluster's outcomes of level 2 alone, given its covariates."""
    if not layout.above:
        return jnp.zeros(())
    x, y = jnp.split(cluster.between_x - at.between_mean, [len(layout.between_x)])
    left = y - at.above_on @ x
    return -0.5 * (left @ at.above_precision @ left + at.above_logdet)


def predictors(at: Conditional, layout: Layout, cluster: Cluster) -> tuple[Array, Array, Array, Array]:
    """Offsets (n, o) and loadings on z (n, o, m2) of the ordered outcomes, n = 1 where all rows have the same; residuals (n, c) of
    the continuous ones and their loadings (n, c, m2).
    """
    count, total = len(layout.ordered), len(layout.outcomes)
    between = at.on_between @ (cluster.between_x - at.between_mean)
    rows = (cluster.within_x - at.within_mean) @ at.on_within.T if layout.aligned else jnp.zeros((1, total))
    mean = at.mean + between[:total] + rows
    loading = jnp.broadcast_to(at.between_root[:total], (mean.shape[0], *at.between_root[:total].shape))
    if layout.slopes:
        slope = at.slope_mean + between[total:]
        mean = mean + (cluster.slope_x * slope) @ at.directions
        loading = loading + jnp.einsum("nr,rp,rm->npm", cluster.slope_x, at.directions, at.between_root[total:])
    own, on = loading[:, count:], at.on_continuous[row_patterns(layout, cluster)]
    if not layout.continuous:
        return mean[:, :count], loading[:, :count], jnp.zeros((mean.shape[0], 0)), own
    missing = jnp.isnan(cluster.continuous)
    residual = jnp.where(missing, 0.0, jnp.where(missing, 0.0, cluster.continuous) - mean[:, count:])
    given = jnp.einsum("noc,ncm->nom", on, own)
    return mean[:, :count] + jnp.einsum("noc,nc->no", on, residual), loading[:, :count] - given, residual, own


def _shifts(cells: Cells, z: Array, w: Array) -> Float[Array, "cells QR"]:
    m = z.shape[1]
    both = (cells.slope[:, :m] @ z.T)[:, :, None] + (cells.slope[:, m:] @ w.T)[:, None, :]
    return both.reshape(both.shape[0], -1)


def log_cells(
    cells: Cells, layout: Layout, z: Float[Array, "Q m2"], w: Float[Array, "R m1"]
) -> Float[Array, "cells QR"]:
    """Log-probabilities at all nodes, those of level 2 by those of level 1."""
    shift = _shifts(cells, z, w)
    return log_category(cells.low[:, None] - shift, cells.high[:, None] - shift, layout.link)


def slopes_of_cells(cells: Cells, layout: Layout, z: Array, w: Array) -> CategorySlopes:
    """The same with derivatives in the limits."""
    shift = _shifts(cells, z, w)
    return category_slopes(cells.low[:, None] - shift, cells.high[:, None] - shift, layout.link)


def log_density(cells: Cells, layout: Layout, z: Float[Array, "Q m2"]) -> Float[Array, "n Q"]:
    """Of the continuous outcomes of the rows; 0 without any."""
    left = cells.residual[:, None, :] - jnp.einsum("ncm,qm->nqc", cells.residual_slope, z)
    return -0.5 * (jnp.einsum("nqc,ncd,nqd->nq", left, cells.precision, left) + cells.logdet[:, None])


def of_rows(layout: Layout, cluster: Cluster, cells: Array) -> Float[Array, "n QR"]:
    """Sums of what is in the cells of each row (cells, QR)."""
    if layout.aligned:
        return jnp.sum(cells.reshape(cluster.often.shape[0], -1, cells.shape[-1]), axis=1)
    return _choice(layout, cluster, cells.dtype) @ cells


def to_cells(layout: Layout, cluster: Cluster, rows: Array) -> Float[Array, "cells QR"]:
    """The transpose of `of_rows`."""
    if layout.aligned:
        return jnp.repeat(rows, len(layout.ordered), axis=0)
    return _choice(layout, cluster, rows.dtype).T @ rows


def _choice(layout: Layout, cluster: Cluster, dtype: np.dtype) -> Float[Array, "n ok"]:
    """1 where a row has the category."""
    chosen = cluster.answers[:, :, None] == jnp.arange(max(layout.categories))
    return chosen.reshape(chosen.shape[0], -1).astype(dtype)
