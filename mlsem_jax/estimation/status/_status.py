"""Where a search ended, as one status code: whether it is a maximum, and whether variables can have what was estimated.

The rule is written once, for NumPy and for JAX: traced it decides every lane of a batch, and on the arrays of one fit it decides
that fit. `_diagnosis` says in words what is improper, from the elements that are found here.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Bool, Float
from mlsem_jax.estimation.search import SearchState
from mlsem_jax.models import Choice, Moments, Structure, residual_diagonals
from mlsem_jax.numerics import sweep

# the covariance matrices of a structure, in the order of what is found in them
MATRICES = (("within", "psi"), ("within", "theta"), ("between", "psi"), ("between", "theta"))


class Improper(NamedTuple):
    """What no variables can have, in each of MATRICES (first axis, 4) and each group; d is the longest side of the four. With one
    level the first two of them.

    negative: variances below zero. indefinite: whether the block of the variables with positive variances is not positive
    semidefinite, be it by one correlation beyond 1 or by all together. correlation: of that block, the identity elsewhere.
    """

    negative: Bool[Array, "4 G d"]
    indefinite: Bool[Array, "4 G"]
    correlation: Float[Array, "4 G d d"]

    def any(self) -> Array:
        """() bool."""
        return self.negative.any() | self.indefinite.any()


def tolerance(dtype) -> float:
    """What is more than rounding: a variance this far below zero, relative to the variance of its variable; a correlation this
    far beyond 1; an eigenvalue of a correlation matrix this far below zero.
    """
    return 1e-8 if np.finfo(dtype).eps < 1e-10 else 1e-5


def is_maximum(status: Array | int) -> Array:
    """Whether a status code stands for a verified maximum."""
    return (status == int(Status.CONVERGED)) | (status == int(Status.IMPROPER)) | (status == int(Status.BOUNDARY))


def with_improper(xp: ModuleType, status: Array | int, found: Array) -> Array:
    """The status code, or where a maximum is improper that."""
    return xp.where(is_maximum(status) & found, int(Status.IMPROPER), status)


def at_end(structure: Structure, end: SearchState) -> Array:
    """The status code of a search that took Newton steps, where it ended: () int. Traceable, without LAPACK."""
    found = improper(jnp, structure, structure.natural(end.theta), structure(end.theta))
    return with_improper(jnp, end.ended, found.any())


def improper(xp: ModuleType, structure: Structure, natural: Float[Array, " k"], moments: Moments) -> Improper:
    """What is improper at natural parameters and the moments that they imply, in NumPy or traced.

    A block counts where the model estimates a covariance in it. Variables whose row is fixed, and those not tied to any that is
    not, do not count: what exogenous covariates have is the data's.
    """
    cores = [getattr(level, matrix).core for level in structure.levels for matrix in ("psi", "theta")]
    side = max(core.base.shape[-1] for core in cores)
    index = xp.stack([_padded(xp, core.index, side, -1) for core in cores])
    base = xp.stack([_padded(xp, core.base, side, 0.0) for core in cores])
    values = xp.where(index >= 0, natural[xp.maximum(index, 0)], base) if len(natural) else base
    inner, plain = _inside(xp, values, structure, [core.base.shape[-1] for core in cores])
    free = (index >= 0) | (xp.swapaxes(index, 2, 3) >= 0)  # of a triangular core too
    if any(level.scales is not None for level in structure.levels):
        inner, free = _with_residuals(xp, inner, free, structure, natural)
    variance, own = (xp.diagonal(part, axis1=2, axis2=3) for part in (inner, free))
    rounding = tolerance(inner.dtype)
    negative = plain & own & (variance < -rounding * _sizes(xp, structure, moments, side))
    touched = free.any(axis=3) | ((inner != 0) & free.any(axis=3)[:, :, None, :]).any(axis=3)
    kept = (variance > 0) & touched
    eye = xp.eye(side, dtype=bool)
    pairs = kept[..., :, None] & kept[..., None, :] & ~eye
    scale = 1.0 / xp.sqrt(xp.where(kept, variance, 1.0))
    identity = eye.astype(inner.dtype)
    correlation = xp.where(pairs, inner * scale[..., :, None] * scale[..., None, :], identity)
    # an eigenvalue below -rounding is one below zero with that much added to the diagonal
    indefinite = (free & pairs).any(axis=(2, 3)) & ~_definite(xp, correlation + rounding * identity)
    return Improper(negative, indefinite, correlation)


def _with_residuals(
    xp: ModuleType, inner: Array, free: Array, structure: Structure, natural: Array
) -> tuple[Array, Array]:
    """The matrices with the residual variances that follow from scales, which are estimated as free ones are."""
    side, added, own = inner.shape[-1], [], []
    for level in structure.levels:
        left = residual_diagonals(xp, level, natural)
        here = xp.zeros_like(left[1]) if level.scales is None else xp.asarray(level.scales.here)
        member = None if level.scales is None else level.scales.member
        in_psi = xp.zeros_like(left[0]) if member is None else xp.einsum("gp,gpm->gm", here, xp.asarray(member))
        in_theta = here if member is None else here * (1.0 - xp.sum(xp.asarray(member), axis=2))
        added += [_padded(xp, part, side, 0.0) for part in left]
        own += [_padded(xp, part, side, 0.0) for part in (in_psi, in_theta)]
    eye = xp.eye(side, dtype=inner.dtype)
    return inner + xp.stack(added)[..., None] * eye, free | ((xp.stack(own) > 0)[..., None] & (eye > 0))


def _padded(xp: ModuleType, array: Array, side: int, by: float) -> Array:
    """(G, d, d) or (G, d), with d made `side`."""
    if array.shape[-1] == side:
        return array
    if xp is np:  # at a fifth of the time of `pad`, for the dozen arrays of a small fit
        out = np.full((len(array), *(side,) * (array.ndim - 1)), by, array.dtype)
        out[(slice(None), *(slice(array.shape[-1]),) * (array.ndim - 1))] = array
        return out
    more = ((0, 0),) + ((0, side - array.shape[-1]),) * (array.ndim - 1)
    return xp.pad(array, more, constant_values=by)


def _inside(
    xp: ModuleType, values: Array, structure: Structure, lengths: list[int]
) -> tuple[Float[Array, "4 G d d"], Array | bool]:
    """The matrices that are positive definite where the covariance matrices are, and whether their diagonals are variances."""
    kinds = [getattr(level, matrix).kind for level in structure.levels for matrix in ("psi", "theta")]
    if kinds[0] is None:  # then all are plain
        return values, True
    inner, plain = [], []
    for core, length, kind in zip(values, lengths, kinds, strict=True):
        inner.append(_padded(xp, _of_kind(xp, core[:, :length, :length], kind), values.shape[-1], 0.0))
        plain.append(kind.kind.plain if xp is np else kind.holds(lambda known: known.plain))
    return xp.stack(inner), xp.stack(plain)[:, None, None]


def _of_kind(xp: ModuleType, core: Float[Array, "G d d"], kind: Choice) -> Array:
    if xp is np:
        return np.stack([kind.kind.inside(np, one) for one in core])
    chosen = [kind.code == i for i in range(len(kind.among))]
    return jax.vmap(lambda one: jnp.select(chosen, [known.inside(jnp, one) for known in kind.among]))(core)


def _definite(xp: ModuleType, matrices: Array) -> Array:
    """Whether symmetric matrices (..., d, d) are positive definite: by pivots where that may be batched."""
    if not matrices.shape[-1]:
        return xp.ones(matrices.shape[:-2], bool)
    return np.linalg.eigvalsh(matrices)[..., 0] > 0 if xp is np else sweep(matrices)[2] > 0


def _sizes(xp: ModuleType, structure: Structure, moments: Moments, side: int) -> Float[Array, "4 G d"]:
    """What variances are small beside: the larger of a variable's two; of a member of eta that of the observed variable that it
    is or has as its marker; 1 for other latent variables and random slopes.
    """
    within = xp.diagonal(moments.within_cov, axis1=1, axis2=2)
    between = xp.abs(xp.diagonal(moments.between_cov, axis1=1, axis2=2))
    p = within.shape[1]
    size = xp.maximum(within, between[:, :p])
    with_slopes = xp.concatenate([size, xp.ones_like(between[:, p:])], axis=1)
    found = []
    for arrays, of_variables in zip(structure.levels, (size, with_slopes), strict=False):
        selects = (arrays.lambda_.index < 0) & (arrays.lambda_.base == 1.0)
        largest = xp.max(xp.where(selects, of_variables[:, :, None], 0.0), axis=1, initial=0.0)
        found += [xp.where(selects.any(axis=1), largest, 1.0), of_variables]
    return xp.stack([_padded(xp, one, side, 1.0) for one in found])
