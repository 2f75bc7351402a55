"""A cell of a study: what is drawn and what is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._block_files import digest
from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.data import check_margins, check_shape, cubics_of, margins_of
from mlsem_jax.estimation import Model
from mlsem_jax.models import Parameter
from mlsem_jax.numerics import float64
from mlsem_jax.studies._design import Conditions
from mlsem_jax.studies._montecarlo import quantities
from mlsem_jax.studies._population import key_of_row, natural_values
from mlsem_jax.studies._sizes import cluster_sizes

# data sets with missing values from which on a block of them is a batch: its program takes as long to compile as so many fits
MANY = 256


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is fitted. text: None for a model that was made with data; options: of ml.sem, for fits one at a time."""

    model: Model
    text: Any
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(r,) natural parameters, then `:=` quantities."""
        return (*self.model.labels.natural, *(d.name for d in self.model.labels.specification.definitions))


@dataclass(frozen=True, eq=False)
class Cell:
    """One condition. theta (q,): of the population; true (r,): of the analysis, NaN where the population says nothing."""

    conditions: Conditions
    population: Model
    theta: np.ndarray
    analysis: Analysis
    true: np.ndarray
    start: np.ndarray | None
    fit_options: dict[str, Any]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Rows of each cluster, of one level the rows of each group."""
        groups = self.population.labels.specification.ngroups
        return cluster_sizes(self.conditions.clusters or groups, self.conditions.size)

    @cached_property
    def draw(self) -> dict[str, Any]:
        """Options of ml.simulate."""
        c, groups = self.conditions, self.population.labels.specification.ngroups
        options: dict[str, Any] = {}
        if groups > 1:
            options["group"] = [j * groups // len(self.sizes) for j in range(len(self.sizes))]
        if "estimator" in c.shown or self.fit_options or self.population.labels.specification.slopes:
            # rows, also where statistics would do: cells that are fitted in another way see the same data sets
            options["distribution"] = "normal"
        if c.distribution != "normal":
            options |= {"distribution": c.distribution, "freedom": c.freedom}
        if margins_of(c.skewness, c.kurtosis, self.population.variables) is not None:
            options |= {"skewness": c.skewness, "kurtosis": c.kurtosis}
        if c.incomplete:
            options["missing"] = _holes(c, self.population)
        return options

    @property
    def in_batches(self) -> bool:
        """Whether data sets are fitted many at a time: complete ones, with the standard errors and the test of the estimator."""
        return not self.conditions.incomplete and (
            self._plain if self.conditions.estimator == "ML" else self._by_scores
        )

    def in_batches_of(self, count: int) -> bool:
        """Whether so many data sets with missing values are fitted at a time."""
        return self._plain and self.conditions.incomplete and count >= MANY and not self._ordered

    @property
    def _plain(self) -> bool:
        return self.conditions.estimator == "ML" and self._searchable

    @property
    def _by_scores(self) -> bool:
        """Whether clusters of every data set have scores at the end of a search in a batch."""
        specification = self.analysis.model.labels.specification
        whole = specification.means and not specification.absent.any()
        return self.conditions.estimator in ("MLR", "MLF") and whole and self._searchable and not self._ordered

    @property
    def _searchable(self) -> bool:
        model = self.analysis.model
        slopes = model.labels.specification.slopes or self.population.labels.specification.slopes
        return not self.fit_options and not slopes and not model.labels.refused

    @property
    def _ordered(self) -> bool:
        return bool(self.analysis.model.labels.specification.ordered)

    @cached_property
    def of_incomplete(self) -> Model:
        """The model that is fitted, for statistics of data with missing values."""
        model = self.analysis.model
        source = replace(model.labels.source, missing=self.conditions.handling)
        return replace(model, labels=replace(model.labels, source=source))

    @cached_property
    def drawn_as(self) -> str:
        """A fingerprint of what is drawn: cells with the same have the same data sets."""
        arrays = (self.population.structure, self.population.held, self.theta, self.sizes)
        return digest((jax.tree.map(np.asarray, arrays), np.array(repr(sorted(self.draw.items())))))

    @cached_property
    def fingerprint(self) -> str:
        """Of what is drawn and fitted."""
        structure = jax.tree.map(np.asarray, self.analysis.model.structure)
        fit = sorted((name, repr(value)) for name, value in self.fit_options.items())
        words = repr((self.analysis.names, self.conditions.estimator, self.conditions.handling, fit))
        return digest((structure, np.array(words), np.array(self.drawn_as)))[:16]


def _holes(c: Conditions, population: Model) -> dict[str, Any]:
    """Shares of missing values by variable: all that the model explains, or those that are named."""
    specification = population.labels.specification
    if isinstance(c.missing, dict):
        return c.missing
    outcomes = [v for v in specification.within.observed if v not in specification.within.covariates]
    outcomes = [v for v in outcomes if v not in specification.between.covariates and v != c.missing_by]
    if c.missing_by is None:
        return dict.fromkeys(outcomes, c.missing)
    if c.missing_by not in specification.variables:
        raise DataError(
            f"missing_by={c.missing_by!r} is no variable of the population; it has {listing(specification.variables, 12)}."
        )
    return dict.fromkeys(outcomes, (c.missing_by, c.missing, c.missing_slope))


def true_values(population: Model, theta: np.ndarray, analysis: Analysis) -> np.ndarray:
    """(r,) values of the analysis' quantities in the population: of the parameter in the same place; 0 for a path or covariance
    that it does not have although it has both variables; NaN for others, and for `:=` quantities of such.
    """
    if analysis.model is population:
        return _with_defined(population, theta)
    known, model = natural_values(population, theta), analysis.model
    has = {(lv.name, n) for lv in _levels(population) for n in lv.names}
    places = dict(model.labels.by_label)
    natural = np.full(len(model.labels.natural), np.nan)
    for row in model.labels.specification.parameters:
        if row.free and row.name in places:
            value = known.get(key_of_row(row), _implied(row, has))
            natural[places[row.name]] = value
    basis, offset = np.asarray(model.structure.basis), np.asarray(model.structure.offset)
    if np.isnan(natural).any():
        defined = np.full(len(analysis.names) - len(natural), np.nan)
        return np.concatenate([natural, defined])
    theta = np.linalg.lstsq(basis, natural - offset[: len(natural)], rcond=None)[0]
    return np.concatenate([natural, _with_defined(model, theta)[len(natural) :]])


@dataclass(frozen=True)
class _Names:
    name: int
    names: frozenset[str]


def _levels(model: Model) -> list[_Names]:
    specification = model.labels.specification
    levels = zip(specification.numbers, specification.levels, strict=True)
    return [_Names(number, frozenset((*level.observed, *level.latent))) for number, level in levels]


def _implied(row: Parameter, has: set[tuple[int, str]]) -> float:
    both = (row.level, row.lhs) in has and (row.level, row.rhs) in has
    return 0.0 if both and row.lhs != row.rhs and row.op in ("~", "~~", "=~") else np.nan


@float64
def _with_defined(model: Model, theta: np.ndarray) -> np.ndarray:
    values = quantities(model, jnp.asarray(theta)[None], jnp.eye(len(theta))[None])[0][0]
    return np.asarray(values, float)


def check_cell(cell: Cell) -> None:
    """What can be known before anything is fitted: variables, roles, sizes, holes."""
    population, analysis = cell.population, cell.analysis.model
    if absent := [v for v in analysis.variables if v not in population.variables]:
        raise ModelError(f"The model fits {listing(absent)}, which the population does not have.")
    mine, theirs = (set(m.labels.specification.between_only) for m in (analysis, population))
    if moved := sorted(v for v in analysis.variables if (v in mine) != (v in theirs)):
        raise ModelError(
            f"{listing(moved)} is a variable of level 2 alone in one of population and model and not in the other. Give it the "
            "same levels in both."
        )
    if analysis.labels.specification.single != population.labels.specification.single:
        raise ModelError("One of population and model has 'level:' blocks and the other has none.")
    if not cell.in_batches and cell.analysis.text is None:
        raise ModelError(
            "Data sets with missing values, random slopes and options of ml.sem are fitted from the model's text: pass it in place "
            "of the model (the population may be a model)."
        )
    _check_distribution(cell)
    if absent := [name for name in cell.draw.get("missing", {}) if name not in population.variables]:
        raise DataError(
            f"missing names {listing(absent)}, which the population does not have; it has {listing(population.variables, 12)}."
        )
    cell.sizes  # noqa: B018  (checks what it reads)


@float64
def _check_distribution(cell: Cell) -> None:
    c, population = cell.conditions, cell.population
    check_shape(c.distribution, c.freedom)
    margins = margins_of(c.skewness, c.kurtosis, population.variables)
    check_margins(margins, c.distribution, None)
    if margins is not None:
        moments = population(cell.theta)
        for within, between in zip(moments.within_cov, moments.between_cov, strict=True):
            cubics_of(within, between, margins, population.variables)
