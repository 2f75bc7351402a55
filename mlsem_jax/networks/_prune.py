"""Remove edges that are not significant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlsem_jax._fit import Fit
from mlsem_jax.networks._adjust import adjust_pvalues
from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._fitting import estimates, finish, intermediate, refit_model
from mlsem_jax.networks._log import Step
from mlsem_jax.networks._model import model_of
from mlsem_jax.networks._parameters import pvalues, standard_errors
from mlsem_jax.networks._search import candidates, check_alpha, check_maximum, named, search_matrices, step
from mlsem_jax.networks._table import Element, at_places, same_parameter


def prune(
    fit: Fit,
    alpha: float = 0.01,
    adjust: str = "none",
    recursive: bool = False,
    matrices: Sequence[str] | str | None = None,
    limit: int | None = None,
) -> Fit:
    """Fix all tested edges with adjusted p > alpha at zero together and refit; see `Fit.prune`."""
    check_alpha("alpha", alpha)
    check_maximum(fit, "prune")
    names = search_matrices(model_of(fit).layout, matrices)
    current, changes = fit, False
    while True:
        removed = _insignificant(current, names, alpha, adjust, limit)
        model = model_of(current)
        if not removed:
            action = f"prune: no edge of {', '.join(names) or 'any network'} with p > {alpha:g} (adjust: {adjust})"
            model = model.but(log=model.log.then(Step(action)))
            return finish(model, current.estimation) if changes else intermediate(model, fit.estimation, fit.warnings)
        places = [o.place for e in removed for o in same_parameter(model.table, e)]
        smaller = changed(model, at_places(model.wanted, places, lambda e: e.fixed(0.0)), "", log=False)
        estimation = refit_model(current, smaller)
        what = f"{len(removed)} edge{'s' * (len(removed) != 1)} with p > {alpha:g} (adjust: {adjust})"
        action = f"prune: removed {what}: {named(model, removed)}"
        smaller = smaller.but(log=model.log.then(step(action, estimation, fit)))
        if not recursive or not estimation.model.maximum.status.converged:
            return finish(smaller, estimation)
        current, changes = intermediate(smaller, estimation), True


def _insignificant(fit: Fit, names: Sequence[str], alpha: float, adjust: str, limit: int | None) -> list[Element]:
    """One element for each tested parameter with adjusted p > alpha, the largest p first."""
    model = model_of(fit)
    p = dict(zip((e.place for e in model.table), pvalues(estimates(fit), standard_errors(fit)), strict=True))
    tested: dict[object, Element] = {}
    for e in candidates(model, names):
        if e.free:
            tested.setdefault(e.parameter, e)
    elements = list(tested.values())
    adjusted = adjust_pvalues(np.array([p[e.place] for e in elements]), adjust)
    order = [i for i in np.argsort(-np.nan_to_num(adjusted), kind="stable") if adjusted[i] > alpha]
    return [elements[i] for i in order[:limit]]
