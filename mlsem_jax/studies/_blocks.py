"""A block of the data sets of a cell, drawn and fitted: as lanes of a batch, or one at a time as by `ml.sem`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import numpy as np

from mlsem_jax._block_files import Block
from mlsem_jax._errors import DataError, IdentificationError
from mlsem_jax._spread import key_of
from mlsem_jax._status import Status
from mlsem_jax.estimation import Rows, simulate
from mlsem_jax.fronts import fit_text
from mlsem_jax.functional import statistics
from mlsem_jax.likelihood import stack_statistics
from mlsem_jax.numerics import float64
from mlsem_jax.studies._cells import Cell
from mlsem_jax.studies._montecarlo import drawn_statistics, fitted_block, in_order, of_rows, padded_count
from mlsem_jax.studies._montecarlo_study import CONVERGED
from mlsem_jax.studies._population import CLUSTER
from mlsem_jax.studies._robust import by_scores


@float64
def run_block(
    cells: tuple[Cell, ...],
    key: Any,
    chisq: bool,
    number: int,
    first: int,
    count: int,
    tell: Callable[[int], None] | None = None,
) -> Block:
    """Data sets number first, first + 1, ... of a cell, drawn and fitted. tell: is called with how many are done, where they are
    fitted one at a time.
    """
    cell = cells[number]
    own = jax.random.fold_in(key_of(key), int(cell.drawn_as[:8], 16))
    if cell.in_batches:
        return _batch(cell, own, chisq, first, count)
    padded = padded_count(count) if count <= 64 else count
    rows = simulate(cell.population, cell.theta, own, cell.sizes, padded, rows=True, first=first, **cell.draw)
    assert isinstance(rows, Rows)
    if cell.in_batches_of(count):
        return _incomplete(cell, rows, count, chisq)
    parts = []
    for i in range(count):
        parts.append(_single(cell, rows, i, chisq))
        if tell is not None and i + 1 < count:
            tell(i + 1)
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _batch(cell: Cell, key: Any, chisq: bool, first: int, count: int) -> Block:
    """Complete data sets as lanes."""
    model, estimator = cell.analysis.model, cell.conditions.estimator
    chisq = chisq and model.saturated is not None
    if estimator == "ML":
        drawn = (cell.population, cell.theta, key, cell.sizes, first, count, cell.draw)
        found, _ = fitted_block(model, drawn_statistics(*drawn, model), cell.start, chisq)
    else:
        draw = (cell.population, cell.theta, key, cell.sizes, padded_count(count))
        rows = simulate(*draw, rows=True, first=first, **cell.draw)
        assert isinstance(rows, Rows)
        rows = in_order(rows, model)
        stats = jax.tree.map(lambda x: x[:count], of_rows(rows, model))
        found, end = fitted_block(model, stats, cell.start, False)
        found = by_scores(model, rows, stats, end, found, estimator, chisq)
    return found | {"df": np.full(count, model.df if chisq else 0)}


def _incomplete(cell: Cell, rows: Rows, count: int, chisq: bool) -> Block:
    """Data sets with missing values as lanes; one that finds no maximum is fitted as by ml.sem, and so is one that is refused."""
    model, lanes, parts = cell.of_incomplete, {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as of single fits
        for i in range(count):
            with suppress(DataError, IdentificationError):
                lanes[i] = statistics(model, rows.frame(i)).reduced
        if lanes:
            found = fitted_block(model, stack_statistics(list(lanes.values())), cell.start, chisq)[0]
            found |= {"df": np.full(len(lanes), model.df if chisq else 0)}
            good = zip(lanes, np.isin(found["status"], CONVERGED), strict=True)
            parts = {
                i: {name: of[lane] for name, of in found.items()}
                for lane, (i, converged) in enumerate(good)
                if converged
            }
    every = [parts[i] if i in parts else _single(cell, rows, i, chisq) for i in range(count)]
    return {name: np.stack([part[name] for part in every]) for name in every[0]}


def _single(cell: Cell, rows: Rows, i: int, chisq: bool) -> Block:
    """A data set fitted as by ml.sem; one that ml.sem refuses counts as not converged."""
    analysis, c = cell.analysis, cell.conditions
    options = {"estimator": c.estimator, "baseline": False, "h1": chisq} | analysis.options | cell.fit_options
    if c.incomplete:
        options["missing"] = c.handling
    single = analysis.model.labels.specification.single
    if single:
        options["meanstructure"] = True  # which models of the JAX layer have
    values = np.full((2, len(analysis.names)), np.nan)
    end = {"chisq": np.array(np.nan), "status": np.array(int(Status.NON_FINITE)), "df": np.array(0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the status says it, data set by data set
        try:
            fit = fit_text("sem", analysis.text, rows.frame(i), None if single else CLUSTER, None, options)
        except (DataError, IdentificationError):
            return {"estimates": values[0], "se": values[1]} | end
        end["status"] = np.array(int(fit.status))
        if fit.converged:
            values = _of_fit(fit, analysis.names)
            if chisq:
                measures = fit.fit_measures()
                scaled = ".scaled" if "chisq.scaled" in measures else ""
                if "chisq" in measures:  # models with random slopes have none
                    end["chisq"], end["df"] = np.array(measures["chisq" + scaled]), np.array(int(measures["df"]))
    return {"estimates": values[0], "se": values[1]} | end


def _of_fit(fit: Any, names: tuple[str, ...]) -> np.ndarray:
    """(2, r) estimates and standard errors by name."""
    table = fit.parameter_estimates()
    rows = {row.name: row for row in fit.specification.parameters if row.free}
    found: dict[Any, Any] = {}
    for line in table.itertuples(index=False):
        found[line.lhs, line.op, line.rhs, line.level, max(line.group, 1)] = line.est, line.se
        if line.op == ":=":
            found[line.lhs] = line.est, line.se
    both = []
    for name in names:
        row = rows.get(name)
        place = name if row is None else (row.lhs, row.op, "" if row.op == "~1" else row.rhs, row.level, row.group)
        both.append(found[place])
    return np.array(both, float).T
