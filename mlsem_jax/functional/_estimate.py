"""The pure functions of the JAX layer: log-likelihood, estimate and batches of estimates of a `Model`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from mlsem_jax import estimation
from mlsem_jax._typing import Array, Float
from mlsem_jax.estimation import Estimate, Model, Settings
from mlsem_jax.functional._reduced import AnyStatistics, reduced
from mlsem_jax.likelihood import CompleteTerm, Statistics, covariates_log_likelihood
from mlsem_jax.likelihood import log_likelihood as joint_log_likelihood
from mlsem_jax.models import Structure
from mlsem_jax.numerics import derivative_where, follows_precision, in_type, warn_single_precision, working_type


@jax.jit
def _conditional(structure: Structure, held: Array, theta: Array, statistics: Statistics) -> Array:
    covariates = covariates_log_likelihood(structure(theta), held[0], held[1], statistics)
    return joint_log_likelihood(structure, theta, statistics) - covariates


@follows_precision
def log_likelihood(model: Model | Structure, theta: Float[Array, " q"], stats: AnyStatistics) -> Float[Array, ""]:
    """Log-likelihood of the outcomes given the fixed covariates, a sum over rows with its 2 pi constant: `Fit.loglik`.

    Pure: jit it, differentiate it in any argument, vmap it. -inf where a covariance matrix is not positive definite. For a bare
    `Structure` it is the joint log-likelihood of all variables. theta may also be a mapping of model.names to values.
    """
    what = "ml.log_likelihood"
    estimation.check_model(model, what)
    statistics, theta = reduced(model, stats, what), estimation.as_theta(model, theta, what)
    structure = model.structure if isinstance(model, Model) else model
    held = model.held if isinstance(model, Model) else None
    dtype = working_type(structure, statistics, theta)
    warn_single_precision(dtype, what)
    structure, held, theta, statistics = in_type(dtype, (structure, held, theta, statistics))
    if held is not None:
        return _conditional(structure, held, theta, statistics)
    return joint_log_likelihood(structure, theta, statistics)


_starts = jax.jit(estimation.moment_starts)
_estimate = jax.jit(estimation.estimate_structure)


@jax.jit
def _chi_square(
    structure: Structure, saturated: Structure, statistics: Statistics, end: Estimate, limits: Settings
) -> Array:
    value, converged = end.value, estimation.is_maximum(end.status)
    if statistics.only(CompleteTerm) is None:  # the restricted model's moments are known
        start = estimation.start_at(saturated, jax.lax.stop_gradient(structure(end.theta)))
    else:
        start = estimation.moment_starts(saturated, statistics)
    theta, status, *_ = estimation.optimum(saturated, statistics, start, limits)
    known = estimation.is_maximum(status) & converged
    chisq = 2 * (joint_log_likelihood(saturated, theta, statistics) - value)
    # added, not selected: a `where` would turn the derivatives into 0
    return derivative_where(known, chisq) + jnp.where(known, 0.0, jnp.nan)


@follows_precision
def estimate(
    model: Model | Structure,
    stats: AnyStatistics,
    *,
    solver: Settings | None = None,
    theta0: Float[Array, " q"] | None = None,
    chisq: bool = False,
) -> Estimate:
    """Maximum-likelihood estimate as a pure function: jit it, vmap it over statistics, differentiate it.

    **Arguments:**

    - `model`: from [`mlsem_jax.model`][], or a bare `Structure`.
    - `stats`: from [`mlsem_jax.statistics`][] or [`mlsem_jax.simulate`][].
    - `solver`: limits of the search (`mlsem_jax.estimation.settings`); derivatives do not depend on how the maximum was found.
    - `theta0`: where to start, (q,) in the order of `model.names` or by name; by default values by analysis of variance of the
      statistics themselves.
    - `chisq`: also maximise the unrestricted model, for the chi-square statistic and its degrees of freedom.

    **Returns:** an `Estimate`: theta, value, gradient, information, se, status, iterations, decrement, and chisq and df if asked
    for. With weighted statistics se, information and chisq are those of counts: [`mlsem_jax.sandwich`][] has the standard errors of
    the design. Derivatives in the statistics and in the model's fixed values are exact, by the implicit function theorem, in
    forward and reverse mode; they are NaN where the search did not end at a maximum.

    Where the search fails, a call with plain arrays goes on with everything that [`mlsem_jax.sem`][] tries (other signs of between
    variances, factors scaled by their variances, other starts, a trust region), for a model of `ml.model`, data without missing
    values, double precision and no `solver`; [`mlsem_jax.estimate_batch`][] does the same for every lane. Inside `jax.jit`,
    `jax.vmap` and `jax.grad` it is one search from one start, and no more, so that it may end in `ITERATION_LIMIT` where there is
    a maximum. To differentiate there, pass its estimate as `theta0`.
    """
    what = "ml.estimate"
    estimation.check_model(model, what)
    estimation.check_settings(solver)
    estimation.check_flag("chisq", chisq)
    statistics, structure = reduced(model, stats, what), model
    if isinstance(model, Model):
        model.check_estimable()
        structure = model.structure
    if theta0 is not None:
        theta0 = jnp.asarray(estimation.as_theta(model, theta0, what, name="theta0", finite=True))
    # one type throughout: float32 data of a float64 model are searched in float64, as JAX promotes them
    dtype = working_type(structure, statistics, theta0)
    structure, statistics, theta0 = in_type(dtype, (structure, statistics, theta0))
    warn_single_precision(dtype, what)
    if theta0 is None:
        theta0 = _default_start(model, structure, statistics, what).astype(dtype)
    limits = estimation.settings(dtype) if solver is None else in_type(dtype, solver)
    out = _estimate(structure, statistics, theta0, limits)
    if isinstance(model, Model) and solver is None:
        out = estimation.estimated_again(model, statistics, out)
    if not chisq:
        return out
    if not isinstance(model, Model) or model.saturated is None or not statistics.saturated:
        raise estimation.no_reference(model)
    saturated = in_type(dtype, model.saturated)
    value = _chi_square(structure, saturated, statistics, out, limits)
    return eqx.tree_at(lambda e: (e.chisq, e.df), out, (value, jnp.asarray(model.df)), is_leaf=lambda x: x is None)


def _default_start(model: Any, structure: Structure, statistics: Statistics, what: str) -> Array:
    if statistics.only(CompleteTerm) is not None:
        return _starts(structure, statistics)
    if not isinstance(model, Model):
        raise estimation.no_start(what)
    return jnp.asarray(model.start)
