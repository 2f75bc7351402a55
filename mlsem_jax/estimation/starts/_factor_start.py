"""Where a factor starts: loadings as ratios of covariances with the other indicators as instruments (Haegglund 1982).

Written once, for NumPy and for JAX, with what must differ between the three kinds of starting values as `StartLimits`.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from mlsem_jax._typing import Array, Bool, Float


class StartLimits(NamedTuple):
    """How far estimates from a sample are followed.

    ratio: least and largest size of a loading, relative to the marker's and both in units of their standard deviations. common:
    least and largest share of the marker's variance that is the factor's. instruments: least sum of squares of the marker's
    correlations with the others; below, a loading is as large as the marker's, with the sign of their covariance. None: followed
    wherever it leads.
    """

    ratio: tuple[float, float]
    common: tuple[float, float] | None
    instruments: float | None


# a first search is to begin inside the space of proper solutions, with every indicator in reach
PROPER = StartLimits(ratio=(0.2, 3.0), common=(0.1, 0.9), instruments=1e-8)
# as an error of rounding
NOTHING = 1e-12


def factor_start(
    xp: ModuleType,
    cov: Float[Array, "p p"],
    used: Bool[Array, " p"],
    marker: int | Array,
    sd: Float[Array, " p"],
    limits: StartLimits,
) -> tuple[Float[Array, " p"], Float[Array, ""]]:
    """Loadings relative to the marker's, zero where not used, and the variance of the factor in the units of the marker.

    cov is in any units, which weigh the instruments: covariances, or correlations, with which the units of the indicators have no
    part in it; sd are standard deviations in these units. Without another indicator half of the marker's variance is the factor's.
    """
    others = 1.0 - xp.eye(len(sd), dtype=cov.dtype)
    here = xp.arange(len(sd)) == marker
    row = xp.where(used & ~here, cov[marker], 0.0)
    top, bottom = (others * cov) @ row, others @ row**2
    unit, size = sd / sd[marker], sd[marker] ** 4
    raw = top / xp.maximum(bottom, NOTHING * size)
    if limits.instruments is not None:
        raw = xp.where(bottom > limits.instruments * size, raw, xp.where(cov[marker] < 0, -unit, unit))
    # constants of two Python numbers would be of double precision
    length = xp.clip(xp.abs(raw) / unit, *limits.ratio) * unit
    ratio = xp.where(raw < 0, -length, length)
    ratio = xp.where(here, 1.0, xp.where(used, ratio, 0.0))
    pairs = ratio[:, None] * ratio[None, :] * others
    weight = xp.sum(pairs**2)
    of_pairs = xp.sum(cov * pairs) / xp.where(weight > 0, weight, 1.0)
    own = cov[marker, marker]
    common = xp.where(xp.sum(used) > 1, of_pairs, 0.5 * own)
    return ratio, common if limits.common is None else xp.clip(common, limits.common[0] * own, limits.common[1] * own)
