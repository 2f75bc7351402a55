"""The estimate as a pure function of the statistics and the model, with exact derivatives by the implicit function theorem.

At a maximum the gradient g(theta, statistics, structure) is zero, so d theta = I^-1 dg, with I the observed information and dg
the change of the gradient at fixed theta (Griewank & Walther 2008, chapter 15). Nothing is unrolled, and the derivatives are
exact whatever path the search took. The rule is written as a JVP and linear in the tangents, so it serves forward and reverse
mode, under jit and vmap; it solves by sweeps, so it needs no LAPACK. Where the search found no maximum the derivative of every
output is NaN in both modes (`numerics.derivative_where`); the other lanes of a batch keep theirs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._record import Record
from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Bool, Float, Int
from mlsem_jax.estimation.search import Settings, exact, scaled_inverse, search_traced, settings
from mlsem_jax.estimation.status import at_end, is_maximum
from mlsem_jax.likelihood import Statistics, gradient, observed_information
from mlsem_jax.models import Structure
from mlsem_jax.numerics import concrete, derivative_where, follows_precision, root_where, scaled_tangent


class Estimate(Record):
    """A fit as a pytree. theta (q,); value: joint log-likelihood, a sum over rows; gradient (q,) and observed information (q, q)
    at theta; se (q,) of theta, NaN unless the fit converged; status: a `Status` code. Every float leaf but `decrement` is
    differentiable in the statistics and in the float leaves of the structure; where the fit did not converge to an isolated
    maximum, the derivatives are NaN, in forward and reverse mode; an output that nothing depends on (a cotangent of 0) adds 0 to
    them. chisq, df: of the test against the unrestricted model, where asked for; NaN unless both models converged. again: of a
    batch, whether the lane was searched again like a single fit.
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
    again: Bool[Array, ""] | None = None

    def __repr__(self) -> str:
        """How it ended and the largest numbers; shapes where the arrays are traced."""
        if not concrete(self):
            return f"<mlsem_jax estimate without values: theta {getattr(self.theta, 'shape', '')}>"
        if np.ndim(self.status):
            return self._of_batch()
        lines = [
            f"<mlsem_jax estimate: {Status(int(self.status)).name.lower()} after {int(self.iterations)} iterations, joint "
            f"log-likelihood {float(self.value):.3f}, largest gradient {np.abs(np.asarray(self.gradient)).max(initial=0.0):.1e}"
        ]
        if self.chisq is not None and self.df is not None:
            lines.append(f" chi-square {float(self.chisq):.3f} on {int(self.df)} df")
        with np.printoptions(precision=4, suppress=True, threshold=12, edgeitems=5):
            lines += [f" theta {np.asarray(self.theta)}", f" se    {np.asarray(self.se)}>"]
        return "\n".join(lines)

    def _of_batch(self) -> str:
        codes, counts = np.unique(np.asarray(self.status), return_counts=True)
        ended = ", ".join(f"{Status(int(c)).name.lower()} {n}" for c, n in zip(codes, counts, strict=True))
        shape = np.shape(self.status)
        return (
            f"<mlsem_jax estimates of a batch of {' x '.join(map(str, shape))}: {ended}\n"
            f" theta {np.shape(self.theta)}, se {np.shape(self.se)}, value {np.shape(self.value)}>"
        )

    @property
    def vcov(self) -> Float[Array, "*B q q"]:
        """Inverse of the observed information, in a batch that of every lane; zero where theta is padding."""
        return _covariance(self.information, self.status)


@follows_precision
def _covariance(information: Array, status: Array) -> Array:
    def one(information, status):
        known = is_maximum(status)
        return derivative_where(known, scaled_inverse(derivative_where(known, information))[0])

    for _ in range(np.ndim(status)):
        one = jax.vmap(one)
    return one(jnp.asarray(information), jnp.asarray(status))


@jax.custom_jvp
def optimum(
    structure: Structure, statistics: Statistics, theta0: Array, limits: Settings
) -> tuple[Array, Array, Array, Array]:
    """theta (q,) at the maximum, status, iterations, decrement. Differentiable in structure and statistics, not in theta0."""
    end = search_traced(structure, statistics, theta0, limits)
    return end.theta, at_end(structure, end), end.iterations, end.decrement


@optimum.defjvp
def _optimum_jvp(primals, tangents):
    structure, statistics, theta0, limits = primals
    theta, status, iterations, decrement = optimum(structure, statistics, theta0, limits)
    _, change = jax.jvp(lambda a, b: gradient(a, theta, b), (structure, statistics), tangents[:2])
    inverse = scaled_inverse(observed_information(structure, theta, statistics))[0]
    known = is_maximum(status)
    # without a maximum the inverse may be infinite, which would spoil cotangents of 0
    theta_dot = scaled_tangent(jnp.where(known, inverse, 0.0) @ change, known)
    no_tangent = np.zeros(np.shape(status), jax.dtypes.float0)
    return (theta, status, iterations, decrement), (theta_dot, no_tangent, no_tangent, jnp.zeros_like(decrement))


def estimate_structure(
    structure: Structure, statistics: Statistics, theta0: Float[Array, " q"], limits: Settings | None = None
) -> Estimate:
    """Maximum-likelihood estimate from theta0. Pure: jit it, vmap it over any argument, differentiate it."""
    structure, statistics, theta0 = jax.tree.map(jnp.asarray, (structure, statistics, theta0))
    limits = settings(theta0.dtype) if limits is None else limits
    theta, status, iterations, decrement = optimum(structure, statistics, jax.lax.stop_gradient(theta0), limits)
    end = exact(structure, theta, statistics)
    known = is_maximum(status)
    # each by itself: at a point without maximum their own derivatives may be 0, at a saddle that of the value for example
    value, gradient, information = (derivative_where(known, x) for x in end)
    variance = jnp.diagonal(scaled_inverse(information)[0])
    return Estimate(
        theta=theta,
        value=value,
        gradient=gradient,
        information=information,
        se=root_where(known & (variance > 0), variance),
        status=status,
        iterations=iterations,
        decrement=decrement,
    )


def no_reference(model: object) -> ModelError:
    """The error for a chi-square of a model that has no unrestricted model beside it."""
    if isinstance(model, Structure):
        return ModelError("A bare Structure has no unrestricted model beside it: pass the model that ml.model returns.")
    if getattr(getattr(model, "structure", None), "ordered", None) is not None:
        return ModelError(
            "The likelihood of ordered variables has no chi-square: there is no unrestricted model beside it. Leave chisq= out "
            "(chisq=False), and compare models by their values."
        )
    if getattr(model, "saturated", None) is not None:
        return ModelError(
            "There is no chi-square: a term of the statistics says that it is not of free moments (its `saturated` is False). "
            "Leave chisq= out, and compare models by their values."
        )
    return ModelError("A model with random slopes has no chi-square: its unrestricted model is not defined.")


def no_start(what: str) -> ModelError:
    """The error for a bare Structure whose starting values do not follow from the statistics."""
    return ModelError(
        f"Starting values of a bare Structure with random slopes or missing values do not follow from the statistics: give {what} "
        "theta0, or the model that ml.model returns."
    )
