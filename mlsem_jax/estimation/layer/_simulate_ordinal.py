"""Rows of models with ordered variables: latent responses are drawn, and cut at the thresholds."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax._typing import Array, Float
from mlsem_jax.models import LevelMoments, Moments, OrderedMoments, Specification

# data sets of one group: rows (n, N, p) given fixed covariates, masks (2, p) and values (n, N, p) and (n, J, p)
Draw = Callable[[Moments, "Known | None"], Array]
Known = tuple[Array, Array, Array]
# numbers that a key is folded with for the residuals of a logit link, apart from those that rows take
OWN_KEY = 2 * 10**6


def check_increasing(moments: Moments, specification: Specification) -> None:
    """**Raises:** DataError where thresholds at theta do not increase: a category between them would never occur."""
    known = ordered_of(moments)
    for g, cuts in enumerate(np.asarray(known.thresholds)):
        for item in specification.ordered:
            own = cuts[specification.variables.index(item.name), : item.categories - 1]
            if np.any(np.diff(own) <= 0):
                where = f" in group {specification.groups[g]!r}" if specification.groups else ""
                raise DataError(
                    f"At this theta the thresholds of {item.name!r}{where} do not increase ({listing(own.round(3))}): no answer "
                    "could fall between them."
                )


def ordered_of(moments: Moments) -> OrderedMoments:
    if moments.ordered is None:
        raise ModelError("The model has no ordered variables.")
    return moments.ordered


def covariate_masks(specification: Specification) -> Float[np.ndarray, "2 p"]:
    """1 for the covariates of level 1 and of level 2, those of both levels among them: the answers are drawn given them."""
    return np.array(
        [[float(v in specification.level(lv).covariates) for v in specification.variables] for lv in (1, 2)]
    )


def split(
    specification: Specification, values: Float[Array, "... N p"], cluster: np.ndarray
) -> tuple[Float[Array, "... N p"], Float[Array, "... J p"]]:
    """The covariates of rows as the model takes them: those of both levels as cluster means and the deviations from these."""
    mine, above = covariate_masks(specification)
    clusters = int(cluster.max()) + 1 if len(cluster) else 0
    sums = jnp.zeros((*values.shape[:-2], clusters, values.shape[-1]), values.dtype).at[..., cluster, :].add(values)
    means = sums / np.bincount(cluster, minlength=clusters)[:, None]
    inner = values - jnp.where(mine * above > 0, means[..., cluster, :], 0.0)
    return inner * mine, means * above


def without_units(moments: Moments, specification: Specification) -> Moments:
    """The moments without the residuals of the latent responses, which a logit link draws from the logistic distribution."""
    unit = ordered_of(moments).unit
    levels = []
    for number, level in zip(specification.numbers, moments.levels, strict=True):
        own = np.array(
            [
                float(any(o.name == v and specification.unit_level(v) == number for o in specification.ordered))
                for v in specification.variables
            ]
        )
        more = level.cov.shape[-1] - len(own)
        diagonal = jnp.pad(unit * own, ((0, 0), (0, more)))
        levels.append(LevelMoments(level.cov - jax.vmap(jnp.diag)(diagonal), level.mean))
    return Moments(tuple(levels), moments.directions, moments.ordered)


def logistic(
    key: Array, specification: Specification, unit: Float[Array, " p"], cluster: np.ndarray, count: int
) -> Float[Array, "N p"]:
    """Logistic residuals of the latent responses, of variance `unit`: of rows, or of clusters for variables of level 2 alone."""
    p = len(specification.variables)
    at_rows, at_clusters = jax.random.split(jax.random.fold_in(key, OWN_KEY))
    names = {o.name for o in specification.ordered}
    level = np.array([specification.unit_level(v) if v in names else 0 for v in specification.variables])
    scale = jnp.sqrt(3 * unit) / np.pi
    rows = jax.random.logistic(at_rows, (len(cluster), p), unit.dtype)
    clusters = jax.random.logistic(at_clusters, (count, p), unit.dtype)
    return scale * jnp.where(level == 1, rows, jnp.where(level == 2, clusters[cluster], 0.0))


def cut(responses: Float[Array, "n N p"], thresholds: Float[Array, "p t"], specification: Specification) -> Array:
    """Latent responses of ordered variables as codes: c where threshold c < y* <= threshold c + 1; other variables as they are."""
    for item in specification.ordered:
        at = specification.variables.index(item.name)
        own = thresholds[at, : item.categories - 1]
        codes = jnp.sum(responses[..., at, None] > own, axis=-1).astype(responses.dtype)
        responses = responses.at[..., at].set(codes)
    return responses
