"""What every cluster contributes to the log-likelihood of the fit."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError
from mlsem_jax.estimation import Estimation, held
from mlsem_jax.inference.variance._vcov import cluster_log_likelihoods
from mlsem_jax.numerics import float64


@float64
def loglik_by_cluster(estimation: Estimation) -> np.ndarray:
    """Log-likelihood (J,) of every cluster given the fixed covariates, in the order of the data's clusters.

    They sum to the reported log-likelihood: what the fixed covariates contribute at their own moments is taken out.
    """
    value, _ = cluster_log_likelihoods(estimation.model, estimation)
    return value - _covariates(estimation)


def _covariates(estimation: Estimation) -> np.ndarray:
    """Normal log-density (J,) of the fixed covariates that exist at one level only, at their sample moments."""
    specification, data, moments = estimation.model.build.specification, estimation.data, estimation.exogenous
    out = np.zeros(data.nclusters)
    if specification.ordered:  # their likelihood is one given the covariates
        return out
    column_of = {name: i for i, name in enumerate(specification.variables)}
    for level in specification.numbers:
        names = [held(specification.group(g + 1), level) for g in range(specification.ngroups)]
        if not any(names):
            continue
        if data.values.shape[1] != len(specification.variables):
            raise DataError("The rows are not kept in a saved fit, and the part of the fixed covariates needs them.")
        cov = moments.levels[level - 1].cov
        x, unit, often = data.values, data.cluster, data.cluster_weights[data.cluster]
        if level == 2:  # one value per cluster, from any row that has it
            _, first = np.unique(unit, return_index=True)
            x, unit, often = x[first], unit[first], often[first]
        elif data.row_weights is not None:
            often = often * data.row_weights
        for g in range(specification.ngroups):
            here, at = data.group[unit] == g, [column_of[v] for v in names[g]]
            inner = cov[g][np.ix_(at, at)]
            deviation = x[here][:, at] - np.asarray(moments.mean)[g][at]
            constant = len(at) * np.log(2 * np.pi) + np.linalg.slogdet(inner)[1]
            distance = np.sum(deviation @ np.linalg.inv(inner) * deviation, axis=1)
            out += np.bincount(unit[here], -0.5 * often[here] * (constant + distance), data.nclusters)
    return out
