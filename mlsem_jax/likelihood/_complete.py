"""The two-level Gaussian log-likelihood of complete data, in closed form down to its gradient in the moments.

For cluster j of size n the vector v_j = (sqrt(n) * mean of y, z), z the between-only variables, and the n - 1 within contrasts
are independent (McDonald & Goldstein 1989):

    v_j ~ N(D mu, Sigma_W + D Sigma_B D),  D = diag(sqrt(n) for y, 1 for z),     contrasts ~ N(0, Sigma_W)

so -2 log L = (N - J) log|Sigma_W| + tr(Sigma_W^-1 W) + sum over clusters of log|Omega_n| + r' Omega_n^-1 r + constant.

Value and gradient are written for NumPy and for JAX (`xp`): single fits of small models compile nothing.
"""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.likelihood._directions import over_groups, traces
from mlsem_jax.models import Moments, PlainParts
from mlsem_jax.numerics import inverse_and_logdet, sweep
from mlsem_jax.observed import CompleteStatistics, SizePools


def _scaling(xp: ModuleType, size: Array, between_only: Array) -> Array:
    """D: (S, p)."""
    return xp.where(between_only > 0, 1.0, xp.sqrt(size)[:, None])


def _covariances(
    xp: ModuleType, within_cov: Array, between_cov: Array, between_only: Array, size: Array
) -> tuple[Array, Array]:
    """D (S, p), and Omega of the within contrasts and of the clusters of each size (S + 1, p, p), of one group."""
    d = _scaling(xp, size, between_only)
    omega = within_cov + d[:, :, None] * between_cov * d[:, None, :]
    return d, xp.concatenate([(within_cov + xp.diag(between_only))[None], omega])


def _weights(xp: ModuleType, contrasts: Array, count: Array) -> Array:
    """(S + 1,): the number of contrasts, then of clusters by size."""
    return xp.concatenate([contrasts[None], count])


class _OfSizes(NamedTuple):
    """What the data of one group say by size, whatever the moments are: D D' (S, p, p), D (S, p), counts of the within contrasts
    and of the clusters (S + 1,), D cov D' (S, p, p), counts times D (S, p), and the log-likelihood's constant.
    """

    both: Array
    d: Array
    weight: Array
    cov: Array
    counted: Array
    constant: Array


def _of_sizes(xp: ModuleType, between_only: Array, s: Any) -> _OfSizes:
    known = getattr(s, "of_sizes", None)
    if known is not None and known[0] is between_only:  # of plain records
        return known[1]
    d = _scaling(xp, s.size, between_only)
    both = d[:, :, None] * d[:, None, :]
    constant = math.log(2 * math.pi) * (s.rows * xp.sum(1 - between_only) + s.clusters * xp.sum(between_only))
    weight = _weights(xp, s.rows - s.clusters, s.count)
    made = _OfSizes(both, d, weight, both * s.cov, s.count[:, None] * d, constant)
    if isinstance(s, SimpleNamespace):
        s.of_sizes = between_only, made
    return made


def _by_size(
    xp: ModuleType, within_cov: Array, between_cov: Array, mean: Array, between_only: Array, s: CompleteStatistics
) -> tuple[Any, ...]:
    """What the data say by size; then, for the within contrasts and for each size, Omega and scatter (S + 1, p, p) summed over
    clusters; and the residuals r of the means by size (S, p). Of one group.
    """
    known = _of_sizes(xp, between_only, s)
    omega = xp.concatenate([(within_cov + xp.diag(between_only))[None], within_cov + known.both * between_cov])
    r = known.d * (s.mean - mean)
    second = known.cov + r[:, :, None] * r[:, None, :]
    return known, omega, xp.concatenate([s.within[None], s.count[:, None, None] * second]), r


def groups_of(statistics: CompleteStatistics | SizePools) -> list[Any]:
    """The statistics of each group with NumPy arrays, as plain records: fields of a pytree cost as much to read as arithmetic."""
    fields = {name: np.asarray(value, float) for name, value in vars(statistics).items()}
    records = [
        SimpleNamespace(**{name: value[g] for name, value in fields.items()}) for g in range(len(fields["size"]))
    ]
    for record in records:
        record.contrasts = np.sum(record.count * (record.size - 1))
    return records


def gradient_in_covariance(precision: Array, weight: Array, scatter: Array) -> Array:
    """d loglik / d Omega (..., p, p) of `weight` (...) normal vectors with this scatter about their mean."""
    return 0.5 * (precision @ scatter @ precision - weight[..., None, None] * precision)


def complete_log_likelihood(
    moments: Moments | PlainParts,
    between_only: Float[Array, " p"],
    statistics: CompleteStatistics | list[Any],
    xp: ModuleType = jnp,
) -> tuple[Float[Array, " G"], Any]:
    """Log-likelihood by group (G,), a sum over all rows with its 2 pi constant, and its derivatives in each of the moments.

    -inf where Sigma_W or some Sigma_W + n Sigma_B of a size in the data is not positive definite. In NumPy the statistics are a
    list by group (`groups_of`).
    """

    def group(within_cov, between_cov, mean, s: CompleteStatistics):
        known, omega, scatter, r = _by_size(xp, within_cov, between_cov, mean, between_only, s)
        precision, logdet = inverse_and_logdet(xp, omega)
        positive = xp.all(xp.isfinite(logdet))
        logdet = xp.where(known.weight > 0, logdet, 0.0)
        value = -0.5 * (known.constant + known.weight @ logdet + xp.sum(precision * scatter))
        g = gradient_in_covariance(precision, known.weight, scatter)
        between_gradient = xp.sum(known.both * g[1:], axis=0)
        mean_gradient = xp.sum(known.counted * (precision[1:] @ r[:, :, None])[:, :, 0], axis=0)
        return xp.where(positive, value, -xp.inf), (g.sum(0), between_gradient, mean_gradient, mean_gradient)

    found = over_groups(xp, group, moments.within_cov, moments.between_cov, moments.mean, statistics)
    return found[0], moments.with_parts(*found[1])


def information_of_sizes(
    moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], sizes: SizePools
) -> Float[Array, "q q"]:
    """Expected information (q, q) of clusters of these sizes in the parameters whose derivatives of the moments are in `jacobian`,
    (G, p, p, q).

    Sum over the J clusters and the N - J within contrasts of 1/2 tr(Omega^-1 dOmega Omega^-1 dOmega) + dm' Omega^-1 dm.
    """

    def one(precision, x, dm, d, weight):
        dm = d * dm
        return weight * (0.5 * traces(x, x) + dm @ precision @ dm.T)

    def each(within_cov, between_cov, sizes):
        d, omega = _covariances(jnp, within_cov, between_cov, between_only, sizes.size)
        return d, omega, _weights(jnp, sizes.contrasts, sizes.count)

    return _over_sizes(one, each, moments, jacobian, sizes)


def complete_curvature(
    moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], statistics: CompleteStatistics
) -> Float[Array, "q q"]:
    """Second derivative (q, q) of the log-likelihood in the moments, along the directions in `jacobian`, (G, p, p, q).

    With P = Omega^-1, and w, M and r the number, scatter and residual of the clusters of one size, the sum over sizes of
    tr(P dOmega P dOmega (w I / 2 - P M)) - w [2 r' P dOmega P D dmu + dmu' D P D dmu], symmetrised in the two directions.
    """

    def one(precision, x, dm, d, weight, scatter, r):
        p = precision.shape[-1]
        dm = d * dm
        by_cov = traces(x, x @ (0.5 * weight * jnp.eye(p, dtype=x.dtype) - precision @ scatter))
        crossed = jnp.einsum("qji,j->qi", x, weight * r) @ precision @ dm.T
        half = 0.5 * by_cov - crossed - 0.5 * weight * (dm @ precision @ dm.T)
        return half + half.T

    def each(within_cov, between_cov, of_group):
        mean, s = of_group
        known, omega, scatter, r = _by_size(jnp, within_cov, between_cov, mean, between_only, s)
        return known.d, omega, known.weight, scatter, jnp.concatenate([jnp.zeros_like(r[:1]), r])

    return _over_sizes(one, each, moments, jacobian, (moments.mean, statistics))


def _over_sizes(one, each, moments: Moments, jacobian: Moments, data) -> Array:
    """Sum over groups, and over the within contrasts (D = 0) and the cluster sizes of each, of what `one` makes of: Omega^-1
    (p, p), Omega^-1 dOmega (q, p, p), dmu (q, p), D (p,), and what else `each` makes of the data of a group by contrasts and size,
    behind D (S, p) and Omega (S + 1, p, p).
    """

    def group(within_cov, between_cov, d_within, d_between, d_mean, of_group):
        d, omega, *more = each(within_cov, between_cov, of_group)
        precision = sweep(omega)[0]
        d_within, d_between = jnp.moveaxis(d_within, -1, 0), jnp.moveaxis(d_between, -1, 0)
        d = jnp.concatenate([jnp.zeros_like(d[:1]), d])

        def add(total, inputs):
            precision, d, *rest = inputs
            x = precision @ (d_within + d[:, None] * d_between * d)
            return total + one(precision, x, d_mean.T, d, *rest), None

        q = d_mean.shape[-1]
        start = jnp.zeros((q, q), precision.dtype)
        return jax.lax.scan(add, start, (precision, d, *more))[0]

    by_group = jax.vmap(group)(
        moments.within_cov, moments.between_cov, jacobian.within_cov, jacobian.between_cov, jacobian.mean, data
    )
    return jnp.sum(by_group, axis=0)
