"""Rows of two-level samples: normal or not, with given covariates, with missing values."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.data._two_level_data import TwoLevelData
from mlsem_jax.data._vale_maurelli import Cubics
from mlsem_jax.numerics import inverse, root

if TYPE_CHECKING:
    import pandas as pd

Shape = Literal["normal", "t", "chisq", "laplace"]
SHAPES: tuple[Shape, ...] = ("normal", "t", "chisq", "laplace")


@dataclass(frozen=True)
class Rows:
    """Simulated rows. values (n_datasets, N, p), columns as in `variables`, NaN where missing; cluster (N,) codes; group (J,) codes
    of the clusters' groups; names: of the columns of clusters and groups, None where there is none; ordered: the categories of the
    ordered variables, by name, whose values are codes 0, 1, ...; `frame(i)` is data set i as a table, with the categories
    themselves. absent (G, p): variables that a group does not have, 0 in values and missing in tables; None where there are none.
    """

    values: np.ndarray
    variables: tuple[str, ...]
    cluster: np.ndarray
    group: np.ndarray
    names: tuple[str | None, str | None]
    group_labels: tuple[str, ...] = field(default=())
    ordered: tuple[tuple[str, tuple[Any, ...]], ...] = field(default=())
    absent: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        rows, clusters = len(self.cluster), len(self.group)
        of = f" in {clusters} clusters" if self.names[0] else ""
        return f"<mlsem_jax rows: {len(self)} data sets of {rows} rows{of}, {listing(self.variables, 8)}; frame(i) is one of them>"

    def frame(self, i: int = 0) -> pd.DataFrame:
        """Data set i as a DataFrame with the model's cluster and group columns, where it has them."""
        import pandas as pd

        values = np.asarray(self.values[i])
        if self.absent is not None:
            values = np.where(self.absent[self.group[self.cluster]], np.nan, values)
        out = pd.DataFrame(values, columns=list(self.variables))
        for name, categories in self.ordered:
            out[name] = _as_categories(out[name].to_numpy(), categories)
        cluster, group = self.names
        if cluster:
            out.insert(0, cluster, self.cluster)
        if group:
            out.insert(int(bool(cluster)), group, np.array(self.group_labels)[self.group[self.cluster]])
        return out


def as_data(rows: Rows, i: int, between_only: np.ndarray, single: bool) -> TwoLevelData:
    """Data set i as checked data, which drawn ones are; single: of a model of one level, whose rows are the units."""
    import pandas as pd

    cluster = np.arange(rows.values.shape[1]) if single else rows.cluster
    group = rows.group[rows.cluster] if single else rows.group
    return TwoLevelData(
        values=np.asarray(rows.values[i], float),
        variables=rows.variables,
        cluster=cluster,
        cluster_ids=np.arange(len(group)),
        group=group,
        group_labels=rows.group_labels,
        between_only=between_only,
        row_index=pd.RangeIndex(len(cluster)),
        rows_dropped=(),
        clusters_dropped=0,
        cluster_name=rows.names[0] or "",
        group_name=rows.names[1],
        warnings=(),
        single=single,
        ordered=rows.ordered,
        absent=rows.absent,
    )


def _as_categories(codes: np.ndarray, categories: tuple[Any, ...]) -> Any:
    """Codes, NaN where missing, as the categories that they stand for: numbers, or an ordered pandas Categorical."""
    import pandas as pd

    known = ~np.isnan(codes)
    at = np.where(known, codes, 0).astype(int)
    if not all(isinstance(category, (int, float)) for category in categories):
        return pd.Categorical.from_codes(np.where(known, at, -1).tolist(), list(categories), ordered=True)
    values = np.asarray(categories)[at]
    return values if known.all() else np.where(known, values.astype(float), np.nan)


class RowMoments(Record):
    """Moments of one group to draw rows from: covariance and mean of both levels; between ones may have r random slopes as last
    rows, whose unit effect per covariate is directions (r, p) and whose covariates are columns slopes (r,).
    """

    within_cov: Float[Array, "p p"]
    within_mean: Float[Array, " p"]
    between_cov: Float[Array, "u u"]
    between_mean: Float[Array, " u"]
    directions: Float[Array, "r p"] | None = None
    slopes: Int[Array, " r"] | None = None


def shocks(key: Array, shape: tuple[int, ...], kind: Shape, freedom: float, dtype: Any) -> Array:
    """Independent values of mean 0 and variance 1. t: heavy tails (freedom > 2); chisq: skewness sqrt(8 / freedom)."""
    if kind == "t":
        return jax.random.t(key, freedom, shape, dtype) * np.sqrt((freedom - 2) / freedom)
    if kind == "chisq":
        return (2 * jax.random.gamma(key, freedom / 2, shape, dtype) - freedom) / np.sqrt(2 * freedom)
    if kind == "laplace":
        return jax.random.laplace(key, shape, dtype) / np.sqrt(2.0)
    return jax.random.normal(key, shape, dtype)


def check_shape(kind: Any, freedom: float) -> None:
    """DataError for an unknown distribution, or one without a variance."""
    if kind not in SHAPES:
        raise DataError(
            f"distribution={kind!r} is not available: {', '.join(map(repr, SHAPES))}.{nearest(kind, SHAPES)}"
        )
    if not isinstance(freedom, Real) or not np.isfinite(freedom):
        raise DataError(f"freedom must be a number, not {freedom!r}.")
    if kind == "t" and not freedom > 2:
        raise DataError(f"distribution='t' needs freedom above 2 to have a variance, not {freedom:g}.")
    if not freedom > 0:
        raise DataError(f"freedom must be positive, not {freedom:g}.")


def _given(cov: Array, mean: Array, fixed: Array, known: Array) -> tuple[Array, Array]:
    """Covariance of what is left, and shift (n, d) of the mean, given values `known` (n, d) of the variables marked in fixed."""
    both = fixed[:, None] * fixed[None, :]
    precision = inverse(jnp.where(both > 0, cov, jnp.eye(len(cov), dtype=cov.dtype))) * both
    slope = cov @ precision
    free = 1 - fixed
    left = (cov - slope @ cov) * free[:, None] * free[None, :]
    shift = (fixed * (known - mean)) @ slope.T
    return left, jnp.where(fixed > 0, known - mean, shift)


def draw_rows(
    key: Array,
    moments: RowMoments,
    cluster: Int[Array, " N"],
    clusters: int,
    kind: Shape = "normal",
    freedom: float = 5.0,
    fixed: tuple[Array, Array] | None = None,
    known: tuple[Array, Array] | None = None,
    cubics: tuple[Cubics, Cubics] | None = None,
) -> Float[Array, "N p"]:
    """Rows of one group: y = between part of the cluster + within part of the row, each a root of its covariance times shocks, or
    the values of its cubics where these are given.

    cluster (N,) codes 0..clusters-1. fixed, known: masks (p,) of given covariates of each level, and their values (N, p) by row
    and (clusters, p) by cluster. With shocks that are not normal, skewness and tails of y follow from the mixing.
    """
    p, dtype = moments.within_mean.shape[0], moments.within_mean.dtype
    at_within, at_between = jax.random.split(key)
    u = moments.between_mean.shape[0]
    within_cov, between_cov = moments.within_cov, moments.between_cov
    within_shift, between_shift = jnp.zeros((len(cluster), p), dtype), jnp.zeros((clusters, u), dtype)
    if fixed is not None and known is not None:
        within_cov, within_shift = _given(within_cov, moments.within_mean, fixed[0], known[0])
        pad = jnp.zeros(u - p, dtype)
        known_between = jnp.concatenate([known[1], jnp.zeros((clusters, u - p), dtype)], axis=1)
        between_cov, between_shift = _given(
            between_cov, moments.between_mean, jnp.concatenate([fixed[1], pad]), known_between
        )
    if cubics is not None:
        inner = cubics[0].draw(at_within, len(cluster), dtype)
        outer = cubics[1].draw(at_between, clusters, dtype)
    else:
        within = root(within_cov, jnp.zeros(p, dtype))[0]
        between = root(between_cov, jnp.zeros(u, dtype))[0]
        inner = shocks(at_within, (len(cluster), p), kind, freedom, dtype) @ within.T
        outer = shocks(at_between, (clusters, u), kind, freedom, dtype) @ between.T
    rows = moments.within_mean + within_shift + inner
    effects = moments.between_mean + between_shift + outer
    out = rows + effects[cluster, :p]
    if moments.directions is not None and moments.slopes is not None:
        out = out + (effects[cluster, p:] * out[:, moments.slopes]) @ moments.directions
    return out


def punch_holes(
    key: Array,
    rows: Float[Array, "N p"],
    rate: Float[Array, " p"],
    decider: Int[Array, " p"],
    slope: Float[Array, " p"],
) -> Float[Array, "N p"]:
    """Rows with NaN in a share `rate` (p,) of a variable's values.

    Missing completely at random where decider is -1; otherwise the log-odds rise by `slope` per standard deviation of variable
    number `decider`, which makes the values missing at random as long as that variable has none missing itself.
    """
    by = rows[:, jnp.maximum(decider, 0)]
    z = (by - by.mean(0)) / jnp.where(by.std(0) > 0, by.std(0), 1.0)
    safe = jnp.clip(rate, 1e-12, 1 - 1e-12)
    odds = jnp.log(safe / (1 - safe)) + jnp.where(decider >= 0, slope, 0.0) * z
    gone = (jax.random.uniform(key, rows.shape, rows.dtype) < jax.nn.sigmoid(odds)) & (rate > 0)
    return jnp.where(gone, jnp.nan, rows)
