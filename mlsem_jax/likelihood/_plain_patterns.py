"""The log-likelihood by missing-value pattern in NumPy: the formulas of `_patterns`, with derivatives in closed form.

Given the sums of the E-step (`PatternSums`) the log-likelihood has the derivatives of one of normal rows less their effects and of
normal clusters (`_plain_normal`), but for what `louis` adds to the second ones. The rows have precision W by pattern, and z, the
between-only variables, P; the effects u given z have covariance Q S with Q = I - S P. For models without random slopes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsem_jax._typing import Float
from mlsem_jax.likelihood._effects import (
    EffectInformation,
    EffectPosterior,
    EffectPrior,
    Effects,
    inside,
    posterior,
)
from mlsem_jax.likelihood._pairs import Pairs, sums_by
from mlsem_jax.likelihood._pattern_clusters import PatternMoments, pattern_moments, prior_of, rows_information
from mlsem_jax.likelihood._pattern_curvature import louis
from mlsem_jax.likelihood._pattern_information import pattern_information
from mlsem_jax.likelihood._patterns import PatternSums, by_pattern, chunk_sums, row_terms, sums_of_between
from mlsem_jax.likelihood._plain_chunk import PlainChunk, plain_chunk
from mlsem_jax.likelihood._plain_normal import EffectSums, Normal, normal, outer, second_derivative, transposed, twice
from mlsem_jax.models import PlainParts
from mlsem_jax.observed import PatternStatistics


class Seen(NamedTuple):
    """At some moments: what clusters see of these, their effects before and after their rows, and the sums of the E-step."""

    moments: PatternMoments
    effects: Effects
    after: EffectPosterior
    sums: PatternSums


class PlainPatterns:
    """Statistics by pattern, without random slopes, and what never changes of them. All chunks of clusters are one here."""

    def __init__(self, data: PatternStatistics | PlainChunk):
        given = data if isinstance(data, PlainChunk) else plain_chunk(data)
        self.s, self.chunk = given.s, given.chunk
        self._pairs = Pairs(self.chunk, len(self.s.rows), np)
        self._of_z = sums_of_between(self.s, self.chunk, np)
        self._has_z = bool(np.any(self.s.between_observed))
        self._last: tuple[PlainParts, Seen | None] | None = None

    def at(self, moments: PlainParts) -> Seen | None:
        """None outside the domain; the last one asked for is remembered."""
        if self._last is None or self._last[0] is not moments:
            self._last = (moments, self._seen(moments))
        return self._last[1]

    def _seen(self, moments: PlainParts) -> Seen | None:
        try:
            seen, at = pattern_moments(moments, self.s, np), self.s.effects
        except np.linalg.LinAlgError:
            return None
        rows = rows_information(seen, self.s, self.chunk, self._pairs)
        x = Effects(rows, prior_of(seen.between, self.chunk, at, np))
        if not (np.all(np.isfinite(rows.a)) and np.all(np.isfinite(seen.between.cov))):
            return None
        if not inside(rows.a, seen.between.cov[:, at][:, :, at], self.chunk.between_pattern):
            return None
        after = posterior(np, x.prior, x.rows)
        return Seen(seen, x, after, chunk_sums(after, self.s, self.chunk, self._pairs, np, self._of_z))

    def value(self, moments: PlainParts) -> float:
        """Log-likelihood, a sum over rows; -inf outside the domain.

        The domain is that of `coordinates` and, here, of clusters: of rows and between-only variables the caller has seen to it.
        """
        found = self.at(moments)
        if found is None:
            return -np.inf
        z, of_z = found.moments.between, self._of_z
        outside = row_terms(z.precision, z.logdet, z.mean, self.s.between_observed, *of_z).sum() if self._has_z else 0.0
        return float(self.chunk.weight @ found.after.value + outside + by_pattern(found.moments, self.s))

    def slope(self, moments: PlainParts) -> PlainParts | None:
        """Derivatives of the log-likelihood in the moments; None outside the domain."""
        found = self.at(moments)
        if found is None:
            return None
        rows, z, (bend, by_map) = self._rows(found), self._clusters(found), self._given_z(found)
        groups = len(moments.mean)
        mean = sums_by(np, rows.in_mean, self.s.group, groups)
        within = sums_by(np, rows.in_cov, self.s.group, groups)
        between = sums_by(np, bend + z.in_cov, self.s.between_group, groups)
        between_mean = mean + sums_by(np, z.in_mean - by_map, self.s.between_group, groups)
        return moments.with_parts(within, between, mean, between_mean)

    def _rows(self, found: Seen) -> Normal:
        """Rows by pattern, less their effects as the E-step leaves them."""
        s, sums = self.s, found.sums
        effect = EffectSums(
            self.in_rows(sums.first[:, 0]),
            transposed(self.in_rows(transposed(sums.cross[:, 0]))),
            -2 * self.in_rows(sums.second[:, 0, 0], square=True),
        )
        at = found.moments.rows
        return normal(s.rows, at.mean, s.total, s.cross, at.precision, effect)

    @staticmethod
    def _clusters(found: Seen) -> Normal:
        """The between-only variables by pattern."""
        sums, at = found.sums, found.moments.between
        return normal(sums.count, at.mean, sums.total, sums.square, at.precision)

    def _given_z(self, found: Seen) -> tuple[np.ndarray, np.ndarray]:
        """`given_z` by pattern of z."""
        sums = found.sums
        return self.given_z(found.moments, sums.cov, sums.slope, sums.mixed, slice(None))

    def in_rows(self, x: np.ndarray, square: bool = False) -> np.ndarray:
        """Elements of effects (R, u, ...) in the places of their variables (R, p, ...); both axes if square."""
        p, at = self.s.observed.shape[1], self.s.effects
        out = np.zeros((len(x), p, *((p,) if square else x.shape[2:])))
        if square:
            out[:, at[:, None], at] = x
        else:
            out[:, at] = x
        return out

    def given_z(self, seen: PatternMoments, cov, slope, mixed, which: Any) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives in Sigma_B (R, p, p), and minus those in the mean of z (R, p), of what is linear in the moments of u given
        z; by pattern of z or, with `which` (L,), by cluster. cov, slope, mixed: as in `PatternSums`.
        """
        cov, slope = self.in_rows(cov, square=True), self.in_rows(slope)
        if not self._has_z:
            return cov, np.zeros_like(slope)
        between = seen.between
        q = np.eye(cov.shape[-1]) - between.map[which]
        x = self.in_rows(mixed) - outer(slope, between.mean[which])
        bent = transposed(q) @ x @ between.precision[which]
        by_map = (transposed(between.map[which]) @ slope[:, :, None])[:, :, 0]
        return transposed(q) @ cov @ q + 0.5 * twice(bent), by_map

    def curvature(self, moments: PlainParts, jacobian: PlainParts) -> Float[np.ndarray, "q q"]:
        """Second derivative (q, q) of the log-likelihood in the moments along the jacobian."""
        found = self.at(moments)
        assert found is not None
        d_cov, d_mean = jacobian.within_cov.transpose(3, 0, 1, 2), _means(jacobian)[0]
        total = second_derivative(d_cov, d_mean, self.s.group, self._rows(found))
        if self._has_z:
            d_between, d_z = jacobian.between_cov.transpose(3, 0, 1, 2), _means(jacobian)[1]
            bend = self._given_z(found)[0]
            q = np.eye(bend.shape[-1]) - found.moments.between.map
            more = (transposed(q) @ self.in_rows(found.sums.slope)[:, :, None])[:, :, 0]
            z = self._clusters(found)
            total = total + second_derivative(d_between, d_z, self.s.between_group, z, bend, more)
        return total + louis(found.effects, self._along(found.moments, jacobian), self.chunk.weight, np)

    def _along(self, seen: PatternMoments, jacobian: PlainParts) -> Effects:
        """Derivatives of A, b, c and S of every cluster (q, L, ...)."""
        at, s = self.s.effects, self.s
        d_cov, d_mean = jacobian.within_cov.transpose(3, 0, 1, 2), _means(jacobian)[0]
        d_w = -(seen.rows.precision @ d_cov[:, s.group] @ seen.rows.precision)
        weighted = d_w[..., at]
        of_mean = (seen.rows.precision @ d_mean[:, s.group][..., None])[..., 0]
        offset = (of_mean + (d_w @ seen.rows.mean[:, :, None])[..., 0])[..., at]
        q, u = len(d_w), len(at)

        def clusters(what: str, by: np.ndarray, size: int) -> np.ndarray:
            """by: (q, R, m, n)."""
            found = self._pairs.to_clusters(what, np.moveaxis(by, 0, 2).reshape(by.shape[1], by.shape[2], q * size))
            return np.moveaxis(found.reshape(-1, q, size), 1, 0)

        d_a = clusters("number", weighted[:, :, at].reshape(q, -1, 1, u * u), u * u)
        d_b = clusters("total", weighted, u) - clusters("number", offset[:, :, None], u)
        d_prior = self._prior_along(seen, jacobian)
        return Effects(EffectInformation(d_a.reshape(*d_b.shape, u), d_b), d_prior)

    def _prior_along(self, seen: PatternMoments, jacobian: PlainParts) -> EffectPrior:
        """Derivatives of c and S of every cluster (q, L, ...)."""
        at, which = self.s.effects, self.chunk.between_pattern
        d_between = jacobian.between_cov.transpose(3, 0, 1, 2)[:, self.s.between_group]
        if not self._has_z:
            d_s = d_between[:, :, at][:, :, :, at]
            return EffectPrior(np.zeros((len(d_s), len(which), len(at))), d_s[:, which])
        between = seen.between
        turn = np.eye(d_between.shape[-1]) - between.map
        d_map = (turn @ d_between @ between.precision)[:, :, at]
        d_s = (turn @ d_between @ transposed(turn))[:, :, at][:, :, :, at]
        d_z = _means(jacobian)[1][:, self.s.between_group]
        moved = (between.map[:, at] @ d_z[..., None])[..., 0]
        z = self.chunk.between - between.mean[which]
        return EffectPrior((d_map[:, which] @ z[:, :, None])[..., 0] - moved[:, which], d_s[:, which])

    def information(self, moments: PlainParts, jacobian: PlainParts) -> Float[np.ndarray, "q q"]:
        """Expected information (q, q), a sum over clusters."""
        return pattern_information(moments, jacobian, self.s, np, self.chunk)


def _means(jacobian: PlainParts) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the means of rows and of clusters (q, G, p)."""
    return jacobian.mean.transpose(2, 0, 1), jacobian.between_mean.transpose(2, 0, 1)
