"""What coefficients of a scale are made of: sums over its items of covariances, with their derivatives in the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import row_values
from mlsem_jax.measurement._constructs import Scale
from mlsem_jax.measurement._sloped import Sloped, Traced
from mlsem_jax.models import directions, level_matrices, members, sum_by_parameter
from mlsem_jax.numerics import inverse


@dataclass(frozen=True)
class Sums:
    """Of one scale. total, diagonal: sums over all elements, and over the diagonal, of the items' covariance matrix S."""

    total: Sloped
    diagonal: Sloped

    @property
    def off(self) -> Sloped:
        """The covariances alone, each twice."""
        return self.total - self.diagonal


class Moments:
    """Covariances of the levels of one group, as implied by the natural parameters or as the unrestricted ones.

    vector: the natural parameters (k,), or with the unrestricted moments after them (k + f,). Slopes are as long.
    """

    def __init__(self, estimation: Estimation, vector: np.ndarray, group: int):
        self.estimation, self.vector, self.group = estimation, np.asarray(vector, float), group
        self.k = len(estimation.model.build.names)
        self.natural = self.vector[: self.k]
        self._levels: dict[int, tuple] = {}

    def _level(self, level: int) -> tuple:
        if level not in self._levels:
            structure = self.estimation.model.build.structure
            x = level_matrices(structure, self.natural, level, self.group - 1)
            self._levels[level] = x, directions(structure, self.natural, level, self.group - 1)
        return self._levels[level]

    def _sloped(self, value: float, slope: np.ndarray) -> Sloped:
        return Sloped(float(value), np.concatenate([slope, np.zeros(len(self.vector) - len(slope))]))

    @cached_property
    def zero(self) -> Sloped:
        return self._sloped(0.0, np.zeros(self.k))

    def items(self, level: int, items: tuple[str, ...]) -> list[str]:
        """Those of the items that the level has."""
        observed = self.estimation.model.build.specification.level(level).observed
        return [item for item in items if item in observed]

    def implied(self, level: int, items: tuple[str, ...]) -> Sums:
        """Of the model-implied covariances at a level; 0 for items that it does not have."""
        place = {v: i for i, v in enumerate(self.estimation.model.build.specification.variables)}
        at = [place[v] for v in self.items(level, items)]
        if not at:
            return Sums(self.zero, self.zero)
        x, d = self._level(level)
        unit, by_unit = self._units
        left, right = (side[:, at] * unit[at] for side in (d.left, d.right))
        total = sum_by_parameter(d.index, 2 * left.sum(1) * right.sum(1), self.k)
        diagonal = sum_by_parameter(d.index, 2 * (left * right).sum(1), self.k)
        cov = x.cov[np.ix_(at, at)] * unit[at]  # one of the two units
        total += 2 * cov.sum(1) @ by_unit[at]
        diagonal += 2 * np.diag(cov) @ by_unit[at]
        cov = cov * unit[at][:, None]
        return Sums(self._sloped(cov.sum(), total), self._sloped(np.trace(cov), diagonal))

    @cached_property
    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """What items are multiplied by (p,), with derivatives (p, k): latent responses so that their variance is 1, within clusters
        where there are two levels.
        """
        specification = self.estimation.model.build.specification
        unit, slopes = np.ones(len(specification.variables)), np.zeros((len(specification.variables), self.k))
        for item in specification.ordered:
            i = specification.variables.index(item.name)
            x, d = self._level(specification.unit_level(item.name))
            variance = x.cov[i, i]
            if variance > 0:
                unit[i] = variance**-0.5
                slopes[i] = -(variance**-1.5) * sum_by_parameter(d.index, d.left[:, i] * d.right[:, i], self.k)
        return unit, slopes

    def implied_variances(self, level: int, items: tuple[str, ...]) -> list[Sloped]:
        return [self.implied(level, (item,)).total for item in items]

    def unrestricted(self, level: int, items: tuple[str, ...]) -> Sums:
        """Of the covariances of the saturated model, whose free moments are the end of the vector."""
        h1, own = self.estimation.h1, set(self.items(level, items))
        assert h1 is not None
        total, diagonal = (np.zeros(len(self.vector)) for _ in range(2))
        value = trace = 0.0
        rows = zip(h1.build.specification.parameters, h1.build.index, h1.build.values, strict=True)
        for row, i, fixed in rows:
            if row.op != "~~" or row.level != level or row.group != self.group or not {row.lhs, row.rhs} <= own:
                continue
            times = 1.0 if row.lhs == row.rhs else 2.0
            moment = self.vector[self.k + i] if i >= 0 else fixed
            value += times * moment
            trace += moment * (row.lhs == row.rhs)
            if i >= 0:
                total[self.k + i] += times
                diagonal[self.k + i] += row.lhs == row.rhs
        return Sums(Sloped(float(value), total), Sloped(float(trace), diagonal))

    def loadings(self, scale: Scale) -> list[Sloped]:
        build = self.estimation.model.build
        values = row_values(self.estimation, self.natural)
        out, (unit, by_unit) = [], self._units
        for i, item in zip(scale.rows, scale.items, strict=True):
            at = build.specification.variables.index(item)
            slope = values[i] * by_unit[at]
            if build.index[i] >= 0:
                slope[build.index[i]] += unit[at]
            out.append(self._sloped(values[i] * unit[at], slope))
        return out

    def factor_variance(self, level: int, name: str) -> Sloped:
        """Of a factor, total: residual variance and what explains it."""
        x, d = self._level(level)
        at = members(self.estimation.model.build.specification, level).index(name)
        return self._sloped(
            x.eta_cov[at, at], sum_by_parameter(d.index, 2 * d.eta_left[:, at] * d.eta_right[:, at], self.k)
        )

    def own_parts(self, level: int, name: str, scale: Scale) -> list[Sloped]:
        """The variance of each item that is the factor's."""
        variance = self.factor_variance(level, name)
        return [loading * loading * variance for loading in self.loadings(scale)]

    def own(self, level: int, name: str, scale: Scale) -> Sums:
        """Of lambda phi lambda', the part of the covariances that is the factor's."""
        loadings, variance = self.loadings(scale), self.factor_variance(level, name)
        total, squares = self.zero, self.zero
        for loading in loadings:
            total, squares = total + loading, squares + loading * loading
        return Sums(total * total * variance, squares * variance)


class TracedMoments(Moments):
    """The same of natural parameters (k,) that JAX traces, implied covariances alone."""

    def __init__(self, estimation: Estimation, natural: Any, group: int):
        self.estimation, self.natural, self.group = estimation, natural, group
        self._traced: dict[int, tuple[Any, Any]] = {}

    def _moments(self, level: int) -> tuple[Any, Any]:
        """Covariances of the observed variables (p, p) and of eta (m, m)."""
        if level not in self._traced:
            whole = self.estimation.model.build.structure.levels[level - 1]
            own = jax.tree.map(lambda x: jnp.asarray(x)[self.group - 1], whole.of_group())
            beta = own.beta(self.natural)
            total = inverse(jnp.eye(len(beta)) - beta)
            loadings = own.lambda_(self.natural)
            psi = own.psi.matrix(self.natural, whole.psi.kind)
            theta = own.theta.matrix(self.natural, whole.theta.kind)
            if own.scales is not None:
                left = own.scales.variances(self.natural, loadings @ total, psi, theta)
                psi, theta = own.scales.added(left, psi, theta)
            eta = total @ psi @ total.T
            self._traced[level] = loadings @ eta @ loadings.T + theta, eta
        return self._traced[level]

    @cached_property
    def _unit(self) -> Any:
        """(p,) what items are multiplied by: see `Moments._units`."""
        specification = self.estimation.model.build.specification
        unit = jnp.ones(len(specification.variables))
        for item in specification.ordered:
            i = specification.variables.index(item.name)
            unit = unit.at[i].set(self._moments(specification.unit_level(item.name))[0][i, i] ** -0.5)
        return unit

    @cached_property
    def zero(self) -> Any:
        return Traced(jnp.zeros(()))

    def implied(self, level: int, items: tuple[str, ...]) -> Sums:
        place = {v: i for i, v in enumerate(self.estimation.model.build.specification.variables)}
        at = np.array([place[v] for v in self.items(level, items)], int)
        unit = self._unit[at]
        cov = self._moments(level)[0][at][:, at] * unit * unit[:, None] if len(at) else jnp.zeros((1, 1))
        return Sums(Traced(cov.sum()), Traced(jnp.trace(cov)))  # type: ignore[arg-type]

    def loadings(self, scale: Scale) -> list[Any]:
        build = self.estimation.model.build
        at = [(int(build.index[i]), float(build.values[i])) for i in scale.rows]
        values = [self.natural[i] if i >= 0 else jnp.asarray(value) for i, value in at]
        units = [self._unit[build.specification.variables.index(item)] for item in scale.items]
        return [Traced(value * unit) for value, unit in zip(values, units, strict=True)]

    def factor_variance(self, level: int, name: str) -> Any:
        at = members(self.estimation.model.build.specification, level).index(name)
        return Traced(self._moments(level)[1][at, at])
