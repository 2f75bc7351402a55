"""The cluster bootstrap: all draws in one batch, from weights on clusters or from drawn statistics; rows are never read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._status import Status
from mlsem_jax.estimation import BatchMaximum, Estimation, Fitted, fit_batch
from mlsem_jax.inference._clusters import refuse_constraints, weighted_clusters
from mlsem_jax.inference._influence import influence
from mlsem_jax.inference._quantities import Quantity, estimated, with_errors
from mlsem_jax.inference._vcov import information, vcov_natural
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Moments
from mlsem_jax.numerics import float64
from mlsem_jax.statistics import ClusterStatistics, Plan, draw_statistics, plan_sizes, pooled

Type = Literal["nonparametric", "parametric", "bollen.stine"]
# a draw that takes more has no maximum nearby: a loading that runs off, as a rule
ITERATIONS = 100
TYPES: tuple[Type, ...] = ("nonparametric", "parametric", "bollen.stine")


@dataclass(frozen=True)
class Bootstrap:
    """Draws of a bootstrap. names (r,): natural parameters, then `:=` quantities, or those of the quantity asked for; estimate,
    se (r,) of the fit; plain_se (r,) by the observed information, as are those of the draws; draws, draws_se (B, r), NaN where a
    draw did not converge; chisq (B,) or None; status (B,) codes. observed_chisq: the fit's own. influence (J, r) for
    bias-corrected intervals, or None.
    """

    type: str
    names: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    plain_se: np.ndarray
    draws: np.ndarray
    draws_se: np.ndarray
    chisq: np.ndarray | None
    status: np.ndarray
    observed_chisq: float
    influence: np.ndarray | None

    @property
    def usable(self) -> np.ndarray:
        """(B,) draws that ended at a maximum."""
        return np.isin(self.status, [code for code in Status if code.converged])

    @property
    def pvalue(self) -> float:
        """Share of draws whose chi-square is at least the observed one: Bollen & Stine's (1992) test if they were its draws."""
        if self.chisq is None:
            raise ModelError("This bootstrap has no chi-squares: pass chisq=True, or type='bollen.stine'.")
        known = self.chisq[np.isfinite(self.chisq)]
        return float((1 + np.sum(known >= self.observed_chisq)) / (1 + len(known)))


@float64
def bootstrap(
    estimation: Estimation,
    n: int,
    key: Any,
    type: str = "nonparametric",
    chisq: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
    quantity: Quantity | None = None,
) -> Bootstrap:
    """n draws. key: of jax.random, or an integer; draw i depends on the key and i alone. quantity: what is drawn of (default:
    natural parameters and `:=` quantities).

    nonparametric: clusters drawn with replacement, within groups. parametric: statistics drawn from the fitted model.
    bollen.stine: clusters drawn from data that are transformed so that the model holds exactly (in balanced data; nearly in
    unbalanced data), for the test of the model.
    """
    if type not in TYPES:
        raise ModelError(f"type={type!r} is not available: {', '.join(map(repr, TYPES))}.{nearest(type, TYPES)}")
    refuse_constraints(estimation, "The bootstrap")
    chisq = type == "bollen.stine" if chisq is None else chisq
    if chisq and estimation.h1 is None:
        raise ModelError("Chi-squares of bootstrap draws need the unrestricted model: fit with h1=True.")
    key = jax.random.key(key) if isinstance(key, (int, np.integer)) else key
    lanes = _lanes(estimation, n, key, type)
    model = estimation.model
    end = fit_batch(
        model.build.structure, theta0=model.problem.full(model.theta), **lanes, progress=progress, iterations=ITERATIONS
    )
    quantity = estimated(model.build) if quantity is None else quantity
    start = model.problem.full(model.theta)[None]
    observed = np.zeros((1, model.problem.padded, model.problem.padded))
    observed[0, : model.problem.q, : model.problem.q] = information(model, estimation, "observed")
    draws, draws_se = _with_errors(estimation, quantity, end.theta, end.information)
    bad = ~end.converged
    draws[bad], draws_se[bad] = np.nan, np.nan
    return Bootstrap(
        type=type,
        names=quantity.names,
        estimate=quantity.value(model.natural),
        se=quantity.standard_errors(model.natural, vcov_natural(estimation)),
        plain_se=_with_errors(estimation, quantity, start, observed)[1][0],
        draws=draws,
        draws_se=draws_se,
        chisq=_chi_squares(estimation.h1, end, lanes) if chisq and estimation.h1 is not None else None,
        status=end.status,
        observed_chisq=np.nan if estimation.h1 is None else 2 * (estimation.h1.value - model.value),
        influence=influence(estimation, quantity=quantity).derivative if type == "nonparametric" else None,
    )


def _with_errors(
    estimation: Estimation, quantity: Quantity, theta: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors (B, r) at theta (B, q), padding included; NaN for a standard error that is not positive."""
    build, k = estimation.model.build, len(estimation.model.build.names)
    values, se = with_errors(quantity, build.offset[:k], build.basis[:k], theta, information)
    return np.array(values), np.where(np.asarray(se) > 0, se, np.nan)


def nonparametric_lanes(estimation: Estimation, n: int, key: Any) -> dict[str, Any]:
    """Clusters and the weights (n, J) that make data sets of them, resampled within groups."""
    return _lanes(estimation, n, key, "nonparametric")


def _lanes(estimation: Estimation, n: int, key: Any, type: str) -> dict[str, Any]:
    """The statistics and weights that make n data sets."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
    if type == "parametric":
        return {"statistics": _parametric(estimation, keys)}
    source = weighted_clusters(estimation)
    if type == "bollen.stine":
        if source.patterns is not None:
            raise ModelError("type='bollen.stine' is for data without missing values and models without random slopes.")
        if estimation.clusters is None or estimation.h1 is None:
            raise ModelError("type='bollen.stine' needs the unrestricted model: fit with h1=True.")
        moments = estimation.h1.moments, estimation.model.moments
        source = replace(source, clusters=_transformed(estimation.clusters, *moments))
    group = np.asarray(estimation.data.group)
    order = np.argsort(group, kind="stable")
    count = np.bincount(group, minlength=estimation.data.ngroups)[group[order]]
    first = np.searchsorted(group[order], group[order])
    return {"statistics": source, "weights": np.asarray(_weights(keys, order, first, count))}


@jax.jit
def _weights(keys, order, first, count):
    """How often each cluster is drawn (B, J), as many per group as it has. Clusters are drawn in the order of their groups."""
    clusters = len(order)

    def one(key):
        chosen = first + jnp.floor(jax.random.uniform(key, (clusters,)) * count).astype(int)
        return jax.ops.segment_sum(jnp.ones(clusters), order[chosen], clusters)

    return jax.vmap(one)(keys)


@jax.jit
def _draw(keys, moments: Moments, plan: Plan, count):
    def one(key):
        complete = draw_statistics(key, moments.within_cov, moments.between_cov, moments.mean, plan.size, count)
        return Statistics((CompleteTerm(complete),), pooled(complete.size, complete.count, plan))

    return jax.vmap(one)(keys)


def _parametric(estimation: Estimation, keys: Any) -> Statistics:
    if len(estimation.reduction.pattern_codes):
        raise ModelError("type='parametric' is for data without missing values and models without random slopes.")
    data = estimation.data
    plan = plan_sizes(np.bincount(data.cluster, minlength=data.nclusters), data.group, data.ngroups)
    shape = plan.size.shape
    count = np.bincount(plan.slot, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    return jax.tree.map(np.asarray, _draw(keys, estimation.model.moments, plan, count))


def _transformed(clusters: ClusterStatistics, h1: Moments, model: Moments) -> ClusterStatistics:
    """Cluster statistics of data with the unrestricted moments replaced by the model's (Bollen & Stine 1992), size by size."""
    mean, cross = np.array(clusters.mean), np.array(clusters.cross)
    for g in range(model.mean.shape[0]):
        here = np.asarray(clusters.group) == g
        within = _exchange(h1.within_cov[g], model.within_cov[g])
        cross[here] = within @ cross[here] @ within.T
        for n in np.unique(np.asarray(clusters.size)[here]):
            some = here & (np.asarray(clusters.size) == n)
            a = _exchange(h1.between_cov[g] + h1.within_cov[g] / n, model.between_cov[g] + model.within_cov[g] / n)
            mean[some] = model.mean[g] + (mean[some] - h1.mean[g]) @ a.T
    return ClusterStatistics(clusters.group, clusters.size, mean, cross)


def _exchange(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A with A old A' = new; variables without variance stay as they are."""
    out, exists = np.eye(len(old)), np.flatnonzero((np.diag(old) > 0) & (np.diag(new) > 0))
    at = np.ix_(exists, exists)
    left, right = np.linalg.cholesky(new[at]), np.linalg.cholesky(old[at])
    out[at] = np.linalg.solve(right.T, left.T).T
    return out


def _chi_squares(h1: Fitted, end: BatchMaximum, lanes: dict[str, Any]) -> np.ndarray:
    start = h1.problem.full(h1.theta)
    free = fit_batch(h1.build.structure, theta0=start, newton=False, iterations=ITERATIONS, **lanes)
    both = end.converged & free.converged
    return np.where(both, 2 * np.maximum(free.value - end.value, 0.0), np.nan)
