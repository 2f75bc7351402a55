"""Starting values from the arrays alone: sample moments by analysis of variance and what each free element stands for.

Traceable and free of LAPACK, so that every lane of a batch starts from its own data. Same ideas as `_starts`: factors by
instrumental ratios of covariances, the rest at the moments; roles are read off the pattern of the matrices.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from mlsem_jax._typing import Array, Float
from mlsem_jax.estimation.search import scaled_inverse
from mlsem_jax.estimation.starts import PROPER, factor_start
from mlsem_jax.likelihood import CompleteTerm, Statistics, log_likelihood
from mlsem_jax.models import Choice, Covariance, Filled, LevelStructure, Moments, Structure
from mlsem_jax.observed import moments_of_group

# of the sample covariances, tried in this order
SHARES = (1.0, 0.6, 0.3, 0.0)


def moment_starts(structure: Structure, statistics: Statistics) -> Float[Array, " q"]:
    """theta (q,) to start from; needs complete data. Covariances are shrunk until the likelihood is finite."""
    within, between, mean = jax.vmap(functools.partial(moments_of_group, jnp), in_axes=(0, None, 0))(
        statistics.only(CompleteTerm),
        structure.between_only > 0,
        _absent(structure.between) if len(structure.levels) > 1 else jnp.ones_like(_absent(structure.within)),
    )
    shares = jnp.asarray(SHARES, mean.dtype)

    def at(tried):
        """Shares tried so far, theta with the last one, and whether the likelihood is finite there."""
        theta = _to_theta(structure, _natural(structure, within, between, mean, shares[tried]))
        return tried + 1, theta, jnp.isfinite(log_likelihood(structure, theta, statistics))

    # the first that is finite; the last one if none is
    return jax.lax.while_loop(lambda s: ~s[2] & (s[0] < len(SHARES)), lambda s: at(s[0]), at(jnp.zeros((), int)))[1]


def start_at(structure: Structure, moments: Moments) -> Float[Array, " q"]:
    """theta (q,) of an unstructured model that has these moments: each of its parameters is one of them, so that the columns of the
    Jacobian have no element in common.
    """
    zero = jnp.zeros(structure.basis.shape[-1], moments.mean.dtype)
    jacobian, base = jax.jacfwd(structure)(zero), structure(zero)
    parts = zip(*(jax.tree.leaves(tree) for tree in (jacobian, base, moments)), strict=True)
    # elements that the model holds fixed are ones that no parameter moves
    by = [(jnp.reshape(j, (-1, len(zero))), jnp.ravel(m - b)) for j, b, m in parts]
    along, square = sum(j.T @ d for j, d in by), sum(jnp.sum(j**2, axis=0) for j, _ in by)
    return along / jnp.where(square > 0, square, 1.0)


def _absent(level: LevelStructure) -> Array:
    """(G, p) variables that do not exist at a level: no row of Lambda, no variance in Theta."""
    in_lambda = jnp.any(_filled(level.lambda_), axis=2)
    if level.theta.kind is not None and level.theta.scale is not None:
        # what the diagonal of the core holds for absent variables depends on the kind
        in_theta = _filled(level.theta.scale)
    else:
        in_theta = jnp.diagonal(_filled(level.theta.core), axis1=1, axis2=2)
    return ~(in_lambda | in_theta)


def _filled(matrix: Filled) -> Array:
    return (matrix.index >= 0) | (matrix.base != 0)


def _natural(structure: Structure, within: Array, between: Array, mean: Array, share: Array) -> Array:
    """Natural parameters (k,): the average of what their elements suggest. share: of the sample covariances that is used."""
    total, count = jnp.zeros_like(structure.offset), jnp.zeros_like(structure.offset)
    variance = jnp.diagonal(within, axis1=1, axis2=2)
    floor = 0.05 * variance
    for level, cov, low in zip(structure.levels, (within, between), (0.0 * floor, floor), strict=False):
        p = cov.shape[-1]
        own = jnp.maximum(jnp.diagonal(cov, axis1=1, axis2=2), low)
        eye = jnp.eye(p, dtype=cov.dtype)
        cov = share * cov * (1 - eye) + own[:, :, None] * eye
        guesses = jax.vmap(_level, in_axes=(0, 0, 0, None, None))
        for filled, guess in guesses(level.of_group(), cov, mean, level.psi.kind, level.theta.kind):
            index = jnp.maximum(filled, 0).ravel()
            used = (filled >= 0).ravel().astype(total.dtype)
            total = total.at[index].add(used * guess.ravel())
            count = count.at[index].add(used)
    return total / jnp.maximum(count, 1.0)


def _level(level: LevelStructure, cov: Array, mean: Array, psi_kind, theta_kind) -> list[tuple[Array, Array]]:
    """(index, guess) of every matrix of one level and group."""
    p = cov.shape[-1]
    # members of eta that are observed variables themselves: a column of Lambda that selects one variable and is not free
    fixed = level.lambda_.index < 0
    selector = (fixed & (level.lambda_.base == 1.0)).astype(cov.dtype)
    measured = jnp.diagonal((level.theta.core.index >= 0) | (level.theta.core.base != 0)) @ selector > 0
    observed = (
        jnp.all(fixed, axis=0) & (jnp.sum(level.lambda_.base != 0, axis=0) == 1) & (selector.sum(0) == 1) & ~measured
    )
    select = selector * observed
    loads = jnp.where(observed, False, level.lambda_.index >= 0) | (select @ (level.beta.index >= 0) * ~observed > 0)
    held = jnp.where(observed, 0.0, jnp.where(fixed, level.lambda_.base, 0.0))
    held = held + select @ jnp.where(level.beta.index < 0, level.beta.base, 0.0) * ~observed
    psi_diagonal = level.psi.core
    variance_free = jnp.diagonal(psi_diagonal.index) >= 0
    variance_held = jnp.diagonal(psi_diagonal.base)
    loading, variance = jax.vmap(
        lambda f, h, free, v: _factor(cov, f, h, free, v), in_axes=(1, 1, 0, 0), out_axes=(1, 0)
    )(loads, held, variance_free, variance_held)
    latent = ~observed & jnp.any(loads | (held != 0), axis=0)
    common = loading**2 @ jnp.where(latent, variance, 0.0)
    own = jnp.diagonal(cov)
    unique = jnp.maximum(own - common, 0.2 * own)
    indicator = jnp.any(loads | (held != 0), axis=1)
    free_cov = jnp.where(indicator[:, None] | indicator[None, :], 0.0, cov) * (
        1 - jnp.eye(p, dtype=cov.dtype)
    ) + jnp.diag(unique)
    # latent variables without indicators of their own start small
    latent_variance = jnp.where(observed, 0.0, jnp.where(latent, variance, 0.05))
    psi = select.T @ free_cov @ select + jnp.diag(latent_variance)
    to_members = jnp.where(observed[None, :], 0.0, loading)
    # of a free element of B, that of an observed member by a latent one is a loading, every other one a regression
    regression = (level.beta.index >= 0) & ~(observed[:, None] & ~observed[None, :])
    loadings = select.T @ to_members
    members = _of_members(cov, select, jnp.where(latent, loading, 0.0), latent_variance)
    slopes, psi = _regressions(regression, loadings, members, psi)
    return [
        (level.nu.index, mean),
        (level.alpha.index, select.T @ mean),
        (level.lambda_.index, loading),
        (level.beta.index, loadings + slopes),
        *_by_kind(level.psi, psi, psi_kind),
        *_by_kind(level.theta, free_cov, theta_kind),
    ]


def _of_members(cov: Array, select: Array, loading: Array, variance: Array) -> Array:
    """Covariances (m, m) of the members of eta: observed ones, and latent ones by a weighted mean of their indicators, which errors
    of the indicators do not bias but in its variance; that is given.
    """
    own = jnp.diagonal(cov)
    weight = loading / jnp.where(own > 0, own, 1.0)[:, None]
    total = jnp.sum(loading * weight, axis=0)
    to_eta = (select + weight / jnp.where(total > 0, total, 1.0)).T
    out = to_eta @ cov @ to_eta.T
    eye = jnp.eye(len(out), dtype=cov.dtype)
    return out * (1 - eye) + eye * jnp.where(jnp.any(select > 0, axis=0), jnp.diagonal(out), variance)


def _regressions(free: Array, loadings: Array, cov: Array, psi: Array) -> tuple[Array, Array]:
    """Least-squares slopes (m, m) where they are free, beside the loadings (m, m) and given the covariances of the members; and psi
    (m, m) with the residual variances and covariances of the members that have slopes.
    """
    if not len(cov):  # no eta: an unstructured model
        return jnp.zeros_like(cov), psi
    eye = jnp.eye(len(cov), dtype=cov.dtype)

    def row(chosen, left):
        among = cov * chosen[:, None] * chosen[None, :] + eye * ~chosen
        return scaled_inverse(among, 1e-3)[0] @ (left * chosen)

    slopes = jax.vmap(row)(free, cov - loadings @ cov)
    rest = (eye - loadings - slopes) @ cov @ (eye - loadings - slopes).T
    explained = jnp.any(free, axis=1)
    rest = rest * (1 - eye) + eye * jnp.maximum(jnp.diagonal(rest), 0.1 * jnp.diagonal(cov))
    return slopes, jnp.where(explained[:, None] & explained[None, :], rest, psi)


def _factor(cov: Array, free: Array, held: Array, variance_free: Array, variance_held: Array) -> tuple[Array, Array]:
    """Loadings (p,) and variance of one factor from its indicators: ratios to a marker by Haegglund's (1982) instruments."""
    own = jnp.diagonal(cov)
    used = (free | (held != 0)) & (own > 0)
    fixed = used & (held != 0)
    marker = jnp.where(jnp.any(fixed), jnp.argmax(fixed), jnp.argmax(used))
    sd = jnp.sqrt(jnp.where(own > 0, own, 1.0))
    ratio, common = factor_start(jnp, cov, used, marker, sd, PROPER)
    by_variance = jnp.sqrt(jnp.maximum(common, 1e-12) / jnp.where(variance_held != 0, jnp.abs(variance_held), 1.0))
    unit = jnp.where(jnp.any(fixed), held[marker], jnp.where(variance_free | (variance_held == 0), 1.0, by_variance))
    variance = jnp.where(variance_free, common / jnp.where(unit != 0, unit, 1.0) ** 2, variance_held)
    return jnp.where(free, unit * ratio, held), variance


def _by_kind(block: Covariance, cov: Array, kind: Choice | None) -> list[tuple[Array, Array]]:
    """Guesses for the core and scale of a covariance matrix."""
    if kind is None or block.scale is None:
        return [(block.core.index, cov)]
    core, scale = kind.start(cov)
    return [(block.core.index, core), (block.scale.index, scale)]


def _to_theta(structure: Structure, natural: Array) -> Array:
    """The theta whose natural parameters are nearest: least squares under linear constraints."""
    z = structure.basis
    return scaled_inverse(z.T @ z)[0] @ (z.T @ (natural - structure.offset))
