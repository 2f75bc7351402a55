"""The statistics of limited information as the space that score tests are made in: see `MomentSpace`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.variance import limited, pieces
from mlsem_jax.models import Build, Moments, Structure
from mlsem_jax.ordinal import WeightedLeastSquaresTerm, WlsLayout, implied_statistics


@dataclass(frozen=True, eq=False)
class LimitedSpace:
    """Score and information of the G S statistics of all groups: V (s - sigma) and V, with the chi-square (s - sigma)' V (s -
    sigma)."""

    term: WeightedLeastSquaresTerm
    implied: np.ndarray

    @classmethod
    def of(cls, estimation: Estimation) -> LimitedSpace:
        return cls(limited(estimation), pieces(estimation.model, estimation).implied)

    def jacobian_of(self, built: Build, natural: np.ndarray) -> np.ndarray:
        """`jacobian` of the structure of a build."""
        return self.jacobian(built.structure, natural)

    def jacobian(self, structure: Structure, natural: np.ndarray) -> np.ndarray:
        """Derivatives (G S, k) of the implied statistics in the natural parameters of a structure."""
        found = np.asarray(_derivatives(structure, jnp.asarray(_padded(structure, natural)), self.term.layout))
        return found.reshape(-1, found.shape[-1])[:, : len(natural)]

    def gradient(self, moments: Moments, between_only: np.ndarray, statistics: Any) -> np.ndarray:
        """Derivatives (G S,) of minus half the chi-square in the implied statistics."""
        left = np.asarray(self.term.target) - self.implied
        return np.einsum("gst,gt->gs", np.asarray(self.term.weight), left).ravel()

    def information(
        self, moments: Moments, between_only: np.ndarray, statistics: Any, kind: str = "expected"
    ) -> np.ndarray:
        """V (G S, G S), one block a group."""
        if kind != "expected":
            raise ModelError("Least squares have expected information alone: leave information= out.")
        weight = np.asarray(self.term.weight)
        groups, count = weight.shape[:2]
        out = np.zeros((groups * count, groups * count))
        for g in range(groups):
            out[g * count : (g + 1) * count, g * count : (g + 1) * count] = weight[g]
        return out

    def curvature(self, made: Any, natural: np.ndarray, gradient: np.ndarray, like: Moments) -> np.ndarray:
        raise ModelError("Least squares have expected information alone: leave information= out.")


def _padded(structure: Structure, natural: np.ndarray) -> np.ndarray:
    return np.concatenate([natural, np.zeros(len(structure.offset) - len(natural))])


def _implied(structure: Structure, natural: jax.Array, layout: WlsLayout) -> jax.Array:
    return implied_statistics(structure.moments(natural), layout)[0]


_derivatives = jax.jit(jax.jacfwd(_implied, argnums=1), static_argnums=2)
