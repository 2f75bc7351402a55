"""Remove edges that are not significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.inference import difference_factor
from mlsem_jax.networks._adjust import adjust_pvalues
from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._fitting import estimates, finish, refit_model, refitted
from mlsem_jax.networks._log import Step
from mlsem_jax.networks._parameters import pvalues, standard_errors
from mlsem_jax.networks._search import candidates, check_alpha, check_maximum, named, search_matrices, step
from mlsem_jax.networks._table import Element, at_places, same_parameter
from mlsem_jax.numerics import chi_square_tail

if TYPE_CHECKING:
    from mlsem_jax.estimation import Estimation
    from mlsem_jax.networks._fit import NetworkFit

# significance level at which a pruned model is said to fit worse than the one it was made from
WORSE = 0.001


def prune(
    fit: NetworkFit,
    alpha: float = 0.01,
    adjust: str = "none",
    recursive: bool = False,
    matrices: Sequence[str] | str | None = None,
    limit: int | None = None,
) -> NetworkFit:
    """Fix all tested edges with adjusted p > alpha at zero together and refit; see `NetworkFit.prune`."""
    check_alpha("alpha", alpha)
    check_maximum(fit, "prune")
    names = search_matrices(fit.network.layout, matrices)
    current, changes = fit, False
    while True:
        removed = _insignificant(current, names, alpha, adjust, limit)
        model = current.network
        if not removed and changes:
            break
        if not removed:
            action = f"prune: no edge of {', '.join(names) or 'any network'} with p > {alpha:g} (adjust: {adjust})"
            return refitted(fit, model.but(log=model.log.then(Step(action))), fit.estimation, fit.warnings)
        places = [o.place for e in removed for o in same_parameter(model.table, e)]
        smaller = changed(model, at_places(model.wanted, places, lambda e: e.fixed(0.0)), "", log=False)
        estimation = refit_model(current, smaller)
        what = f"{len(removed)} edge{'s' * (len(removed) != 1)} with p > {alpha:g} (adjust: {adjust})"
        action = f"prune: removed {what}: {named(model, removed)}"
        smaller = smaller.but(log=model.log.then(step(action, estimation, fit)))
        current, changes = refitted(current, smaller, estimation), True
        if not recursive or not estimation.model.maximum.status.converged:
            break
    return _judged(fit, current, alpha)


def _judged(fit: NetworkFit, pruned: NetworkFit, alpha: float) -> NetworkFit:
    """The pruned fit with a warning, in its log too, where it fits significantly worse than the fit it was made from.

    Edges that are not significant one by one may carry much together: their estimates are uncertain because they hang together.
    """
    model, estimation = pruned.network, pruned.estimation
    if not estimation.model.maximum.status.converged:
        return finish(pruned)
    df = fit.npar - pruned.npar
    factor = difference_factor(estimation, fit.estimation) if _scaled(estimation) else 1.0
    statistic = 2 * (fit.loglik - pruned.loglik) / (factor if factor > 0 else 1.0)
    p = float(chi_square_tail(max(statistic, 0.0), df))
    if not p < WORSE:
        return finish(pruned)
    now = {e.place: e for e in model.table}
    gone = [e for e in fit.network.table if e.free and not now[e.place].free]
    count = ", ".join(f"{n} in {name}" for name, n in Counter(e.matrix for e in gone).items())
    kind = "scaled likelihood ratio" if factor != 1.0 and factor > 0 else "likelihood ratio"
    sentence = (
        f"The pruned model fits significantly worse than the one it came from: {kind} {statistic:.1f} on {df} df, "
        f"p {'< 1e-16' if p < 1e-16 else f'= {p:.2g}'}. Edges removed: {count}. None is significant at {alpha:g} alone, but "
        "together they matter. Prune fewer at a time (limit=1, recursive=True), leave a matrix out (matrices=), or start from "
        "an empty network and stepup()."
    )
    said = model.but(log=model.log.then(Step(f"prune: {sentence}")))
    return finish(refitted(pruned, said, estimation), [sentence])


def _scaled(estimation: Estimation) -> bool:
    return estimation.options.robust and estimation.h1 is not None


def _insignificant(
    fit: NetworkFit, names: Sequence[str], alpha: float, adjust: str, limit: int | None
) -> list[Element]:
    """One element for each tested parameter with adjusted p > alpha, the largest p first."""
    model = fit.network
    p = dict(zip((e.place for e in model.table), pvalues(estimates(fit), standard_errors(fit)), strict=True))
    tested: dict[object, Element] = {}
    for e in candidates(model, names):
        if e.free:
            tested.setdefault(e.parameter, e)
    elements = list(tested.values())
    adjusted = adjust_pvalues(np.array([p[e.place] for e in elements]), adjust)
    order = [i for i in np.argsort(-np.nan_to_num(adjusted), kind="stable") if adjusted[i] > alpha]
    return [elements[i] for i in order[:limit]]
