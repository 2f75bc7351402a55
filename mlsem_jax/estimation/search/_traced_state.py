"""The state of a traced search, its limits, and the inverse of an information matrix that its steps use."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record
from mlsem_jax._status import Status
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.estimation.search._rules import DECREMENT, DECREMENT_SINGLE
from mlsem_jax.numerics import sweep

RUNNING = -1
# the promised rise of the log-likelihood below which steps need no metric
SECANT_FROM = 1.0


class Settings(Record):
    """Limits of a search. decrement: the rise of the log-likelihood left on the table at a maximum; iterations: evaluations."""

    decrement: Float[Array, ""]
    iterations: Int[Array, ""]
    rounds: Int[Array, ""]


class SearchState(Record):
    """State of a search at theta (q,): log-likelihood, gradient (q,), scoring metric (q, q), observed information (q, q).

    near: whether steps are secant ones, by `inverse` (q, q), or by the metric. target: the decrement at which they hand over;
    damping: Levenberg-Marquardt's, relative to the diagonal; variance (q,): diagonal of the inverse of `information`; status:
    RUNNING or a Status code; unidentified: whether the model turned out to be at the last look at the Hessian.
    """

    theta: Float[Array, " q"]
    value: Float[Array, ""]
    gradient: Float[Array, " q"]
    metric: Float[Array, "q q"]
    inverse: Float[Array, "q q"]
    information: Float[Array, "q q"]
    near: Array
    target: Float[Array, ""]
    decrement: Float[Array, ""]
    damping: Float[Array, ""]
    iterations: Int[Array, ""]
    rounds: Int[Array, ""]
    rejected: Int[Array, ""]
    handover: Array
    variance: Float[Array, " q"]
    status: Int[Array, ""]
    unidentified: Array

    @property
    def ended(self) -> Array:
        """The status, also of a search that one of its limits ended."""
        unfinished = jnp.where(self.unidentified, int(Status.NOT_IDENTIFIED), int(Status.ITERATION_LIMIT))
        return jnp.where(self.status == RUNNING, unfinished, self.status)


def settings(dtype, decrement: float | None = None, iterations: int = 300, rounds: int = 20) -> Settings:
    """Limits as arrays. The default decrement is 1e-13 in float64; float32 cannot resolve less than about 1e-5."""
    default = DECREMENT if jnp.finfo(dtype).eps < 1e-10 else DECREMENT_SINGLE
    return Settings(
        np.asarray(default, dtype) if decrement is None else jnp.asarray(decrement, dtype),
        jnp.asarray(iterations),
        jnp.asarray(rounds),
    )


def scaled_inverse(information: Array, damping: Array | float | None = None) -> tuple[Array, Array, Array]:
    """Inverse (q, q) of I + damping diag I; the smallest relative pivot; and the smallest 1 / diag of the inverse after scaling
    to unit diagonal, which is at least the smallest eigenvalue and at most q times it.

    Directions with a zero diagonal are left out: the inverse is zero there. A damping of None is exactly none, otherwise a
    ridge is added that keeps flat directions finite and slows steps only where the condition number exceeds its inverse.
    """
    diagonal = jnp.diagonal(information)
    empty = diagonal <= 0
    scale = jnp.where(empty, 0.0, 1.0 / jnp.sqrt(jnp.where(empty, 1.0, diagonal)))
    added = 0.0 if damping is None else damping + 50 * len(information) * jnp.finfo(information.dtype).eps
    ridge = jnp.where(empty, 1.0, jnp.asarray(added, information.dtype))
    scaled = information * scale[:, None] * scale[None, :] + jnp.diag(ridge)
    inverse, _, pivot = sweep(scaled)
    least = 1.0 / jnp.max(jnp.abs(jnp.diagonal(inverse)), initial=1e-30)
    return inverse * scale[:, None] * scale[None, :], pivot, least


def start(theta: Array) -> SearchState:
    """The state before anything is evaluated: the first trial step has length zero and is always accepted."""
    q, dtype, zero = len(theta), theta.dtype, jnp.zeros((), int)
    return SearchState(
        theta=theta,
        value=jnp.asarray(-jnp.inf, dtype),
        gradient=jnp.zeros(q, dtype),
        metric=jnp.eye(q, dtype=dtype),
        inverse=jnp.eye(q, dtype=dtype),
        information=jnp.zeros((q, q), dtype),
        near=jnp.asarray(False),
        target=jnp.asarray(SECANT_FROM, dtype),
        decrement=jnp.asarray(jnp.inf, dtype),
        damping=jnp.asarray(0.0, dtype),
        iterations=zero,
        rounds=zero,
        rejected=zero,
        handover=jnp.asarray(False),
        variance=jnp.full(q, jnp.nan, dtype),
        status=jnp.asarray(RUNNING),
        unidentified=jnp.asarray(False),
    )


def flat_below(dtype) -> float:
    """Eigenvalue of the information, scaled to unit diagonal, below which a direction counts as flat."""
    return 1e-9 if jnp.finfo(dtype).eps < 1e-10 else 1e-4


def rank_limits(dtype) -> tuple[float, float]:
    """Eigenvalues, of matrices scaled to unit diagonal: of the expected information below which it counts as singular; of the
    observed information above which no direction is exactly flat, whatever the gradient left at the end of a search.
    """
    return (1e-11, 1e-4) if jnp.finfo(dtype).eps < 1e-10 else (1e-5, 1e-2)


def full_rank(matrix: Array, tolerance: float) -> Array:
    """Whether all eigenvalues of the matrix (q, q), scaled to unit diagonal, exceed `tolerance`: () bool. Rows and columns
    without a diagonal, as those of padding, do not count.
    """
    diagonal = jnp.diagonal(matrix)
    empty = diagonal <= 0
    scale = jnp.where(empty, 0.0, 1.0 / jnp.sqrt(jnp.where(empty, 1.0, diagonal)))
    scaled = matrix * scale[:, None] * scale[None, :] + jnp.diag(2.0 * empty.astype(matrix.dtype) - tolerance)
    # next to singular is a pivot that divides by rounding: what comes after it is not finite, and no pivot is positive then
    return sweep(scaled)[2] > 0
