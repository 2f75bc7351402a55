"""Walk to the best neighbouring model; all neighbours of a step are fitted in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import fit_batch
from mlsem_jax.models import Structure
from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._fitting import estimates, finish, padded, refit_model, refitted
from mlsem_jax.networks._indices import enlarged, indices
from mlsem_jax.networks._log import Step
from mlsem_jax.networks._parameters import pvalues, standard_errors
from mlsem_jax.networks._search import (
    candidates,
    check_alpha,
    check_criterion,
    check_maximum,
    evaluate_criterion,
    named,
    search_matrices,
    step,
)
from mlsem_jax.networks._starts import natural_values
from mlsem_jax.networks._table import Element, Place, at_places, same_parameter
from mlsem_jax.numerics import chi_square_tail, float64

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import NetworkFit

# models of one batch; fixed, so that every batch of a search runs the same compiled program
LANES = 16
# the log-likelihood left on the table when candidates are ranked; the chosen one is then fitted to the end
LEFT = 1e-7
# a fall of the criterion smaller than this is rounding
FALL = 1e-6


def modelsearch(
    fit: NetworkFit,
    criterion: str = "bic",
    matrices: Sequence[str] | str | None = None,
    prunealpha: float = 0.01,
    addalpha: float = 0.01,
    limit: int | None = None,
) -> NetworkFit:
    """Take the best removal or addition by the criterion, then try those again that were improvements too, and all of them
    once more before the end; see `NetworkFit.modelsearch`.
    """
    _check(fit, criterion, prunealpha, addalpha)
    names = search_matrices(fit.network.layout, matrices)
    current, taken = fit, 0
    promising: set[Place] = set()
    while limit is None or taken < limit:
        tried = _promising(current, names, promising) or _neighbours(current, names, prunealpha, addalpha)
        now = evaluate_criterion(criterion, current.loglik, current.npar, fit)
        values = _try_all(current, tried, criterion) if tried else np.zeros(0)
        better = [i for i in range(len(tried)) if values[i] < now - FALL]
        if better:
            best = min(better, key=lambda i: values[i])
            current = _take(current, tried[best], criterion, values[best], len(tried))
            taken += 1
            promising = {tried[i].place for i in better if i != best}
        elif promising:
            promising = set()
        else:
            break
    model = current.network
    if not taken:
        model = model.but(log=model.log.then(Step(f"modelsearch: no neighbour has a smaller {criterion}")))
        return refitted(fit, model, fit.estimation, fit.warnings)
    return finish(refitted(current, model, current.estimation))


def _check(fit: NetworkFit, criterion: str, prunealpha: float, addalpha: float) -> None:
    check_criterion(criterion)
    check_maximum(fit, "modelsearch")
    if criterion == "none":
        raise ModelError("modelsearch() needs a criterion, such as 'bic'.")
    check_alpha("prunealpha", prunealpha)
    check_alpha("addalpha", addalpha)
    if fit.network.layout.groups:
        raise ModelError(
            "modelsearch() compares models of one group: it does not say whether an edge changes in one group or in all. "
            "Use prune() and stepup(), or search each group's data."
        )


def _promising(fit: NetworkFit, names: Sequence[str], places: set[Place]) -> list[Element]:
    """The elements that were improvements in the step before, whatever their p-values are now."""
    return [e for e in candidates(fit.network, names) if e.place in places]


def _neighbours(fit: NetworkFit, names: Sequence[str], prunealpha: float, addalpha: float) -> list[Element]:
    """Free elements that are not significant, and fixed ones whose modification index is."""
    model = fit.network
    p = dict(zip((e.place for e in model.table), pvalues(estimates(fit), standard_errors(fit)), strict=True))
    elements = candidates(model, names)
    removable: dict[object, Element] = {}
    for e in elements:
        if e.free and p[e.place] > prunealpha:
            removable.setdefault(e.parameter, e)
    fixed = [e for e in elements if not e.free and e.value == 0]
    mi, _ = indices(fit, fixed)
    return [*removable.values(), *(e for e, x in zip(fixed, mi, strict=True) if chi_square_tail(x, 1) < addalpha)]


@float64
def _try_all(fit: NetworkFit, tried: Sequence[Element], criterion: str) -> np.ndarray:
    """The criterion of every neighbour, inf where its estimation did not converge.

    All are one structure, in which every free or tried element is a natural parameter; a model is a basis that picks its own.
    """
    wider, build = enlarged(fit, [e for e in tried if not e.free])
    places = {e.place: i for i, e in enumerate(wider.table)}
    own = [int(build.index[wider.rows[places[e.place]]]) for e in tried]
    now = np.setdiff1d(np.arange(build.free), [k for e, k in zip(tried, own, strict=True) if not e.free])
    natural = build.padded(natural_values(wider, build, estimates(fit)))
    basis = np.zeros((len(tried), len(natural), padded(len(now) + 1)))
    theta = np.zeros((len(tried), basis.shape[2]))
    for lane, (e, k) in enumerate(zip(tried, own, strict=True)):
        chosen = now[now != k] if e.free else np.append(now, k)
        basis[lane, chosen, np.arange(len(chosen))] = 1.0
        theta[lane, : len(chosen)] = natural[chosen]
    structures = _lanes(build.padded_structure, basis)
    out = fit_batch(
        structures,
        fit.estimation.statistics,
        theta,
        newton=False,
        decrement=LEFT,
        chunk=LANES,
        devices=jax.devices()[:1],
    )
    npar = [fit.npar + (1 if not e.free else -1) for e in tried]
    loglik = out.value - fit.estimation.covariates_loglik
    values = [evaluate_criterion(criterion, float(x), q, fit) for x, q in zip(loglik, npar, strict=True)]
    return np.where(out.converged, values, np.inf)


def _lanes(structure: Structure, basis: np.ndarray) -> Structure:
    """The structure once for every basis: arrays lead with the lane axis."""
    repeated = jax.tree.map(lambda x: np.broadcast_to(x, (len(basis), *np.shape(x))), structure)
    return replace(repeated, basis=basis)


def _take(fit: NetworkFit, chosen: Element, criterion: str, value: float, count: int) -> NetworkFit:
    """The fit of the chosen neighbour."""
    model = fit.network
    if chosen.free:
        places, change = [e.place for e in same_parameter(model.table, chosen)], lambda e: e.fixed(0.0)
    else:
        places, change = [chosen.place], lambda e: e.freed()
    other = changed(model, at_places(model.wanted, places, change), "", log=False)
    estimation = refit_model(fit, other)
    verb = "removed" if chosen.free else "added"
    action = f"modelsearch: {verb} {named(model, [chosen])} ({criterion} {value:.3f}, the best of {count} neighbours)"
    return refitted(fit, other.but(log=model.log.then(step(action, estimation, fit))), estimation)
