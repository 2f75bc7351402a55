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
from mlsem_jax.estimation._climb_state import Climb
from mlsem_jax.models import Choice, Filled, LevelStructure, Moments, Structure
from mlsem_jax.numerics import sweep

# the covariance matrices of a structure, in the order of what is found in them
MATRICES = (("within", "psi"), ("within", "theta"), ("between", "psi"), ("between", "theta"))


class Improper(NamedTuple):
    """What no variables can have, in each of MATRICES (first axis, 4) and each group; d is the longest side of the four.

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


def at_end(structure: Structure, end: Climb) -> Array:
    """The status code of a search that took Newton steps, where it ended: () int. Traceable, without LAPACK."""
    found = improper(jnp, structure, structure.natural(end.theta), structure(end.theta))
    return with_improper(jnp, end.ended, found.any())


def improper(xp: ModuleType, structure: Structure, natural: Float[Array, " k"], moments: Moments) -> Improper:
    """What is improper at natural parameters and the moments that they imply, in NumPy or traced.

    A block counts where the model estimates a covariance in it. Variables whose row is fixed, and those not tied to any that is
    not, do not count: what exogenous covariates have is the data's.
    """
    sizes = dict(zip(("within", "between"), _variances(xp, structure, moments), strict=True))
    side = max(getattr(getattr(structure, level), matrix).core.base.shape[-1] for level, matrix in MATRICES)
    found = []
    for level, matrix in MATRICES:
        arrays = getattr(structure, level)
        size = sizes[level] if matrix == "theta" else _of_members(xp, arrays, sizes[level])
        block = getattr(arrays, matrix)
        found.append(_matrix(xp, block.core, block.kind, natural, size, side))
    negative, correlation, estimated = (xp.stack(part) for part in zip(*found, strict=True))
    # an eigenvalue below -tolerance is one below zero with that much added to the diagonal
    raised = correlation + tolerance(correlation.dtype) * xp.eye(side, dtype=correlation.dtype)
    return Improper(negative, estimated & ~_definite(xp, raised), correlation)


def _matrix(
    xp: ModuleType, core: Filled, kind: Choice | None, natural: Array, size: Array, side: int
) -> tuple[Array, Array, Array]:
    """Negative variances (G, d), correlations (G, d, d) and whether one is estimated (G,), of one covariance matrix."""
    free = core.index >= 0
    free = free | xp.swapaxes(free, 1, 2)  # of a triangular core too
    values = xp.where(core.index >= 0, natural[xp.maximum(core.index, 0)], core.base) if len(natural) else core.base
    inner, plain = _inside(xp, values, kind)
    variance, own = xp.diagonal(inner, axis1=1, axis2=2), xp.diagonal(free, axis1=1, axis2=2)
    negative = plain & own & (variance < -tolerance(inner.dtype) * size)
    some = free.any(axis=2)
    kept = (variance > 0) & (some | ((inner != 0) & some[:, None, :]).any(axis=2))
    both = kept[:, :, None] & kept[:, None, :]
    scale = 1.0 / xp.sqrt(xp.where(kept, variance, 1.0))
    eye = xp.eye(inner.shape[-1], dtype=bool)
    correlation = xp.where(both & ~eye, inner * scale[:, :, None] * scale[:, None, :], xp.where(eye, 1.0, 0.0))
    more = side - inner.shape[-1]
    padded = xp.pad(correlation, ((0, 0), (0, more), (0, more)))
    rest = xp.diag((xp.arange(side) >= side - more).astype(inner.dtype))
    return xp.pad(negative, ((0, 0), (0, more))), padded + rest, (free & both & ~eye).any(axis=(1, 2))


def _inside(xp: ModuleType, core: Array, kind: Choice | None) -> tuple[Array, Array | bool]:
    """The matrices (G, d, d) that are positive definite where the covariance matrices are, and whether their diagonals are
    variances.
    """
    if kind is None:
        return core, True
    if xp is np:
        return np.stack([kind.kind.inside(np, one) for one in core]), kind.kind.plain
    chosen = [kind.code == i for i in range(len(kind.among))]
    inside = jax.vmap(lambda one: jnp.select(chosen, [known.inside(jnp, one) for known in kind.among]))
    return inside(core), kind.holds(lambda known: known.plain)


def _definite(xp: ModuleType, matrices: Array) -> Array:
    """Whether symmetric matrices (..., d, d) are positive definite: by pivots where that may be batched."""
    if not matrices.shape[-1]:
        return xp.ones(matrices.shape[:-2], bool)
    return np.linalg.eigvalsh(matrices)[..., 0] > 0 if xp is np else sweep(matrices)[2] > 0


def _variances(xp: ModuleType, structure: Structure, moments: Moments) -> tuple[Array, Array]:
    """What variances of each level are small beside: the larger of a variable's two (G, p), and 1 for random slopes (G, p + r)."""
    within = xp.diagonal(moments.within_cov, axis1=1, axis2=2)
    between = xp.abs(xp.diagonal(moments.between_cov, axis1=1, axis2=2))
    p = within.shape[1]
    size = xp.maximum(within, between[:, :p])
    return size, xp.concatenate([size, xp.ones_like(between[:, p:])], axis=1)


def _of_members(xp: ModuleType, arrays: LevelStructure, size: Array) -> Array:
    """(G, m): the variance of the observed variable that a member of eta is or has as its marker, 1 for the others."""
    selects = (arrays.lambda_.index < 0) & (arrays.lambda_.base == 1.0)
    of_variable = xp.max(xp.where(selects, size[:, :, None], 0.0), axis=1, initial=0.0)
    return xp.where(selects.any(axis=1), of_variable, 1.0)
