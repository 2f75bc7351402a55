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

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.models._kinds import Choice
from mlsem_jax.numerics import concrete, inverse

if TYPE_CHECKING:
    from mlsem_jax.models._scales import Scales


class Filled(Record):
    """A matrix whose free elements come from the natural parameter vector and the others from `base`."""

    index: Int[Array, "..."]
    base: Float[Array, "..."]

    def __call__(self, natural: Float[Array, " k"]) -> Float[Array, "..."]:
        return jnp.where(self.index >= 0, natural[jnp.maximum(self.index, 0)], self.base)


class Covariance(Record):
    """A covariance matrix (d, d) from a symmetric or triangular `core` (d, d) and a `scale` (d,), by group.

    What they mean is said by a kind (see `CovarianceKind`), one for all groups; None is a plain covariance matrix without the
    selection. In kinds without scales the scale holds 0 for variables that the level does not have and 1 for the others.
    """

    core: Filled
    scale: Filled | None = None
    kind: Choice | None = None

    def of_group(self) -> Covariance:
        """Itself without its kind, every leaf of which leads with the group axis."""
        return Covariance(self.core, self.scale)

    def matrix(self, natural: Float[Array, " k"], kind: Choice | None) -> Float[Array, "d d"]:
        """The covariance matrix of one group (no group axis), written in this kind."""
        core = self.core(natural)
        return core if kind is None or self.scale is None else kind.sigma(core, self.scale(natural))


def _zeros(x: Any) -> Any:
    """Zeros of the shape of an array of NumPy or JAX."""
    return jnp.zeros_like(x) if isinstance(x, jax.Array) else np.zeros_like(x)


class LevelMoments(Record):
    """Moments of one level by group: cov (G, p, p) and mean (G, p). Variables that the level does not have are zero rows."""

    cov: Float[Array, "G p p"]
    mean: Float[Array, "G p"]


class LevelStructure(Record):
    """The matrices of one level; their arrays lead with the group axis. scales: of latent responses whose residual variances
    follow from them, which Psi and Theta hold 0 for; None where there are none.
    """

    nu: Filled
    alpha: Filled
    lambda_: Filled
    beta: Filled
    psi: Covariance
    theta: Covariance
    scales: Scales | None = None

    @property
    def has_eta(self) -> bool:
        """Whether there are members of eta; without them the level is unstructured."""
        return self.beta.base.shape[-1] > 0

    def of_group(self) -> LevelStructure:
        """Itself without the kinds of covariance, every leaf of which leads with the group axis."""
        psi, theta = self.psi.of_group(), self.theta.of_group()
        return LevelStructure(self.nu, self.alpha, self.lambda_, self.beta, psi, theta, self.scales)

    def paths(self, natural: Array) -> Array:
        """Lambda (I - B)^-1 (p, m): total effects of the residuals of eta on y, of one group (no group axis)."""
        beta = self.beta(natural)
        return self.lambda_(natural) @ inverse(jnp.eye(beta.shape[-1], dtype=beta.dtype) - beta)

    def moments(self, natural: Array) -> LevelMoments:
        """Covariances (G, p, p) and means (G, p)."""
        return self.at(natural)[0]

    def at(self, natural: Array) -> tuple[LevelMoments, Float[Array, "G p"] | None]:
        """The moments, and the residual variances that follow from scales, 0 for other variables; None without scales."""

        def one(level: LevelStructure) -> tuple[LevelMoments, Array | None]:
            theta, left = level.theta.matrix(natural, self.theta.kind), None
            none = jnp.zeros((theta.shape[0], 0), theta.dtype), jnp.zeros((0, 0), theta.dtype)
            paths, psi = (level.paths(natural), level.psi.matrix(natural, self.psi.kind)) if self.has_eta else none
            if level.scales is not None:
                left = level.scales.variances(natural, paths, psi, theta)
                psi, theta = level.scales.added(left, psi, theta)
            if not self.has_eta:
                return LevelMoments(theta, level.nu(natural)), left
            cov = paths @ psi @ paths.T + theta
            return LevelMoments(cov, level.nu(natural) + paths @ level.alpha(natural)), left

        return jax.vmap(one)(self.of_group())


class OrderedMoments(Record):
    """What the model says of ordered variables by group: thresholds (G, p, K - 1) of the latent responses, zeros where a variable
    has fewer, and their residual variances (G, p), the unit that the thresholds are in.
    """

    thresholds: Float[Array, "G p t"]
    unit: Float[Array, "G p"]


class Moments(Record):
    """Model-implied moments by level, the lowest first, and group; the mean of y is the sum of the levels' means.

    Variables that a level does not have are zero rows there, and a model of one level has a tuple of length one. With r random
    slopes the moments of the second level have p + r rows, the slopes last, and directions (G, r, p) holds what one unit of slope
    times covariate adds to y.
    """

    levels: tuple[LevelMoments, ...]
    directions: Float[Array, "G r p"] | None = None
    ordered: OrderedMoments | None = None

    @classmethod
    def two_level(
        cls, within_cov: Array, between_cov: Array, within_mean: Array, between_mean: Array, directions: Any = None
    ) -> Moments:
        """Of a within and a between level: covariances (G, p, p) and means (G, p)."""
        return cls((LevelMoments(within_cov, within_mean), LevelMoments(between_cov, between_mean)), directions)

    def __repr__(self) -> str:
        """The matrices of each level, of the first group where there are several; shapes where they are traced or many."""
        if not all(isinstance(level, LevelMoments) for level in self.levels):
            return "<mlsem_jax moments>"
        words = ("within", "between") if len(self.levels) == 2 else tuple(map(str, range(1, len(self.levels) + 1)))
        shapes = ", ".join(
            f"{w} {getattr(level.cov, 'shape', '')}" for w, level in zip(words, self.levels, strict=True)
        )
        if not concrete(self) or np.ndim(self.levels[0].cov) != 3 or np.shape(self.levels[0].cov)[-1] > 12:
            return f"<mlsem_jax moments: covariances {shapes}>"
        groups = np.shape(self.levels[0].cov)[0]
        lines = [f"<mlsem_jax moments{f' of {groups} groups, the first of them' if groups > 1 else ''}"]
        with np.printoptions(precision=3, suppress=True, linewidth=120):
            for word, level in zip(words, self.levels, strict=True):
                title = word if len(self.levels) == 2 else "one level"
                lines += [f" {title}, cov:", *(f"  {row}" for row in str(np.asarray(level.cov[0])).split("\n"))]
                lines += [f" {title}, mean: {np.asarray(level.mean[0])}"]
        return "\n".join(lines) + ">"

    def without(self, absent: np.ndarray) -> Moments:
        """The moments of data, in which a variable that a group does not have (absent, (G, p)) is always 0."""
        if not absent.any():
            return self
        levels = []
        for level in self.levels:
            more = level.mean.shape[-1] - absent.shape[1]  # random slopes
            keep = 1.0 - np.pad(absent, ((0, 0), (0, more)))
            levels.append(LevelMoments(level.cov * keep[:, :, None] * keep[:, None, :], level.mean * keep))
        return Moments(tuple(levels), self.directions, self.ordered)

    def with_parts(self, within_cov: Array, between_cov: Array, within_mean: Array, between_mean: Array) -> Moments:
        """Other arrays, such as derivatives, at the levels of these moments; with one level what is of the second has no place."""
        return Moments(Moments.two_level(within_cov, between_cov, within_mean, between_mean).levels[: len(self.levels)])

    @property
    def within_cov(self) -> Float[Array, "G p p"]:
        return self.levels[0].cov

    @property
    def between_cov(self) -> Float[Array, "G p p"]:
        """Of the second level; zeros where there is one level."""
        return self.levels[1].cov if len(self.levels) > 1 else _zeros(self.levels[0].cov)

    @property
    def within_mean(self) -> Float[Array, "G p"]:
        return self.levels[0].mean

    @property
    def between_mean(self) -> Float[Array, "G p"]:
        """Of the second level; zeros where there is one level."""
        return self.levels[1].mean if len(self.levels) > 1 else _zeros(self.levels[0].mean)

    @property
    def mean(self) -> Float[Array, "G p"]:
        """Mean of y at covariates with random slopes of zero."""
        p = self.levels[0].mean.shape[1]
        return functools.reduce(lambda total, level: total + level.mean[:, :p], self.levels[1:], self.levels[0].mean)


class OrderedStructure(Record):
    """Thresholds (G, p, K - 1) and residual variances (G, p) of the latent responses of ordered variables; the latter 0 where they
    follow from scales.
    """

    thresholds: Filled
    unit: Filled

    def moments(self, natural: Array, left: tuple[Array | None, ...] = ()) -> OrderedMoments:
        """left: by level the residual variances that follow, see `LevelStructure.at`."""
        unit = self.unit(natural)
        for part in left:
            unit = unit if part is None else unit + part[:, : unit.shape[1]]
        return OrderedMoments(self.thresholds(natural), unit)


class Structure(Record):
    """A multilevel model as arrays only: what every kernel of the library takes.

    levels: the lowest first. natural = offset + basis @ theta; basis (k, q) is the identity but for linear equality constraints,
    and columns of zeros pad q. between_only (p,) is 1 for variables that exist at level 2 only. slope_targets (r, m): the member of
    the within eta that each random slope explains, as a row of the identity; the between level then has p + r observed rows.
    ordered: what ordered variables have besides, None where there are none.
    """

    levels: tuple[LevelStructure, ...]
    offset: Float[Array, " k"]
    basis: Float[Array, "k q"]
    between_only: Float[Array, " p"]
    slope_targets: Float[Array, "r m"] | None = None
    ordered: OrderedStructure | None = None

    @property
    def within(self) -> LevelStructure:
        return self.levels[0]

    @property
    def between(self) -> LevelStructure:
        return self.levels[1]

    def natural(self, theta: Float[Array, " q"]) -> Float[Array, " k"]:
        return self.offset + self.basis @ theta

    @property
    def linear(self) -> bool:
        """Whether the moments are linear in theta: covariance matrices of observed variables only, not reparametrised."""
        plain = (level.theta.kind is None and level.scales is None for level in self.levels)
        return all(plain) and not any(level.has_eta for level in self.levels)

    def __call__(self, theta: Float[Array, " q"]) -> Moments:
        return self.moments(self.natural(theta))

    def moments(self, natural: Float[Array, " k"]) -> Moments:
        """Moments at natural parameters."""
        levels, left = zip(*(level.at(natural) for level in self.levels), strict=True)
        directions = None
        if self.slope_targets is not None:
            lowest = self.levels[0].of_group()
            directions = jax.vmap(lambda level: self.slope_targets @ level.paths(natural).T)(lowest)
        ordered = None if self.ordered is None else self.ordered.moments(natural, left)
        return Moments(levels, directions, ordered)
