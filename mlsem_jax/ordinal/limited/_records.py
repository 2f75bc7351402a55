"""What the stages of limited information take and give."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BOTH, WITHIN_ONLY, BETWEEN_ONLY = 0, 1, 2


@dataclass(frozen=True)
class OrdinalData:
    """Ordered and continuous variables of one group.

    **Arguments:**

    - `values`: (n, p) float64: codes 0, ..., K - 1 of ordered variables, numbers of continuous ones, NaN where missing. A
      between-only variable has one value in a cluster.
    - `categories`: (p,) number of categories K; 0 for a continuous variable.
    - `level`: (p,) 0: a within and a between part; 1: within only; 2: between only. With one level: 0.
    - `names`, `covariate_names`: of the variables and of the covariates.
    - `cluster`: (n,) codes 0, ..., J - 1, or None with one level.
    - `covariates`: (n, q), without missing values. `covariate_level`: (q,) 1: enters the within part; 2: the between part, and is
      then constant in a cluster. With one level: 1. A variable without a part at that level does not depend on the covariate.
    - `independent`: (n,) codes 0, ..., of the units that are independent of each other, where with one level these are no rows.
    - `weights`: (n,) weights of rows, or None. `cluster_weights`: (J,) weights of clusters, or None.
    """

    values: np.ndarray
    categories: np.ndarray
    level: np.ndarray
    names: tuple[str, ...]
    cluster: np.ndarray | None = None
    covariates: np.ndarray | None = None
    covariate_level: np.ndarray | None = None
    covariate_names: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    cluster_weights: np.ndarray | None = None
    independent: np.ndarray | None = None

    @property
    def two_level(self) -> bool:
        return self.cluster is not None


@dataclass(frozen=True)
class LimitedInformation:
    """Thresholds, means, slopes and (polychoric, polyserial) covariances with their sampling covariance matrix.

    **Attributes:** S statistics, in the order: each variable's own (thresholds, mean, within and between variance, slopes), then
    each pair's covariances.

    - `names`: (S,) `"u1|t1"`, `"y~1"`, `"y~w~y"`, `"y~b~y"`, `"u1~x"`, `"u2~w~u1"`, `"u2~b~u1"`.
    - `kind`: (S,) `"threshold"`, `"mean"`, `"slope"` or `"covariance"`.
    - `row`: (S,) the variable. `col`: (S,) of a threshold its number from 0, of a mean 0, of a slope the covariate, of a covariance
      the other variable (before `row`, or the same).
    - `level`: (S,) the level whose moment it is: 1 within, 2 between; 1 where there is one level. Thresholds and means: 2 where the
      variable has a between part.
    - `values`: (S,); the within variance of ordered variables is 1 (of between-only ones the between variance).
    - `acov`: (S, S) covariance matrix of `values`; Gamma is the number of rows times it.
    - `n`, `clusters`: rows and clusters used; 0 clusters where rows are independent.
    - `rows`: (p, p) rows (of between-only variables: clusters) with both variables of a pair.
    - `empty_cells`: (first, second, cells) of pairs of ordered variables with combinations of categories that nobody has.
    - `added`: pairs whose empty cell of a 2 x 2 table was taken as half a row.
    - `perfect`: (first, second, level, sign) of pairs whose correlation is 1 in size.
    - `no_between_variance`: variables whose between variance is estimated as zero.
    """

    names: tuple[str, ...]
    kind: np.ndarray
    row: np.ndarray
    col: np.ndarray
    level: np.ndarray
    values: np.ndarray
    acov: np.ndarray
    n: int
    clusters: int
    rows: np.ndarray
    empty_cells: tuple[tuple[str, str, int], ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    perfect: tuple[tuple[str, str, int, int], ...] = ()
    no_between_variance: tuple[str, ...] = ()
    steps: dict[str, int] = field(default_factory=dict, compare=False)
