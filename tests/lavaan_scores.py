"""lavaan 0.7's cluster scores, made from exact ones by striking out a path; see test_robust_exact.py for the proof."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.likelihood import moments_and_jacobian
from mlsem_jax.numerics import float64


@float64
def without_path_through_means(scores: np.ndarray, fitted: Fitted) -> np.ndarray:
    """Scores (J, q) less what level-1 parameters do to the means of variables that live at both levels.

    Those means are nu + what level 1 adds, by loadings and regressions on covariates whose mean is not zero; lavaan's scores
    take the second part as a constant. The score of a mean is that of the level-2 intercept, which must be free.
    """
    build = fitted.build
    specification = build.specification
    jacobian = np.asarray(moments_and_jacobian(build.structure, fitted.theta)[1].within_mean)
    out = scores.copy()
    for place, name in enumerate(specification.variables):
        if name not in specification.between.observed or name in specification.between_only:
            continue
        path = jacobian[:, place, : fitted.problem.q]
        if np.any(path):
            assert specification.ngroups == 1
            intercept = build.kept.tolist().index(build.labels[f"{name}~1.l2"])
            out -= scores[:, [intercept]] * path
    return out


def lavaans(cluster_log_likelihoods):
    """A replacement of inference's `cluster_log_likelihoods` with lavaan's scores, for models and for h1 alike."""

    def replaced(fitted: Fitted, estimation: Estimation) -> tuple[np.ndarray, np.ndarray]:
        value, score = cluster_log_likelihoods(fitted, estimation)
        return value, without_path_through_means(score, fitted)

    return replaced
