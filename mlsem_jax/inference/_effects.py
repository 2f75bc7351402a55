"""What a cluster's data say of its effects: the posterior behind scores, in NumPy, so that nothing is compiled for them.

v = (u, eta_B): the effects u (u,) that rows of the cluster share, its between part of y and its slopes, and the between latent
variables. The likelihood integrates the same posterior out (`likelihood/_pattern_clusters.py`, traced, for u alone).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.models import LevelMatrices


@dataclass(frozen=True, eq=False)
class EffectPrior:
    """Of clusters that differ in their mean (L, v) alone; cov (v, v)."""

    mean: np.ndarray
    cov: np.ndarray

    @classmethod
    def of_level(cls, between: LevelMatrices) -> EffectPrior:
        """Before any data: mean (1, v)."""
        through = between.lambda_ @ between.eta_cov
        cov = np.block([[between.cov, through], [through.T, between.eta_cov]])
        return cls(np.concatenate([between.mean, between.eta_mean])[None], cov)

    def given(self, seen: np.ndarray, values: np.ndarray) -> EffectPrior:
        """After the first effects of which `seen` (p,) is true were observed in L clusters: values (L, number seen)."""
        at = np.flatnonzero(seen)
        by_values = self.cov[:, at] @ np.linalg.inv(self.cov[np.ix_(at, at)])
        return EffectPrior(self.mean + (values - self.mean[:, at]) @ by_values.T, self.cov - by_values @ self.cov[at])


@dataclass(frozen=True, eq=False)
class EffectInformation:
    """In the rows of clusters: their log density given u is b'(u - centre) - (u - centre)' A (u - centre) / 2 and a constant.

    a (u, u), or (L, u, u) where clusters differ; b (L, u); centre (u,).
    """

    a: np.ndarray
    b: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of v: mean (L, v); cov (v, v), or (L, v, v) where clusters differ."""

    mean: np.ndarray
    cov: np.ndarray


def posterior(prior: EffectPrior, rows: EffectInformation) -> Posterior:
    """Given the rows: mean + G (b - A (c - centre)) and V - G A S', with V the prior covariance, S (v, u) its columns of u, c the
    prior mean of u and G = S (I + A S_uu)^-1.
    """
    u = rows.b.shape[1]
    s = prior.cov[:, :u]
    gain = s @ np.linalg.inv(np.eye(u) + rows.a @ s[:u])
    rest = rows.b - np.einsum("...ab,...b->...a", rows.a, prior.mean[:, :u] - rows.centre)
    return Posterior(mean=prior.mean + np.einsum("...ab,...b->...a", gain, rest), cov=prior.cov - gain @ rows.a @ s.T)
