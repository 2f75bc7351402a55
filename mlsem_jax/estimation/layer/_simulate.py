"""`ml.simulate`: data sets of a model, as sufficient statistics or as rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.data import (
    RowMoments,
    Rows,
    Shape,
    check_margins,
    check_shape,
    column_names,
    cubics_of,
    draw_rows,
    margins_of,
    punch_holes,
    read_columns,
)
from mlsem_jax.estimation.layer._given import as_key, as_theta, check_flag, check_model, check_whole
from mlsem_jax.estimation.layer._model import Model
from mlsem_jax.estimation.layer._model_ordinal import layout_of, statistics_of_rows
from mlsem_jax.estimation.layer._simulate_ordinal import (
    check_increasing,
    covariate_masks,
    cut,
    logistic,
    ordered_of,
    split,
    without_units,
)
from mlsem_jax.estimation.problem import slope_columns
from mlsem_jax.likelihood import CompleteTerm, Statistics, moved
from mlsem_jax.models import Moments
from mlsem_jax.numerics import anew, follows_precision, warn_single_precision
from mlsem_jax.observed import Plan, draw_statistics, plan_sizes, pooled


@follows_precision
def simulate(
    model: Model,
    theta: Any,
    key: Any,
    cluster_sizes: Sequence[int] | np.ndarray | int,
    n_datasets: int = 1,
    *,
    rows: bool = False,
    first: int = 0,
    group: Sequence[int] | None = None,
    covariates: Any = None,
    distribution: Shape = "normal",
    freedom: float = 5.0,
    skewness: float | Mapping[str, float] = 0.0,
    kurtosis: float | Mapping[str, float] = 0.0,
    missing: Mapping[str, Any] | None = None,
) -> Statistics | Rows:
    """Draw data sets from a model at theta.

    **Arguments:**

    - `model`, `theta`: from [`mlsem_jax.model`][], and values (q,) of its free parameters, in the order of `model.names` or by
      name.
    - `key`: of `jax.random`, or an integer. Data set i depends on the key and i alone, not on `n_datasets`.
    - `cluster_sizes`: rows of each cluster (J,); `group` (J,) their groups 0..G-1 in a model of several groups. For a model of one
      level the number of rows, or a list of those of each group.
    - `first`: number of the first data set: `first=1000` goes on where 1000 data sets ended.
    - `rows`: draw rows. Otherwise sufficient statistics are drawn, at a cost that does not depend on cluster sizes; with ordered
      variables, which have none, the statistics are made of rows.
    - `covariates`: rows to take the fixed covariates from (a table with one row per simulated row, in order of clusters);
      by default they are drawn, normal, with the moments that the model holds for them. Needs `rows=True`.
    - `distribution`: of the independent shocks behind both levels: "normal", "t" or "chisq" with `freedom`, "laplace"; means and
      covariances are the model's in any case. Needs `rows=True`.
    - `skewness`, `kurtosis` (in excess of the normal's): of every variable's part at each level, one number or by variable; by
      cubes of correlated normal values (Fleishman 1978; Vale & Maurelli 1983), so that covariances are the model's. The sum of two
      parts with shares w and b of the variance has w^1.5 + b^1.5 of the skewness and w^2 + b^2 of the kurtosis. Needs `rows=True`.
    - `missing`: share of missing values by variable, `{"y1": 0.2}`, or (deciding variable, share, rise of the log-odds per standard
      deviation): `{"y1": ("x", 0.2, 1.0)}`. Needs `rows=True`.

    Of ordered variables latent responses are drawn and cut at the thresholds. Values of rows are then codes 0, 1, ...;
    `Rows.frame(i)` has the categories of the data that the model was made with.

    **Returns:** `Statistics` with a leading axis of `n_datasets`, or `Rows`.
    """
    what = "ml.simulate"
    check_model(model, what, labelled=True)
    check_whole("n_datasets", n_datasets, 1)
    if not isinstance(first, jax.core.Tracer):
        check_whole("first", first, 0)
    check_flag("rows", rows)
    key, theta = as_key(key), jnp.asarray(as_theta(model, theta, what, finite=True))
    sizes, groups = _design(model, cluster_sizes, group)
    moments = _moments_of(jax.tree.map(anew, model.structure), theta)
    moments = moments.without(model.labels.specification.absent)
    warn_single_precision(moments.mean.dtype, what)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(n_datasets))
    margins = margins_of(skewness, kurtosis, model.variables)
    check_margins(margins, distribution, covariates)
    if rows:
        return _rows(model, moments, keys, sizes, groups, covariates, distribution, freedom, margins, missing)
    if model.labels.specification.ordered:
        layout_of(model, "A search")
        drawn = _rows(model, moments, keys, sizes, groups, covariates, distribution, freedom, margins, missing)
        return statistics_of_rows(model, drawn)
    if covariates is not None or distribution != "normal" or margins is not None or missing:
        raise DataError("covariates, distribution, skewness, kurtosis and missing concern rows: pass rows=True.")
    if model.labels.specification.slopes:
        raise ModelError("A model with random slopes has no sufficient statistics to draw: pass rows=True.")
    plan = plan_sizes(sizes, groups, moments.mean.shape[0])
    _check_definite(moments, sizes)
    shape = plan.size.shape
    count = jnp.asarray(np.bincount(plan.slot, minlength=shape[0] * shape[1]).reshape(shape), moments.mean.dtype)
    mean = None if model.labels.specification.means else moments.mean
    return _draw(keys, moments, plan, count, mean)


@jax.jit
def _draw(keys, moments: Moments, plan: Plan, count, mean) -> Statistics:
    size = jnp.asarray(plan.size, count.dtype)

    def one(key):
        complete = draw_statistics(key, moments.within_cov, moments.between_cov, moments.mean, size, count)
        complete = complete if mean is None else moved(complete, mean)
        return Statistics((CompleteTerm(complete),), pooled(complete.size, complete.count, plan))

    return jax.vmap(one)(keys)


@jax.jit
def _moments_of(structure, theta) -> Moments:
    return structure(theta)


def _design(model: Model, cluster_sizes: Any, group: Any) -> tuple[np.ndarray, np.ndarray]:
    single, count = model.labels.specification.single, model.labels.specification.ngroups
    if single and np.ndim(cluster_sizes) == 0 and not isinstance(cluster_sizes, jax.core.Tracer):
        if count > 1:
            raise DataError(
                f"The model has {count} groups: cluster_sizes must list the rows of each, such as [200] * {count}."
            )
        cluster_sizes = [cluster_sizes]
    if single and group is None and count > 1 and np.shape(cluster_sizes) == (count,):
        group = np.arange(count)
    sizes = _whole_numbers(cluster_sizes)
    if sizes is None or not len(sizes) or sizes.min() < 1:
        raise DataError(
            "cluster_sizes must be the number of rows, a whole number such as 500."
            if single
            else "cluster_sizes must list the rows of each cluster: whole numbers of at least 1, such as [10] * 50."
        )
    groups = np.zeros(len(sizes), int) if group is None else _whole_numbers(group)
    if groups is None or groups.shape != sizes.shape or (count > 1 and set(groups) != set(range(count))):
        raise DataError(
            f"group must say for each of the {len(sizes)} clusters which of the {count} groups it is in, 0..{count - 1}."
        )
    if count == 1 and groups.any():
        raise DataError("This model has one group: leave group= out.")
    return sizes.astype(float), groups.astype(int)


def _whole_numbers(given: Any) -> np.ndarray | None:
    """A list of whole numbers, which may be floats, as an array; None for anything else."""
    if isinstance(given, jax.core.Tracer) or any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(given)):
        raise DataError(
            "cluster_sizes and group decide shapes of arrays, so that they cannot be traced: pass NumPy arrays."
        )
    try:
        array = np.asarray(given)
    except ValueError:  # lists of different lengths
        return None
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        return None
    whole = np.isfinite(array) & (array == np.floor(array))
    return array if whole.all() else None


def _check_definite(moments: Moments, sizes: np.ndarray) -> None:
    if isinstance(moments.within_cov, jax.core.Tracer):
        return
    for within, between in zip(np.asarray(moments.within_cov), np.asarray(moments.between_cov), strict=True):
        for n in (sizes.min(), sizes.max()):
            if np.linalg.eigvalsh(between + within / n)[0] < -1e-8 * np.diag(within).max():
                raise DataError(
                    f"At this theta the cluster means of clusters of size {n:g} have no positive definite covariance."
                )


def _rows(model, moments, keys, sizes, groups, covariates, distribution, freedom, margins, missing) -> Rows:
    if any(isinstance(x, jax.core.Tracer) for x in (moments.mean, keys)):
        raise DataError(
            "Rows are NumPy arrays, which a JAX transformation cannot trace: draw them outside, or draw statistics."
        )
    check_shape(distribution, freedom)
    specification, source = model.labels.specification, model.labels.source
    order = np.argsort(groups, kind="stable")
    sizes, groups = sizes[order].astype(int), groups[order]
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    _check_between(moments)
    known = None if covariates is None else _given_covariates(model, covariates, cluster, groups)
    draw = functools.partial(_values, specification, keys, cluster, groups, distribution, freedom, margins)
    if specification.ordered:
        values = _answers(model, moments, known, draw, keys, cluster, groups)
    else:
        values = draw(moments, model.held, known)
    if missing:
        plan = _holes(missing, specification.variables, values.dtype)
        values = jax.vmap(lambda key, rows: punch_holes(jax.random.fold_in(key, 10**6), rows, *plan))(keys, values)
    names = (None if specification.single else source.cluster or "cluster", source.group)
    return Rows(
        np.asarray(values),
        specification.variables,
        cluster,
        groups,
        names,
        specification.groups,
        source.ordered,
        specification.absent if specification.absent.any() else None,
    )


def _values(specification, keys, cluster, groups, distribution, freedom, margins, moments, fixed, known) -> jax.Array:
    """Rows (n, N, p) of all groups. known: values of the covariates marked in fixed, (2, p) or (2, G, p), by row (n, N, p) and by
    cluster (n, J, p), n or 1; None where they are drawn too.
    """
    columns = slope_columns(specification) if specification.slopes else None
    shape, parts = (specification.ngroups, len(specification.variables)), []
    by_group = [jnp.broadcast_to(jnp.asarray(mask), shape) for mask in fixed]
    for g in range(specification.ngroups):
        mine = np.flatnonzero(groups == g)
        rows = np.flatnonzero(groups[cluster] == g)
        own = RowMoments(
            moments.within_cov[g],
            moments.within_mean[g],
            moments.between_cov[g],
            moments.between_mean[g],
            None if moments.directions is None else moments.directions[g],
            columns,
        )
        numbers = jnp.asarray(cluster[rows] - mine[0])
        draw = functools.partial(
            draw_rows,
            moments=own,
            cluster=numbers,
            clusters=len(mine),
            kind=distribution,
            freedom=freedom,
            cubics=None
            if margins is None
            else cubics_of(own.within_cov, own.between_cov, margins, specification.variables),
        )

        def one(key, given=None, draw=draw, g=g, marks=tuple(mask[g] for mask in by_group)):
            own = jax.random.fold_in(key, g)
            return draw(own, fixed=None if given is None else marks, known=given)

        if known is None:
            parts.append(jax.vmap(one)(keys))
            continue
        given = known[0][:, rows], known[1][:, mine]
        if len(given[0]) == 1:
            parts.append(jax.vmap(one, (0, None))(keys, (given[0][0], given[1][0])))
        else:
            parts.append(jax.vmap(one)(keys, given))
    return jnp.concatenate(parts, axis=1)


def _answers(model, moments, known, draw, keys, cluster, groups) -> jax.Array:
    """Rows (n, N, p) with ordered variables as codes. The mean of a covariate of both levels is that of the rows drawn."""
    specification, layout = model.labels.specification, model.labels.source.layout
    check_increasing(moments, specification)
    fixed = covariate_masks(specification)
    if known is None and np.any(fixed.sum(axis=0) > 1):
        known = split(specification, draw(moments, fixed, None), cluster)
    logit = layout is not None and layout.link == "logit"
    values = draw(without_units(moments, specification) if logit else moments, fixed, known)
    parts = []
    for g in range(specification.ngroups):
        rows, mine = np.flatnonzero(groups[cluster] == g), np.flatnonzero(groups == g)
        own = values[:, rows]
        if logit:
            unit, numbers = ordered_of(moments).unit[g], cluster[rows] - mine[0]
            shape = (specification, unit, numbers, len(mine))
            own = own + jax.vmap(lambda key, g=g, shape=shape: logistic(jax.random.fold_in(key, g), *shape))(keys)
        parts.append(cut(own, ordered_of(moments).thresholds[g], specification))
    return jnp.concatenate(parts, axis=1)


def _check_between(moments: Moments) -> None:
    for between in np.asarray(moments.between_cov):
        if np.linalg.eigvalsh(between)[0] < -1e-8 * max(np.diag(between).max(), 1e-300):
            raise DataError(
                "At this theta the between covariance matrix is not positive semidefinite: there are no cluster effects to draw "
                "rows from. Draw statistics (rows=False), or choose a theta without negative variances."
            )


def _given_covariates(model: Model, table: Any, cluster: np.ndarray, groups: np.ndarray) -> tuple[Any, Any]:
    """Values (1, N, p) by row and (1, J, p) by cluster of the fixed covariates, zero elsewhere."""
    specification = model.labels.specification
    fixed = covariate_masks(specification) if specification.ordered else np.asarray(model.held)
    at_one, at_two = (np.flatnonzero(mask.reshape(-1, mask.shape[-1]).any(axis=0)) for mask in fixed)
    covariates = set(specification.within.covariates) | set(specification.between.covariates)
    names = {specification.variables[i] for i in (*at_one, *at_two)}
    if covariates - names or not names:
        both = listing(sorted(covariates - names)) or "none that are fixed"
        raise ModelError(
            f"covariates= is for fixed covariates that exist at one level; this model has {both} at both levels or none to fix. "
            "Let them be drawn with the other variables."
        )
    rows = np.zeros((len(cluster), len(specification.variables)))
    if absent := sorted(names - set(column_names(table))):
        raise DataError(f"covariates= has no column {listing(absent)}; it needs {listing(sorted(names))}.")
    columns = read_columns(table, sorted(names)).columns
    for i in (*at_one, *at_two):
        name = specification.variables[i]
        try:
            column = np.asarray(columns[name], float)
        except (TypeError, ValueError):
            raise DataError(f"covariates=: the column {name!r} does not hold numbers.") from None
        if column.shape != (len(cluster),):
            raise DataError(f"covariates must have one row per simulated row, {len(cluster)}, not {len(column)}.")
        here = ~specification.absent[groups[cluster], i]
        if not np.isfinite(column[here]).all():
            raise DataError(f"covariates=: the column {name!r} has missing or infinite values.")
        rows[here, i] = column[here]
    if specification.ordered:
        inner, means = split(specification, jnp.asarray(rows), cluster)
        return inner[None], means[None]
    first = np.unique(cluster, return_index=True)[1]
    return jnp.asarray(rows)[None], jnp.asarray(rows[first])[None]


def _holes(missing: Mapping[str, Any], variables: tuple[str, ...], dtype: Any) -> tuple[Any, Any, Any]:
    if not isinstance(missing, Mapping):
        raise DataError(f'missing must say for which variable, such as {{"{variables[0]}": 0.2}}, not {missing!r}.')
    rate, decider, slope = np.zeros(len(variables)), np.full(len(variables), -1), np.zeros(len(variables))
    for name, how in missing.items():
        by, share, steep = how if isinstance(how, (tuple, list)) and len(how) == 3 else ("", how, 0.0)
        numbers = all(isinstance(x, Real) and math.isfinite(x) for x in (share, steep))
        if name not in variables or (by and by not in variables) or not numbers or not 0 <= share < 1:
            raise DataError(
                f"missing={{{name!r}: {how!r}}}: names must be variables of the model and shares lie in [0, 1). "
                f"The variables are {listing(variables, 12)}."
            )
        rate[variables.index(name)], slope[variables.index(name)] = share, steep
        decider[variables.index(name)] = variables.index(by) if by else -1
    return jnp.asarray(rate, dtype), jnp.asarray(decider), jnp.asarray(slope, dtype)
