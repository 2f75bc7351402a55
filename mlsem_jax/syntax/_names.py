"""Which names of a block are factors, indicators, outcomes and covariates, in lavaan's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from mlsem_jax.models import Parameter


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in order of first appearance."""
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class BlockNames:
    """The roles of the variables in one block (one level of one group).

    slopes: random slopes that level 1 defines, latent variables of level 2. composites: weighted sums of others (`<~`).
    """

    rows: tuple[Parameter, ...]
    slopes: tuple[str, ...] = ()
    composites: tuple[str, ...] = ()

    def _of(self, op: str, side: str) -> tuple[str, ...]:
        return unique(getattr(row, side) for row in self.rows if row.op == op)

    @cached_property
    def latent(self) -> tuple[str, ...]:
        """Factors in order of appearance, composites, then random slopes."""
        return unique(chain(self._of("=~", "lhs"), self.composites, self.slopes))

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """Latent variables that have indicators."""
        return self._of("=~", "lhs")

    @cached_property
    def indicators(self) -> tuple[str, ...]:
        """Right-hand sides of =~, factors of a second-order factor included."""
        return self._of("=~", "rhs")

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        return self._of("~", "lhs")

    @cached_property
    def predictors(self) -> tuple[str, ...]:
        return self._of("~", "rhs")

    @cached_property
    def observed(self) -> tuple[str, ...]:
        """Indicators, outcomes, covariates, then those that only covary or only have a mean."""
        extra = chain(self._of("~~", "lhs"), self._of("~~", "rhs"), self._of("~1", "lhs"))
        names, latent = chain(self.indicators, self.outcomes, self.predictors, extra), set(self.latent)
        return tuple(name for name in unique(names) if name not in latent)

    @cached_property
    def exogenous(self) -> tuple[str, ...]:
        """Observed predictors that depend on nothing in this block."""
        dependent = {*self.latent, *self.indicators, *self.outcomes}
        return tuple(name for name in self.predictors if name not in dependent)

    @cached_property
    def touched(self) -> tuple[str, ...]:
        """Exogenous covariates whose variance, covariance or mean the text itself speaks of: random, not fixed."""
        spoken = {name for row in self.rows if row.op in ("~~", "~1") for name in (row.lhs, row.rhs)}
        return tuple(name for name in self.exogenous if name in spoken)

    @cached_property
    def covariates(self) -> tuple[str, ...]:
        """Exogenous covariates that the text leaves alone."""
        touched = set(self.touched)
        return tuple(name for name in self.exogenous if name not in touched)

    @cached_property
    def free_factors(self) -> tuple[str, ...]:
        """Factors that depend on nothing; random slopes are not among them, they covary only where the text says so."""
        dependent = {*self.indicators, *self.outcomes, *self.slopes}
        return tuple(name for name in self.latent if name not in dependent)

    @cached_property
    def final_outcomes(self) -> tuple[str, ...]:
        """Outcomes that predict nothing and are no indicators: factors first, then observed variables."""
        inner = {*self.indicators, *self.predictors, *self.slopes, *self.composites}
        final = {name for name in self.outcomes if name not in inner}
        return tuple(n for n in (*self.latent, *self.observed) if n in final)


def ordered_covariance(row: Parameter, order: Mapping[str, int]) -> Parameter:
    """A covariance with its two variables in the order of their numbers."""
    if row.op != "~~" or row.lhs == row.rhs or order[row.lhs] <= order[row.rhs]:
        return row
    return row.but(lhs=row.rhs, rhs=row.lhs)
