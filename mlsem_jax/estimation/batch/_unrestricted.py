"""The unrestricted models of a batch: scoring alone for all, with Newton steps where it creeps."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mlsem_jax.estimation.batch._batch import BatchMaximum, fit_batch
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Structure


def fit_unrestricted(structures: Structure, statistics: Statistics, theta0: Any = None, **options: Any) -> BatchMaximum:
    """Maxima of the unrestricted models, whose values chi-squares are made of. Arguments: as of `fit_batch`.

    Fisher scoring, whose program compiles fastest, finds nearly all. With few clusters it may approach a maximum so slowly that
    its iterations end before it: those lanes go on from there with Newton steps.
    """
    end = fit_batch(structures, statistics, theta0, newton=False, **options)
    left = np.flatnonzero(~end.converged & np.isfinite(end.theta).all(axis=1))
    if not len(left):
        return end
    if np.ndim(structures.between_only) == 2:
        structures = jax.tree.map(lambda x: np.asarray(x)[left], structures)
    if np.ndim(statistics.lane_mark) == 2:
        statistics = jax.tree.map(lambda x: np.asarray(x)[left], statistics)
    more = fit_batch(structures, statistics, end.theta[left], **{**options, "progress": None})
    better = more.converged
    return jax.tree.map(lambda all_, some: _replaced(all_, left[better], some[better]), end, more)


def _replaced(values: np.ndarray, at: np.ndarray, by: np.ndarray) -> np.ndarray:
    out = np.array(values)
    out[at] = by
    return out
