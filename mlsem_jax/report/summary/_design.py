"""What a summary says of a survey design: weights, strata, replicates, and what the weights do to the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.inference import move
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import number

if TYPE_CHECKING:
    from mlsem_jax.data import TwoLevelData

Line = tuple[str, str]


def design_rows(results: Results) -> list[Line]:
    """Label and value of each; none without a design."""
    data = results.estimation.data
    if data.survey is None:
        return []
    pseudo = [("Log-likelihood, AIC, BIC", "of a pseudo-likelihood")] if data.weighted else []
    return [*columns_of_design(data), *_move(results), *pseudo]


def columns_of_design(data: TwoLevelData) -> list[Line]:
    """Weights with their scaling and design effect (Kish 1965: 1 + squared coefficient of variation), strata and replicates."""
    if data.survey is None:
        return []
    survey, out = data.survey, []
    columns = survey.columns
    if columns.sampling_weights:
        how = columns.sampling_weights_normalization if data.single else columns.sampling_weights_scaling
        out.append((f"Sampling weights [{columns.sampling_weights}]", f"scaled: {how}"))
    if columns.sampling_weights_between:
        out.append((f"Level-2 weights [{columns.sampling_weights_between}]", "scaled: rows"))
    if columns.sampling_weights:
        out.append(("Design effect of weights of rows", number(survey.row_effect)))
    if columns.sampling_weights_between:
        out.append(("Design effect of weights of clusters", number(survey.cluster_effect)))
    if survey.strata is not None:
        out.append((f"Number of strata [{columns.strata}]", str(len(np.unique(survey.strata)))))
    if columns.replicate_weights:
        out.append((f"Replicate weights ({columns.replicate_type})", str(len(columns.replicate_weights))))
    return out


def _move(results: Results) -> list[Line]:
    """The estimate that moves farthest against a fit without weights, in standard errors; nothing where that is not known."""
    found = move(results.estimation)
    if found is None or (largest := found.largest) is None:
        return []
    return [
        ("Largest move against no weights", f"{found.in_errors[largest]:+.2f} Std.Err"),
        ("  that of", found.names[largest]),
    ]


def factor_of_scores(data: TwoLevelData, se: str) -> list[Line]:
    """What the scores of clusters or rows are multiplied by in a sandwich, where that is not 1."""
    units = "Clusters'" if data.clustered else "Rows'"
    if se.startswith("robust") and data.survey is not None and data.survey.strata is not None:
        return [(f"{units} scores, squared, times", "n_h / (n_h - 1)")]
    return [(f"{units} scores, squared, times", "J / (J - 1)")] if se == "robust.cluster" else []
