"""Add edges one at a time, the one with the largest modification index first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._fitting import finish, refit_model, refitted
from mlsem_jax.networks._indices import indices
from mlsem_jax.networks._log import Step
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
from mlsem_jax.networks._table import at_places
from mlsem_jax.numerics import chi_square_limit, chi_square_tail

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import NetworkFit


def stepup(
    fit: NetworkFit,
    alpha: float = 0.01,
    criterion: str = "bic",
    matrices: Sequence[str] | str | None = None,
    limit: int | None = None,
) -> NetworkFit:
    """Free the element with the largest index while it, the likelihood ratio and the criterion say so; see `NetworkFit.stepup`."""
    check_alpha("alpha", alpha)
    check_criterion(criterion)
    check_maximum(fit, "stepup")
    names = search_matrices(fit.network.layout, matrices)
    current, added = fit, 0
    while limit is None or added < limit:
        better, reason = _one(current, names, alpha, criterion)
        if better is None:
            model = current.network
            model = model.but(log=model.log.then(Step(f"stepup: stopped, {reason}")))
            break
        current, added = better, added + 1
    else:
        model = current.network
    return (
        finish(refitted(current, model, current.estimation))
        if added
        else refitted(fit, model, fit.estimation, fit.warnings)
    )


def _one(fit: NetworkFit, names: Sequence[str], alpha: float, rule: str) -> tuple[NetworkFit | None, str]:
    """The fit with one more element, or None and why there is none."""
    model = fit.network
    fixed = [e for e in candidates(model, names) if not e.free]
    mi, epc = indices(fit, fixed)
    if not len(mi) or np.all(np.isnan(mi)) or np.nanmax(mi) <= chi_square_limit(alpha, 1):
        return None, f"no fixed edge of {', '.join(names) or 'any network'} has an index with p < {alpha:g}"
    best = int(np.nanargmax(mi))
    chosen = fixed[best]
    larger = changed(model, at_places(model.wanted, [chosen.place], lambda e: e.freed()), "", log=False)
    estimation = refit_model(fit, larger, {chosen.place: float(epc[best])})
    words = f"{named(model, [chosen])} (index {mi[best]:.3f}, expected change {epc[best]:.4f})"
    if not estimation.model.maximum.status.converged:
        return None, f"the model with {words} has no maximum that could be found"
    gain = 2 * (estimation.model.value - fit.estimation.model.value)
    if chi_square_tail(gain, estimation.npar - fit.npar) >= alpha:
        return None, f"adding {words} gains {gain:.3f} in chi-square, which is not significant"
    if rule != "none":
        before = evaluate_criterion(rule, fit.loglik, fit.npar, fit)
        after = evaluate_criterion(rule, estimation.loglik, estimation.npar, fit)
        if after > before:
            return None, f"adding {words} raises {rule} by {after - before:.3f}"
    larger = larger.but(log=model.log.then(step(f"stepup: added {words}", estimation, fit)))
    return refitted(fit, larger, estimation), ""
