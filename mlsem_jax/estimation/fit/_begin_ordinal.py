"""What every fit of ordered variables begins with: moments of latent responses, of covariates, and starting values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation.problem import FitOptions, Reduction, Sample
from mlsem_jax.estimation.starts import starting_values, with_starts
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Moments, Specification, build
from mlsem_jax.ordinal import covariate_moments, latent_moments


@dataclass(frozen=True, eq=False)
class Begun:
    """A build with natural parameters (k,) to start from; rough moments of latent responses, and those of the covariates."""

    build: Build
    natural: np.ndarray
    sample: Sample
    exogenous: Moments


def begin_ordinal(
    specification: Specification,
    data: TwoLevelData,
    options: FitOptions,
    start: Callable[[Build, Sample], np.ndarray] | None = None,
    pad_to: int | None = None,
) -> Begun:
    """start: natural parameters of the build, in the place of those that the data suggest."""
    sample, thresholds = latent_moments(specification, data, options.unit)
    exogenous = covariate_moments(specification, data)
    built = build(specification, exogenous, pad_to)
    natural = ordinal_start(built, sample, thresholds, options) if start is None else start(built, sample)
    return Begun(built, natural, sample, exogenous)


moments_at = jax.jit(lambda structure, natural: structure.moments(natural))


def ordinal_start(built: Build, sample: Sample, thresholds: np.ndarray, options: FitOptions) -> np.ndarray:
    """Natural parameters (k,): those that the moments of latent responses suggest, thresholds at the shares of the categories."""
    begun = with_starts(built, options.start)
    natural = starting_values(begun, *sample)
    variables = built.specification.variables
    guesses: dict[int, list[float]] = {}
    for row, index in zip(begun.specification.parameters, built.index, strict=True):
        if row.op == "|" and index >= 0:
            value = thresholds[row.group - 1, variables.index(row.lhs), int(row.rhs[1:]) - 1]
            guesses.setdefault(index, []).append(float(value) if row.start is None else row.start)
    for index, values in guesses.items():
        natural[index] = np.mean(values)
    return natural


def data_reduction(data: TwoLevelData, statistics: Statistics, sample: Sample) -> Reduction:
    groups = data.ngroups
    each = data.cluster_weights[data.cluster] * (1.0 if data.row_weights is None else data.row_weights)
    rows = np.bincount(data.group[data.cluster], each, groups)
    counts = np.bincount(data.group, data.cluster_weights, groups)
    none, every = np.zeros(0, int), np.arange(data.nclusters)
    return Reduction(None, statistics, none, every, rows, counts, sample)
