"""From the unconstrained vector theta to within and between moments.

Each level is a linear structural model in LISREL form (Joreskog 1973),

    y = nu + Lambda eta + epsilon,   eta = alpha + B eta + zeta,   zeta ~ N(0, Psi),   epsilon ~ N(0, Theta)
    mean = nu + Lambda (I - B)^-1 alpha,   cov = Lambda (I - B)^-1 Psi (I - B)^-T Lambda' + Theta

and Psi and Theta may each be parametrised in several ways (Epskamp, Rhemtulla & Borsboom 2017), one class of `_covariance` a
way. The pattern of a matrix is data: `index` says which natural parameter fills an element (-1: none) and `base` what it holds
otherwise, so models of the same dimensions share one compiled program and a batch of different models is a vmap. All arrays
lead with the group axis G.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.models._kinds import Choice
from mlsem_jax.numerics import inverse


class Filled(eqx.Module):
    """A matrix whose free elements come from the natural parameter vector and the others from `base`."""

    index: Int[Array, "..."]
    base: Float[Array, "..."]

    def __call__(self, natural: Float[Array, " k"]) -> Float[Array, "..."]:
        return jnp.where(self.index >= 0, natural[jnp.maximum(self.index, 0)], self.base)


class Covariance(eqx.Module):
    """A covariance matrix (d, d) from a symmetric or triangular `core` (d, d) and a `scale` (d,).

    What they mean is said by a kind (see `CovarianceKind`); kind None is a plain covariance matrix without the selection.
    In kinds without scales the scale holds 0 for variables that the level does not have and 1 for the others.
    """

    core: Filled
    scale: Filled | None = None

    def __call__(self, natural: Float[Array, " k"], kind: Choice | None) -> Float[Array, "d d"]:
        core = self.core(natural)
        return core if kind is None or self.scale is None else kind.sigma(core, self.scale(natural))


class LevelStructure(eqx.Module):
    """The matrices of one level; arrays lead with the group axis."""

    nu: Filled
    alpha: Filled
    lambda_: Filled
    beta: Filled
    psi: Covariance
    theta: Covariance

    def paths(self, natural: Array) -> Array:
        """Lambda (I - B)^-1 (p, m): total effects of the residuals of eta on y, of one group (no group axis)."""
        beta = self.beta(natural)
        return self.lambda_(natural) @ inverse(jnp.eye(beta.shape[-1], dtype=beta.dtype) - beta)

    def moments(self, natural: Array, psi_kind: Choice | None, theta_kind: Choice | None) -> tuple[Array, Array]:
        """Covariance (p, p) and mean (p,) of one group (no group axis): call it under vmap."""
        if self.beta.base.shape[-1] == 0:  # no eta: an unstructured model
            return self.theta(natural, theta_kind), self.nu(natural)
        paths = self.paths(natural)
        cov = paths @ self.psi(natural, psi_kind) @ paths.T + self.theta(natural, theta_kind)
        return cov, self.nu(natural) + paths @ self.alpha(natural)


class Moments(eqx.Module):
    """Model-implied moments by group. Variables that a level does not have are zero rows there.

    within_cov, between_cov (G, p, p); within_mean, between_mean (G, p): the mean of y is their sum. With r random slopes the
    between moments have p + r rows, the slopes last, and directions (G, r, p) holds what one unit of slope times covariate adds
    to y.
    """

    within_cov: Float[Array, "G p p"]
    between_cov: Float[Array, "G p p"]
    within_mean: Float[Array, "G p"]
    between_mean: Float[Array, "G p"]
    directions: Float[Array, "G r p"] | None = None

    @property
    def mean(self) -> Float[Array, "G p"]:
        """Mean of y at covariates with random slopes of zero."""
        return self.within_mean + self.between_mean[:, : self.within_mean.shape[1]]


class Kinds(eqx.Module):
    """The parametrisation of the four covariance matrices; None in place of it: all are plain covariances."""

    within_psi: Choice
    within_theta: Choice
    between_psi: Choice
    between_theta: Choice


class Structure(eqx.Module):
    """A two-level model as arrays only: what every kernel of the library takes.

    natural = offset + basis @ theta; basis (k, q) is the identity but for linear equality constraints, and columns of zeros
    pad q. between_only (p,) is 1 for variables that exist at level 2 only. slope_targets (r, m): the member of the within eta
    that each random slope explains, as a row of the identity; the between level then has p + r observed rows.
    """

    within: LevelStructure
    between: LevelStructure
    offset: Float[Array, " k"]
    basis: Float[Array, "k q"]
    between_only: Float[Array, " p"]
    kinds: Kinds | None = None
    slope_targets: Float[Array, "r m"] | None = None

    def natural(self, theta: Float[Array, " q"]) -> Float[Array, " k"]:
        return self.offset + self.basis @ theta

    @property
    def linear(self) -> bool:
        """Whether the moments are linear in theta: covariance matrices of observed variables only, not reparametrised."""
        return self.kinds is None and all(level.beta.base.shape[-1] == 0 for level in (self.within, self.between))

    def __call__(self, theta: Float[Array, " q"]) -> Moments:
        return self.moments(self.natural(theta))

    def moments(self, natural: Float[Array, " k"]) -> Moments:
        """Moments at natural parameters."""
        kinds = self.kinds
        psi_w, theta_w, psi_b, theta_b = (
            (None, None, None, None)
            if kinds is None
            else (kinds.within_psi, kinds.within_theta, kinds.between_psi, kinds.between_theta)
        )
        within_cov, within_mean = jax.vmap(lambda level: level.moments(natural, psi_w, theta_w))(self.within)
        between_cov, between_mean = jax.vmap(lambda level: level.moments(natural, psi_b, theta_b))(self.between)
        directions = None
        if self.slope_targets is not None:
            directions = jax.vmap(lambda level: self.slope_targets @ level.paths(natural).T)(self.within)
        return Moments(within_cov, between_cov, within_mean, between_mean, directions)
