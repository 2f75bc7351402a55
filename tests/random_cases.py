"""Random two-level moments and data of one fixed shape, for property tests of the kernels.

Everything that differs between draws is data (which variables live where, sizes, patterns), so that all tests share the few
programs compiled for P variables, J clusters and G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mlsem_jax.models import Moments

P, J, G = 5, 8, 2
# every group holds all four sizes, so that the number of distinct sizes never changes
SIZES = (1, 2, 3, 5)
BOTH, WITHIN, BETWEEN = 0, 1, 2


@dataclass(frozen=True, repr=False)
class Case:
    """values (N, P), cluster (N,) codes in random order of rows, group (J,); moments as NumPy arrays. call: what made it."""

    call: str
    roles: np.ndarray
    values: np.ndarray
    cluster: np.ndarray
    group: np.ndarray
    moments: Moments
    rng: np.random.Generator

    def __repr__(self) -> str:
        return self.call

    @property
    def between_only(self) -> np.ndarray:
        return self.roles == BETWEEN


def spd(rng: np.random.Generator, p: int) -> np.ndarray:
    """A positive definite matrix with condition number up to about 30."""
    q = np.linalg.qr(rng.normal(size=(p, p)))[0] if p else np.zeros((0, 0))
    return (q * rng.uniform(0.2, 6.0, p)) @ q.T


def covariances(rng: np.random.Generator, roles: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Within and between covariance (P, P) of one group with a proper likelihood for all of SIZES.

    kind of the between covariance of the level-1 variables given the between-only ones: definite, singular, or indefinite
    (Sigma_W + n Sigma_B stays positive definite for n up to the largest size); 'none': no between variance at all.
    """
    level1, both, z = roles != BETWEEN, roles == BOTH, roles == BETWEEN
    within, between = np.zeros((P, P)), np.zeros((P, P))
    within[np.ix_(level1, level1)] = spd(rng, level1.sum())
    m = int(both.sum())
    if m:
        # Sigma_W of these variables given the within-only ones: eigenvalues below are relative to it
        precision = np.linalg.inv(within[np.ix_(level1, level1)])
        conditional = np.linalg.inv(precision[np.ix_(both[level1], both[level1])])
        relative = {
            "definite": rng.uniform(0.05, 2.0, m),
            "singular": np.where(np.arange(m) == 0, 0.0, rng.uniform(0.05, 2.0, m)),
            "indefinite": np.where(np.arange(m) == 0, -0.9 / max(SIZES), rng.uniform(-0.5 / max(SIZES), 1.0, m)),
            "none": np.zeros(m),
        }[kind]
        q = np.linalg.qr(rng.normal(size=(m, m)))[0]
        root = np.linalg.cholesky(conditional)
        between[np.ix_(both, both)] = root @ (q * relative) @ q.T @ root.T
    if z.any():
        between[np.ix_(z, z)] = spd(rng, z.sum())
        slope = rng.normal(size=(m, z.sum()))
        between[np.ix_(both, z)] = slope @ between[np.ix_(z, z)]
        between[np.ix_(z, both)] = between[np.ix_(both, z)].T
        between[np.ix_(both, both)] += slope @ between[np.ix_(z, z)] @ slope.T
    return within, between


def make(seed: int, roles: tuple[int, ...], kind: str, missing: float = 0.0) -> Case:
    call = f"make({seed}, {tuple(roles)}, {kind!r}, {missing})"
    rng = np.random.default_rng(seed)
    roles = np.array(roles)
    pairs = [covariances(rng, roles, kind) for _ in range(G)]
    level1, level2 = roles != BETWEEN, roles != WITHIN
    moments = Moments.two_level(
        within_cov=np.stack([w for w, _ in pairs]),
        between_cov=np.stack([b for _, b in pairs]),
        within_mean=rng.normal(size=(G, P)) * (roles == WITHIN),
        between_mean=rng.normal(size=(G, P)) * level2,
    )
    sizes = np.concatenate([rng.permutation(SIZES) for _ in range(G)])
    group = np.repeat(np.arange(G), len(SIZES))
    cluster = np.repeat(np.arange(J), sizes)
    values = rng.normal(size=(len(cluster), P)) * rng.uniform(0.5, 2.0, P) + rng.normal(size=P)
    values[:, ~level1] = rng.normal(size=(J, P))[cluster][:, ~level1]
    if missing:
        gone = rng.uniform(size=values.shape) < missing
        gone[:, ~level1] = (rng.uniform(size=(J, P)) < missing)[cluster][:, ~level1]
        values = np.where(gone, np.nan, values)
    order = rng.permutation(len(cluster))
    return Case(call, roles, values[order], cluster[order], group, moments, rng)


@st.composite
def cases(draw, missing: bool = False) -> Case:
    """Any mixture of roles with at least one level-1 variable, and any kind of between covariance."""
    roles = draw(
        st.lists(st.sampled_from((BOTH, BOTH, WITHIN, BETWEEN)), min_size=P, max_size=P).filter(
            lambda r: any(v != BETWEEN for v in r)
        )
    )
    kind = draw(st.sampled_from(("definite", "singular", "indefinite", "none")))
    rate = draw(st.sampled_from((0.1, 0.4, 0.8))) if missing else 0.0
    return make(draw(st.integers(0, 2**32 - 1)), tuple(roles), kind, rate)


def direction(case: Case) -> Moments:
    """A random change of the moments that keeps their symmetry and their zeros."""
    rng, level1, level2 = case.rng, case.roles != BETWEEN, case.roles != WITHIN

    def symmetric(mask: np.ndarray) -> np.ndarray:
        a = rng.normal(size=(G, P, P)) * mask[:, None] * mask[None, :]
        return 0.1 * (a + np.swapaxes(a, 1, 2))

    return Moments.two_level(
        symmetric(level1),
        symmetric(level2),
        0.1 * rng.normal(size=(G, P)) * (case.roles == WITHIN),
        0.1 * rng.normal(size=(G, P)) * level2,
    )
