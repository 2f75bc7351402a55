"""Information matrices, and sampling covariances of the estimates by named estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation, Fitted, Reduction, make_statistics, patterns_of
from mlsem_jax.inference.variance._bootstrap_vcov import bootstrap_covariance
from mlsem_jax.inference.variance._design import by_design, replicate_covariance
from mlsem_jax.inference.variance._limited import pieces, refuse_limited
from mlsem_jax.likelihood import PatternTerm, Term, cluster_scores, observed_information, term_scores
from mlsem_jax.models import Specification, Structure
from mlsem_jax.numerics import float64
from mlsem_jax.observed import ClusterStatistics
from mlsem_jax.options import allow_se

_cluster_scores = jax.jit(cluster_scores)
_term_scores = jax.jit(term_scores)
_observed = jax.jit(observed_information)


@float64
def cluster_log_likelihoods(fitted: Fitted, estimation: Estimation) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood (J,) and score (J, q) of every cluster at the maximum of `fitted`, in the order of the data's clusters.

    Joint log-likelihoods, covariates included; they sum to the log-likelihood and to its gradient in theta. With weights of
    clusters each is the product with its weight.
    """
    refuse_limited(estimation, "There are no scores and log-likelihoods by cluster")
    problem, theta = fitted.problem, fitted.theta
    reduction, data = estimation.reduction, estimation.data
    own = [term for term in estimation.statistics.terms if term.own_scores]
    if own:
        found = [problem.term_scores(theta, term) for term in own]
        often = data.cluster_weights
        return often * sum(v for v, _ in found), often[:, None] * sum(s for _, s in found)
    if not data.has_rows and (len(reduction.pattern_codes) or reduction.clusters is None):
        raise DataError(
            "Scores of rows, and of clusters with missing values or random slopes, need the rows, which a fit read from a file "
            "does not hold: fit again."
        )
    return _by_cluster(
        lambda clusters: problem.cluster_scores(theta, clusters),
        lambda term: problem.term_scores(theta, term),
        fitted.build.specification,
        reduction,
        data,
    )


def _by_cluster(
    of_complete: Callable[[ClusterStatistics], tuple[np.ndarray, np.ndarray]],
    of_term: Callable[[Term], tuple[np.ndarray, np.ndarray]],
    specification: Specification,
    reduction: Reduction,
    data: TwoLevelData,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood (J,) and score (J, q) of every cluster, times its weight, from functions that have them of complete clusters
    and of a term.
    """
    parts = []
    if reduction.clusters is not None:
        parts.append((reduction.complete_codes, of_complete(reduction.clusters)))
    if len(reduction.pattern_codes):
        which = np.isin(np.arange(data.nclusters), reduction.pattern_codes)
        patterns = patterns_of(specification, data, which, by_pair=True)
        parts.append((reduction.pattern_codes, of_term(PatternTerm(patterns))))
    value, score = np.zeros(data.nclusters), np.zeros((data.nclusters, np.shape(parts[0][1][1])[1]))
    for at, (some, their) in parts:  # of a term they end with padding
        value[at], score[at] = np.asarray(some)[: len(at)], np.asarray(their)[: len(at)]
    often = data.cluster_weights
    return often * value, often[:, None] * score


@float64
def design_covariance(
    structure: Structure, theta: np.ndarray, specification: Specification, data: TwoLevelData
) -> np.ndarray:
    """The sandwich (q, q) at theta (q,), a maximum for these data: observed information, and scores by the design."""
    reduction = make_statistics(specification, data)
    _, score = _by_cluster(
        lambda clusters: _cluster_scores(structure, theta, clusters),
        lambda term: _term_scores(structure, theta, term),
        specification,
        reduction,
        data,
    )
    bread = invert(np.asarray(_observed(structure, theta, reduction.statistics)))
    units = by_design(score, data)
    return bread @ (units.T @ units) @ bread


# elements of the scores of clusters that are kept with a fit: 8 MB
KEPT = 2**20


def scores(fitted: Fitted, estimation: Estimation) -> np.ndarray:
    """Score (J, q) of every cluster at the maximum of `fitted`: derivatives of its log-likelihood in theta.

    Of the model they are asked for by standard errors and again by scaled tests: kept with the estimation where they are small.
    """
    kept = estimation.derived if fitted is estimation.model else {}
    if "scores" not in kept:
        found = cluster_log_likelihoods(fitted, estimation)[1]
        if found.size > KEPT:
            return found
        found.flags.writeable = False
        kept["scores"] = found
    return kept["scores"]


def meat(fitted: Fitted, estimation: Estimation) -> np.ndarray:
    """Scores (U, q) of the independent units of the design, whose outer products sum to the variance B of the score in a sandwich:
    see `by_design`.
    """
    return by_design(scores(fitted, estimation), estimation.data)


@float64
def information(fitted: Fitted, estimation: Estimation, kind: str) -> np.ndarray:
    """Total information (q, q) in theta, a sum over clusters: observed, expected or first.order. Of least squares it is D'WD,
    summed.
    """
    if estimation.limited is not None:
        return pieces(fitted, estimation).bread
    if kind == "first.order":
        s = scores(fitted, estimation)
        return s.T @ s
    if kind == "expected":
        return fitted.problem.expected(fitted.theta)
    known = fitted.maximum.observed
    return fitted.problem.observed(fitted.theta) if known is None else known


def invert(matrix: np.ndarray, jacobian: np.ndarray | None = None) -> np.ndarray:
    """Z (Z' A Z)^-1 Z' with Z the null space of the constraints' jacobian (c, q); the plain inverse without constraints.

    NaN where the matrix has no information (a singular matrix), so that nothing finite is reported there.
    """
    z = np.eye(len(matrix))
    if jacobian is not None and len(jacobian):
        from scipy.linalg import null_space  # slow to import, and few models have constraints

        z = null_space(jacobian)
    reduced = z.T @ matrix @ z
    diagonal = np.diag(reduced)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = reduced * np.outer(scale, scale)
    if not np.all(np.isfinite(scaled)):
        return np.full_like(matrix, np.nan)
    try:
        inverse = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)
    # the condition number in the 1-norm, which has the inverse at hand
    if len(scaled) and not np.linalg.norm(scaled, 1) * np.linalg.norm(inverse, 1) < 1e14:
        return np.full_like(matrix, np.nan)
    return z @ (inverse * np.outer(scale, scale)) @ z.T


@dataclass(frozen=True, eq=False)
class Vcov:
    """matrix (q, q): sampling covariance of theta. df: of the t distribution that estimates are referred to; None: the normal."""

    matrix: np.ndarray
    df: float | None = None


Estimator = Callable[[Estimation], Vcov]


def standard(estimation: Estimation) -> Vcov:
    """The inverse of the information that the fit asks for."""
    model = estimation.model
    return Vcov(invert(information(model, estimation, estimation.options.information), model.maximum.jacobian))


def sandwich(estimation: Estimation) -> Vcov:
    """A^-1 B A^-1 with A the information and B the sum of outer products of scores over clusters, or with one level over rows
    (Huber 1967; White 1982).
    """
    model, kind = estimation.model, estimation.options.information
    kind = "observed" if kind == "first.order" else kind
    bread, s = invert(information(model, estimation, kind), model.maximum.jacobian), meat(model, estimation)
    return Vcov(bread @ (s.T @ s) @ bread)


def robust_sem(estimation: Estimation) -> Vcov:
    """The sandwich of weighted least squares, by the covariance matrix of its statistics."""
    found, model = pieces(estimation.model, estimation), estimation.model
    bread = invert(found.bread, model.maximum.jacobian)
    return Vcov(bread @ found.meat @ bread)


def bootstrapped(estimation: Estimation) -> Vcov:
    """Covariance of the estimates from resampled clusters."""
    return Vcov(bootstrap_covariance(estimation))


def by_replicates(estimation: Estimation) -> Vcov:
    """Covariance of the estimates by replicate weights."""
    return Vcov(replicate_covariance(estimation))


def nowhere(estimation: Estimation) -> Vcov:
    """No standard errors: NaN."""
    return Vcov(np.full((estimation.model.problem.q,) * 2, np.nan))


# the values of the option `se`; `docs/extend/variance.md` adds one
ESTIMATORS: dict[str, Estimator] = {
    "standard": standard,
    "robust.huber.white": sandwich,
    "robust.cluster": sandwich,
    "robust.sem": robust_sem,
    "replicates": by_replicates,
    "bootstrap": bootstrapped,
    "none": nowhere,
}
_OWN = tuple(ESTIMATORS)


def register_vcov(name: str, estimator: Estimator) -> None:
    """Make an estimator of the sampling covariance known: se=name takes it. Raises ModelError for a name that is taken."""
    if not isinstance(name, str) or not name.strip() or not callable(estimator):
        raise ModelError("register_vcov() takes a name and a function of an estimation that returns a Vcov.")
    if name.lower() in {known.lower() for known in ESTIMATORS}:
        raise ModelError(f"There is an estimator of the variance {name!r} already; choose another name.")
    ESTIMATORS[name] = estimator
    allow_se(ESTIMATORS)


def unregister_vcov(name: str) -> None:
    """Forget an estimator that `register_vcov` made known."""
    if name not in ESTIMATORS or name in _OWN:
        raise ModelError(f"{name!r} is no estimator of the variance that was registered.")
    del ESTIMATORS[name]
    allow_se(ESTIMATORS)


def vcov(estimation: Estimation) -> Vcov:
    """Sampling covariance of theta by the estimator that the option `se` names; NaN where no maximum was found.

    It is computed once for an estimation and kept with it.
    """
    kept = estimation.derived
    if "vcov" not in kept:
        kept["vcov"] = _computed(estimation)
    return kept["vcov"]


@float64
def _computed(estimation: Estimation) -> Vcov:
    name, q = estimation.options.se, estimation.model.problem.q
    if not Status(estimation.model.maximum.status).converged:
        # they are defined at a maximum only; where a search stopped the matrices may be regular all the same
        return nowhere(estimation)
    if name not in ESTIMATORS:
        raise ModelError(
            f"se={name!r}: there is no such estimator of the variance now; there are {listing(ESTIMATORS)}."
        )
    found = ESTIMATORS[name](estimation)
    if not isinstance(found, Vcov) or np.shape(found.matrix) != (q, q):
        raise ModelError(
            f"se={name!r}: its function must return a Vcov with a matrix of {q} x {q}, one row for each of theta."
        )
    if found.df is not None:
        raise ModelError(f"se={name!r}: tables refer estimates to the normal distribution as yet; leave df=None.")
    return found


def vcov_theta(estimation: Estimation) -> np.ndarray:
    """The matrix (q, q) of `vcov`."""
    return np.array(vcov(estimation).matrix, float)


def vcov_natural(estimation: Estimation, theta: np.ndarray | None = None) -> np.ndarray:
    """Sampling covariance (k, k) of the natural parameters; equality constraints make it singular."""
    model = estimation.model
    basis = model.build.basis
    return basis @ (vcov_theta(estimation) if theta is None else theta) @ basis.T
