"""Sampling covariance by the bootstrap of clusters, for fits with se="bootstrap"."""

from __future__ import annotations

import jax
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.variance._clusters import refuse_constraints
from mlsem_jax.inference.variance._resampled import ordered_of, resampler


def bootstrap_covariance(estimation: Estimation) -> np.ndarray:
    """Covariance (q, q) of theta over the draws that converged; NaN for a fit that did not.

    The draws are those of `fit.bootstrap(options.bootstrap, key=options.iseed)`.
    """
    if estimation.model.build.specification.blocks:
        raise ModelError(
            "se='bootstrap' is not available for rotated factors: fit with another se=, then fit.bootstrap() has their draws."
        )
    refuse_constraints(estimation, "se='bootstrap'")
    options, model = estimation.options, estimation.model
    q = model.problem.q
    if not model.maximum.status.converged:
        return np.full((q, q), np.nan)
    source = resampler(estimation, "nonparametric")
    lanes = source.lanes(jax.random.key(options.iseed), options.bootstrap)
    end = source.search(model.build.structure, model.theta, lanes, ordered_of(estimation))
    draws = end.theta[end.converged]
    if len(draws) < max(2, options.bootstrap // 2):
        raise ModelError(
            f"se='bootstrap': only {len(draws)} of {options.bootstrap} draws have a maximum, too few for standard errors. "
            "Use se='standard' or estimator='MLR'."
        )
    return np.atleast_2d(np.cov(draws, rowvar=False))
