"""What a user should be told of standard errors and tests beside a survey design, or clusters of one level."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation.problem import Estimation


def design_notes(estimation: Estimation) -> tuple[str, ...]:
    """Sentences where weights meet what takes them for counts, and where units are fewer than parameters."""
    return (*_taken_for_counts(estimation), *_few_units(estimation))


def _taken_for_counts(estimation: Estimation) -> list[str]:
    out, options = [], estimation.options
    if estimation.data.weighted and options.se == "standard":
        out.append(
            "se='standard': standard errors from the information treat weights as counts and depend on their scale; the default, "
            "robust ones, do not."
        )
    if estimation.data.weighted and options.test == "standard":
        out.append(
            "test='standard': with weights the plain chi-square is of a pseudo-likelihood and follows no chi-square distribution; "
            "the default is scaled."
        )
    return out


def _few_units(estimation: Estimation) -> list[str]:
    """Where standard errors of one level go by fewer clusters, or replicate weights, than there are parameters."""
    data, q, se = estimation.data, estimation.npar, estimation.options.se
    if se == "replicates" and data.survey is not None:
        rank = len(data.survey.columns.replicate_weights)
        units = "There is 1 replicate weight" if rank == 1 else f"There are {rank} replicate weights"
    elif se == "robust.cluster":
        count, strata = int(data.independent.max()) + 1, None if data.survey is None else data.survey.strata
        lost = 1 if strata is None else len(np.unique(strata))
        rank = count - lost
        units = f"There are {count} clusters{f' in {lost} strata' if strata is not None else ''}"
    else:
        return []
    if rank >= q:
        return []
    return [
        f"{units} for {q} parameters: the covariance matrix of the estimates has rank {rank} at most, so that joint tests of more "
        "parameters do not exist, and standard errors are rough."
    ]
