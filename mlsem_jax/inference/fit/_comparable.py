"""Whether the log-likelihoods of several fits are of the same values, so that they may be compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.estimation import Estimation
from mlsem_jax.likelihood import CompleteTerm
from mlsem_jax.observed import CompleteStatistics


def check_comparable(estimations: Mapping[str, Estimation]) -> None:
    """Raise ModelError, saying what differs, unless all fits converged and are of the same variables and rows."""
    if len(estimations) < 2:
        raise ModelError("A likelihood-ratio test compares two fits or more.")
    for name, estimation in estimations.items():
        if not estimation.model.maximum.status.converged:
            raise ModelError(f"{name!r} did not converge, so it has no likelihood-ratio test.")
    (first, one), *others = estimations.items()
    for name, other in others:
        reason = difference_between(one, other)
        if reason:
            raise ModelError(f"{first!r} and {name!r} cannot be compared: {reason}")


def difference_between(one: Estimation, other: Estimation) -> str:
    """A sentence about what makes two log-likelihoods incomparable; '' where nothing does."""
    a, b = one.model.build.specification, other.model.build.specification
    if odd := sorted(set(a.variables) ^ set(b.variables)):
        return (
            f"the likelihood of one is also of {listing(odd)}. Keep the variables in both models and fix their paths at 0 "
            "(y ~ 0*x)."
        )
    for g in range(1, 1 + (a.ngroups if a.groups == b.groups else 0)):
        if odd := sorted(set(a.group(g).variables) ^ set(b.group(g).variables)):
            return (
                f"in group {a.groups[g - 1]} the likelihood of one is also of {listing(odd)}. Keep the variables in both models "
                "and fix their paths at 0 (y ~ 0*x)."
            )
    if a.single != b.single:
        return (
            "one is a model of one level and the other of two: clusters are part of the likelihood of the latter only."
        )
    if a.means != b.means:
        return "one has a mean structure and the other has not. Fit both with meanstructure=True."
    for level in a.numbers:
        if odd := sorted(set(a.level(level).covariates) ^ set(b.level(level).covariates)):
            of = "" if a.single and b.single else f" of level {level}"
            return (
                f"{listing(odd)} is a fixed covariate{of} in one of them only. Keep it in both (y ~ 0*x), or fit "
                "both with fixed_x=False."
            )
    if one.data.nrows != other.data.nrows or (not a.single and one.data.nclusters != other.data.nclusters):
        clusters = ("", "") if a.single else (f" in {one.data.nclusters} clusters", f" in {other.data.nclusters}")
        return f"they are of different rows ({one.data.nrows}{clusters[0]}, {other.data.nrows}{clusters[1]})."
    if one.data.group_labels != other.data.group_labels:
        return "they are of different groups."
    if not same_values(one, other):
        return "their data hold different values."
    if one.options.robust != other.options.robust or (one.options.robust and one.options.test != other.options.test):
        return f"their tests differ ({one.options.test}, {other.options.test}). Fit both with the same estimator."
    return ""


def same_values(one: Estimation, other: Estimation) -> bool:
    """Whether the sums and within-cluster cross-products of complete clusters agree, variable by variable."""
    names = one.model.build.specification.variables
    order = [other.model.build.specification.variables.index(v) for v in names]
    first, second = (fit.statistics.first(CompleteTerm) for fit in (one, other))
    if first is None or second is None:
        return first is second
    total, within = _sums(first)
    other_total, other_within = _sums(second)
    rows = one.data.nrows
    size = np.sqrt(within + total**2 / rows)
    size = np.where(size > 0, size, 1.0)  # of variables that a group does not have
    return bool(
        np.allclose(other_total[:, order] / size, total / size, rtol=0, atol=1e-8 * np.sqrt(rows))
        and np.allclose(other_within[:, order] / size**2, within / size**2, rtol=0, atol=1e-8)
    )


def _sums(complete: CompleteStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rows (G, p) and pooled within-cluster sums of squares (G, p), with one level those of the rows."""
    weight = np.asarray(complete.count) * np.asarray(complete.size)
    total = np.einsum("gs,gsp->gp", weight, np.asarray(complete.mean))
    within = np.diagonal(np.asarray(complete.within), axis1=1, axis2=2)
    if np.max(np.asarray(complete.size)) == 1:  # rows, of one level: what varies is between them
        within = np.einsum("gs,gspp->gp", weight, np.asarray(complete.cov))
    return total, within
