"""Values that have derivatives in some lanes of a batch only: NaN elsewhere, in forward and in reverse mode.

`jnp.where(known, slope * tangent, nan)` is no way to say so: reverse mode transposes it to 0 where `known` is false. Here the
tangent is multiplied by 1 or NaN, which is linear, so that its transpose is NaN there too. A cotangent of exactly 0 stays 0:
it means that nothing of what is differentiated depends on this output, and 0 * NaN would spoil the derivative of what does.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array


def scaled_tangent(tangent: Array, known: Array) -> Array:
    """The tangent (...) where known (...) or (), NaN elsewhere. Transposed: NaN there for cotangents other than 0."""
    factor = jnp.broadcast_to(jnp.where(known, jnp.ones((), tangent.dtype), jnp.nan), tangent.shape)

    def back(_, cotangent):
        return jnp.where(cotangent == 0, 0.0, factor * cotangent)

    # of the public linear maps whose transpose may be written down, the one that also vmaps and differentiates again: the
    # solution x of x / factor = tangent
    return jax.lax.custom_linear_solve(lambda x: x / factor, tangent, lambda _, b: factor * b, back)


@jax.custom_jvp
def derivative_where(known: Array, x: Array) -> Array:
    """x (...) itself, with a derivative where known (...) or (); NaN for a derivative elsewhere."""
    return x


@derivative_where.defjvp
def _derivative_where_jvp(primals, tangents):
    known, x = primals
    return derivative_where(known, x), scaled_tangent(tangents[1], known)


@jax.custom_jvp
def root_where(known: Array, x: Array) -> Array:
    """Square root of x (...) where known (...), NaN elsewhere, as its derivative is."""
    return jnp.where(known, jnp.sqrt(jnp.where(known, x, 1.0)), jnp.nan)


@root_where.defjvp
def _root_where_jvp(primals, tangents):
    known, x = primals
    out = root_where(known, x)
    return out, scaled_tangent(tangents[1] * (0.5 / jnp.where(known, out, 1.0)), known)
