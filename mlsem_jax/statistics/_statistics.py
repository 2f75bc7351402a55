"""The statistics of a data set: complete clusters by size, the others by missing-value pattern."""

from __future__ import annotations

import equinox as eqx

from mlsem_jax._typing import Array
from mlsem_jax.statistics._complete import CompleteStatistics
from mlsem_jax.statistics._patterns import PatternStatistics


class Statistics(eqx.Module):
    """All that the likelihood needs: clusters without missing values in `complete`, the others in `patterns`; the two
    log-likelihoods add. Either may be None.

    `metric`: cluster sizes of all clusters pooled into a few representative ones, for the scaling matrix of a scoring step at a
    cost that does not grow with the number of sizes. None (random slopes): the outer product of cluster scores serves.
    """

    complete: CompleteStatistics | None
    metric: CompleteStatistics | None
    patterns: PatternStatistics | None = None

    @property
    def lane_mark(self) -> Array:
        """An array with one axis in statistics of one data set, (G,) or (p,): with two it leads with a lane axis."""
        if self.complete is not None:
            return self.complete.rows
        if self.patterns is not None:
            return self.patterns.reference
        raise ValueError("Statistics hold complete clusters, patterns, or both; these hold neither.")
