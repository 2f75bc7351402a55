"""Residual variances that follow from scales: the delta parameterization of latent responses (Muthen & Asparouhov 2002).

The scale of a latent response is 1 / sd given the fixed covariates, at the level that has its unit. Where it is a parameter, the
residual variances v are what the rest of the model leaves of the variances,

    diag(P Psi P' + Theta) + M v = 1 / scale^2,   P = Lambda (I - B)^-1,

with v = 0 in Psi and Theta, and no covariates. A residual that is a member m of eta moves all that depend on it, M_jk = P_jm^2;
one in Theta moves its own variable. They may come out negative, where a model explains more than there is.
"""

from __future__ import annotations

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float
from mlsem_jax.models._covariance import inverse
from mlsem_jax.models._structure import Filled, LevelStructure, Structure
from mlsem_jax.numerics import float64


class Scales(Record):
    """The scales of one level by group, and whose residual variances follow from them.

    here (G, p): 1 for these variables. member (G, p, m): the member of eta that a residual is, a row of the identity, zeros where
    it is in Theta; None where all are. given (G, m): 1 for members that are fixed covariates.
    """

    scale: Filled
    here: Float[Array, "G p"]
    given: Float[Array, "G m"]
    member: Float[Array, "G p m"] | None = None

    def variances(self, natural: Array, paths: Array, psi: Array, theta: Array) -> Float[Array, " p"]:
        """Residual variances of one group (no group axis), 0 for the other variables."""
        return _variances(jnp, self, self.scale(natural), paths, psi, theta)

    def added(
        self, variances: Float[Array, " p"], psi: Array, theta: Array, xp: ModuleType = jnp
    ) -> tuple[Array, Array]:
        """Psi and Theta of one group with the residual variances on their diagonals."""
        if self.member is None:
            return psi, theta + xp.diag(variances)
        in_theta = 1.0 - self.member.sum(axis=1)
        return psi + xp.diag(variances @ self.member), theta + xp.diag(variances * in_theta)

    def of_one(self, natural: np.ndarray, group: int, paths, psi, theta) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Residual variances of a group (from 0), and its Psi and Theta with them (NumPy)."""
        own = jax.tree.map(lambda x: np.asarray(x)[group], self)
        index, base = own.scale.index, own.scale.base
        scale = np.where(index >= 0, natural[np.maximum(index, 0)], base) if len(natural) else base
        found = _variances(np, own, scale, paths, psi, theta)
        return found, *own.added(found, psi, theta, np)


def _variances(xp: ModuleType, own: Scales, scale: Array, paths: Array, psi: Array, theta: Array) -> Array:
    """The solution of the equations at the top of this module, of one group."""
    kept = 1.0 - own.given
    explained = (paths @ (psi * kept[:, None] * kept)) * paths
    left = own.here * (1.0 / scale**2 - explained.sum(axis=1) - xp.diagonal(theta))
    if own.member is None:
        return left
    eye = xp.eye(len(own.here), dtype=theta.dtype)
    moved = (paths @ own.member.T) ** 2 + eye * (1.0 - own.member.sum(axis=1))
    both = own.here[:, None] * own.here
    return own.here * (inverse(xp, both * moved + (1.0 - both) * eye) @ left)


def residual_diagonals(
    xp: ModuleType, level: LevelStructure, natural: Float[Array, " k"]
) -> tuple[Float[Array, "G m"], Float[Array, "G p"]]:
    """What scales leave on the diagonals of Psi and Theta of a level, in NumPy or traced; zeros where nothing follows."""
    (groups, p), m = np.shape(level.nu.base), np.shape(level.alpha.base)[-1]
    if level.scales is None:
        return xp.zeros((groups, m)), xp.zeros((groups, p))
    left = level.at(natural)[1] if xp is jnp else _values(level, natural)
    member = level.scales.member
    if member is None:
        return xp.zeros((groups, m)), left
    return xp.einsum("gp,gpm->gm", left, member), left * (1.0 - xp.sum(member, axis=2))


@float64
def _values(level: LevelStructure, natural: np.ndarray) -> np.ndarray:
    return np.asarray(_left(level, jnp.asarray(natural)))


_left = jax.jit(lambda level, natural: level.at(natural)[1])
_slopes = jax.jit(jax.jacfwd(lambda natural, level: level.at(natural)[1]))


@float64
def residual_slopes(
    structure: Structure, natural: np.ndarray, level: int, group: int
) -> Float[np.ndarray, "p k"] | None:
    """Derivatives of the residual variances that follow in the natural parameters, of a level (1, 2) and group (from 0); None
    where none do. Compiled once for structures of the same dimensions.
    """
    block = structure.levels[level - 1]
    return None if block.scales is None else np.asarray(_slopes(jnp.asarray(natural), block))[group]
