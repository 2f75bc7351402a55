"""The estimate as a pure function of the statistics and the model, with exact derivatives by the implicit function theorem.

At a maximum the gradient g(theta, statistics, structure) is zero, so d theta = I^-1 dg, with I the observed information and dg
the change of the gradient at fixed theta (Griewank & Walther 2008, chapter 15). Nothing is unrolled, and the derivatives are
exact whatever path the search took. The rule is written as a JVP and linear in the tangents, so it serves forward and reverse
mode, under jit and vmap; it solves by sweeps, so it needs no LAPACK.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.estimation._climb import climb, exact
from mlsem_jax.estimation._climb_state import Settings, scaled_inverse, settings
from mlsem_jax.estimation._proper import negative_variance
from mlsem_jax.likelihood import Statistics, gradient, observed_information
from mlsem_jax.models import Structure


class Estimate(eqx.Module):
    """A fit as a pytree. theta (q,); value: joint log-likelihood, a sum over rows; gradient (q,) and observed information (q, q)
    at theta; se (q,) of theta, NaN unless the fit converged; status: a `Status` code. Every float leaf but `decrement` is
    differentiable in the statistics and in the float leaves of the structure; where the fit did not converge to an isolated
    maximum, the derivatives are NaN. chisq, df: of the test against the unrestricted model, where asked for.
    """

    theta: Float[Array, " q"]
    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    information: Float[Array, "q q"]
    se: Float[Array, " q"]
    status: Int[Array, ""]
    iterations: Int[Array, ""]
    decrement: Float[Array, ""]
    chisq: Float[Array, ""] | None = None
    df: Int[Array, ""] | None = None

    @property
    def vcov(self) -> Float[Array, "q q"]:
        """Inverse of the observed information; zero where theta is padding."""
        return scaled_inverse(self.information)[0]


@jax.custom_jvp
def optimum(
    structure: Structure, statistics: Statistics, theta0: Array, limits: Settings
) -> tuple[Array, Array, Array, Array]:
    """theta (q,) at the maximum, status, iterations, decrement. Differentiable in structure and statistics, not in theta0."""
    end = climb(structure, statistics, theta0, limits)
    status = end.ended
    improper = (status == int(Status.CONVERGED)) & negative_variance(structure, end.theta)
    return end.theta, jnp.where(improper, int(Status.IMPROPER), status), end.iterations, end.decrement


@optimum.defjvp
def _optimum_jvp(primals, tangents):
    structure, statistics, theta0, limits = primals
    theta, status, iterations, decrement = optimum(structure, statistics, theta0, limits)
    _, change = jax.jvp(lambda a, b: gradient(a, theta, b), (structure, statistics), tangents[:2])
    inverse = scaled_inverse(observed_information(structure, theta, statistics))[0]
    theta_dot = jnp.where(is_maximum(status), inverse @ change, jnp.nan)
    no_tangent = np.zeros(np.shape(status), jax.dtypes.float0)
    return (theta, status, iterations, decrement), (theta_dot, no_tangent, no_tangent, jnp.zeros_like(decrement))


def is_maximum(status: Array) -> Array:
    """Whether a status code stands for a verified maximum."""
    return (status == int(Status.CONVERGED)) | (status == int(Status.IMPROPER)) | (status == int(Status.BOUNDARY))


def estimate_structure(
    structure: Structure, statistics: Statistics, theta0: Float[Array, " q"], limits: Settings | None = None
) -> Estimate:
    """Maximum-likelihood estimate from theta0. Pure: jit it, vmap it over any argument, differentiate it."""
    structure, statistics, theta0 = jax.tree.map(jnp.asarray, (structure, statistics, theta0))
    limits = settings(theta0.dtype) if limits is None else limits
    theta, status, iterations, decrement = optimum(structure, statistics, jax.lax.stop_gradient(theta0), limits)
    end = exact(structure, theta, statistics)
    variance = jnp.diagonal(scaled_inverse(end.information)[0])
    usable = is_maximum(status) & (variance > 0)
    # the inner `where` keeps derivatives of lanes without standard errors from turning into 0 * inf
    se = jnp.where(usable, jnp.sqrt(jnp.where(usable, variance, 1.0)), jnp.nan)
    return Estimate(
        theta=theta,
        value=end.value,
        gradient=end.gradient,
        information=end.information,
        se=se,
        status=status,
        iterations=iterations,
        decrement=decrement,
    )


def no_reference(model: object) -> ModelError:
    """The error for a chi-square of a model that has no unrestricted model beside it."""
    if isinstance(model, Structure):
        return ModelError("A bare Structure has no unrestricted model beside it: pass the model that ml.model returns.")
    return ModelError("A model with random slopes has no chi-square: its unrestricted model is not defined.")
