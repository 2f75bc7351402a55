"""`ml.model` and `ml.statistics`: from syntax and tables to the pytrees of the JAX layer."""

from __future__ import annotations

from typing import Any

from mlsem_jax._collected import Collected, Layer, collect
from mlsem_jax._errors import DataError
from mlsem_jax._lavaan import specify_and_prepare, split_options
from mlsem_jax.data import Roles, comes_in_chunks, plain_ids, prepare
from mlsem_jax.estimation import Model, Source, make_model, make_statistics
from mlsem_jax.statistics import mergeable


def model(syntax: str, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any) -> Model:
    """A two-level model as one equinox module whose leaves are arrays.

    **Arguments:** as [`mlsem_jax.sem`][]. The data give names, groups, moments of fixed covariates and starting values; they are
    not kept.

    **Returns:** a `Model`: `model(theta)` gives moments, `model.names` labels theta, `model.parameters(theta)` natural values.
    """
    syntax_options, fit_options, data_options = split_options("sem", options)
    specification, prepared = specify_and_prepare(
        syntax,
        data,
        cluster=cluster,
        group=group,
        syntax_options=syntax_options,
        missing=fit_options.missing,
        **data_options,
    )
    labels = data_options.get("group_label")
    source = Source(
        cluster=prepared.cluster_name,
        group=prepared.group_name,
        missing=fit_options.missing,
        group_label=None if labels is None else tuple(str(label) for label in labels),
    )
    return make_model(specification, make_statistics(specification, prepared), source)


def statistics(model: Model, data: Any) -> Collected:
    """What the likelihood of a model needs of a data set, as a pytree.

    **Arguments:**

    - `model`: from [`mlsem_jax.model`][].
    - `data`: a table with the columns that the model names. Or an iterable of tables, an Arrow dataset (`pyarrow.dataset.dataset`)
      or an Arrow stream (`pyarrow.RecordBatchReader`), read one chunk at a time, over which clusters may be split: memory is that
      of a chunk and of one mean a cluster. Chunks have complete rows (`missing="listwise"` leaves out the others).

    **Returns:** statistics that add up (`a + b`), also where a cluster has rows in both. One table is checked at once; what comes
    in chunks, such as the partitions of a distributed table (`ml.statistics(model, [partition])`), is checked as a whole when it
    is first used. What a JAX transformation returns can no longer be added: ids of clusters are no arrays.
    """
    labels = model.labels
    if not labels.source.cluster:
        raise DataError("This model was made without data: it does not know which column identifies clusters.")
    if comes_in_chunks(data):
        return collect(model, data)
    specification, source = labels.specification, labels.source
    prepared = prepare(
        data,
        cluster=source.cluster,
        group=source.group,
        within=specification.within.observed,
        between=specification.between.observed,
        covariates_within=specification.within.covariates,
        covariates_between=specification.between.covariates,
        missing=source.missing,
        group_label=source.group_label or (specification.groups or None),
    )
    reduction = make_statistics(specification, prepared)
    layer = None
    if reduction.clusters is not None and not reduction.statistics.curved:
        roles = Roles(specification.within.observed, specification.between.observed)
        means = mergeable(reduction.clusters, specification.ngroups)
        layer = Layer(means, plain_ids(prepared.cluster_ids), roles, source.cluster, source.group)
    return Collected(reduction.statistics, layer, prepared.rows_dropped)
