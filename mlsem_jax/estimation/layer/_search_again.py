"""Data sets whose traced search failed, searched again one at a time by everything that a single fit tries."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.estimation.batch import BatchMaximum, Estimate
from mlsem_jax.estimation.fit import fit_build, fit_unstructured, ordinal_maximum, sample_as_moments
from mlsem_jax.estimation.layer._model import Model
from mlsem_jax.estimation.problem import FitOptions, Fitted, Problem, Sample, constraints_of, saturated
from mlsem_jax.estimation.status import verified
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Build, Specification, build
from mlsem_jax.numerics import float64
from mlsem_jax.observed import sample_moments
from mlsem_jax.ordinal import OrdinalTerm

# lanes that are searched again at most: some tenths of a second each, a thousand times what a lane takes
AT_MOST = 500
# ends of a search that another one may better
UNFINISHED = (int(Status.ITERATION_LIMIT), int(Status.STALLED))


@float64
def search_again(model: Model, statistics: Statistics, end: BatchMaximum) -> tuple[BatchMaximum, np.ndarray, int]:
    """The ends of a batch of data sets (statistics lead with the lane axis), unfinished ones replaced by those of a single fit;
    which lanes (B,) were searched again; and how many unfinished ones were left because there are more than AT_MOST.

    Nothing is searched again where the model's arrays are not those of its labels (fixed values were changed), is a batch itself,
    where values of continuous data are missing, or in single precision.
    """
    again = np.zeros(len(end.status), bool)
    failed = np.flatnonzero(np.isin(end.status, UNFINISHED))
    term = statistics.terms[0]
    known = isinstance(term, OrdinalTerm) or statistics.only(CompleteTerm) is not None
    if not len(failed) or end.theta.dtype != np.float64 or not known:
        return end, again, 0
    built = _build_of(model)
    if built is None:
        return end, again, 0
    if isinstance(term, OrdinalTerm):
        lane_of = functools.partial(_lane, statistics)
        return ordinal_again(built, lane_of, np.asarray(model.start), term.layout.link, end)
    again[failed[:AT_MOST]] = True
    # the ends of a batch may be views of the device's arrays
    end = jax.tree.map(np.array, end)
    for i in failed[:AT_MOST].tolist():
        _write(end, i, _single(built, _lane(statistics, i)))
    return end, again, max(len(failed) - AT_MOST, 0)


def _lane(statistics: Statistics, i: int) -> Statistics:
    return jax.tree.map(lambda x: np.asarray(x[i]), statistics)


@float64
def ordinal_again(
    built: Build, lane_of: Callable[[int], Statistics], start: np.ndarray, link: str, end: BatchMaximum
) -> tuple[BatchMaximum, np.ndarray, int]:
    """`search_again` of ordered variables: lane_of gives the statistics of a lane, start (q,) is where its search begins."""
    again, failed = np.zeros(len(end.status), bool), np.flatnonzero(np.isin(end.status, UNFINISHED))
    again[failed[:AT_MOST]] = True
    end = jax.tree.map(np.array, end)
    for i in failed[:AT_MOST].tolist():
        _write(end, i, _ordered(built, lane_of(i), link, start))
    return end, again, max(len(failed) - AT_MOST, 0)


def estimated_again(model: Model, statistics: Statistics, found: Estimate) -> Estimate:
    """The estimate from one data set, replaced as that of a lane of a batch where its search failed. As it is where anything is
    traced: what is tried after a failure depends on numbers.
    """
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((model, statistics, found))):
        return found
    if int(found.status) not in UNFINISHED:
        return found
    shared = [field.name for field in fields(BatchMaximum)]
    end = BatchMaximum(**{name: np.asarray(getattr(found, name))[None] for name in shared})
    end, again, _ = search_again(model, jax.tree.map(lambda x: np.asarray(x)[None], statistics), end)
    if not again.any():
        return found
    return replace(found, **{name: jnp.asarray(getattr(end, name)[0]) for name in shared})


_moments = jax.jit(lambda structure, theta: structure(theta))


def _build_of(model: Model) -> Build | None:
    """The build of a model, None where its arrays are others. What it holds for covariates is what its moments imply."""
    if np.ndim(model.structure.between_only) != 1:
        return None
    specification = model.labels.specification
    exogenous = jax.tree.map(np.asarray, _moments(model.structure, model.start))
    built = build(specification, exogenous)
    mine, theirs = (jax.tree.leaves(eqx.filter(s, eqx.is_array_like)) for s in (built.structure, model.structure))
    alike = len(mine) == len(theirs) and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=1e-12)
        for a, b in zip(mine, theirs, strict=True)
    )
    return replace(built, width=built.free) if alike else None


def _single(built: Build, statistics: Statistics) -> tuple[Fitted, Status]:
    """What a fit of these data alone would find."""
    specification, complete = built.specification, statistics.only(CompleteTerm)
    sample = sample_moments(complete, built.between_only > 0, specification.alone_within)
    known = _unrestricted(specification, statistics, sample)
    found = fit_build(built, statistics, sample, unrestricted=known)
    return found, verified(found)[0]


def _ordered(built: Build, statistics: Statistics, link: str, start: np.ndarray) -> tuple[Fitted, Status]:
    """The same of ordered variables, from the model's starting values: a lane has no moments of its own to start from."""
    options = FitOptions(link=link)
    problem = Problem(built, statistics, None, constraints_of(built, options.bounds))
    problem, maximum, notes = ordinal_maximum(problem, start, options)
    found = Fitted(problem, maximum, problem.moments(maximum.theta), notes)
    return found, verified(found)[0]


def _unrestricted(specification: Specification, statistics: Statistics, sample: Sample) -> Sample | None:
    """Moments of the unrestricted model at its maximum, which a single fit's starts follow; None where it has none."""
    h1 = fit_unstructured(saturated(specification), statistics, sample_as_moments(specification, sample), sample)
    m = h1.moments
    return (m.within_cov, m.between_cov, m.mean) if h1.maximum.status.converged else None


def _write(end: BatchMaximum, i: int, found: tuple[Fitted, Status]) -> None:
    """Put what a single fit found into lane i, in place, unless that is no maximum and lies lower than what is there."""
    maximum, status = found[0].maximum, found[1]
    worse = not status.converged and not maximum.value > end.value[i]
    if maximum.information is None or worse or not np.isfinite(maximum.value):
        # the single fit's word on the data holds all the same
        end.status[i] = int(status)
        return
    end.theta[i], end.value[i], end.gradient[i] = maximum.theta, maximum.value, maximum.gradient
    end.information[i], end.decrement[i], end.status[i] = maximum.information, maximum.decrement, int(status)
    end.iterations[i] += maximum.iterations
    if status.converged:
        end.se[i] = np.sqrt(np.maximum(np.diag(np.linalg.inv(maximum.information)), 0.0))
