"""The same model with factors scaled by their variance (+1 or -1) in place of a marker: a search without valleys.

With a marker, a factor that the marker hardly shares in has a variance near zero and loadings near infinity, and a search crawls
along that valley; at a variance of zero the loadings are undefined, so it cannot cross to the other side. With the variance held
at +1 or -1 and the marker's loading free, both are ordinary points. Both forms have the same number of parameters, so they share
compiled programs, and the maximum of one maps to that of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax.estimation.problem import Constraints, Problem
from mlsem_jax.models import Build, Parameter, build, kind_named

# the size of a marker's loading below which the way back is not defined, relative to the other loadings, in whatever units
TINY = 1e-13


@dataclass(frozen=True)
class Factor:
    """A latent variable of one group and level with the rows of its marker and its variance, and all rows that name it."""

    marker: int
    variance: int
    group: int
    level: int
    name: str

    @property
    def key(self) -> str:
        """Name, level and group, to say a sign for."""
        return f"{self.name}.{self.level}.g{self.group}"


def factors_of(built: Build) -> list[Factor]:
    """The factors that can be rescaled: a marker fixed at a value, a free variance, no label shared with anything else."""
    rows, index = built.specification.parameters, built.index
    uses = np.bincount(index[index >= 0], minlength=len(built.names))
    out = []
    for group in range(1, built.specification.ngroups + 1):
        for level in built.specification.numbers:
            block = built.specification.level(level)
            if not kind_named(block.psi_kind).plain:
                continue
            for name in block.latent:
                here = [
                    i for i, r in enumerate(rows) if (r.level, r.group) == (level, group) and name in (r.lhs, r.rhs)
                ]
                markers = [
                    i for i in here if rows[i].op == "=~" and rows[i].lhs == name and index[i] < 0 and rows[i].value
                ]
                variance = [i for i in here if rows[i].op == "~~" and rows[i].lhs == rows[i].rhs and index[i] >= 0]
                fixed = [i for i in here if i not in markers and index[i] < 0 and (rows[i].value or 0.0) != 0.0]
                shared = any(index[i] >= 0 and uses[index[i]] > 1 for i in here)
                if len(markers) == 1 and len(variance) == 1 and not fixed and not shared:
                    out.append(Factor(markers[0], variance[0], group, level, name))
    return out


class RescaledProblem(Problem):
    """The same problem with the variances of its factors at given signs, and the way to and from its parameters."""

    def __init__(self, original: Problem, build: Build, factors: tuple[Factor, ...]):
        super().__init__(build, original.statistics, original.sample)
        self.original, self.factors = original, factors
        if original.constraints is not None:
            self.constraints = self._carried(original.constraints)

    @property
    def covers_constraints(self) -> bool:
        """Whether the constraints of the original could be said in this form."""
        return (self.constraints is None) == (self.original.constraints is None)

    def forth(self, theta: np.ndarray) -> np.ndarray:
        """theta of the rescaled model for theta of the original one."""
        index = self.original.build.index
        scale = {f: np.sqrt(abs(theta[index[f.variance]])) or 1e-3 for f in self.factors}
        return self._convert(theta, self.original.build, self.build, scale)

    def back(self, theta: np.ndarray) -> np.ndarray | None:
        """theta of the original model; None where a marker's loading is too small for that."""
        rows, scale = self.original.build.specification.parameters, {}
        for f in self.factors:
            size = theta[self.build.index[f.marker]] / float(rows[f.marker].value or 1.0)
            own = [
                i
                for i, r in enumerate(rows)
                if r.op == "=~" and r.lhs == f.name and (r.level, r.group) == (f.level, f.group)
            ]
            largest = max((abs(theta[self.build.index[i]]) for i in own if self.build.index[i] >= 0), default=1.0)
            if abs(size) < TINY * largest:
                return None
            scale[f] = 1.0 / size
        return self._convert(theta, self.build, self.original.build, scale)

    def _carried(self, constraints: Constraints) -> Constraints | None:
        """The bounds of the model, as bounds of the rescaled one; None where a constraint is of another kind.

        Bounds of parameters that know of no factor are the same there, and a lower bound of zero for the variance of a factor
        holds where its sign is +1.
        """
        if constraints.general is not None:
            return None
        index, kept = self.original.build.index, []
        factors = {int(index[f.variance]): f for f in self.factors}
        moved = np.zeros((len(constraints.least), self.q))
        for c, (bound, least) in enumerate(zip(constraints.bounds, constraints.least, strict=True)):
            at = np.flatnonzero(bound)
            if len(at) != 1:
                return None
            i = int(at[0])
            if i in factors and bound[i] > 0 and least == 0 and self.build.values[factors[i].variance] > 0:
                continue
            own = np.flatnonzero(index == i)
            if any(self._names_factor(int(row)) for row in own):
                return None
            moved[c, self.build.index[own[0]]] = bound[i]
            kept.append(c)
        texts = tuple(constraints.texts[c] for c in kept)
        return Constraints(None, moved[kept], constraints.least[kept], np.zeros(len(kept), bool), texts)

    def _names_factor(self, at: int) -> bool:
        """Whether a row of the table has a rescaled factor on either side."""
        row = self.build.specification.parameters[at]
        return any((row.level, row.group) == (f.level, f.group) and f.name in (row.lhs, row.rhs) for f in self.factors)

    def _convert(self, theta: np.ndarray, source: Build, target: Build, scale: dict) -> np.ndarray:
        """Divide each factor by its scale (old units in one new unit)."""
        rows = source.specification.parameters
        out = np.zeros(len(target.kept))
        for i, row in enumerate(rows):
            at = target.index[i]
            if at < 0:
                continue
            value = theta[source.index[i]] if source.index[i] >= 0 else source.values[i]
            for f, s in scale.items():
                if (row.level, row.group) == (f.level, f.group):
                    value *= _power(row, f.name, s)
            out[at] = value
        return out


def _power(row: Parameter, name: str, s: float) -> float:
    """What multiplies a parameter when the factor is divided by s."""
    up = (row.op == "=~" and row.lhs == name) + (row.op == "~" and row.rhs == name)
    down = (row.op in ("~", "~1") and row.lhs == name) + (row.op == "=~" and row.rhs == name)
    if row.op == "~~":
        down = (row.lhs == name) + (row.rhs == name)
    return s ** (up - down)


def rescale(problem: Problem, signs: dict[str, float] | float) -> RescaledProblem | None:
    """The problem with the variances of its factors at the given signs (by factor and level, 'fb.2', in one group only, 'fb.2.g1',
    or one for all); None where no factor can be rescaled, or a constraint cannot be said in that form.
    """
    built = problem.build
    factors = tuple(factors_of(built))
    if not factors or built.nonlinear or not np.array_equal(built.kept, np.arange(len(built.names))):
        return None
    rows = list(built.specification.parameters)
    for i, row in enumerate(rows):
        if built.index[i] < 0 and not row.follows:
            rows[i] = row.but(value=float(built.values[i]), exo=False)
    for f in factors:
        sign = signs if isinstance(signs, float) else signs.get(f.key, signs.get(f"{f.name}.{f.level}", 1.0))
        rows[f.marker] = rows[f.marker].but(free=True, value=None)
        rows[f.variance] = rows[f.variance].but(free=False, value=sign, label="")
    again = build(built.specification.but(parameters=tuple(rows), constraints=(), definitions=()), None, built.width)
    # a model without mean structure holds the data's means in either form
    other = RescaledProblem(problem, replace(again, means=built.means), factors)
    return other if other.covers_constraints else None


def signs_at(build: Build, theta: np.ndarray) -> dict[str, float]:
    """The sign of each factor's variance at theta, by factor, level and group."""
    return {f.key: float(np.sign(theta[build.index[f.variance]])) or 1.0 for f in factors_of(build)}
