"""Statistics as users pass them to the functions of the JAX layer: checked, and without the wrapper that makes them add up."""

from __future__ import annotations

from typing import Any

import jax

from mlsem_jax._errors import DataError, listing
from mlsem_jax.estimation import Model, Rows, check_statistics, kind_of
from mlsem_jax.functional._collected import Collected
from mlsem_jax.likelihood import Statistics, stack_statistics, stackable
from mlsem_jax.models import Structure
from mlsem_jax.ordinal import OrdinalTerm, stack_terms

AnyStatistics = Statistics | Collected


def reduced(model: Model | Structure, stats: Any, what: str, *, lanes: bool = False) -> Statistics:
    """The arrays that the likelihood needs. DataError for what are no statistics, or not of this model; lanes: a batch is fine."""
    if lanes and _several(stats):
        stats = _stacked([reduced(model, one, what) for one in stats])
    if not isinstance(stats, (Statistics, Collected)):
        raise DataError(f"{what} takes the statistics of the data, {_instead(stats, what)}")
    variables = stats.variables if isinstance(stats, Collected) else None
    if variables is not None and isinstance(model, Model) and variables != model.variables:
        raise DataError(
            f"The statistics are of another model, of {listing(variables)}; this one is of {listing(model.variables)}. Make them "
            "with ml.statistics(model, data) of this model."
        )
    statistics = stats.reduced if isinstance(stats, Collected) else stats
    check_statistics(model, statistics, what, lanes=lanes)
    return statistics


def _several(stats: Any) -> bool:
    """Whether these are statistics of several data sets, in a list."""
    return (
        isinstance(stats, (list, tuple)) and bool(stats) and all(isinstance(x, (Statistics, Collected)) for x in stats)
    )


def _stacked(stats: list[Statistics]) -> Statistics:
    """Statistics with a leading axis: data sets have different patterns of missing values, cluster sizes and distinct answers."""
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(stats)):
        raise DataError("A list of statistics is stacked as NumPy arrays, which a JAX transformation cannot trace.")
    if all(map(stackable, stats)):
        return stack_statistics(stats)
    terms = [term for one in stats for term in one.terms if isinstance(term, OrdinalTerm) and len(one.terms) == 1]
    if len(terms) < len(stats) or len({term.layout for term in terms}) > 1:
        raise DataError("The statistics in the list are of different models: make all with ml.statistics(model, data).")
    return Statistics((stack_terms(terms),), None)


def _instead(given: Any, what: str) -> str:
    """The end of the sentence about something that is no statistics."""
    if isinstance(given, (Model, Structure)):
        return f"not a model: the order is {what}(model, ..., stats), the statistics last."
    if isinstance(given, Rows):
        return "not rows. Make them of each data set: ml.statistics(model, rows.frame(i)), or simulate with rows=False."
    if _several(given):
        return f"of one data set, not a list of them: ml.estimate_batch(model, stats) takes lists, or call {what} for each."
    if hasattr(given, "columns") or hasattr(given, "column_names") or isinstance(given, dict):
        return f"not the data themselves. Make them once: stats = ml.statistics(model, data), then {what}(model, ..., stats)."
    return f"not {kind_of(given)}. Make them with ml.statistics(model, data), or ml.simulate."
