"""`ml.montecarlo`: simulation studies, every number with its Monte-Carlo standard error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._block_files import Block, BlockFolder, gaps
from mlsem_jax._errors import DataError, ModelError, nearest
from mlsem_jax._spread import check_executor, in_blocks, key_of, portable_key
from mlsem_jax.estimation import (
    Estimate,
    Model,
    Rows,
    as_key,
    as_theta,
    check_flag,
    check_model,
    check_progress,
    check_whole,
    simulate,
    statistics_of_rows,
)
from mlsem_jax.functional import by_pattern, estimate_batch, statistics
from mlsem_jax.inference import parameters_and_defined, with_covariances, with_errors
from mlsem_jax.likelihood import Statistics, moved, reordered, stack_statistics, weighted_statistics
from mlsem_jax.numerics import anew, float64
from mlsem_jax.observed import plan_sizes, traced_clusters
from mlsem_jax.report import bar, notice_if_slow
from mlsem_jax.studies._montecarlo_study import CONVERGED, MonteCarlo, open_store

# options of ml.simulate that may be passed on; and, for advice, the own ones
_OPTIONS = ("group", "covariates", "distribution", "freedom", "skewness", "kurtosis", "missing")
_OWN = (
    "cluster_sizes",
    "n_datasets",
    "key",
    "chisq",
    "profile",
    "level",
    "path",
    "chunk",
    "executor",
    "part",
    "progress",
)


@float64
def montecarlo(
    model: Model,
    theta: Any,
    cluster_sizes: Sequence[int] | np.ndarray | int,
    n_datasets: int = 1000,
    key: Any = 0,
    *,
    chisq: bool | None = None,
    profile: bool = False,
    level: float = 0.95,
    path: str | Path | None = None,
    chunk: int = 2000,
    executor: Executor | None = None,
    part: tuple[int, int] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> MonteCarlo:
    """Simulate data sets from a model, fit it to each, and summarise.

    **Arguments:**

    - `model`, `theta`, `cluster_sizes`, `n_datasets`, `key`, `options`: as for [`mlsem_jax.simulate`][] (`group`, `distribution`,
      `freedom`, `skewness`, `kurtosis`, and `missing` for a model that is made with `missing="ml"`; statistics are drawn directly
      unless an option asks for rows).
    - `chisq`: also fit the unrestricted model, for the rejection rate of the chi-square test at 1 - `level`. Default: where there
      is such a model. With random slopes, and for the likelihood of ordered variables, there is none and so no rejection rate.
    - `profile`: also the coverage of profile-likelihood intervals (`Fit.profile_ci`), `coverage.profile` in the table: every data
      set is fitted once more for each parameter, held at its true value. NaN for `:=` quantities.
    - `path`: a CSV or Parquet file that is written after every `chunk` data sets, or a folder (a name without ending) in which
      every block of `chunk` data sets is a file. If it exists, the study goes on where it ended.
    - `executor`: a `concurrent.futures.Executor` whose workers fit the blocks: processes of this machine that are spawned, not
      forked, Dask's `client.get_executor()`, mpi4py's `MPIPoolExecutor`. A block that is lost with its worker is given out again.
      The numbers do not depend on the executor or its workers, but for rounding on processors of another kind.
    - `part`: (i, n) fits of all blocks the i-th of every n, from 0, for jobs that share a folder and nothing else; the study
      returned is that of the blocks that are there. A last call without `part` fits what is missing.

    Searches start from the true values. A data set in which that fails is searched again by everything that [`mlsem_jax.sem`][]
    tries, at most 500 of every `chunk`, so that a study counts as failures what single fits would.

    **Returns:** a `MonteCarlo`: `table()`, `rates()`, `draws()`, `plot()`.
    """
    what = "ml.montecarlo"
    check_model(model, what, labelled=True)
    _check_options(n_datasets, chunk, level, chisq, profile, progress, options)
    check_executor(executor)
    theta = np.asarray(as_theta(model, theta, what, finite=True), float)
    key = as_key(key) if not isinstance(key, Integral) or isinstance(key, bool) else int(key)
    model = jax.tree.map(anew, model)
    chisq = model.saturated is not None if chisq is None else chisq
    store = None if path is None else open_store(path, model, theta, cluster_sizes, key, chisq, profile, options)
    _check_part(part, store)
    done = [] if store is None else store.read(n_datasets)
    blocks = gaps(done, n_datasets, chunk)
    if part is not None:
        blocks = [block for block in blocks if block[0] // chunk % part[1] == part[0]]
    common = (model, theta, cluster_sizes, portable_key(key), chisq, profile, options)
    count = sum(len(block["status"]) for _, block in done)
    with nullcontext() if progress else notice_if_slow():
        for first, block in in_blocks(executor, _run, common, blocks):
            done.append((first, block))
            count += len(block["status"])
            if store is not None:
                store.write(first, block)
            if progress:
                (bar if progress is True else progress)(count, n_datasets)
    return _study(model, theta, [block for _, block in sorted(done, key=lambda one: one[0])], chisq, level)


def _study(model: Model, theta: np.ndarray, done: list[Block], chisq: bool, level: float) -> MonteCarlo:
    if not done:
        raise DataError("part: the study has fewer blocks than parts, and none is this one's. Use a smaller chunk=.")
    every = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
    names = tuple(model.parameters(theta))
    true = np.asarray(quantities(model, jnp.asarray(theta)[None], jnp.eye(len(theta))[None])[0][0])
    return MonteCarlo(names, true, df=model.df if chisq else 0, level=level, **every)


def _check_part(part: Any, store: Any) -> None:
    if part is None:
        return
    whole = isinstance(part, tuple) and len(part) == 2 and all(isinstance(x, Integral) for x in part)
    if not whole or not 0 <= part[0] < part[1]:
        raise DataError(f"part={part!r}: (i, n) is part i of n, 0 <= i < n, such as (0, 10).")
    if not isinstance(store, BlockFolder):
        raise DataError("part= is for jobs that share a folder: pass path= with the name of one, such as 'study'.")


def _check_options(
    n_datasets: Any, chunk: Any, level: Any, chisq: Any, profile: Any, progress: Any, options: dict
) -> None:
    check_whole("n_datasets", n_datasets, 1)
    check_whole("chunk", chunk, 1)
    if not isinstance(level, Real) or not 0 < float(level) < 1:
        raise DataError(f"level={level!r}: the level of confidence intervals lies between 0 and 1, such as 0.95.")
    if chisq is not None:
        check_flag("chisq", chisq)
    check_flag("profile", profile)
    check_progress(progress)
    for name in options:
        if name in ("rows", "first"):
            raise DataError(f"{name}= is decided by ml.montecarlo itself: leave it out.")
        if name not in _OPTIONS:
            raise ModelError(f"ml.montecarlo has no option {name!r}.{nearest(name, (*_OPTIONS, *_OWN))}")


@float64
def _run(model, theta, sizes, key, chisq, profile, options, first, count) -> Block:
    """Data sets number first, first + 1, ... simulated and fitted."""
    key = key if isinstance(key, int) else key_of(key)
    stats = drawn_statistics(model, theta, key, sizes, first, count, options)
    found, end = fitted_block(model, stats, theta, chisq)
    return found | ({"ratio": _ratios(model, theta, stats, end, found["se"].shape[1])} if profile else {})


def drawn_statistics(
    population: Model,
    theta: Any,
    key: Any,
    sizes: Any,
    first: int,
    count: int,
    options: dict,
    model: Model | None = None,
) -> Statistics:
    """Statistics of `count` data sets from number `first` on, for the population's own model or for one of the same variables.

    More are drawn than asked for, in one of a few numbers, and the rest left: another number of data sets compiles nothing again.
    """
    model = population if model is None else model
    rows = bool(options.keys() - {"group"})
    drawn = simulate(population, theta, key, sizes, padded_count(count), first=first, rows=rows, **options)
    if isinstance(drawn, Rows):
        rows_of = in_order(drawn, model)
        if np.isnan(rows_of.values).any() and not model.labels.specification.ordered:
            return _of_incomplete(replace(rows_of, values=rows_of.values[:count]), model)
        stats = of_rows(rows_of, model)
    else:
        order = np.array([population.variables.index(name) for name in model.variables])
        stats = drawn if model is population else reordered(drawn, order)
    return jax.tree.map(lambda x: np.asarray(x)[:count], stats)


def in_order(rows: Rows, model: Model) -> Rows:
    """Rows of the variables of a model, in its order."""
    order = np.array([rows.variables.index(name) for name in model.variables])
    return replace(rows, values=rows.values[..., order], variables=model.variables)


def padded_count(count: int) -> int:
    """The lanes that `count` data sets take: 8, 64, or whole chunks of 512."""
    return next((lanes for lanes in (8, 64) if count <= lanes), -(-count // 512) * 512)


def fitted_block(model: Model, stats: Statistics, theta0: Any, chisq: bool) -> tuple[Block, Estimate]:
    """Estimates and standard errors (B, r) of all quantities, NaN where a search found no maximum, chi-squares and status codes."""
    end = estimate_batch(model, stats, theta0=theta0, chisq=chisq)
    count = len(end.status)
    lanes = np.minimum(np.arange(padded_count(count)), count - 1)
    both = quantities(model, jnp.asarray(end.theta[lanes]), jnp.asarray(end.information[lanes]))
    values, se = (np.array(x)[:count] for x in both)
    bad = ~np.isin(end.status, CONVERGED)
    values[bad], se[bad] = np.nan, np.nan
    chi = np.full(count, np.nan) if end.chisq is None else end.chisq
    return {"estimates": values, "se": se, "chisq": chi, "status": end.status}, end


def _ratios(model: Model, theta: np.ndarray, stats: Statistics, end: Estimate, width: int) -> np.ndarray:
    """Likelihood-ratio statistics (B, width) of the true value of every natural parameter, with theta that (q,); NaN where one of
    the two fits found no maximum, for parameters that equalities fix, and for `:=` quantities.
    """
    out = np.full((len(end.status), width), np.nan)
    offset, basis = np.asarray(model.structure.offset), np.asarray(model.structure.basis)
    for i, row in enumerate(basis[: len(model.labels.natural)]):
        if not row.any():
            continue
        # the element of theta that the equation row theta = its true value is solved for becomes padding
        solved = int(np.abs(row).argmax())
        column = basis[:, solved] / row[solved]
        held = offset + column * (row @ theta), basis - np.outer(column, row)
        structure = eqx.tree_at(lambda s: (s.offset, s.basis), model.structure, held)
        other = estimate_batch(structure, stats, theta0=np.where(np.arange(len(theta)) == solved, 0.0, theta))
        good = np.isin(end.status, CONVERGED) & np.isin(other.status, CONVERGED)
        out[:, i] = np.where(good, np.maximum(2 * (end.value - other.value), 0.0), np.nan)
    return out


@jax.jit
def quantities(model: Model, theta, information):
    """Values and standard errors (B, r) of natural parameters and `:=` quantities."""
    return with_errors(*_quantity(model), theta, information)


@jax.jit
def quantities_by_covariance(model: Model, theta, covariance):
    """The same, with the sampling covariances (B, q, q) of theta."""
    return with_covariances(*_quantity(model), theta, covariance)


def _quantity(model: Model) -> tuple[Any, Any, Any]:
    labels, k = model.labels, len(model.labels.natural)
    quantity = parameters_and_defined(labels.natural, dict(labels.by_label), labels.specification.definitions)
    return quantity, model.structure.offset[:k], model.structure.basis[:k]


def of_rows(rows: Rows, model: Model) -> Statistics:
    """Statistics of every simulated data set."""
    if model.labels.specification.ordered:
        return statistics_of_rows(model, rows)
    size = np.bincount(rows.cluster)
    plan = plan_sizes(size, rows.group, model.labels.specification.ngroups)
    # what a model without mean structure holds
    mean = None if model.labels.specification.means else np.asarray(model(np.asarray(model.start)).mean)
    return jax.tree.map(
        np.asarray, _reduce(jnp.asarray(rows.values), jnp.asarray(rows.cluster), size, rows.group, plan, mean)
    )


def _of_incomplete(rows: Rows, model: Model) -> Statistics:
    """Statistics of every simulated data set with missing values, as one batch."""
    if not by_pattern(model):
        raise DataError(
            "The data sets have missing values, and the model is made to leave incomplete rows out: make it with "
            "ml.model(..., missing='ml'). ml.study compares both ways."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows without any value, data set by data set
        return stack_statistics([statistics(model, rows.frame(i)).reduced for i in range(len(rows))])


@jax.jit
def _reduce(values, cluster, size, group, plan, mean):
    def one(rows):
        found = weighted_statistics(traced_clusters(rows, cluster, group, size), plan, jnp.ones(len(size)))
        return found if mean is None else eqx.tree_at(lambda s: s.terms[0].data, found, moved(found.complete, mean))

    return jax.lax.map(one, values, batch_size=64)
