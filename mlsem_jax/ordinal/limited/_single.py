"""Stage 1: log-likelihoods of one variable by unit. Each takes the variable's `Block` and its `Rows` and gives (U,).

Scales: natural logarithm, sum over the rows of a unit. Muthen (1984); Asparouhov and Muthen (2007).
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from mlsem_jax._typing import Array
from mlsem_jax.ordinal.limited._blocks import Block, Rows, limits, spread, total
from mlsem_jax.ordinal.limited._integrals import one_dimension
from mlsem_jax.ordinal.limited._kernels import LOG_ROOT_TAU, log_interval


def log_normal(residual: Array, variance: Array) -> Array:
    return -LOG_ROOT_TAU - 0.5 * jnp.log(variance) - 0.5 * residual**2 / variance


def prior(z: Array) -> Array:
    """log density of N(0, 1)."""
    return -LOG_ROOT_TAU - 0.5 * z * z


def ordered_rows(b: Block, rows: Rows) -> Array:
    """Every row is a unit."""
    return log_interval(*limits(b, rows.first, rows.x @ b.slopes))


def continuous_rows(b: Block, rows: Rows) -> Array:
    """Every row is a unit; `within` is the variance."""
    return log_normal(rows.first - b.mean - rows.x @ b.slopes, b.within)


def ordered_clusters(b: Block, rows: Rows) -> Array:
    """Two levels: a normal effect of the cluster, integrated out."""
    zero = jnp.zeros_like(rows.multiplicity)
    return clusters_of_intervals(b, rows.first, rows, rows.x @ b.slopes, (zero, zero + jnp.sqrt(b.between)))


def clusters_of_intervals(b: Block, codes: Array, rows: Rows, center: Array, effect, scale=1.0, extra=None) -> Array:
    """log E prod P(tau_c < center + effect + scale e <= tau_c+1), the effect of a cluster normal: `effect` has its mean and
    standard deviation (U,). `extra` (function, parameters): log of a further factor of z by unit.
    """
    low, high = limits(b, codes, center, scale)
    further, known = extra or (lambda _, z: 0.0, ())
    scale = jnp.asarray(scale) + jnp.zeros_like(rows.multiplicity[0])

    def log_integrand(parameters, z):
        low, high, mean, deviation, scale, known = parameters
        shift = spread(rows, (mean + deviation * z) / scale)
        return total(rows, log_interval(low - shift, high - shift)) + prior(z) + further(known, z)

    return one_dimension(log_integrand, (low, high, *effect, scale, known), rows.multiplicity.shape[0])


def continuous_clusters(b: Block, rows: Rows) -> Array:
    """Two levels, closed form."""
    residual = rows.first - b.mean - rows.x @ b.slopes
    return normal_clusters(b, rows, residual)[0]


def normal_clusters(b: Block, rows: Rows, residual: Array) -> tuple[Array, Array, Array]:
    """Log-likelihood of residuals with variance `within` about an effect of the cluster with variance `between`; sizes and sums
    (U,). Weights of rows are powers of their density.
    """
    size, summed = total(rows, jnp.ones_like(residual)), total(rows, residual)
    mean = summed / jnp.where(size > 0, size, 1.0)
    deviations = total(rows, (residual - spread(rows, mean)) ** 2)
    all_of_it = b.within + size * b.between
    value = size * math.log(2 * math.pi) + (size - 1) * jnp.log(b.within) + jnp.log(all_of_it)
    return -0.5 * (value + deviations / b.within + size * mean**2 / all_of_it), size, summed
