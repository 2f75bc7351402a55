"""Quantities: numbers derived from the natural parameters, with what inference asks of any of them, written once.

A `Quantity` says what its numbers are called and how they, and if need be their derivatives, are computed. Standard errors by the
delta method, `bootstrap`, `influence`, `profile` and the coverage in `ml.montecarlo` follow for every quantity alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array, Float
from mlsem_jax.estimation import scaled_inverse
from mlsem_jax.models import Build, Definition, defined_with_jacobian, values_by_label
from mlsem_jax.numerics import delta_errors, float64

Traced = Callable[[Array], Array]
Closed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# of central differences: truncation and rounding are about equal there
STEP = np.finfo(float).eps ** (1 / 3)


@dataclass(frozen=True, eq=False)
class Quantity:
    """Numbers (r,) that are functions of the natural parameters (k,).

    names (r,). traced: natural -> values, a function that JAX can trace; closed: natural -> values and Jacobian (r, k), NumPy in
    closed form. One of the two is needed. With both, closed serves single points, without compiling anything, and traced serves
    batches and second derivatives. plain: that many of the numbers, the first, are the natural parameters themselves.
    """

    names: tuple[str, ...]
    traced: Traced | None = None
    closed: Closed | None = None
    plain: int = 0

    def __post_init__(self) -> None:
        if self.traced is None and self.closed is None:
            raise TypeError("A Quantity needs a function: traced=, closed=, or both.")

    @float64
    def evaluate(self, natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (r,) and Jacobian (r, k) at one point, in NumPy."""
        if self.closed is not None:
            return self.closed(np.asarray(natural, float))
        values, jacobian = jax.device_get(self._first(jnp.asarray(natural)))
        return values, jacobian

    def value(self, natural: np.ndarray) -> np.ndarray:
        """Values (r,)."""
        return self.evaluate(natural)[0]

    def jacobian(self, natural: np.ndarray) -> np.ndarray:
        """Derivatives (r, k) in the natural parameters."""
        return self.evaluate(natural)[1]

    @float64
    def curvature(self, natural: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (r,), Jacobian (r, k) and Hessian (r, k, k); central differences of the Jacobian where JAX cannot trace it."""
        if self.traced is not None:
            values, jacobian, hessian = jax.device_get(self._second(jnp.asarray(natural)))
            return values, jacobian, hessian
        natural = np.asarray(natural, float)
        steps = np.diag(STEP * np.maximum(1.0, np.abs(natural)))
        sides = [self.jacobian(natural + step) - self.jacobian(natural - step) for step in steps]
        hessian = np.stack([d / (2 * step.sum()) for d, step in zip(sides, steps, strict=True)], axis=-1)
        return *self.evaluate(natural), 0.5 * (hessian + np.swapaxes(hessian, -1, -2))

    def at_each(self, natural: Float[Array, "B k"]) -> tuple[Array, Array]:
        """Values (B, r) and Jacobians (B, r, k) at many points; what JAX can trace may be traced further."""
        if self.traced is not None:
            return jax.vmap(self.traced)(natural), jax.vmap(jax.jacfwd(self.traced))(natural)
        values, jacobians = zip(*(self.evaluate(point) for point in np.asarray(natural)), strict=True)
        return np.stack(values), np.stack(jacobians)

    def vcov(self, natural: np.ndarray, vcov: np.ndarray) -> np.ndarray:
        """Sampling covariance (r, r) by the delta method, from that of the natural parameters (k, k)."""
        jacobian = self.jacobian(natural)
        return jacobian @ vcov @ jacobian.T

    def standard_errors(self, natural: np.ndarray, vcov: np.ndarray) -> np.ndarray:
        """Standard errors (r,) by the delta method; see `numerics.delta_errors` for their edges."""
        return self.with_standard_errors(natural, vcov)[1]

    def with_standard_errors(self, natural: np.ndarray, vcov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values and standard errors (r,)."""
        values, jacobian = self.evaluate(natural)
        # those of the parameters themselves without a product of large matrices
        own = delta_errors(np, np.ones((self.plain, 1, 1)), np.diag(vcov)[: self.plain, None, None])[:, 0]
        return values, np.concatenate([own, delta_errors(np, jacobian[self.plain :], vcov)])

    def chosen(self, rows: Sequence[int]) -> Quantity:
        """The quantity of some of the numbers."""
        at, traced, closed = np.asarray(rows, int), self.traced, self.closed
        return Quantity(
            names=tuple(self.names[i] for i in at),
            traced=None if traced is None else lambda natural: traced(natural)[at],
            closed=None if closed is None else lambda natural: tuple(x[at] for x in closed(natural)),
        )

    @cached_property
    def _first(self) -> Callable[[Array], Any]:
        assert self.traced is not None
        return jax.jit(lambda x: (self.traced(x), jax.jacfwd(self.traced)(x)))

    @cached_property
    def _second(self) -> Callable[[Array], Any]:
        assert self.traced is not None
        return jax.jit(lambda x: (self.traced(x), jax.jacfwd(self.traced)(x), jax.hessian(self.traced)(x)))


def parameters_and_defined(
    names: Sequence[str], labels: Mapping[str, int], definitions: Sequence[Definition]
) -> Quantity:
    """The natural parameters, then the `:=` quantities. names (k,); labels: natural parameter of each name and label."""
    k = len(names)

    def traced(natural: Array) -> Array:
        known = values_by_label(natural, labels, definitions)
        return jnp.concatenate([natural, *(jnp.reshape(known[d.name], 1) for d in definitions)])

    def closed(natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        defined, jacobian = defined_with_jacobian(natural, labels, definitions)
        return np.concatenate([natural, defined]), np.concatenate([np.eye(k), jacobian])

    return Quantity((*names, *(d.name for d in definitions)), traced, closed, plain=k)


def estimated(build: Build) -> Quantity:
    """What a fit estimates: its natural parameters, then its `:=` quantities."""
    return parameters_and_defined(build.names, build.labels, build.specification.definitions)


def with_errors(
    quantity: Quantity,
    offset: Float[Array, " k"],
    basis: Float[Array, "k q"],
    theta: Float[Array, "B q"],
    information: Float[Array, "B q q"],
) -> tuple[Array, Array]:
    """Values and standard errors (B, r) at many theta with their observed informations, padding included.

    natural = offset + basis theta. May be traced where the quantity may be.
    """
    return with_covariances(quantity, offset, basis, theta, _inverses(information))


def with_covariances(
    quantity: Quantity,
    offset: Float[Array, " k"],
    basis: Float[Array, "k q"],
    theta: Float[Array, "B q"],
    covariance: Float[Array, "B q q"],
) -> tuple[Array, Array]:
    """The same, with the sampling covariance of every theta."""
    natural = offset[: basis.shape[0]] + theta @ basis.T
    values, jacobian = quantity.at_each(natural)
    return values, _errors(covariance, jnp.asarray(jacobian), jnp.asarray(basis))


@jax.jit
def _inverses(information):
    return jax.vmap(lambda i: scaled_inverse(i)[0])(information)


@jax.jit
def _errors(covariance, jacobian, basis):
    return delta_errors(jnp, jacobian @ basis, covariance)
