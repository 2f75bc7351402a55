"""Words for a network that the data do not support: a covariance matrix near the edge of what is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.models import Moments
from mlsem_jax.networks._layout import LEVELS, Layout

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import Model, NetworkFit

# smallest eigenvalue of the correlation matrix of a level below which partial correlations are at the mercy of rounding
SINGULAR = 1e-3
# the same for a fit that did not converge: what it was on the way to
RUNNING_OFF = 0.05
# weight of a variable in an eigenvector from which it is named
WEIGHT = 0.25


def degenerate(model: Model, fit: NetworkFit) -> list[str]:
    """Sentences about implied covariance matrices that are nearly or truly singular, by group and level."""
    if not np.isfinite(fit.estimation.model.value):
        return []
    out = []
    for group in range(model.layout.ngroups):
        for level in (1, 2):
            if all(block.record.plain for block in model.layout.blocks if block.level == level):
                continue  # plain covariance matrices may be improper, and estimation says so
            limit = SINGULAR if fit.converged else RUNNING_OFF
            sentence = _level(model.layout, fit.estimation.model.moments, group, level, limit)
            if sentence:
                out.append(sentence)
    return out


def _level(layout: Layout, moments: Moments, group: int, level: int, limit: float) -> str:
    cov = (moments.levels[level - 1].cov)[group]
    keep = [i for i, v in enumerate(layout.variables) if v not in layout.absent(level) and cov[i, i] != 0]
    if not keep:
        return ""
    names = [layout.variables[i] for i in keep]
    part = cov[np.ix_(keep, keep)]
    where = f"the {LEVELS[level]} level" + (f" of group {layout.groups[group]}" if layout.groups else "")
    negative = [name for name, value in zip(names, np.diag(part), strict=True) if value < 0]
    if negative:
        return f"The variance of {listing(negative)} at {where} is negative. {_remedy(level)}"
    sd = np.sqrt(np.diag(part))
    values, vectors = np.linalg.eigh(part / np.outer(sd, sd))
    if values[0] >= limit:
        return ""
    vector = vectors[:, 0]
    involved = [name for name, weight in zip(names, vector, strict=True) if abs(weight) > WEIGHT]
    state = "not positive definite" if values[0] < 0 else "nearly singular"
    return (
        f"The covariance matrix of {where} is {state}: the smallest eigenvalue of its correlation matrix is {values[0]:.2g}, "
        f"in the direction of {listing(involved, 6)}. A network there has edges near 1 or -1 and standard errors that mean "
        f"nothing. {_remedy(level)}"
    )


def _remedy(level: int) -> str:
    if level == 1:
        return "Take out or combine variables that say nearly the same."
    return (
        "The clusters tell too little about so many variables: combine those that go together at this level, restrict its "
        "network (a pattern with zeros, or stepup() from an empty one), declare a variable without variation between clusters "
        "within_only, or collect more clusters. Written as 'chol' the matrix may be singular at the maximum."
    )
