"""From the moments of latent responses to the pieces of the integral: regressions on covariates, and roots of what is left.

Given the covariates x and, within a row, the continuous outcomes c, the latent responses of the ordered outcomes o are

    y*_o = m_o + R_W (x_W - mu) + R_B (x_B - mu) + R_c (c - m_c) + A w + (L_o - R_c L_c) z + e,   w, z, e independent,

w ~ N(0, I) of a row and z ~ N(0, I) of a cluster, var(e) the unit. A A' is the within covariance given x and c less the units, L
L' the between covariance given x: both are of a rank that the model's structure fixes, so that a root with as many columns is
found by elimination at a fixed choice of pivots, and has derivatives.

Where a row lacks some of c, regression and A are those given what it has: there is one of each for every pattern of missing values.
Continuous outcomes of level 2 alone are among x_B here, and their own density given the covariates is a factor of the cluster's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Moments, OrderedMoments
from mlsem_jax.numerics import inverse_and_logdet
from mlsem_jax.ordinal.full._category import BEYOND
from mlsem_jax.ordinal.full._layout import Layout

# pivots below this share of their variable's variance are zero
RANK = 1e-9


class Conditional(Record):
    """Of one group, p outcomes (ordered, then continuous), r slopes, P patterns of missing values: means (p,) and (r,); regressions
    on the covariates of level 1 (p, q1) and of level 2 (p + r, q2), a outcomes of level 2 alone among these, and their means;
    roots A (P, o, m1) and L (p + r, m2); regression (P, o, c) on the continuous outcomes, their precision (P, c, c), zeros where
    not seen, and the log-determinant of their covariance with its 2 pi (P,); the same of outcomes of level 2 alone on their
    covariates; thresholds (o, K - 1) and their scale (o,), 1 / sd of the residual; directions (r, p).
    """

    mean: Float[Array, " p"]
    slope_mean: Float[Array, " r"]
    on_within: Float[Array, "p q1"]
    on_between: Float[Array, "pr q2"]
    within_mean: Float[Array, " q1"]
    between_mean: Float[Array, " q2"]
    within_root: Float[Array, "P o m1"]
    between_root: Float[Array, "pr m2"]
    on_continuous: Float[Array, "P o c"]
    precision: Float[Array, "P c c"]
    logdet: Float[Array, " P"]
    above_on: Float[Array, "a q"]
    above_precision: Float[Array, "a a"]
    above_logdet: Float[Array, ""]
    cuts: Float[Array, "o t"]
    scale: Float[Array, " o"]
    directions: Float[Array, "r p"]


class Left(Record):
    """What regressions on covariates and continuous outcomes leave: of one group, see `Conditional`."""

    on_within: Array
    on_between: Array
    on_continuous: Array
    precision: Array
    logdet: Array
    within: Array
    between: Array
    above_on: Array
    above: Array
    fine: Array


def _of_ordered(moments: Moments) -> OrderedMoments:
    if moments.ordered is None:
        raise TypeError("These are no moments of ordered variables: they have no thresholds.")
    return moments.ordered


def regressions(moments: Moments, layout: Layout, group: int) -> Left:
    o, y = list(layout.ordered), list(layout.outcomes)
    rows, count, total = y + list(layout.slopes), len(o), len(y)
    on_within, within = _regressed(moments.levels[0].cov[group], y, list(layout.within_x))
    on_between, between = _regressed(moments.between_cov[group], rows, list(layout.between_given))
    above_on, above = _regressed(moments.between_cov[group], list(layout.above), list(layout.between_x))
    parts = [_given_continuous(within, count, total, seen) for seen in layout.patterns]
    on_continuous, precision, logdet, fine = (jnp.stack(part) for part in zip(*parts, strict=True))
    units = _of_ordered(moments).unit[group][np.array(o)]
    here = np.array([float(level == 1) for level in layout.unit_levels])
    part = within[:count, :count] - on_continuous @ within[count:, :count] - jnp.diag(here * units)
    there = jnp.zeros(len(rows)).at[jnp.arange(count)].set((1.0 - here) * units)
    between = between - jnp.diag(there)
    return Left(on_within, on_between, on_continuous, precision, logdet, part, between, above_on, above, jnp.all(fine))


def cuts_of(moments: Moments, layout: Layout, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Limits (o, K + 1) of the categories, in units of the residual, beyond everything where a variable has fewer; and what
    latent responses are multiplied by for these units (o,).
    """
    known, o = _of_ordered(moments), np.array(layout.ordered)
    scale = layout.unit_scale / np.sqrt(np.asarray(known.unit[group])[o])
    cuts = np.asarray(known.thresholds[group])[o] * scale[:, None]
    limits = np.full((len(o), max(layout.categories) + 1), BEYOND)
    limits[:, 0] = -BEYOND
    for i, k in enumerate(layout.categories):
        limits[i, 1:k] = cuts[i, : k - 1]
    return limits, scale


def left_over(moments: Moments, layout: Layout, group: int) -> tuple[np.ndarray, np.ndarray]:
    """The covariances (P, o, o) within, by pattern of missing values, and (p + r, p + r) between clusters that the latent variables
    of the integral have (NumPy).
    """
    found = compiled_regressions(moments, layout, group)
    return np.asarray(found.within), np.asarray(found.between)


# taken apart operation by operation, its loops would be lowered again at every call
compiled_regressions = jax.jit(regressions, static_argnames=("layout", "group"))


def conditional(moments: Moments, layout: Layout, group: int) -> tuple[Conditional, Array]:
    """Of one group, and whether there is such a distribution; arrays may be traced."""
    o, y, slopes = np.array(layout.ordered), np.array(layout.outcomes), np.array(layout.slopes, int)
    x1, x2 = np.array(layout.within_x, int), np.array(layout.between_given, int)
    left = regressions(moments, layout, group)
    within_root, ok1 = _by_pattern(left.within, layout)
    above_precision, above_logdet, ok3 = _inverse(left.above)
    between_root, ok2 = root_at(left.between, layout.between_pivots)
    known, mean = _of_ordered(moments), moments.mean[group]
    units, cuts = known.unit[group][o], known.thresholds[group][o]
    none = jnp.zeros((0, len(y)))
    found = Conditional(
        mean=mean[y],
        slope_mean=moments.between_mean[group][slopes],
        on_within=left.on_within,
        on_between=left.on_between,
        within_mean=moments.within_mean[group][x1],
        between_mean=mean[x2],
        within_root=within_root,
        between_root=between_root,
        on_continuous=left.on_continuous,
        precision=left.precision,
        logdet=left.logdet,
        above_on=left.above_on,
        above_precision=above_precision,
        above_logdet=above_logdet,
        cuts=cuts,
        scale=layout.unit_scale / jnp.sqrt(jnp.where(units > 0, units, 1.0)),
        directions=none if moments.directions is None else moments.directions[group][:, y],
    )
    return found, ok1 & ok2 & ok3 & left.fine & _increasing(cuts, layout.categories) & jnp.all(units > 0)


def _regressed(cov: Array, y: Sequence[int], x: Sequence[int]) -> tuple[Array, Array]:
    """Regression coefficients of y on x and the covariance of y that is left."""
    yy = cov[np.ix_(y, y)]
    if not len(x):
        return jnp.zeros((len(y), 0), cov.dtype), yy
    both = cov[np.ix_(y, x)]
    inverse, _ = inverse_and_logdet(jnp, cov[np.ix_(x, x)])
    on = both @ inverse
    return on, yy - on @ both.T


def _given_continuous(left: Array, count: int, total: int, seen: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Regression of the ordered on the continuous outcomes that are seen, the precision of these, the log-determinant of their
    covariance with the 2 pi of a density, and whether it exists. Zeros for what is not seen.
    """
    c, at = total - count, np.array(seen, int)
    inverse, logdet, fine = _inverse(left[np.ix_(count + at, count + at)])
    precision = jnp.zeros((c, c), left.dtype).at[np.ix_(at, at)].set(inverse)
    return left[:count, count:] @ precision, precision, logdet, fine


def _inverse(cov: Array) -> tuple[Array, Array, Array]:
    """The inverse of a covariance matrix, its log-determinant with the 2 pi of a density, and whether it exists."""
    size = cov.shape[0]
    if not size:
        return jnp.zeros((0, 0), cov.dtype), jnp.zeros((), cov.dtype), jnp.asarray(True)
    _, fine = root_at(cov, tuple(range(size)))
    inverse, logdet = inverse_and_logdet(jnp, jnp.where(fine, cov, jnp.eye(size, dtype=cov.dtype)))
    return inverse, logdet + size * np.log(2 * np.pi), fine


def _by_pattern(within: Float[Array, "P o o"], layout: Layout) -> tuple[Float[Array, "P o m1"], Array]:
    """The roots of each pattern of missing values, with columns of zeros where one has fewer dimensions; and whether all exist."""
    pivots = layout.pattern_pivots or (layout.within_pivots,) * within.shape[0]
    found = [root_at(part, at) for part, at in zip(within, pivots, strict=True)]
    most = max(len(at) for at in pivots)
    wide = [jnp.pad(root, ((0, 0), (0, most - root.shape[1]))) for root, _ in found]
    return jnp.stack(wide), jnp.all(jnp.stack([fine for _, fine in found]))


def root_at(a: Array, pivots: tuple[int, ...]) -> tuple[Array, Array]:
    """R (p, m) with R R' = a for a positive semidefinite `a` of rank m, by elimination at m pivots; and whether these are
    positive.
    """
    columns: list[Any] = []
    fine = jnp.asarray(True)
    size = jnp.maximum(jnp.abs(jnp.diagonal(a)), 1e-300)
    for at in pivots:
        pivot = a[at, at]
        ok = pivot > 1e-14 * size[at]
        column = a[:, at] / jnp.sqrt(jnp.where(ok, pivot, 1.0))
        a = a - column[:, None] * column[None, :]
        columns.append(column)
        fine = fine & ok
    return (jnp.stack(columns, axis=1) if columns else jnp.zeros((a.shape[0], 0), a.dtype)), fine


def pivots_of(a: np.ndarray) -> tuple[int, ...]:
    """Where elimination with complete pivoting finds pivots: as many as the rank of a positive semidefinite matrix (NumPy)."""
    a, size, found = np.array(a, float), np.maximum(np.diag(a), 1e-300), []
    for _ in range(len(a)):
        share = np.diag(a) / size
        at = int(np.argmax(share))
        if share[at] < RANK:
            break
        found.append(at)
        column = a[:, at] / np.sqrt(a[at, at])
        a -= np.outer(column, column)
    return tuple(found)


def _increasing(cuts: Array, categories: tuple[int, ...]) -> Array:
    """Whether the thresholds of every variable increase."""
    real = np.array([[t + 1 < k - 1 for t in range(cuts.shape[1] - 1)] for k in categories]).reshape(
        len(categories), -1
    )
    return jnp.all(jnp.where(real, jnp.diff(cuts, axis=1) > 0, True))


def of_groups(moments: Moments, layout: Layout) -> tuple[tuple[Conditional, ...], Array]:
    """The pieces of every group, and whether all exist."""
    found = [conditional(moments, layout, g) for g in range(moments.levels[0].cov.shape[0])]
    return tuple(part for part, _ in found), jnp.all(jnp.stack([inside for _, inside in found]))
