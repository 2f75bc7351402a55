"""`ml.montecarlo`: simulation studies, every number with its Monte-Carlo standard error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._batches import estimate_batch
from mlsem_jax._errors import DataError, ModelError, nearest
from mlsem_jax._study import CONVERGED, MonteCarlo, Store
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
)
from mlsem_jax.inference import parameters_and_defined, with_errors
from mlsem_jax.likelihood import Statistics, weighted_statistics
from mlsem_jax.numerics import anew, float64
from mlsem_jax.observed import plan_sizes, traced_clusters
from mlsem_jax.report import bar

# options of ml.simulate that may be passed on; and, for advice, the own ones
_OPTIONS = ("group", "covariates", "distribution", "freedom", "missing")
_OWN = ("cluster_sizes", "n_datasets", "key", "chisq", "profile", "level", "path", "chunk", "progress")


@float64
def montecarlo(
    model: Model,
    theta: Any,
    cluster_sizes: Sequence[int] | np.ndarray,
    n_datasets: int = 1000,
    key: Any = 0,
    *,
    chisq: bool = True,
    profile: bool = False,
    level: float = 0.95,
    path: str | Path | None = None,
    chunk: int = 2000,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> MonteCarlo:
    """Simulate data sets from a model, fit it to each, and summarise.

    **Arguments:**

    - `model`, `theta`, `cluster_sizes`, `n_datasets`, `key`, `options`: as for [`mlsem_jax.simulate`][] (`group`, `distribution`,
      `freedom`; statistics are drawn directly unless an option asks for rows).
    - `chisq`: also fit the unrestricted model, for the rejection rate of the chi-square test at 1 - `level`.
    - `profile`: also the coverage of profile-likelihood intervals (`Fit.profile_ci`), `coverage.profile` in the table: every data
      set is fitted once more for each parameter, held at its true value. NaN for `:=` quantities.
    - `path`: a CSV or Parquet file that is written after every `chunk` data sets. If it exists, the study goes on where it ended.

    **Returns:** a `MonteCarlo`: `table()`, `rates()`, `draws()`, `plot()`.
    """
    what = "ml.montecarlo"
    check_model(model, what, labelled=True)
    _check_options(n_datasets, chunk, level, chisq, profile, progress, options)
    theta = np.asarray(as_theta(model, theta, what, finite=True), float)
    key = as_key(key) if not isinstance(key, Integral) or isinstance(key, bool) else int(key)
    model = jax.tree.map(anew, model)
    store = None if path is None else Store(path, model, theta, cluster_sizes, key, chisq, profile, options)
    done = [] if store is None else store.read()
    count = sum(len(part["status"]) for part in done)
    while count < n_datasets:
        now = min(chunk, n_datasets - count)
        done.append(_run(model, theta, cluster_sizes, now, key, count, chisq, profile, options))
        count += now
        if store is not None:
            store.write(done)
        if progress:
            (bar if progress is True else progress)(count, n_datasets)
    every = {name: np.concatenate([part[name] for part in done])[:n_datasets] for name in done[0]}
    names = tuple(model.parameters(theta))
    true = np.asarray(_quantities(model, jnp.asarray(theta)[None], jnp.eye(len(theta))[None])[0][0])
    return MonteCarlo(names, true, df=model.df if chisq else 0, level=level, **every)


def _check_options(
    n_datasets: Any, chunk: Any, level: Any, chisq: Any, profile: Any, progress: Any, options: dict
) -> None:
    check_whole("n_datasets", n_datasets, 1)
    check_whole("chunk", chunk, 1)
    if not isinstance(level, Real) or not 0 < float(level) < 1:
        raise DataError(f"level={level!r}: the level of confidence intervals lies between 0 and 1, such as 0.95.")
    check_flag("chisq", chisq)
    check_flag("profile", profile)
    check_progress(progress)
    for name in options:
        if name in ("rows", "first"):
            raise DataError(f"{name}= is decided by ml.montecarlo itself: leave it out.")
        if name not in _OPTIONS:
            raise ModelError(f"ml.montecarlo has no option {name!r}.{nearest(name, (*_OPTIONS, *_OWN))}")


def _run(model, theta, sizes, count, key, first, chisq, profile, options) -> dict[str, np.ndarray]:
    """Data sets number first, first + 1, ... simulated and fitted."""
    rows = bool(options.keys() - {"group"})
    drawn = simulate(model, theta, key, sizes, count, first=first, rows=rows, **options)
    stats = _of_rows(drawn, model) if isinstance(drawn, Rows) else drawn
    end = estimate_batch(model, stats, theta0=theta, chisq=chisq)
    values, se = (np.array(x) for x in _quantities(model, jnp.asarray(end.theta), jnp.asarray(end.information)))
    bad = ~np.isin(end.status, CONVERGED)
    values[bad], se[bad] = np.nan, np.nan
    chi = np.full(count, np.nan) if end.chisq is None else end.chisq
    found = {"estimates": values, "se": se, "chisq": chi, "status": end.status}
    return found | ({"ratio": _ratios(model, theta, stats, end, values.shape[1])} if profile else {})


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
def _quantities(model: Model, theta, information):
    """Values and standard errors (B, r) of natural parameters and `:=` quantities."""
    labels, k = model.labels, len(model.labels.natural)
    quantity = parameters_and_defined(labels.natural, dict(labels.by_label), labels.specification.definitions)
    return with_errors(quantity, model.structure.offset[:k], model.structure.basis[:k], theta, information)


def _of_rows(rows: Rows, model: Model) -> Statistics:
    """Statistics of every simulated data set."""
    if np.isnan(rows.values).any():
        raise DataError(
            "ml.montecarlo fits complete data; for data with missing values loop over ml.simulate(..., rows=True)."
        )
    size = np.bincount(rows.cluster)
    plan = plan_sizes(size, rows.group, model.labels.specification.ngroups)
    return jax.tree.map(
        np.asarray, _reduce(jnp.asarray(rows.values), jnp.asarray(rows.cluster), size, rows.group, plan)
    )


@jax.jit
def _reduce(values, cluster, size, group, plan):
    def one(rows):
        return weighted_statistics(traced_clusters(rows, cluster, group, size), plan, jnp.ones(len(size)))

    return jax.lax.map(one, values, batch_size=64)
