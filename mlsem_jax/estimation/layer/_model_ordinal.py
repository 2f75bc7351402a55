"""A model of ordered variables for the JAX layer, and the statistics of its data: what `_model` and `_reduction` are for others."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.data import Rows, TwoLevelData, as_data
from mlsem_jax.estimation.fit import begin_ordinal, moments_at
from mlsem_jax.estimation.layer._model import Model, Source, held_mask, make_labels
from mlsem_jax.estimation.problem import FitOptions
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Specification
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import (
    Layout,
    integral,
    ordinal_layout,
    ordinal_term,
    stack_terms,
)


@float64
def make_ordinal_model(
    specification: Specification, data: TwoLevelData, source: Source, options: FitOptions
) -> tuple[Model, tuple[str, ...]]:
    """The Model of a specification with ordered variables, the moments of its covariates and starting values taken from data, and
    sentences about the integral that its likelihood is.
    """
    begun = begin_ordinal(specification, data, options)
    built, natural = begun.build, begun.natural
    moments = jax.tree.map(np.asarray, moments_at(built.structure, natural))
    layout = ordinal_layout(specification, options.link, data)
    layout, notes = integral(layout, moments, options.integration, options.integration_points)
    source = replace(source, ordered=data.ordered, layout=layout)
    model = Model(built.structure, None, natural[built.kept], held_mask(specification), make_labels(built, source))
    return model, notes


def layout_of(model: Model, what: str) -> Layout:
    """The integral of a model of ordered variables. ModelError where it has none: a fit by limited information."""
    layout = model.labels.source.layout
    if layout is None:
        raise ModelError(
            f"{what} maximises the likelihood of ordered variables, and this model was fitted without one (WLSMV and its kin). "
            "Make it with ml.model(text, data, cluster=..., ordered=...), or fit it with estimator='ML'."
        )
    return layout


def ordinal_statistics(model: Model, data: TwoLevelData) -> Statistics:
    """The statistics of one data set."""
    return Statistics((ordinal_term(layout_of(model, "The likelihood"), data),), None)


def statistics_of_rows(model: Model, rows: Rows) -> Statistics:
    """The statistics of simulated data sets, with a leading axis."""
    layout, specification = layout_of(model, "The likelihood"), model.labels.specification
    only = np.array([v in specification.between_only for v in specification.variables])
    sets = (as_data(rows, i, only, specification.single) for i in range(len(rows)))
    return Statistics((stack_terms([ordinal_term(layout, one) for one in sets]),), None)
