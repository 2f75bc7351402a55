"""ml.diagnose: look at the data of a model before fitting it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

from mlsem_jax._option_docs import with_options
from mlsem_jax.data import column_names
from mlsem_jax.fronts._fit_text import (
    labels_of_groups,
    ordered_columns,
    prepare_for,
    split_options,
    survey_of,
    with_means,
)
from mlsem_jax.inference import diagnose as diagnose_data
from mlsem_jax.options import SemOptions
from mlsem_jax.report import DiagnosisReport
from mlsem_jax.syntax import read_model, specify


@with_options(SemOptions, "sem")
def diagnose(
    data: Any, model: str, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> DiagnosisReport:
    """Intraclass correlations, cluster sizes, and what in the data may stand in the way of a model.

    **Arguments:**

    - `data`, `model`, `cluster`, `group`, `options`: as in [`mlsem_jax.sem`][]; with weights the means, variances and
      correlations are weighted, and what the weights cost is told.

    **Returns:** an object that prints as a table with advice in sentences; `.advice`, `.to_dataframe()`.

    Variables that do not vary, or too few clusters, which stop a fit, are told here and stop nothing. In a model of one level,
    without `level:` blocks, the intraclass correlations of cluster= say how much it matters that rows come in clusters. Ordered
    variables (`ordered=`) are described by the numbers of their categories; rare and absent categories and empty tables are told.
    """
    asked: dict[str, Any] = dict(**options)
    syntax_options, fit_options, data_options = split_options("sem", asked)
    parsed = read_model(model, data, "diagnose(data, model, cluster=...)")
    survey = survey_of(asked, not parsed.has_levels, "ml.diagnose")
    syntax_options = with_means(syntax_options, parsed, cluster, fit_options.missing)
    columns, told = ordered_columns(parsed, data, syntax_options.ordered)
    specification = specify(
        parsed,
        options=syntax_options,
        data_variables=column_names(data),
        group_labels=labels_of_groups(data, group, data_options.get("group_label")),
        categories={name: len(column.categories) for name, column in columns.items()},
    )
    prepared = prepare_for(
        specification,
        data,
        columns,
        cluster=cluster,
        group=group,
        missing=fit_options.missing,
        scoring=True,
        group_label=data_options.get("group_label"),
        survey=survey,
    )
    found = diagnose_data(specification, prepared)
    return DiagnosisReport(replace(found, advice=(*found.advice, *told, *specification.warnings)) if columns else found)
