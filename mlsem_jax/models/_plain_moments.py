"""Moments of models with plain covariance matrices in NumPy, with first and second derivatives in closed form.

The same moments as `Structure` gives, whose derivatives are automatic, for programs that would take longer to compile than to run.
With A = (I - B)^-1 and P = Lambda A, every element of a matrix moves the covariances by a symmetrised rank-one term.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from mlsem_jax._typing import Float
from mlsem_jax.models._build import Build
from mlsem_jax.models._filling import filled_level
from mlsem_jax.models._matrices import kinds_of
from mlsem_jax.models._numbering import fixed_values, number
from mlsem_jax.models._remembered import remembered
from mlsem_jax.models._specification import Specification
from mlsem_jax.models._structure import Filled, LevelMoments, LevelStructure, Moments, Structure


class PlainPart(NamedTuple):
    """`LevelMoments` without a pytree."""

    cov: np.ndarray
    mean: np.ndarray


class PlainParts(NamedTuple):
    """`Moments` without a pytree, whose making costs as much as the arithmetic of a small model."""

    levels: tuple[PlainPart, ...]

    @classmethod
    def of(cls, moments: Moments | PlainParts) -> PlainParts:
        """NumPy arrays of moments in either form, random slopes left out."""
        levels: tuple[Any, ...] = moments.levels
        return cls(tuple(PlainPart(np.asarray(part.cov, float), np.asarray(part.mean, float)) for part in levels))

    @property
    def within_cov(self) -> np.ndarray:
        return self.levels[0].cov

    @property
    def between_cov(self) -> np.ndarray:
        return self.levels[1].cov if len(self.levels) > 1 else np.zeros_like(self.levels[0].cov)

    @property
    def within_mean(self) -> np.ndarray:
        return self.levels[0].mean

    @property
    def between_mean(self) -> np.ndarray:
        return self.levels[1].mean if len(self.levels) > 1 else np.zeros_like(self.levels[0].mean)

    @property
    def mean(self) -> np.ndarray:
        return self.levels[0].mean + self.levels[1].mean if len(self.levels) > 1 else self.levels[0].mean

    def with_parts(self, within_cov, between_cov, within_mean, between_mean) -> PlainParts:
        both = (PlainPart(within_cov, within_mean), PlainPart(between_cov, between_mean))
        return PlainParts(both[: len(self.levels)])

    def plus(self, other: PlainParts) -> PlainParts:
        """The sum of two sets of derivatives."""
        both = zip(self.levels, other.levels, strict=True)
        return PlainParts(tuple(PlainPart(a.cov + b.cov, a.mean + b.mean) for a, b in both))

    def of_group(self, group: int) -> PlainParts:
        """Without the group axis."""
        return PlainParts(tuple(PlainPart(part.cov[group], part.mean[group]) for part in self.levels))

    def as_moments(self) -> Moments:
        return Moments(tuple(LevelMoments(part.cov, part.mean) for part in self.levels))


class PlainMoments:
    """The moments of a structure without random slopes; what does not depend on the parameters is computed once."""

    def __init__(self, structure: Structure, alike: list[_PlainLevel] | None = None):
        """alike: the levels of another structure of the same pattern, whose arrays may hold other values."""
        self._offset, self._k = np.asarray(structure.offset, float), len(structure.offset)
        self._basis = np.asarray(structure.basis, float)
        self._unconstrained = np.array_equal(self._basis, np.eye(len(self._basis)))
        if alike is None:
            self._levels = [_PlainLevel(level, self._k) for level in structure.levels]
        else:
            self._levels = [a.with_values(level) for a, level in zip(alike, structure.levels, strict=True)]
        self._last: tuple[np.ndarray, list[_Here]] | None = None

    def _natural(self, theta: Float[np.ndarray, " q"]) -> Float[np.ndarray, " k"]:
        return self._offset + (theta if self._unconstrained else self._basis @ theta)

    def _at(self, natural: Float[np.ndarray, " k"]) -> list[_Here]:
        """The matrices of each level; those last asked for are remembered."""
        if self._last is None or not np.array_equal(self._last[0], natural):
            self._last = natural, [_Here(level, natural) for level in self._levels]
        return self._last[1]

    @classmethod
    def serves(cls, structure: Structure) -> bool:
        """Whether all covariance matrices are plain ones, and there are neither random slopes nor scales."""
        if any(level.scales is not None for level in structure.levels):
            return False
        kinds = [kind for level in range(1, 1 + len(structure.levels)) for kind in kinds_of(structure, level)]
        return structure.slope_targets is None and all(kind.plain for kind in kinds)

    def __call__(self, theta: Float[np.ndarray, " q"]) -> PlainParts:
        """Moments at theta."""
        return PlainParts(tuple(here.moments for here in self._at(self._natural(theta))))

    def with_jacobian(self, theta: Float[np.ndarray, " q"]) -> tuple[PlainParts, PlainParts]:
        """Moments, and their derivatives in theta along a last axis (q)."""
        levels = self._at(self._natural(theta))
        slopes = [level.slopes(here) for level, here in zip(self._levels, levels, strict=True)]
        if not self._unconstrained:
            slopes = [PlainPart(part.cov @ self._basis, part.mean @ self._basis) for part in slopes]
        return PlainParts(tuple(here.moments for here in levels)), PlainParts(tuple(slopes))

    def by_parameter(self, natural: Float[np.ndarray, " k"]) -> PlainParts:
        """Derivatives of the moments in the natural parameters along a last axis (k)."""
        both = zip(self._levels, self._at(natural), strict=True)
        return PlainParts(tuple(level.slopes(here) for level, here in both))

    def curvature(self, theta: Float[np.ndarray, " q"], weight: Moments | PlainParts) -> Float[np.ndarray, "q q"]:
        """Hessian (q, q) in theta of the sum over moments of weight times moment. weight: symmetric in the covariances."""
        natural, total = self._natural(theta), np.zeros((self._k, self._k))
        parts: tuple[Any, ...] = weight.levels
        for level, here, weights in zip(self._levels, self._at(natural), parts, strict=True):
            if level.has_eta:
                level.add_curvature(total, here, weights)
        return total if self._unconstrained else self._basis.T @ total @ self._basis


class _Elements:
    """The free elements of a matrix by group: natural parameter, group, row and column (of vectors: row alone)."""

    def __init__(self, filled: Filled, lower: bool = False):
        index = np.asarray(filled.index)
        free = index >= 0
        at = np.nonzero(np.tril(free) if lower else free)
        self.k, self.group, self.row, self.column = index[at], at[0], at[1], at[-1]


class _Filling:
    """The matrices of a level in one array, filled at once."""

    def __init__(self, matrices: list[Filled]):
        index = np.concatenate([np.ravel(filled.index) for filled in matrices])
        self._free = np.flatnonzero(index >= 0)
        self._from, self._shapes = index[self._free], [np.shape(filled.index) for filled in matrices]
        ends = np.cumsum([math.prod(shape) for shape in self._shapes]).tolist()
        self._parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self._base = _flat(matrices)

    def with_base(self, matrices: list[Filled]) -> _Filling:
        """Of matrices that otherwise hold something else."""
        other = copy.copy(self)
        other._base = _flat(matrices)
        return other

    def __call__(self, natural: np.ndarray) -> list[np.ndarray]:
        flat = self._base.copy()
        flat[self._free] = natural[self._from]
        return [flat[part].reshape(shape) for part, shape in zip(self._parts, self._shapes, strict=True)]


def _flat(matrices: list[Filled]) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(filled.base, float)) for filled in matrices])


class _Here:
    """The matrices of a level at some parameters, groups in front: A (m, m), P = Lambda A (p, m), Psi, Lambda A Psi A', means."""

    def __init__(self, level: _PlainLevel, natural: np.ndarray):
        nu, self.alpha, lambda_, beta, self.psi, theta = level.filling(natural)
        self.moments = PlainPart(theta, nu)
        if level.has_eta:
            bare = level.no_paths
            self.a = np.linalg.inv(level.eye_eta - beta) if bare is None else bare
            self.paths = lambda_ @ self.a if bare is None else lambda_
            self.through = self.paths @ (self.psi @ self.a.swapaxes(1, 2))
            self.eta_mean = (self.a @ self.alpha[:, :, None])[:, :, 0]
            cov = self.paths @ self.psi @ self.paths.swapaxes(1, 2) + theta
            self.moments = PlainPart(cov, nu + (lambda_ @ self.eta_mean[:, :, None])[:, :, 0])


class _PlainLevel:
    """The free elements of one level, and the derivatives of its moments that never change."""

    def __init__(self, level: LevelStructure, k: int):
        self.has_eta, self.filling = level.has_eta, _Filling(_matrices(level))
        self.nu, self.alpha = _Elements(level.nu), _Elements(level.alpha)
        self.lambda_, self.beta = _Elements(level.lambda_), _Elements(level.beta)
        self.psi, self.theta = _Elements(level.psi.core, lower=True), _Elements(level.theta.core, lower=True)
        groups, p = np.shape(level.nu.base)
        self.eye, self.eye_eta = np.eye(p), np.eye(np.shape(level.beta.base)[-1])
        # A, where no member of eta depends on another
        bare = not len(self.beta.k) and not np.any(level.beta.base)
        self.no_paths = np.broadcast_to(self.eye_eta, np.shape(level.beta.base)) if bare else None
        # linear in natural parameters: their derivatives never change
        self._fixed = PlainPart(np.zeros((k, groups, p, p)), np.zeros((k, groups, p)))
        e = self.theta
        np.add.at(self._fixed.cov, (e.k, e.group, e.row, e.column), 1.0)
        off = e.row != e.column
        np.add.at(self._fixed.cov, (e.k[off], e.group[off], e.column[off], e.row[off]), 1.0)
        np.add.at(self._fixed.mean, (self.nu.k, self.nu.group, self.nu.row), 1.0)
        for array in self._fixed:
            array.flags.writeable = False
        parts = (self.lambda_, self.beta, self.psi)
        self._k_cov, self._g_cov = (np.concatenate([getattr(e, f) for e in parts]) for f in ("k", "group"))
        paths = len(self.lambda_.k) + len(self.beta.k)
        self._k_mean = np.concatenate([self._k_cov[:paths], self.alpha.k])
        self._g_mean = np.concatenate([self._g_cov[:paths], self.alpha.group])
        # where every element is a parameter of its own nothing is added twice in one place
        self._once = _distinct(self._k_cov, self._g_cov) and _distinct(self._k_mean, self._g_mean)
        self._half_psi = np.where(self.psi.row == self.psi.column, 0.5, 1.0)[:, None]
        self._of_lambda = self.eye[self.lambda_.row]
        self._curved = [_Curved(self, group) for group in range(groups)]

    def with_values(self, level: LevelStructure) -> _PlainLevel:
        """The same for matrices of the same pattern. Of those the data decide means and covariances alone (see `filled_level`)."""
        other = copy.copy(self)
        other.filling = self.filling.with_base(_matrices(level))
        return other

    def slopes(self, here: _Here) -> PlainPart:
        """Derivatives of covariances (G, p, p, k) and means (G, p, k) in the natural parameters."""
        cov, mean = self._fixed.cov, self._fixed.mean
        if self.has_eta:
            cov, mean = cov.copy(), mean.copy()
            left, right = self._rank_one(here)
            half = left[:, :, None] * right[:, None, :]
            self._add(cov, (self._k_cov, self._g_cov), half + half.swapaxes(1, 2))
            self._add(mean, (self._k_mean, self._g_mean), self._mean_slopes(here))
        return PlainPart(cov.transpose(1, 2, 3, 0), mean.transpose(1, 2, 0))

    def _add(self, total: np.ndarray, at: tuple[np.ndarray, np.ndarray], parts: np.ndarray) -> None:
        if self._once:
            total[at] += parts
        else:
            np.add.at(total, at, parts)

    def _rank_one(self, here: _Here) -> tuple[np.ndarray, np.ndarray]:
        """left, right (t, p): an element of Lambda, B or Psi moves the covariances by left right' + right left'."""
        lam, beta, psi = self.lambda_, self.beta, self.psi
        columns = here.paths.swapaxes(1, 2)
        through = here.through.swapaxes(1, 2)
        left = [self._of_lambda, columns[beta.group, beta.row], self._half_psi * columns[psi.group, psi.row]]
        right = [
            through[lam.group, lam.column],
            through[beta.group, beta.column],
            columns[psi.group, psi.column],
        ]
        return np.concatenate(left), np.concatenate(right)

    def _mean_slopes(self, here: _Here) -> np.ndarray:
        """Derivatives of the means (t, p) in elements of Lambda, B and alpha."""
        lam, beta, alpha = self.lambda_, self.beta, self.alpha
        columns = here.paths.swapaxes(1, 2)
        by_lambda = self._of_lambda * here.eta_mean[lam.group, lam.column][:, None]
        by_beta = columns[beta.group, beta.row] * here.eta_mean[beta.group, beta.column][:, None]
        return np.concatenate([by_lambda, by_beta, columns[alpha.group, alpha.row]])

    def add_curvature(self, total: np.ndarray, here: _Here, weight: LevelMoments | PlainPart) -> None:
        """Add the Hessian (k, k) of the sum of weight times moment, group by group.

        An element of Lambda or B moves P by a rank-one term l r', which A's own movement by an element of B follows; Psi and
        alpha enter linearly.
        """
        for g, (cov, mean) in enumerate(zip(weight.cov, weight.mean, strict=True)):
            e, p, a = self._curved[g], here.paths[g], here.a[g]
            left = np.concatenate([e.of_lambda, p.T[e.beta_row]])
            right = a[e.column]
            # in pairs of elements of Lambda and B: through both sides of P Psi P', and through P itself
            bent = 2 * (left @ cov @ left.T) * (right @ here.psi[g] @ right.T)
            if len(e.beta_row):
                through = a @ (2 * here.psi[g] @ p.T @ cov + np.outer(here.alpha[g], mean)) @ left.T
                after = right[:, e.beta_row] * through[e.beta_column].T
                bent[:, -len(e.beta_row) :] += after
                bent[-len(e.beta_row) :] += after.T
            # with elements of Psi, which stand in two places off the diagonal, and of alpha
            q = left @ cov @ p
            by_psi = e.times * (right[:, e.psi_row] * q[:, e.psi_column] + right[:, e.psi_column] * q[:, e.psi_row])
            linear = np.concatenate([by_psi, (left @ mean)[:, None] * right[:, e.alpha_row]], axis=1)
            np.add.at(total, (e.rows[:, None], e.rows), bent)
            np.add.at(total, (e.rows[:, None], e.columns), linear)
            np.add.at(total, (e.columns[:, None], e.rows), linear.T)


class _Curved:
    """The elements of one group that the moments of a level bend in: where they stand, and the parameters that they are."""

    def __init__(self, level: _PlainLevel, group: int):
        parts = (level.lambda_, level.beta, level.psi, level.alpha)
        lam, beta, psi, alpha = ([x[e.group == group] for x in (e.k, e.row, e.column)] for e in parts)
        self.of_lambda, self.beta_row, self.beta_column = level.eye[lam[1]], beta[1], beta[2]
        self.column = np.concatenate([lam[2], beta[2]])
        self.psi_row, self.psi_column, self.alpha_row = psi[1], psi[2], alpha[1]
        self.times = np.where(psi[1] == psi[2], 1.0, 2.0)
        self.rows, self.columns = np.concatenate([lam[0], beta[0]]), np.concatenate([psi[0], alpha[0]])


def _matrices(level: LevelStructure) -> list[Filled]:
    return [level.nu, level.alpha, level.lambda_, level.beta, level.psi.core, level.theta.core]


# elements of the derivatives of the moments (k, G, p, p) up to which those that never change are kept with a specification
KEPT = 2**16


@remembered
def _levels_alike(specification: Specification) -> list[_PlainLevel] | None:
    """The levels of any structure of a specification with covariance matrices of the plain kind, None where that is large."""
    index, names, _ = number(specification)
    if len(names) * specification.ngroups * len(specification.variables) ** 2 > KEPT:
        return None
    values = fixed_values(specification, None)
    levels = (filled_level(specification, level, index, values, False, None) for level in specification.numbers)
    return [_PlainLevel(level, len(names)) for level in levels]


def plain_moments(build: Build) -> PlainMoments:
    """The moments of a build whose structure `PlainMoments.serves`; what its specification decides is worked out once."""
    specification = build.specification
    plain = all(kind is None for block in specification.levels for kind in (block.psi_kind, block.theta_kind))
    shared = plain and build.index is number(specification)[0]
    return PlainMoments(build.structure, _levels_alike(specification) if shared else None)


def _distinct(k: np.ndarray, group: np.ndarray) -> bool:
    """Whether no parameter stands twice in one group."""
    return len(set(zip(k.tolist(), group.tolist(), strict=True))) == len(k)
