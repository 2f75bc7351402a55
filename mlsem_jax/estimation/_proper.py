"""Whether a solution is proper, from the arrays of a structure alone: traceable, and so right for every lane of a batch."""

from __future__ import annotations

import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.models import Choice, LevelStructure, Structure

# a variance this far below zero, relative to the variance of its variable, is more than rounding
NEGATIVE = 1e-8


def negative_variance(structure: Structure, theta: Float[Array, " q"]) -> Array:
    """Whether some free variance is negative: () bool. Only plain covariance matrices can hold one."""
    natural, moments = structure.natural(theta), structure(theta)
    size = jnp.diagonal(moments.within_cov, axis1=1, axis2=2)
    size = jnp.maximum(size, jnp.abs(jnp.diagonal(moments.between_cov, axis1=1, axis2=2)))
    found = jnp.asarray(False)
    for level in structure.levels:
        found |= _any(level.theta.core, natural, size) & _plain(level.theta.kind)
        found |= _any(level.psi.core, natural, _member_size(level, size)) & _plain(level.psi.kind)
    return found


def _plain(kind: Choice | None) -> Array | bool:
    return True if kind is None else kind.holds(lambda known: known.plain)


def _any(core, natural: Array, size: Array) -> Array:
    index = jnp.diagonal(core.index, axis1=1, axis2=2)
    value = jnp.diagonal(core(natural), axis1=1, axis2=2)
    return jnp.any((index >= 0) & (value < -NEGATIVE * size))


def _member_size(level: LevelStructure, size: Array) -> Array:
    """(G, m): the variance of the observed variable that a member of eta is, 1 for latent variables."""
    selects = (level.lambda_.index < 0) & (level.lambda_.base == 1.0)
    of_variable = jnp.max(jnp.where(selects, size[:, :, None], 0.0), axis=1, initial=0.0)
    return jnp.where(jnp.any(selects, axis=1), of_variable, 1.0)
