"""The statistics of a data set: complete clusters by size, the others by missing-value pattern."""

from __future__ import annotations

import equinox as eqx

from mlsem_jax.statistics._complete import CompleteStatistics


class Statistics(eqx.Module):
    """All that the likelihood needs. `metric` is `complete` with its distinct sizes pooled into a few representative ones:
    good enough for the scaling matrix of a Fisher-scoring step, at a cost that does not grow with the number of sizes.
    """

    complete: CompleteStatistics
    metric: CompleteStatistics
