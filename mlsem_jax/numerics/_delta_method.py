"""The delta method: what a sampling covariance of estimates says of functions of them. Written here and nowhere else."""

from __future__ import annotations

from types import ModuleType

from mlsem_jax._typing import Array, Float


def delta_variances(jacobian: Float[Array, "... r k"], vcov: Float[Array, "... k k"]) -> Float[Array, "... r"]:
    """The diagonal of J V J': variances of functions with derivatives J of estimates with covariance V. NumPy or JAX."""
    return ((jacobian @ vcov) * jacobian).sum(-1)


def delta_errors(
    xp: ModuleType, jacobian: Float[Array, "... r k"], vcov: Float[Array, "... k k"]
) -> Float[Array, "... r"]:
    """Standard errors, the roots of `delta_variances`; xp is numpy or jax.numpy.

    What rounding leaves below zero is zero. NaN where the variance is negative by more than that, so that V is no covariance,
    and where anything that enters is NaN.
    """
    parts = (jacobian @ vcov) * jacobian
    variance, size = parts.sum(-1), xp.abs(parts).sum(-1)
    rounding = 4096 * xp.finfo(variance.dtype).eps * xp.maximum(size, 1.0)  # 1e-12 in double precision
    positive = variance > 0
    # the inner `where` keeps derivatives finite where the variance is 0; a NaN times 0 stays one
    none = xp.where(variance < -rounding, xp.nan, 0.0 * variance)
    return xp.where(positive, xp.sqrt(xp.where(positive, variance, 1.0)), none)
