"""The moments that the saturated model leaves free, as one vector: score and expected information of any model in closed form.

For a model with moments sigma(theta) the score is Delta' g and the expected information Delta' I Delta, with g and I those of
the saturated model at sigma(theta) and Delta = d sigma / d theta. So candidate parameters, released constraints and
residuals all share one gradient and one small matrix, and nothing is compiled anew for their number. Observed information is
Delta' I Delta with the observed I, less the curvature of sigma weighted by g, which is not zero where the model misfits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Problem, moment_log_likelihood, saturated
from mlsem_jax.likelihood import CompleteTerm, Statistics, curvature_of_moments, only_data
from mlsem_jax.models import (
    Build,
    Moments,
    PlainMoments,
    PlainParts,
    Structure,
    build,
    directions,
    plain_moments,
    sum_by_parameter,
)

# elements of the derivatives of the moments of a level that are held at a time: 8 MB
TOGETHER = 2**20

_curvature_of_moments = jax.jit(curvature_of_moments)


@dataclass(frozen=True, eq=False)
class MomentSpace:
    """The f free moments of h1: level (1, 2), group (from 0) and the variables (row, col) of each; col is -1 for means."""

    level: np.ndarray
    group: np.ndarray
    row: np.ndarray
    col: np.ndarray
    problem: Problem

    @classmethod
    def of(cls, estimation: Estimation) -> MomentSpace:
        """From the fit's h1, or from a fresh build of it: the space itself needs no maximum."""
        if estimation.h1 is not None:
            built, problem = estimation.h1.build, estimation.h1.problem
        else:
            built = build(saturated(estimation.model.build.specification), estimation.exogenous)
            problem = Problem(built, estimation.statistics)
        column_of = {name: i for i, name in enumerate(built.specification.variables)}
        free = [row for row in built.specification.parameters if row.free]
        return cls(
            level=np.array([row.level for row in free], int),
            group=np.array([row.group - 1 for row in free], int),
            row=np.array([column_of[row.lhs] for row in free], int),
            col=np.array([column_of[row.rhs] if row.op == "~~" else -1 for row in free], int),
            problem=problem,
        )

    def pick(self, moments: Moments | PlainParts) -> np.ndarray:
        """The vector (f,) of some moments; a mean is the sum of the levels' means."""
        total = np.asarray(moments.mean)
        levels: tuple[Any, ...] = moments.levels
        cov = np.stack([np.asarray(level.cov) for level in levels])[self.level - 1, self.group]
        rows = np.arange(len(self.row))
        return np.where(self.col < 0, total[self.group, self.row], cov[rows, self.row, np.maximum(self.col, 0)])

    def place(self, values: np.ndarray, like: Moments) -> Moments:
        """A vector (f,) at its places in the arrays of moments, symmetric and otherwise 0; means at the level of h1's."""
        out = jax.tree.map(lambda x: np.zeros(np.shape(x)), Moments(like.levels))
        for level, (cov, mean) in enumerate(((part.cov, part.mean) for part in out.levels), 1):
            here = (self.level == level) & (self.col >= 0)
            cov[self.group[here], self.row[here], self.col[here]] = values[here]
            cov[self.group[here], self.col[here], self.row[here]] = values[here]
            here = (self.level == level) & (self.col < 0)
            mean[self.group[here], self.row[here]] = values[here]
        return out

    def jacobian_of(self, built: Build, natural: np.ndarray) -> np.ndarray:
        """Delta (f, k) of a build: as `jacobian`, in a tenth of the time where its moments are plain and the model is small."""
        structure = built.structure
        groups, p = np.shape(structure.levels[0].nu.base)
        if not PlainMoments.serves(structure) or groups * p * p * len(natural) > TOGETHER:
            return self.jacobian(structure, natural)
        by = plain_moments(built).by_parameter(natural)
        cov = np.stack([level.cov for level in by.levels])[
            self.level - 1, self.group, self.row, np.maximum(self.col, 0)
        ]
        return np.where(self.col[:, None] < 0, by.mean[self.group, self.row], cov)

    def jacobian(self, structure: Structure, natural: np.ndarray) -> np.ndarray:
        """Delta (f, k): derivatives of the moments in the natural parameters of a structure."""
        out = np.zeros((len(natural), len(self.row)))
        means, k = self.col < 0, len(natural)
        for group in range(len(structure.within.nu.base)):
            for level in range(1, 1 + len(structure.levels)):
                d = directions(structure, natural, level, group)
                here = np.flatnonzero((self.group == group) & (self.level == level) & ~means)
                i, j = self.row[here], self.col[here]
                product = d.left[:, i] * d.right[:, j] + d.left[:, j] * d.right[:, i]
                out[:, here] += sum_by_parameter(d.index, product, k)
                here = np.flatnonzero((self.group == group) & means)
                out[:, here] += sum_by_parameter(d.index, d.mean[:, self.row[here]], k)
        return out.T

    def gradient(self, moments: Moments, between_only: np.ndarray, statistics: Statistics) -> np.ndarray:
        """Derivatives (f,) of the log-likelihood in the moments, a sum over rows."""
        complete = only_data(statistics, CompleteTerm)
        if complete is None:
            return self.problem.evaluate(self.pick(moments)).gradient
        _, slope = moment_log_likelihood(moments, between_only, complete)
        twice = np.where((self.col >= 0) & (self.col != self.row), 2.0, 1.0)
        if len(slope.levels) == 1:
            return twice * self.pick(slope)
        by_level = (slope.within_cov, slope.between_cov, np.zeros_like(slope.within_mean), slope.between_mean)
        return twice * self.pick(slope.with_parts(*by_level))

    def curvature(self, built: Build, natural: np.ndarray, gradient: np.ndarray, like: Moments) -> np.ndarray:
        """Sum over moments of `gradient` (f,) times the moment's Hessian in the natural parameters (k, k) of a build.

        A build without constraints. like: moments of the shapes of the model's.
        """
        by_level = self.place(gradient, like)
        mean = by_level.within_mean + by_level.between_mean  # of y: either level's part of it counts alike
        # a covariance stands in two elements of a symmetric matrix, each of which moves by the whole
        half = 0.5 + 0.5 * np.eye(mean.shape[1])
        weight = by_level.with_parts(half * by_level.within_cov, half * by_level.between_cov, mean, mean)
        k = len(natural)
        return np.asarray(_curvature_of_moments(built.padded_structure, built.padded(natural), weight))[:k, :k]

    def information(
        self, moments: Moments, between_only: np.ndarray, statistics: Statistics, kind: str = "expected"
    ) -> np.ndarray:
        """Information (f, f) at some moments: "observed", or "expected" with every cluster size.

        Expected information counts every row with a level-1 value as complete; where values are missing it is too large.
        """
        if kind == "observed":
            return self.problem.observed(self.pick(moments))
        out = np.zeros((len(self.row),) * 2)
        for group, (size, count) in enumerate(cluster_sizes(statistics)):
            within, across, between, mean = _products(
                moments.within_cov[group], moments.between_cov[group], between_only, size, count
            )
            here = np.flatnonzero((self.group == group) & (self.col < 0))
            out[np.ix_(here, here)] = mean[np.ix_(self.row[here], self.row[here])]
            one, two = (np.flatnonzero((self.group == group) & (self.level == lv) & (self.col >= 0)) for lv in (1, 2))
            out[np.ix_(one, one)] = self._block(within, one, one)
            out[np.ix_(one, two)] = self._block(across, one, two)
            out[np.ix_(two, one)] = out[np.ix_(one, two)].T
            out[np.ix_(two, two)] = self._block(between, two, two)
        return out

    def _block(self, product: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """1/2 tr(P dS P dS') for symmetric unit changes of elements `left` and `right`, from the summed products of P with P."""
        i, j, k, m = self.row[left, None], self.col[left, None], self.row[None, right], self.col[None, right]
        half = np.where(i == j, 0.5, 1.0) * np.where(k == m, 0.5, 1.0)
        return half * (product[i, k, j, m] + product[i, m, j, k])


def padded(count: int) -> int:
    """Width of the basis for so many parameters: models of nearly the same size share a program."""
    return -(-count // 16) * 16


def cluster_sizes(statistics: Statistics) -> list[tuple[np.ndarray, np.ndarray]]:
    """Distinct cluster sizes and their numbers of clusters, by group, over clusters with and without missing values."""
    if not statistics.expected or statistics.pools is None:
        raise ModelError("Models with random slopes have no expected information; use information='observed'.")
    groups = len(statistics.pools.size)
    every = statistics.cluster_sizes()
    size, count, group = every.size, every.count, every.group
    out = []
    for g in range(groups):
        here = (group == g) & (count > 0)
        distinct, which = np.unique(size[here], return_inverse=True)
        out.append((distinct, np.bincount(which.ravel(), count[here], len(distinct))))
    return out


def _products(
    within_cov: np.ndarray, between_cov: np.ndarray, between_only: np.ndarray, size: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Sums over contrasts and cluster sizes of P_ik P_jm (p, p, p, p) for changes within, across and between levels, and the
    information on the means (p, p). P is the precision of the contrasts, or of the scaled means of clusters of one size.
    """
    p = len(within_cov)
    d = np.where(np.asarray(between_only) > 0, 1.0, np.sqrt(size)[:, None])
    omega = np.concatenate(
        [(within_cov + np.diag(between_only))[None], within_cov + d[:, :, None] * between_cov * d[:, None]]
    )
    precision = np.linalg.inv(omega)
    weight = np.concatenate([[size @ count - count.sum()], count])
    d = np.concatenate([np.zeros((1, p)), d])
    right, both = precision * d[:, None], d[:, :, None] * precision * d[:, None]

    def total(x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), p * p)
        return (flat.T @ (weight[:, None] * flat)).reshape(p, p, p, p)

    return total(precision), total(right), total(both), np.tensordot(weight, both, 1)
