"""`ml.sandwich`: standard errors of the JAX layer that go by clusters, weights and strata."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, ModelError
from mlsem_jax._typing import Array, Float
from mlsem_jax.data import comes_in_chunks
from mlsem_jax.estimation import Model, as_theta, check_model
from mlsem_jax.functional._collected import Collected
from mlsem_jax.functional._model import read_rows
from mlsem_jax.inference import design_covariance
from mlsem_jax.likelihood import Statistics


def sandwich(
    model: Model, theta: Float[Array, " q"], data: Any, *, cluster: str | None = None
) -> Float[np.ndarray, "q q"]:
    """Sampling covariance of theta at a maximum, A^-1 B A^-1: A the observed information, B the variance of the score between
    clusters (Huber 1967; White 1982), which is right whatever the distribution of the data, and with weights.

    **Arguments:**

    - `model`: from [`mlsem_jax.model`][]; weights and strata are those that it was made with.
    - `theta`: the estimate (q,), such as `ml.estimate(model, stats).theta`, or by name.
    - `data`: the table that the statistics are of: scores go by cluster, which statistics do not tell apart.
    - `cluster`: for a model of one level, the column of clusters; without it scores go by rows.

    **Returns:** the covariance matrix (q, q) in float64, that of [`mlsem_jax.sem`][] with estimator MLR or a survey design:
    strata, and in models of one level clusters, enter as there. NaN where the information is singular.
    `model.standard_errors(theta, vcov)` has standard errors of natural parameters and `:=` quantities. It is no function to be
    traced: it reads the table.
    """
    check_model(model, "ml.sandwich", labelled=True)
    specification = model.labels.specification
    if cluster is not None and not specification.single:
        raise ModelError("cluster= is for models of one level: this model knows its clusters. Leave it out.")
    if not specification.means:
        raise ModelError("ml.sandwich needs a model with mean structure: make it with ml.model.")
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((model, theta))):
        raise ModelError(
            "ml.sandwich reads a table, so that it cannot be jitted, mapped or differentiated. Call it with the numbers that the "
            "transformed function returns."
        )
    if isinstance(data, (Collected, Statistics)):
        raise DataError("ml.sandwich takes the table itself: statistics do not tell the scores of clusters apart.")
    if comes_in_chunks(data):
        raise ModelError("ml.sandwich takes one table: the scores of a cluster are of all of its rows.")
    model.check_estimable()
    values = np.asarray(as_theta(model, theta, "ml.sandwich", finite=True), float)
    return design_covariance(model.structure, values, specification, read_rows(model, data, cluster))
