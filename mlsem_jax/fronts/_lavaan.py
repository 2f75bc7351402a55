"""The lavaan-style front end: model text and a table in, a Fit out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack, overload

from mlsem_jax._option_docs import with_options
from mlsem_jax.fits import Fit, PooledFit
from mlsem_jax.fronts._fit_text import Several, Text, fit_text
from mlsem_jax.options import SemOptions

# an option that decides what is returned, and so has a signature of its own
_ALSO = ("plausible_values",)


@overload
def sem(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> PooledFit: ...
@overload
def sem(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Unpack[SemOptions],
) -> PooledFit: ...
@overload
def sem(
    model: Text,
    data: Mapping[Any, Any],
    cluster: str | None = None,
    *,
    group: str | None = None,
    **options: Unpack[SemOptions],
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def sem(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> Fit: ...
@with_options(SemOptions, "sem", _ALSO)
def sem(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a structural equation model of two levels, or of one, by exact maximum likelihood.

    **Arguments:**

    - `model`: lavaan model syntax; a text, or a list of texts read as its lines. With `level: 1` and `level: 2` blocks a two-level
      model, without them a model of one level.
    - `data`: a pandas DataFrame, or a table of polars, pyarrow or another library that offers the interchange or Arrow
      interface; one row per level-1 unit, in any order. Imputations of one data set: a list or a dictionary of such tables; every
      one is fitted, and the fits are pooled as by [`mlsem_jax.pool`][].
    - `cluster`: name of the column that identifies clusters (values of any type). A two-level model needs it; a model of one level
      has with it standard errors and a test that go by clusters, as lavaan has: A^-1 B A^-1 with B the sum over J clusters of outer
      products of scores times J / (J - 1).
    - `group`: name of a column of groups, in a two-level model constant within clusters.
    - `plausible_values`: names of variables in the model, each with the columns of the table that hold its plausible values,
      `{"math": ["PV1MATH", "PV2MATH", ...]}`: the model is fitted once with each and the fits are pooled. Several variables take
      their first columns together, then their second ones. `only_converged=True` leaves fits out that did not converge.
    - `options`: lavaan's, with `_` for `.`; the documentation has a page of all of them, Options.
      `bounds`: "none", "pos.var" (no variance below zero), "pos.ov.var", "pos.lv.var" (those of observed or latent variables), or
      limits by parameter, `{"y1~~y1.l2": (0, None)}`. `start`: "default", "simple" (loadings and variances 1, the rest 0), a fit or
      a parameter table (`lhs op rhs`, `est` or `start`; what the models share is taken), or values by parameter,
      `{"f=~y2": 0.8}`, a dictionary or Series; start() in the model text wins.

    Ordered variables: `ordered=["u1", ...]` or True for all that the model explains. Behind each lies a normal latent response
    whose residual variance is 1 (theta parameterization), or whose variance is (`parameterization="delta"`), cut at thresholds,
    `u1 | t1 + t2`.

    - `estimator="WLSMV"` (default), "DWLS", "WLS", "ULSMV": thresholds and polychoric covariances of the data, found variable
      by variable and pair by pair, are fitted by weighted least squares (Muthen 1984; Asparouhov & Muthen 2007); WLSMV and
      ULSMV with sandwich standard errors (`se="robust.sem"`) and the mean-and-variance adjusted test (`test="scaled.shifted"`).
      With `missing="pairwise"` each variable and each pair uses the rows where it is seen.
    - `estimator="ML"`, "MLR": full information, with `link` "probit" or "logit", by integration over the latent variables;
      random slopes and `missing="ml"`.

    Surveys: `sampling_weights`, `sampling_weights_between` name the columns of weights of level-1 units (in two-level models
    given their cluster) and of clusters (constant within them), w and v. The pseudo-likelihood sum_j v_j log L_j is maximised, in
    which row i counts w_ij times (Rabe-Hesketh & Skrondal 2006; Asparouhov 2006).

    - `sampling_weights_scaling`: "cluster" (default; w sums to the rows of the cluster; Mplus CLUSTER, Stata size), "effective"
      (Mplus ECLUSTER) or "none"; v is scaled so that the products v w sum to the rows. One level has
      `sampling_weights_normalization`: "total" (default; weights sum to the rows), "group" or "none".
    - `strata`: a column of strata of clusters, or with one level and no clusters of rows; `lonely="adjust"` takes strata of one
      unit about the mean of all. With any of these, standard errors are A^-1 B A^-1 and the test is scaled (estimator MLR).
    - `replicate_weights`: a list of columns, with `replicate_type` "BRR", "Fay" (with `fay`, by default 0.5 as in PISA), "JK1",
      "JK2" or "bootstrap": standard errors are those of the refitted replicates about the full-sample estimate, and there is no
      test. A replicate column is one of the level-2 weight where it is constant within clusters, else of the level-1 weight.

    **Returns:** a [`mlsem_jax.Fit`][]; of several imputations or plausible values a [`mlsem_jax.PooledFit`][].

    **Raises:** ModelSyntaxError, ModelError, DataError, IdentificationError (all ValueError) before anything is fitted.
    """
    return fit_text("sem", model, data, cluster, group, options)


@overload
def cfa(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> PooledFit: ...
@overload
def cfa(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Unpack[SemOptions],
) -> PooledFit: ...
@overload
def cfa(
    model: Text,
    data: Mapping[Any, Any],
    cluster: str | None = None,
    *,
    group: str | None = None,
    **options: Unpack[SemOptions],
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def cfa(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> Fit: ...
@with_options(SemOptions, "cfa", _ALSO)
def cfa(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a confirmatory factor model of two levels or one: `sem` with lavaan's defaults of `cfa`."""
    return fit_text("cfa", model, data, cluster, group, options)


@overload
def growth(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> PooledFit: ...
@overload
def growth(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Unpack[SemOptions],
) -> PooledFit: ...
@overload
def growth(
    model: Text,
    data: Mapping[Any, Any],
    cluster: str | None = None,
    *,
    group: str | None = None,
    **options: Unpack[SemOptions],
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def growth(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> Fit: ...
@with_options(SemOptions, "growth", _ALSO)
def growth(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a growth curve model of two levels or one: `sem` with observed intercepts at 0 and latent means free."""
    return fit_text("growth", model, data, cluster, group, options)


@overload
def lavaan(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> PooledFit: ...
@overload
def lavaan(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Unpack[SemOptions],
) -> PooledFit: ...
@overload
def lavaan(
    model: Text,
    data: Mapping[Any, Any],
    cluster: str | None = None,
    *,
    group: str | None = None,
    **options: Unpack[SemOptions],
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def lavaan(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Unpack[SemOptions]
) -> Fit: ...
@with_options(SemOptions, "lavaan", _ALSO)
def lavaan(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a model of two levels or one exactly as written: no parameter is added by default."""
    return fit_text("lavaan", model, data, cluster, group, options)
