"""What a two-level likelihood can tell of theta at all: the Jacobian of the moments that it depends on.

Where that Jacobian has not full column rank there is a direction along which the likelihood does not change whatever the data.
Unlike the curvature of a likelihood, its rank does not depend on how near to a maximum the point is.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Moments, Structure


def _seen(moments: Moments) -> tuple[Array, Array, Array]:
    """Within covariances (G, p, p), means (G, b) and between covariances (G, b, b) as far as a
    likelihood sees them: random slopes only multiplied by their directions, b = p + r p.
    """
    if moments.directions is None:
        return moments.within_cov, moments.mean, moments.between_cov
    groups, r, p = moments.directions.shape
    # row p + k p + i is what slope k does to variable i
    blocks = jnp.einsum("gri,rk->grik", moments.directions, jnp.eye(r, dtype=moments.mean.dtype))
    slopes = blocks.reshape(groups, r * p, r)
    eye = jnp.broadcast_to(jnp.eye(p, dtype=slopes.dtype), (groups, p, p))
    top = jnp.concatenate([eye, jnp.zeros((groups, p, r), slopes.dtype)], axis=2)
    bottom = jnp.concatenate([jnp.zeros((groups, r * p, p), slopes.dtype), slopes], axis=2)
    loaded = jnp.concatenate([top, bottom], axis=1)
    slope_mean = jnp.einsum("gbu,gu->gb", bottom, moments.between_mean)
    mean = jnp.concatenate([moments.mean, slope_mean], axis=1)
    return moments.within_cov, mean, loaded @ moments.between_cov @ jnp.swapaxes(loaded, 1, 2)


def moment_information(structure: Structure, theta: Float[Array, " q"]) -> Float[Array, "q q"]:
    """J'J (q, q) of the Jacobian J of the implied moments in theta, means and covariances in units of the variables' standard
    deviations: singular where some parameters change together without any effect on the likelihood. No LAPACK; it vmaps.
    """

    def parts(natural: Array) -> tuple[Array, Array, Array]:
        return _seen(structure.moments(natural))

    (within, mean, between), push = jax.linearize(parts, structure.natural(theta))
    variance = jnp.abs(jnp.diagonal(within, axis1=1, axis2=2))
    p = variance.shape[1]
    variance = variance + jnp.abs(jnp.diagonal(between, axis1=1, axis2=2))[:, :p]
    size = jnp.where(variance > 0, 1.0 / jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 1.0)
    of_all = jnp.tile(size, (1, mean.shape[1] // p))
    scales = (size[:, :, None] * size[:, None, :], of_all, of_all[:, :, None] * of_all[:, None, :])
    columns = jax.vmap(push)(structure.basis.T)
    q = structure.basis.shape[1]
    flat = [(x * scale).reshape(q, -1) for x, scale in zip(columns, scales, strict=True)]
    return sum((x @ x.T for x in flat), jnp.zeros((q, q), mean.dtype))
