"""The estimates beside the unrestricted moments, as one vector: for numbers that take both, such as reliability coefficients."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.moments._moment_space import MomentSpace
from mlsem_jax.inference.moments._moments import unrestricted
from mlsem_jax.inference.variance import information, invert, meat, vcov_natural
from mlsem_jax.numerics import float64

_ROBUST = ("robust.huber.white", "robust.cluster")


@float64
def beside_unrestricted(estimation: Estimation, purpose: str) -> np.ndarray:
    """The natural parameters (k,), then the f free moments of the saturated model in the order of its table: (k + f,)."""
    return np.concatenate([estimation.model.natural, unrestricted(estimation, purpose).natural])


@float64
def vcov_beside_unrestricted(estimation: Estimation, purpose: str) -> np.ndarray:
    """Sampling covariance (k + f, k + f) of `beside_unrestricted`.

    Model-based: the estimates are efficient, so that the unrestricted moments m are the implied ones, which vary by D V D' with
    D = d m / d theta, and a difference that is independent of the estimates (Hausman 1978) and varies by
    I^-1 - D (D' I D)^-1 D', I the saturated model's information. Robust: estimates and moments are sums over clusters of scores
    times the inverse of their information, whose outer products are summed (White 1982).
    """
    kind, h1 = estimation.options.se, unrestricted(estimation, purpose)
    model = estimation.model
    asked = "observed" if estimation.options.information == "first.order" else estimation.options.information
    if kind in _ROBUST:
        basis = model.build.basis
        bread = invert(information(model, estimation, asked), model.maximum.jacobian)
        own = meat(model, estimation) @ bread @ basis.T
        other = meat(h1, estimation) @ invert(information(h1, estimation, asked))
        both = np.concatenate([own, other], axis=1)
        return both.T @ both
    if kind != "standard":
        raise ModelError(
            f"{purpose} have no standard errors under se={kind!r}, which is about the model's parameters alone; with implied "
            "moments in their place (obs_var=False) they have."
        )
    vcov, inside = vcov_natural(estimation), information(h1, estimation, asked)
    delta = MomentSpace.of(estimation).jacobian(model.build.structure, model.natural)
    by_theta, across = delta @ model.build.basis, vcov @ delta.T
    explained = by_theta @ invert(by_theta.T @ inside @ by_theta, model.maximum.jacobian) @ by_theta.T
    return np.block([[vcov, across], [across.T, delta @ across + invert(inside) - explained]])
