"""`ml.model` and `ml.statistics`: from syntax and tables to the pytrees of the JAX layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Unpack

import numpy as np

from mlsem_jax._errors import DataError, ModelError, ModelWarning
from mlsem_jax._option_docs import with_options
from mlsem_jax.data import TwoLevelData, comes_in_chunks, give_back, plain_ids, prepare, read_known
from mlsem_jax.estimation import (
    FitOptions,
    Model,
    Reduction,
    Rows,
    Source,
    check_model,
    kind_of,
    make_model,
    make_ordinal_model,
    make_statistics,
    ordinal_statistics,
    own_roles,
)
from mlsem_jax.fronts import specify_and_prepare, split_options, survey_of
from mlsem_jax.functional._collected import OWN_VARIABLES, WHOLE, Collected, by_pattern, collect, layer_of
from mlsem_jax.likelihood import CompleteTerm, Statistics, moved
from mlsem_jax.observed import mergeable
from mlsem_jax.options import ModelOptions
from mlsem_jax.syntax import Syntax, SyntaxOptions, read_model


@with_options(ModelOptions, "sem")
def model(
    syntax: str | Sequence[str] | Syntax,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    **options: Unpack[ModelOptions],
) -> Model:
    """A model of two levels, or of one, as one equinox module whose leaves are arrays.

    **Arguments:** as [`mlsem_jax.sem`][], but for the options that say how to fit and what to report, which are refused: a model
    is not fitted yet. The data give names, groups, moments of fixed covariates and starting values; they are not kept. A model of
    one level always has a mean structure here, for the statistics of other data have other means, and takes no cluster=.

    `ordered`, `link`, `integration` and `integration_points` make a model of ordered variables, whose likelihood is the full
    information of `estimator="ML"`; it has no chi-square.

    Of a survey design it takes `sampling_weights`, `sampling_weights_between`, how to scale them, `strata` and `lonely`: the
    model's [`mlsem_jax.statistics`][] then count rows and clusters by the weights in these columns. Standard errors and
    chi-squares of [`mlsem_jax.estimate`][] take weights for counts; [`mlsem_jax.sandwich`][] gives those of the design.

    **Returns:** a `Model`: `model(theta)` gives moments, `model.names` labels theta, `model.parameters(theta)` natural values.
    """
    if not isinstance(syntax, (str, Syntax, list, tuple)):
        raise ModelError(f"ml.model(text, data, cluster=...) takes model text first, not {kind_of(syntax)}.")
    asked: dict[str, Any] = dict(**options)
    _check_options(asked)
    syntax_options, fit_options, data_options = split_options("sem", asked)
    parsed = read_model(syntax, data)
    survey = survey_of(asked, not parsed.has_levels, "ml.model")
    if not parsed.has_levels:
        syntax_options = _of_one_level(syntax_options, cluster)
    specification, prepared = specify_and_prepare(
        parsed,
        data,
        cluster=cluster,
        group=group,
        syntax_options=syntax_options,
        missing=fit_options.missing,
        group_label=data_options.get("group_label"),
        survey=survey,
        unit=fit_options.unit,
    )
    if survey is not None and survey.weighted:
        warnings.warn(ModelWarning(_WEIGHTED), stacklevel=2)
    labels = data_options.get("group_label")
    source = Source(
        cluster=prepared.cluster_name,
        group=prepared.group_name,
        missing=fit_options.missing,
        group_label=None if labels is None else tuple(str(label) for label in labels),
        survey=survey,
    )
    if not specification.ordered:
        _check_integral(asked)
        return make_model(specification, make_statistics(specification, prepared), source)
    made, notes = make_ordinal_model(specification, prepared, source, fit_options)
    for sentence in (*prepared.warnings, *notes):
        warnings.warn(ModelWarning(sentence), stacklevel=2)
    return made


def _check_integral(options: dict[str, Any]) -> None:
    """ModelError for options of the integral where there is none."""
    for name in _INTEGRAL:
        if options.get(name) is not None:
            raise ModelError(f"{name}= is about ordered variables, and this model has none: name them with ordered=.")


# options of the likelihood of ordered variables, which belong to the model
_INTEGRAL = ("link", "integration", "integration_points")
_WEIGHTED = (
    "Standard errors and chi-squares of ml.estimate and ml.estimate_batch take weights for counts. Those of the design are "
    "ml.sandwich(model, theta, data), as in ml.sem."
)


def _of_one_level(options: SyntaxOptions, cluster: Any) -> SyntaxOptions:
    """Options of a model of one level: with a mean structure. ModelError for what would have no effect."""
    if cluster is not None:
        raise ModelError(
            "The model has no level blocks, so that cluster= would only change standard errors, which the JAX layer takes from "
            "the observed information. Leave it out; ml.sandwich(model, theta, data, cluster=...) and ml.sem have standard errors "
            "that go by clusters. Or write 'level: 1' and 'level: 2' blocks."
        )
    if options.meanstructure is False:
        raise ModelError(
            "meanstructure=False is for ml.sem: a model of the JAX layer meets statistics of other data, with other means. Leave "
            "it out; with free means the other parameters are the same."
        )
    return replace(options, meanstructure=True)


# options of a fit that a model without one has no use for, and what takes their place
_OF_A_FIT = {
    "bounds": "The JAX layer does not fit under bounds: use ml.sem for it, or build the parametrisation into your own function of "
    "theta and ml.log_likelihood.",
    "start": "Pass starting values to the search, ml.estimate(model, stats, theta0=...), or write start() into the model text.",
    "iter_max": "It belongs to the search: ml.estimate(model, stats, solver=mlsem_jax.estimation.settings(numpy.float64, "
    "iterations=...)).",
    "se": "ml.estimate gives standard errors from the observed information, ml.sandwich robust ones; ml.sem gives the others.",
    "estimator": "ml.estimate maximises the likelihood, ml.sandwich gives robust standard errors; ml.sem gives the tests too.",
    "test": "ml.estimate(model, stats, chisq=True) gives the chi-square; ml.sem gives the scaled ones.",
    "h1": "ml.estimate(model, stats, chisq=True) fits the unrestricted model too.",
}


def _check_options(options: dict[str, Any]) -> None:
    """ModelError for options that say how to fit: a model is not fitted, and what it would drop it must refuse."""
    own = {f.name for f in fields(FitOptions)} - {"missing", *_INTEGRAL}
    for name in options:
        if name in own:
            remedy = _OF_A_FIT.get(name, "It is an option of a fit: pass it to ml.sem.")
            raise ModelError(
                f"ml.model makes a model and does not fit it, so that {name}= would have no effect. {remedy}"
            )


def statistics(model: Model, data: Any) -> Collected:
    """What the likelihood of a model needs of a data set, as a pytree.

    **Arguments:**

    - `model`: from [`mlsem_jax.model`][].
    - `data`: a table with the columns that the model names, those of weights among them. Or an iterable of tables, an Arrow
      dataset (`pyarrow.dataset.dataset`) or an Arrow stream (`pyarrow.RecordBatchReader`), read one chunk at a time, over which
      clusters may be split: memory is that of a chunk and of one mean a cluster; with missing values (`missing="ml"`) of one sum
      for each pattern of them in a cluster, and with random slopes of as many cross-products. A cluster's value of a level-2
      variable may stand in any chunk.

    **Returns:** statistics that add up (`a + b`), also where a cluster has rows in both. One table is checked at once; what comes
    in chunks, such as the partitions of a distributed table (`ml.statistics(model, [partition])`), is checked as a whole when it
    is first used. What a JAX transformation returns can no longer be added: ids of clusters are no arrays. Nor can weighted ones:
    weights are scaled over all rows of a table, so that they come in one.
    """
    check_model(model, "ml.statistics", labelled=True)
    if isinstance(data, (Collected, Statistics)):
        raise DataError("ml.statistics takes a table; these are statistics already.")
    if isinstance(data, Rows):
        raise DataError("ml.statistics takes one table: ml.statistics(model, rows.frame(i)) for simulated data set i.")
    specification = model.labels.specification
    if comes_in_chunks(data):
        if specification.ordered:
            raise DataError(WHOLE)
        collected = collect(model, data)
        give_back()
        return collected
    prepared = read_rows(model, data)
    if specification.ordered:
        found = ordinal_statistics(model, prepared)
        return Collected(found, None, prepared.rows_dropped, specification.variables, weighted=prepared.weighted)
    if prepared.weighted or prepared.absent is not None:
        reduction = make_statistics(specification, prepared)
        return Collected(
            _held(model, reduction.statistics),
            None,
            prepared.rows_dropped,
            specification.variables,
            weighted=prepared.weighted,
            whole="" if prepared.weighted else OWN_VARIABLES,
        )
    if specification.single:
        return _rows_collected(model, prepared, make_statistics(specification, prepared))
    ids = plain_ids(prepared.cluster_ids)
    if by_pattern(model):
        layer = layer_of(model, prepared.values, prepared.cluster, prepared.group, ids)
        return Collected(None, layer, prepared.rows_dropped, specification.variables)
    reduction = make_statistics(specification, prepared)
    assert reduction.clusters is not None
    none = prepared.values[:0], prepared.cluster[:0], prepared.group[:0]
    layer = replace(layer_of(model, *none, ids), clusters=mergeable(reduction.clusters, specification.ngroups))
    return Collected(reduction.statistics, layer, prepared.rows_dropped, specification.variables)


def read_rows(model: Model, data: Any, cluster: str | None = None) -> TwoLevelData:
    """The rows of one table that a model's statistics are made of. cluster: of a model of one level, which has none of its own."""
    specification, source = model.labels.specification, model.labels.source
    if not source.cluster and not specification.single:
        raise DataError("This model was made without data: it does not know which column identifies clusters.")
    return prepare(
        data,
        cluster=source.cluster or cluster,
        group=source.group,
        within=specification.within.observed,
        between=specification.between.observed,
        covariates_within=specification.within.covariates,
        covariates_between=specification.between.covariates,
        own=own_roles(specification),
        missing=source.missing,
        group_label=source.group_label or (specification.groups or None),
        single=specification.single,
        survey=source.survey,
        ordered=read_known(data, source.ordered),
    )


def _held(model: Model, statistics: Statistics) -> Statistics:
    """Where a model of one level without mean structure holds the means, the statistics of data that are moved to them."""
    if model.labels.specification.means:
        return statistics
    held = np.asarray(model(np.asarray(model.start)).mean)
    return Statistics((CompleteTerm(moved(statistics.complete, held)),), statistics.pools)


def _rows_collected(model: Model, data: TwoLevelData, reduction: Reduction) -> Collected:
    """Statistics of one level."""
    specification, statistics = model.labels.specification, _held(model, reduction.statistics)
    layer = None
    if specification.means:
        groups = np.arange(data.ngroups)
        layer = layer_of(model, data.values, data.group[data.cluster], groups, groups)
    return Collected(statistics, layer, data.rows_dropped, specification.variables)
