"""Stage 2: log-likelihoods of pairs of variables by unit. Each takes two `Block`s, the covariances (within, between) and `Rows`,
and gives (U,). Where one variable is continuous it is the first; where one is between-only or within-only it is the second.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array
from mlsem_jax.ordinal.limited._blocks import Block, Rows, edges, limits, spread, total
from mlsem_jax.ordinal.limited._integrals import one_dimension, two_dimensions
from mlsem_jax.ordinal.limited._kernels import log_interval, log_rectangle, log_rectangles
from mlsem_jax.ordinal.limited._single import clusters_of_intervals, log_normal, normal_clusters, prior


def ordered_ordered_rows(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Every row is a unit: a rectangle of the bivariate normal distribution."""
    first, second = limits(a, rows.first, rows.x @ a.slopes), limits(c, rows.second, rows.x @ c.slopes)
    return log_rectangle(first, second, cov[0], rows.rule)


def continuous_ordered_rows(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Every row is a unit: a normal density times a probit given it."""
    residual = rows.first - a.mean - rows.x @ a.slopes
    rest = jnp.sqrt(1 - cov[0] ** 2 / a.within)
    given = limits(c, rows.second, rows.x @ c.slopes + cov[0] / a.within * residual, rest)
    return log_normal(residual, a.within) + log_interval(*given)


def continuous_continuous_rows(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Every row is a unit: the bivariate normal density."""
    residual = rows.first - a.mean - rows.x @ a.slopes
    other = rows.second - c.mean - rows.x @ c.slopes - cov[0] / a.within * residual
    return log_normal(residual, a.within) + log_normal(other, c.within - cov[0] ** 2 / a.within)


def effects(a: Block, c: Block, cov: Array, both: bool) -> tuple[Array, Array, Array]:
    """Triangular root (l11, l21, l22) of the covariance matrix of the effects of a cluster; `both`: the second varies too."""
    l11 = jnp.sqrt(a.between)
    if not both:
        return l11, jnp.zeros_like(l11), jnp.zeros_like(l11)
    l21 = cov[1] / l11
    return l11, l21, jnp.sqrt(c.between - l21**2)


def ordered_ordered_table(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Two levels, no covariates: logarithms of the probabilities of all cells at all nodes of a grid, times the counts of units.

    The nodes are held: derivatives by variances and covariance of the effects are those of their density at the nodes.
    """
    z1, z2 = rows.grid
    both = z2.shape[0] > 1
    l11, l21, l22 = jax.lax.stop_gradient(effects(a, c, cov, both))
    b1 = l11 * z1[:, None]
    b2 = l21 * z1[:, None] + l22 * z2
    table = log_rectangles(edges(a.tau)[:, None, None] - b1, edges(c.tau)[:, None, None] - b2, cov[0], rows.rule)
    weight = trapezoid(z1)[:, None] + trapezoid(z2) + _change(log_density(a, c, cov, b1, b2, both))
    table, weight = table.reshape(-1, weight.size), weight.reshape(-1)

    def units(counts):
        return jax.nn.logsumexp(counts @ table + weight, axis=-1)

    if rows.counts.shape[0] == 1:
        return units(rows.counts[0])
    return jax.lax.map(units, rows.counts).reshape(-1)


def _change(value: Array) -> Array:
    """Zero, with the derivatives of `value`."""
    return value - jax.lax.stop_gradient(value)


def log_density(a: Block, c: Block, cov: Array, b1: Array, b2: Array, both: bool) -> Array:
    """Of the effects of a cluster, without constants."""
    if not both:
        return -0.5 * (jnp.log(a.between) + b1**2 / a.between)
    determinant = a.between * c.between - cov[1] ** 2
    square = (c.between * b1**2 - 2 * cov[1] * b1 * b2 + a.between * b2**2) / determinant
    return -0.5 * (jnp.log(determinant) + square)


def trapezoid(z: Array) -> Array:
    """Logarithms of the weights of equally spaced nodes for N(0, 1); a single node stands for no effect."""
    return prior(z) + jnp.log(z[1] - z[0]) if z.shape[0] > 1 else jnp.zeros_like(z)


def ordered_ordered_clusters(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Two levels, row by row: a double integral over the effects of each cluster."""
    return _rectangles_of_clusters(a, c, cov, rows, both=True)


def ordered_ordered_within(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """The second variable is within-only: a single integral."""
    return _rectangles_of_clusters(a, c, cov, rows, both=False)


def _rectangles_of_clusters(a: Block, c: Block, cov: Array, rows: Rows, both: bool) -> Array:
    first, second = limits(a, rows.first, rows.x @ a.slopes), limits(c, rows.second, rows.x @ c.slopes)
    units = rows.multiplicity.shape[0]

    def probabilities(parameters, b1, b2):
        first, second, _, correlation = parameters
        s1, s2 = spread(rows, b1), spread(rows, b2)
        shifted = (first[0] - s1, first[1] - s1), (second[0] - s2, second[1] - s2)
        return total(rows, log_rectangle(*shifted, correlation, rows.rule))

    def double(parameters, z):
        l11, l21, l22 = parameters[2]
        return probabilities(parameters, l11 * z[0], l21 * z[0] + l22 * z[1]) + prior(z[0]) + prior(z[1])

    def single(parameters, z):
        return probabilities(parameters, parameters[2][0] * z, 0 * z) + prior(z)

    parameters = (first, second, effects(a, c, cov, both), cov[0])
    return two_dimensions(double, parameters, units) if both else one_dimension(single, parameters, units)


def continuous_ordered_clusters(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Two levels: given the continuous variable the probit depends on the cluster through one normal effect."""
    return _continuous_ordered(a, c, cov, rows, within_only=False)


def continuous_ordered_within(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """The ordered variable is within-only: given the continuous one, it depends on the cluster through that one's effect."""
    return _continuous_ordered(a, c, cov, rows, within_only=True)


def _continuous_ordered(a: Block, c: Block, cov: Array, rows: Rows, within_only: bool) -> Array:
    residual = rows.first - a.mean - rows.x @ a.slopes
    value, size, summed = normal_clusters(a, rows, residual)
    slope, rest = cov[0] / a.within, jnp.sqrt(1 - cov[0] ** 2 / a.within)
    share = 1 / (a.within + size * a.between)
    # b_c - slope b_a given y_a: mean and standard deviation
    mean = (cov[1] - slope * a.between) * summed * share
    if within_only:
        deviation = slope * jnp.sqrt(a.between * a.within * share)
    else:
        explained = cov[1] ** 2 * size * share + 2 * slope * cov[1] * a.within * share
        deviation = jnp.sqrt(c.between - explained + slope**2 * a.between * a.within * share)
    center = rows.x @ c.slopes + slope * residual
    return value + clusters_of_intervals(c, rows.second, rows, center, (mean, deviation), rest)


def continuous_continuous_clusters(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Two levels, closed form; either may be within-only (between variance and covariance 0)."""
    r1, r2 = rows.first - a.mean - rows.x @ a.slopes, rows.second - c.mean - rows.x @ c.slopes
    size = total(rows, jnp.ones_like(r1))
    safe = jnp.where(size > 0, size, 1.0)
    m1, m2 = total(rows, r1) / safe, total(rows, r2) / safe
    d1, d2 = r1 - spread(rows, m1), r2 - spread(rows, m2)
    within = _quadratic(a.within, cov[0], c.within, total(rows, d1 * d1), total(rows, d1 * d2), total(rows, d2 * d2))
    sums = (a.within + size * a.between, cov[0] + size * cov[1], c.within + size * c.between)
    between = _quadratic(*sums, size * m1 * m1, size * m1 * m2, size * m2 * m2)
    logs = 2 * size * math.log(2 * math.pi) + (size - 1) * jnp.log(a.within * c.within - cov[0] ** 2)
    return -0.5 * (logs + within + between + jnp.log(sums[0] * sums[2] - sums[1] ** 2))


def _quadratic(v1: Array, v12: Array, v2: Array, s11: Array, s12: Array, s22: Array) -> Array:
    """tr(V^-1 S) of two by two matrices."""
    return (v2 * s11 - 2 * v12 * s12 + v1 * s22) / (v1 * v2 - v12**2)


def ordered_between_ordered(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """The second is ordered and between-only: its probability given the effect of the cluster is a factor of the integrand."""
    slope = cov[1] / jnp.sqrt(a.between)
    given = (*limits(c, rows.between, rows.between_x @ c.slopes), slope)

    def factor(known, z):
        low, high, slope = known
        rest = jnp.sqrt(1 - slope**2)
        return log_interval((low - slope * z) / rest, (high - slope * z) / rest)

    zero = jnp.zeros_like(rows.multiplicity)
    effect = zero, zero + jnp.sqrt(a.between)
    return clusters_of_intervals(a, rows.first, rows, rows.x @ a.slopes, effect, extra=(factor, given))


def ordered_between_continuous(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """The second is continuous and between-only: it moves and narrows the effect of the cluster."""
    residual = rows.between - c.mean - rows.between_x @ c.slopes
    effect = cov[1] / c.within * residual, jnp.sqrt(a.between - cov[1] ** 2 / c.within) + 0 * residual
    return log_normal(residual, c.within) + clusters_of_intervals(a, rows.first, rows, rows.x @ a.slopes, effect)


def continuous_between_ordered(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """The first continuous, the second ordered and between-only: a probit given the mean of the cluster."""
    value, mean, variance = _given_cluster(a, cov, rows, 1.0)
    given = limits(c, rows.between, rows.between_x @ c.slopes + mean, jnp.sqrt(variance))
    return value + log_interval(*given)


def continuous_between_continuous(a: Block, c: Block, cov: Array, rows: Rows) -> Array:
    """Both continuous, the second between-only."""
    value, mean, variance = _given_cluster(a, cov, rows, c.within)
    return value + log_normal(rows.between - c.mean - rows.between_x @ c.slopes - mean, variance)


def _given_cluster(a: Block, cov: Array, rows: Rows, variance: Array | float) -> tuple[Array, Array, Array]:
    """Log-likelihood of the first variable; mean and variance of the second (of a given total variance) given it."""
    value, size, summed = normal_clusters(a, rows, rows.first - a.mean - rows.x @ a.slopes)
    share = 1 / (a.within + size * a.between)
    return value, cov[1] * summed * share, variance - cov[1] ** 2 * size * share
