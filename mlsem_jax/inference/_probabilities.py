"""Predicted probabilities of the categories of ordered variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.variance import refuse_limited
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import Layout, OrdinalTerm, marginal_probabilities, ordinal_layout, probabilities_at_scores

Given = Literal["covariates", "answers"]


@dataclass(frozen=True, eq=False)
class CategoryProbabilities:
    """columns: variable and category of each column of values (N, columns), in the order of the data's rows."""

    columns: tuple[tuple[str, Any], ...]
    values: np.ndarray


@float64
def category_probabilities(
    estimation: Estimation, given: str = "covariates", data: TwoLevelData | None = None
) -> CategoryProbabilities:
    """Of every row for the fit's own data, or other data with the same variables and groups.

    given: "covariates", over the distribution of all latent variables; "answers", at the posterior means of the latent variables
    given the answers of the row and of its cluster (estimator="ML"). Raises ModelError for models without ordered variables.
    """
    specification = estimation.model.build.specification
    if given not in get_args(Given):
        raise ModelError(
            f"given must be 'covariates' or 'answers', not {given!r}.{nearest(str(given), get_args(Given))}"
        )
    if not specification.ordered:
        raise ModelError("type='probabilities' is about ordered variables, and this model has none: see ordered=.")
    data = estimation.data if data is None else data
    if data.values.shape[1] != len(specification.variables):
        raise ModelError("The rows are not kept in a saved fit: give them as newdata=.")
    moments = estimation.model.moments
    if given == "answers":
        refuse_limited(estimation, "There are no probabilities at factor scores")
        values = probabilities_at_scores(moments, layout_of_fit(estimation), data)
    else:
        values = marginal_probabilities(moments, layout_of_fit(estimation), data)
    layout, categories = layout_of_fit(estimation), dict(estimation.data.ordered)
    names = [specification.variables[i] for i in layout.ordered]
    columns = [(name, category) for name in names for category in categories[name]]
    kept = [values[:, i, : len(categories[name])] for i, name in enumerate(names)]
    return CategoryProbabilities(tuple(columns), np.concatenate(kept, axis=1))


def layout_of_fit(estimation: Estimation) -> Layout:
    """Places of the variables: with the integral's dimensions where the fit is of the likelihood."""
    known = [term.layout for term in estimation.statistics.terms if isinstance(term, OrdinalTerm)]
    specification = estimation.model.build.specification
    return known[0] if known else ordinal_layout(specification, estimation.options.link)
