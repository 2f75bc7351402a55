"""The bootstrap of clusters, or with one level of rows: all draws in one batch, from weights or from drawn statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from mlsem_jax._block_files import Block, digest, gaps, open_folder
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._spread import in_blocks, key_of, portable_key
from mlsem_jax._status import Status
from mlsem_jax.estimation import (
    Estimation,
    Fitted,
    fit_batch,
    is_maximum,
    saturated_given_covariates,
    split_covariates,
    start_at,
)
from mlsem_jax.inference.parameters._influence import derivatives, unit_of
from mlsem_jax.inference.parameters._quantities import Quantity, estimated, with_errors
from mlsem_jax.inference.variance import (
    ITERATIONS,
    Ordered,
    Resampler,
    information,
    ordered_of,
    refuse_constraints,
    refuse_limited,
    resampler,
    vcov_natural,
)
from mlsem_jax.models import Build, Structure, build
from mlsem_jax.numerics import float64

Type = Literal["nonparametric", "parametric", "bollen.stine"]
# draws of a block that goes to another worker: whole chunks of a batch
CHUNK = 2048
TYPES: tuple[Type, ...] = ("nonparametric", "parametric", "bollen.stine")


@dataclass(frozen=True, eq=False)
class Through:
    """Another way to write the fit's model, in which draws are searched for where the fit's own leaves a direction open.

    build, theta (q',): at the estimates; back: of many theta (B, q') to the fit's (B, q), NaN where one has none.
    """

    build: Build
    theta: np.ndarray
    back: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Bootstrap:
    """Draws of a bootstrap. names (r,): natural parameters, then `:=` quantities, or those of the quantity asked for; estimate,
    se (r,) of the fit; plain_se (r,) by the observed information, as are those of the draws; draws, draws_se (B, r), NaN where a
    draw did not converge; chisq (B,) or None; status (B,) codes. observed_chisq: the fit's own. influence (J, r) for
    bias-corrected intervals, or None.
    """

    type: str
    names: tuple[str, ...]
    estimate: np.ndarray
    se: np.ndarray
    plain_se: np.ndarray
    draws: np.ndarray
    draws_se: np.ndarray
    chisq: np.ndarray | None
    status: np.ndarray
    observed_chisq: float
    influence: np.ndarray | None
    units: str = "clusters"

    @property
    def usable(self) -> np.ndarray:
        """(B,) draws that ended at a maximum."""
        return np.isin(self.status, [code for code in Status if code.converged])

    @property
    def pvalue(self) -> float:
        """Share of draws whose chi-square is at least the observed one: Bollen & Stine's (1992) test if they were its draws."""
        if self.chisq is None:
            raise ModelError("This bootstrap has no chi-squares: pass chisq=True, or type='bollen.stine'.")
        known = self.chisq[np.isfinite(self.chisq)]
        return float((1 + np.sum(known >= self.observed_chisq)) / (1 + len(known)))


@float64
def bootstrap(
    estimation: Estimation,
    n: int,
    key: Any,
    type: str = "nonparametric",
    chisq: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
    quantity: Quantity | None = None,
    executor: Executor | None = None,
    path: str | Path | None = None,
    chunk: int | None = None,
    through: Through | None = None,
) -> Bootstrap:
    """n draws. key: of jax.random, or an integer; draw i depends on the key and i alone. quantity: what is drawn of (default:
    natural parameters and `:=` quantities). executor, path, chunk: blocks of draws by other workers, kept in a folder.

    nonparametric: clusters, or rows where there are none, drawn with replacement, within groups. parametric: statistics drawn
    from the fitted model. bollen.stine: clusters drawn from data that are transformed so that the model holds exactly (in balanced
    data and with one level; nearly in unbalanced data), for the test of the model.

    Every draw is one search from the fit's estimates. Where that fails nothing else is tried, unlike for data sets of their
    own: the draws are to show how this maximum moves, not which others there are. Draws of ordered variables whose search fails, as
    a variance at zero makes it, are searched again from there with variances kept off zero.
    """
    refuse_limited(
        estimation,
        "fit.bootstrap() is not supported",
        "its standard errors are robust already, or take estimator='ML'.",
    )
    if type not in TYPES:
        raise ModelError(f"type={type!r} is not available: {', '.join(map(repr, TYPES))}.{nearest(type, TYPES)}")
    refuse_constraints(estimation, "The bootstrap", rotated=through is not None)
    chisq = type == "bollen.stine" if chisq is None else chisq
    if chisq and estimation.h1 is None:
        raise ModelError("Chi-squares of bootstrap draws need the unrestricted model: fit with h1=True.")
    key = jax.random.key(key) if isinstance(key, (int, np.integer)) else key
    model, h1 = estimation.model, estimation.h1 if chisq else None
    saturated = None if h1 is None else _reference(estimation, h1)
    searched = (model.build, model.theta) if through is None else (through.build, through.theta)
    common = (
        resampler(estimation, type),
        searched[0].structure,
        searched[1],
        saturated,
        portable_key(key),
        ordered_of(estimation),
    )
    end = _all_draws(common, n, executor, path, chunk, progress)
    quantity = estimated(model.build) if quantity is None else quantity
    estimate, se = quantity.with_standard_errors(model.natural, vcov_natural(estimation))
    status = np.array(end["status"])
    if through is None:
        observed = information(model, estimation, "observed")
        plain_se = _with_errors(estimation, quantity, model.theta[None], observed[None])[1][0]
        draws, draws_se = _with_errors(estimation, quantity, end["theta"], end["information"])
    else:
        plain_se, (draws, draws_se) = se, _turned_back(estimation, quantity, through, end["theta"], status)
    bad = ~np.asarray(is_maximum(status))
    draws[bad], draws_se[bad] = np.nan, np.nan
    return Bootstrap(
        type=type,
        names=quantity.names,
        estimate=estimate,
        se=se,
        plain_se=plain_se,
        draws=draws,
        draws_se=draws_se,
        chisq=end.get("chisq"),
        status=status,
        observed_chisq=np.nan if estimation.h1 is None else 2 * (estimation.h1.value - model.value),
        influence=derivatives(estimation, quantity) if type == "nonparametric" else None,
        units=f"{unit_of(estimation)}s",
    )


def _reference(estimation: Estimation, h1: Fitted) -> tuple[Structure, np.ndarray]:
    """The unrestricted model of draws and its theta. Draws are searched with the moments of covariates of both levels held at the
    fit's, and so is this: it would win by them else.
    """
    specification = estimation.model.build.specification
    if not split_covariates(specification):
        return h1.build.structure, h1.theta
    structure = build(saturated_given_covariates(specification), estimation.exogenous).structure
    return structure, np.asarray(start_at(structure, h1.moments))


def _with_errors(
    estimation: Estimation, quantity: Quantity, theta: np.ndarray, information: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors (B, r) at theta (B, q); NaN for a standard error that is not positive."""
    build = estimation.model.build
    values, se = with_errors(quantity, build.offset, build.basis, theta, information)
    return np.array(values), np.where(np.asarray(se) > 0, se, np.nan)


def _turned_back(
    estimation: Estimation, quantity: Quantity, through: Through, theta: np.ndarray, status: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values (B, r) of draws made through another parametrisation, and no standard errors; in place the status of draws that have
    no such solution.
    """
    build, good = estimation.model.build, np.flatnonzero(is_maximum(status))
    draws = np.full((len(theta), len(quantity.names)), np.nan)
    if len(good):
        found = through.back(theta[good])
        status[good[np.isnan(found).any(axis=1)]] = Status.NON_FINITE
        known = ~np.isnan(found).any(axis=1)
        draws[good[known]] = np.asarray(quantity.at_each(build.natural(found[known]))[0])
    return draws, np.full_like(draws, np.nan)


def _all_draws(
    common: tuple[Any, ...],
    n: int,
    executor: Executor | None,
    path: str | Path | None,
    chunk: int | None,
    progress: Callable[[int, int], None] | None,
) -> Block:
    """The draws: as one batch, or in blocks where an executor or a folder asks for them."""
    if executor is None and path is None and chunk is None:
        return next(in_blocks(None, functools.partial(_draws, progress=progress), common, [(0, n)]))[1]
    chunk = CHUNK if chunk is None else chunk
    # not the starting values: on another machine a fit has other last digits
    source, structure, _, saturated, key, _ = common
    study = {"draws of": digest((source, structure, key)), "chisq": saturated is not None}
    folder = None if path is None else open_folder(path, study)
    done = [] if folder is None else folder.read(n)
    blocks = gaps(done, n, chunk)
    count = n - sum(length for _, length in blocks)
    for first, block in in_blocks(executor, _draws, common, blocks):
        done.append((first, block))
        count += len(block["status"])
        if folder is not None:
            folder.write(first, block)
        if progress is not None:
            progress(count, n)
    ordered = [block for _, block in sorted(done, key=lambda one: one[0])]
    return {name: np.concatenate([block[name] for block in ordered]) for name in ordered[0]}


@float64
def _draws(
    source: Resampler,
    structure: Structure,
    theta: np.ndarray,
    saturated: tuple[Structure, np.ndarray] | None,
    key: Any,
    ordered: Ordered | None,
    first: int,
    n: int,
    progress: Callable[[int, int], None] | None = None,
) -> Block:
    """Draws first, first + 1, ...: theta (n, q), information (n, q, q), status (n,) and, with a saturated model, chisq (n,)."""
    lanes = source.lanes(key_of(key), n, first)
    end = source.search(structure, theta, lanes, ordered, progress=progress)
    out = {"theta": end.theta, "information": end.information, "status": end.status}
    if saturated is None:
        return out
    free = fit_batch(saturated[0], theta0=saturated[1], newton=False, iterations=ITERATIONS, **lanes)
    both = end.converged & free.converged
    return out | {"chisq": np.where(both, 2 * np.maximum(free.value - end.value, 0.0), np.nan)}
