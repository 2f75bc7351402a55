"""A fit of ordered variables by weighted least squares on statistics of limited information (estimators WLSMV, DWLS, WLS,
ULSMV)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation.fit._begin_ordinal import begin_ordinal, data_reduction
from mlsem_jax.estimation.problem import Estimation, FitOptions, Fitted, Problem, Sample, constraints_of
from mlsem_jax.estimation.status import limited_notes, refuse_perfect, with_status
from mlsem_jax.estimation.strategies import maximum_of
from mlsem_jax.likelihood import ClusterSizes, Statistics
from mlsem_jax.models import Build, Specification
from mlsem_jax.numerics import float64
from mlsem_jax.ordinal import (
    LimitedInformation,
    WeightedLeastSquaresTerm,
    limited_information,
    ordinal_data,
    wls_layout,
)

# clusters, or rows, for each statistic whose covariance matrix is inverted
ENOUGH = 2
# clusters that are named where something cannot be estimated
FEW_CLUSTERS = 20


@float64
def estimate_limited(
    specification: Specification,
    data: TwoLevelData,
    options: FitOptions,
    *,
    start: Callable[[Build, Sample], np.ndarray] | None = None,
    pad_to: int | None = None,
    report: Callable[[dict], None] | None = None,
) -> Estimation:
    """Minimise the distance of the implied statistics from those of the data. start: natural parameters of the build."""
    check_limited(specification, data, options)
    found = statistics_by_group(specification, data)
    term = least_squares_term(specification, data, options.estimator, found)
    begun = begin_ordinal(specification, data, options, start, pad_to)
    statistics = Statistics((term,), None)
    problem = Problem(begun.build, statistics, begun.sample, constraints_of(begun.build, options.bounds))
    maximum, notes = maximum_of(problem, begun.natural[begun.build.kept], options, report)
    told = limited_notes(specification, data, options.estimator, found)
    model = Fitted(problem, maximum, problem.moments(maximum.theta), (*told, *notes))
    reduction = data_reduction(data, statistics, begun.sample)
    return with_status(Estimation(options, data, reduction, begun.exogenous, model, None, None, 0.0))


def check_limited(specification: Specification, data: TwoLevelData, options: FitOptions) -> None:
    """**Raises:** ModelError for what these estimators do not do."""
    name = f"estimator={options.estimator!r}"
    if specification.slopes:
        slopes = listing([slope.name for slope in specification.slopes])
        raise ModelError(
            f"{name} does not take random slopes ({slopes}): the covariances of latent responses then change from row to row. "
            "estimator='ML' integrates over them."
        )
    if options.link != "probit":
        raise ModelError(
            f"{name} is for the probit link: polychoric covariances are those of normal latent responses. Use estimator='ML' with "
            f"link={options.link!r}."
        )
    if options.optim_method == "em":
        raise ModelError(f"optim_method='em' is for maximum likelihood of normal data: leave it out with {name}.")
    if specification.single and len(np.unique(data.independent)) < data.nclusters:
        raise ModelError(
            f"{name} in a model of one level takes clusters that lie in one group each: the groups' statistics are independent. "
            "Group by something of the clusters, or use estimator='MLR', whose standard errors go by clusters over all groups."
        )
    if data.survey is not None and (data.survey.strata is not None or data.survey.columns.replicate_weights):
        raise ModelError(
            f"{name} takes sampling weights, but neither strata nor replicate weights: leave these out, or use estimator='ML'."
        )


def statistics_by_group(specification: Specification, data: TwoLevelData) -> list[LimitedInformation]:
    """Thresholds and covariances of every group."""
    found = []
    for g in range(data.ngroups):
        where = f" in group {data.group_labels[g]!r}" if data.group_labels else ""
        try:
            found.append(limited_information(ordinal_data(specification, data, g)))
        except np.linalg.LinAlgError:
            units = "clusters" if not specification.single else "rows"
            raise DataError(
                f"There are too few {units}{where} for the covariance matrix of thresholds and polychoric covariances, which is "
                "made "
                f"of the {units}' scores. Collect more {units}, or use estimator='ML'."
            ) from None
        except DataError as error:
            raise DataError(f"{error}{where and f' This is{where}.'}{_few(specification, data, g)}") from None
        refuse_perfect(found[-1], where)
    return found


def _few(specification: Specification, data: TwoLevelData, group: int) -> str:
    count = int(np.sum(data.group == group))
    return f" There are only {count} clusters." if not specification.single and count < FEW_CLUSTERS else ""


def least_squares_term(
    specification: Specification, data: TwoLevelData, estimator: str, found: list[LimitedInformation]
) -> WeightedLeastSquaresTerm:
    """The statistics of all groups with the weight matrix of an estimator. The chi-square is the sum over groups of
    (n - 1) (s - sigma)' W (s - sigma), with W = diag(1 / Gamma), Gamma^-1 or the identity, and Gamma = n acov.
    """
    each = data.cluster_weights[data.cluster] * (1.0 if data.row_weights is None else data.row_weights)
    rows = np.bincount(data.group[data.cluster], each, data.ngroups)
    weights = [_weight(one, n, estimator, data, g) for g, (one, n) in enumerate(zip(found, rows, strict=True))]
    sizes = np.bincount(data.cluster, minlength=data.nclusters).astype(float)
    return WeightedLeastSquaresTerm(
        np.stack([one.values for one in found]),
        np.stack(weights),
        np.stack([one.acov for one in found]),
        rows,
        ClusterSizes(data.group, sizes, data.cluster_weights),
        wls_layout(specification, found[0]),
    )


def _weight(found: LimitedInformation, n: float, estimator: str, data: TwoLevelData, group: int) -> np.ndarray:
    count, of_n = len(found.values), (n - 1) / n
    variances = np.diag(found.acov)
    if not np.all(np.isfinite(variances)) or np.any(variances <= 0):
        bad = [name for name, v in zip(found.names, variances, strict=True) if not v > 0]
        raise DataError(
            f"The sampling variance of {listing(bad)} could not be computed: there are too few rows or clusters for it."
        )
    if estimator == "ULSMV":
        return (n - 1) * np.eye(count)
    if estimator != "WLS":
        return of_n * np.diag(1.0 / variances)
    units, word = (found.clusters, "clusters") if found.clusters else (found.n, "rows")
    where = f" of group {data.group_labels[group]!r}" if data.group_labels else ""
    size = np.sqrt(variances)
    values = np.linalg.eigvalsh(found.acov / np.outer(size, size))
    if units < ENOUGH * count or values[0] < 1e-10:
        raise DataError(
            f"estimator='WLS' inverts the covariance matrix of {count} statistics, which is estimated from {units} "
            f"{word}{where}; use "
            "estimator='WLSMV' (diagonal weights)."
        )
    return of_n * np.linalg.inv(found.acov)
