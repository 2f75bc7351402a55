"""What estimation hands on: a model at its maximum, and everything that one fit computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mlsem_jax._status import Status, of_least_squares
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation.problem._options import FitOptions
from mlsem_jax.estimation.problem._problem import Maximum, Problem
from mlsem_jax.estimation.problem._reduction import Reduction
from mlsem_jax.estimation.problem._references import moments_of_data
from mlsem_jax.likelihood import Statistics
from mlsem_jax.models import Build, Moments, Specification
from mlsem_jax.observed import ClusterStatistics, whole
from mlsem_jax.ordinal import WeightedLeastSquaresTerm


@dataclass(frozen=True)
class Fitted:
    """A model at its maximum: the problem, where the search ended, the moments there (NumPy).

    notes: what the search took, where that was more than one.
    """

    problem: Problem
    maximum: Maximum
    moments: Moments
    notes: tuple[str, ...] = field(default=())

    @property
    def build(self) -> Build:
        return self.problem.build

    @property
    def theta(self) -> np.ndarray:
        return self.maximum.theta

    @property
    def natural(self) -> np.ndarray:
        """Natural parameters (k,)."""
        return self.build.natural(self.theta)

    @property
    def value(self) -> float:
        """Joint log-likelihood of all variables, covariates included."""
        return self.maximum.value


def given_covariates(entry: dict, covariates_loglik: float) -> dict:
    """A row of the trace with the log-likelihood given the fixed covariates in place of the joint one."""
    return entry | {"loglik": entry["loglik"] - covariates_loglik}


@dataclass(frozen=True)
class Estimation:
    """Everything that a fit computed: the model, its two references, the data reduced to statistics.

    covariates_loglik: log-likelihood of the fixed covariates at their own moments; reported log-likelihoods leave it out.
    """

    options: FitOptions
    data: TwoLevelData
    reduction: Reduction
    exogenous: Moments
    model: Fitted
    h1: Fitted | None
    baseline: Fitted | None
    covariates_loglik: float
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What was computed from this estimation and is asked for again, by name. No part of it: neither compared nor saved."""
        return {}

    @property
    def why_unsaturated(self) -> str:
        """Why the data have no unrestricted model of moments, as the rest of a sentence."""
        if self.limited is not None:
            return f"estimator={self.options.estimator!r} has thresholds and polychoric covariances in its place, and no likelihood"
        if self.model.build.specification.ordered:
            return (
                "with ordered variables estimator='ML' has none: compare models by likelihood-ratio tests, or use "
                "estimator='WLSMV', which has tests of fit"
            )
        return "with random slopes there is none: the covariance matrix differs from row to row"

    @property
    def statistics(self) -> Statistics:
        return self.reduction.statistics

    @property
    def limited(self) -> WeightedLeastSquaresTerm | None:
        """The statistics of limited information that the model was fitted to; None where it was fitted by its likelihood."""
        first = self.statistics.terms[0]
        return first if isinstance(first, WeightedLeastSquaresTerm) else None

    @property
    def status(self) -> Status:
        """How the estimation ended, in the words of what was maximised or minimised."""
        status = self.model.maximum.status
        return status if self.limited is None else of_least_squares(int(status))

    @property
    def clusters(self) -> ClusterStatistics | None:
        """The cluster layer of the clusters without missing values."""
        return self.reduction.clusters

    @property
    def ntotal(self) -> float:
        """N of RMSEA, BIC and their like: rows with a level-1 value, with weights the sum of these."""
        return float(whole(self.reduction.rows.sum())) if self.data.weighted else self.data.nrows

    @property
    def npar(self) -> int:
        """Free parameters after equality constraints; inequalities do not count."""
        return self.model.build.dimension

    @property
    def degrees_of_freedom(self) -> int:
        if self.limited is not None:
            return self.limited.target.size - self.npar
        return moments_of_data(self.model.build.specification) - self.npar

    @property
    def trace(self) -> list[dict]:
        """The rows of the search that found the maximum, their log-likelihoods like `loglik`."""
        return [given_covariates(entry, self.covariates_loglik) for entry in self.model.maximum.trace]

    @property
    def loglik(self) -> float:
        """Log-likelihood of the model given the fixed covariates, a sum over rows."""
        return self.model.value - self.covariates_loglik


class Estimated:
    """What anything that holds an estimation says of it first."""

    estimation: Estimation

    @property
    def specification(self) -> Specification:
        return self.estimation.model.build.specification

    @property
    def status(self) -> Status:
        """How the estimation ended: a code with a sentence (`str(fit.status)`) and advice (`fit.status.advice`)."""
        return self.estimation.status

    @property
    def converged(self) -> bool:
        """Whether the estimates are a verified maximum of the likelihood, or minimum of the discrepancy function, proper or not."""
        return self.status.converged

    @property
    def iterations(self) -> int:
        return self.estimation.model.maximum.iterations
