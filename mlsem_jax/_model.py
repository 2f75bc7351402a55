"""`ml.model` and `ml.statistics`: from syntax and tables to the pytrees of the JAX layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlsem_jax._collected import Collected, collect
from mlsem_jax._errors import DataError
from mlsem_jax._lavaan import specify_and_prepare, split_options
from mlsem_jax.data import prepare
from mlsem_jax.estimation import Model, Source, make_model, make_statistics


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
    - `data`: a table with the columns that the model names; or an iterable of tables or an Arrow dataset, read one piece at a
      time, over which clusters may be split.

    **Returns:** statistics that add up (`a + b`), also where a cluster has rows in both. What a JAX transformation returns can no
    longer be added: ids of clusters are no arrays.
    """
    labels = model.labels
    if not labels.source.cluster:
        raise DataError("This model was made without data: it does not know which column identifies clusters.")
    if hasattr(data, "to_batches") and not hasattr(data, "to_pandas"):
        return collect(model, (batch for batch in data.to_batches() if batch.num_rows))
    if isinstance(data, Iterable) and not hasattr(data, "columns") and not hasattr(data, "column_names"):
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
    complete = reduction.statistics.patterns is None
    return Collected(
        reduction.statistics,
        reduction.clusters if complete else None,
        prepared.cluster_ids if complete else None,
        specification.ngroups,
    )
