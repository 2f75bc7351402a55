"""Natural parameters and `:=` quantities of many fits at once, with delta-method standard errors."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax.estimation import Estimation, scaled_inverse
from mlsem_jax.inference._estimates import estimates
from mlsem_jax.models import Build, values_by_label


def quantities(estimation: Estimation) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, values and standard errors (r,) of the fit's natural parameters, then of its `:=` quantities."""
    found = estimates(estimation)
    build = estimation.model.build
    names = build.names + tuple(d.name for d in build.specification.definitions)
    se = np.sqrt(np.maximum(np.diag(found.vcov), 0.0))
    return names, np.concatenate([found.natural, found.defined]), np.concatenate([se, found.defined_se])


def function_of_natural(build: Build) -> Callable[[jax.Array], jax.Array]:
    """natural (k,) -> natural parameters and `:=` quantities (r,)."""
    definitions, labels = build.specification.definitions, build.labels

    def values(natural: jax.Array) -> jax.Array:
        known = values_by_label(natural, labels, definitions)
        return jnp.concatenate([natural, *(jnp.reshape(known[d.name], 1) for d in definitions)])

    return values


def quantities_with_se(
    estimation: Estimation, theta: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors (B, r) at theta (B, q) with observed information (B, q, q), padding included."""
    build = estimation.model.build
    k = len(build.names)
    offset, basis = jnp.asarray(build.offset[:k]), jnp.asarray(build.basis[:k])
    function = function_of_natural(build)
    values = jax.vmap(lambda t: function(offset + basis @ t))(jnp.asarray(theta))
    jacobian = jax.vmap(lambda t: jax.jacfwd(function)(offset + basis @ t) @ basis)(jnp.asarray(theta))
    variance = _variances(jnp.asarray(information), jacobian)
    return np.array(values), np.sqrt(np.where(np.asarray(variance) > 0, variance, np.nan))


@jax.jit
def _variances(information, jacobian):
    inverse = jax.vmap(lambda i: scaled_inverse(i)[0])(information)
    return jnp.einsum("brq,bqs,brs->br", jacobian, inverse, jacobian)
