"""`ml.parallel_analysis`: how many factors there are at each level, by eigenvalues beside those of items that share nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax import report
from mlsem_jax._arguments import CONFIDENCE, KEY, check, whole
from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax.data import prepare
from mlsem_jax.fronts._efa import read_items
from mlsem_jax.measurement import correlation_eigenvalues, drawn_covariances, level_covariances

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class ParallelAnalysis:
    """table: one row an eigenvalue, by level; `observed`, and of the draws `mean` and `limit`, the quantile. nfactors: by level,
    how many eigenvalues from the first lie above their limit. draws: that were used; rows: of the data, dropped: those left out.
    """

    table: pd.DataFrame
    nfactors: dict[str, int]
    draws: int
    quantile: float
    rows: int = 0
    dropped: int = 0

    def plot(self, ax: Axes | None = None) -> Axes:
        """The eigenvalues of each level and the limits beside them (needs matplotlib)."""
        return report.scree_plot(self.table, self.quantile, ax)

    def __repr__(self) -> str:
        said = ", ".join(f"{level} {count}" for level, count in self.nfactors.items())
        left = f" ({self.dropped} left out)" if self.dropped else ""
        head = f"Parallel analysis of {self.rows} rows{left}, {self.draws} draws: factors {said}\n"
        return head + self.table.round(3).to_string(index=False)

    def _repr_html_(self) -> str:
        head = repr(self).split("\n", 1)[0]
        return report.Tables({head: self.table})._repr_html_()


def parallel_analysis(
    data: Any,
    vars: Sequence[str],
    cluster: str | None = None,
    *,
    n: int = 500,
    quantile: float = 0.95,
    key: Any = 0,
) -> ParallelAnalysis:
    """How many factors there are, within and between clusters (Horn 1965).

    Eigenvalues of the correlation matrix of each level, estimated by analysis of variance, are compared with those of n data sets
    of the same design, whose items have the same variances at both levels and share nothing. Between clusters that matters more
    than within: with few clusters, or small intraclass correlations, eigenvalues scatter widely. The draws are of cluster means and
    cross-products, all at once; rows with a missing value are left out.

    **Arguments:**

    - `data`, `vars`, `cluster`: as for [`mlsem_jax.efa`][].
    - `n`: draws, from `key`. `quantile`: of their eigenvalues, that one of the data has to exceed.

    **Returns:** a `ParallelAnalysis`, with `nfactors`, `table` and `plot()`.

    **Raises:** ModelError, DataError; ModelError where the items do not vary enough between clusters to count factors there.
    """
    n, quantile, key = check("n", n, whole(20)), check("quantile", quantile, CONFIDENCE), check("key", key, KEY)
    items = read_items(vars, data)
    if len(items) < 3:
        raise ModelError("parallel_analysis() needs three items at least.")
    two = cluster is not None
    rows = prepare(data, cluster=cluster, within=items, between=items if two else (), single=not two)
    for sentence in rows.warnings:
        warnings.warn(sentence, ModelWarning, stacklevel=2)
    observed = level_covariances(rows.values, rows.cluster if two else None)
    if any((np.diag(cov) <= 0).any() for cov in observed):
        raise ModelError(
            "An item does not vary between clusters beyond what its variation within them explains, so that there are no "
            "correlations there: leave it out, or count the factors within (cluster=None)."
        )
    sizes = np.bincount(rows.cluster) if two else None
    drawn = correlation_eigenvalues(drawn_covariances(observed, len(rows.values), sizes, n, _generator(key)))
    known = np.isfinite(drawn).all(axis=(1, 2))
    if known.sum() < 0.5 * n:
        raise ModelError(
            f"Only {int(known.sum())} of {n} draws have positive variances: the items vary too little between clusters, or there "
            "are too few of these, to count factors there. Count those within (cluster=None)."
        )
    levels = ("within", "between")[: len(observed)]
    found = _result(levels, correlation_eigenvalues(np.stack(observed)[None])[0], drawn[known], quantile)
    return replace(found, rows=len(rows.values), dropped=sum(count for _, count in rows.rows_dropped))


def _generator(key: Any) -> np.random.Generator:
    if isinstance(key, int):
        return np.random.default_rng(key % 2**64)
    import jax

    typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key) if typed else key).ravel().tolist())


def _result(levels: tuple[str, ...], observed: np.ndarray, drawn: np.ndarray, quantile: float) -> ParallelAnalysis:
    import pandas as pd

    limits, means = np.quantile(drawn, quantile, axis=0), drawn.mean(0)
    rows = [
        {"level": level, "number": k + 1, "observed": observed[i, k], "mean": means[i, k], "limit": limits[i, k]}
        for i, level in enumerate(levels)
        for k in range(observed.shape[1])
    ]
    counts = {level: int(np.cumprod(observed[i] > limits[i]).sum()) for i, level in enumerate(levels)}
    return ParallelAnalysis(pd.DataFrame(rows), counts, len(drawn), quantile)
