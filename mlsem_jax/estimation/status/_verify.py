"""Is the point where the search of a single fit stopped a maximum? Whether a proper one, `_status` decides, as for batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax._errors import ConvergenceWarning, ImproperSolutionWarning, ModelWarning, listing
from mlsem_jax._status import Status
from mlsem_jax.estimation.problem import Estimation, Fitted
from mlsem_jax.estimation.status._design_notes import design_notes
from mlsem_jax.estimation.status._diagnosis import (
    flat_directions,
    gain_outside_flat,
    improper_parameters,
    running_off,
    singular_edge,
    singular_network,
)
from mlsem_jax.estimation.status._identified import identified_elsewhere, remedy, unidentified
from mlsem_jax.estimation.status._status import improper, with_improper


def verified(model: Fitted) -> tuple[Status, tuple[str, ...]]:
    """The status of a search after checks on its end point, and sentences that name what is wrong."""
    maximum, build = model.maximum, model.build
    status = maximum.status
    if not np.all(np.isfinite(maximum.theta)) or not np.isfinite(maximum.value):
        return Status.NON_FINITE, ()
    open_ = unidentified(model.problem, maximum)
    if open_:
        return Status.NOT_IDENTIFIED, (_not_identified(model, open_),)
    flat, upward = flat_directions(maximum, build.theta_names)
    if (flat or not status.converged) and singular_network(build.structure, model.natural):
        return Status.NO_MAXIMUM, ()
    if not status.converged:
        edge = singular_edge(model.problem, maximum.theta)
        if edge is not None and status is not Status.NON_FINITE:
            return Status.NO_MAXIMUM, (edge,)
        if flat and maximum.observed is not None and gain_outside_flat(maximum) < 1e-6:
            return _flat(model, flat)
        away = running_off(maximum, build.theta_names)
        return (Status.NO_MAXIMUM, (_runs_off(away),)) if away else (status, ())
    if upward:
        return Status.STALLED, ("The point found is a saddle of the likelihood, not a maximum.",)
    if flat:
        edge = singular_edge(model.problem, maximum.theta)
        return _flat(model, flat) if edge is None else (Status.NO_MAXIMUM, (edge,))
    found = improper(np, build.structure, model.natural, model.moments)
    return Status(int(with_improper(np, status, found.any()))), tuple(improper_parameters(model, found))


def _flat(model: Fitted, names: list[str]) -> tuple[Status, tuple[str, ...]]:
    """Status and sentence of an end where the likelihood is flat in the named parameters."""
    constrained = model.maximum.jacobian is not None
    if not constrained and identified_elsewhere(model.problem):
        return Status.NO_MAXIMUM, (_runs_off(names),)
    return Status.NOT_IDENTIFIED, (_not_identified(model, names),)


def _not_identified(model: Fitted, names: list[str]) -> str:
    what = f"Not identified, or only together: {listing(names, 8)}."
    return f"{what} {remedy(model.build, names)} Until then there are no standard errors."


def _runs_off(names: list[str]) -> str:
    return (
        f"The likelihood hardly changes, but keeps rising, while these parameters run off together: {listing(names)}."
    )


# where residual variances are the units of latent responses
_EXPLAINED_WHOLE = (
    "Where a model explains more than all of the variance of an ordered variable, parameterization='delta' has an estimate, with a "
    "negative residual variance."
)


def _scaled(estimation: Estimation) -> bool:
    return any(row.is_scale for row in estimation.model.build.specification.parameters)


def with_status(estimation: Estimation) -> Estimation:
    """The estimation with its verified status and the sentences about it."""
    status, notes = verified(estimation.model)
    if status is Status.NO_MAXIMUM and estimation.limited is not None and not _scaled(estimation):
        notes = (*notes, _EXPLAINED_WHOLE)
    maximum = replace(estimation.model.maximum, status=status)
    model = replace(estimation.model, maximum=maximum)
    return replace(estimation, model=model, notes=(*estimation.notes, *notes, *model.notes))


def fit_warnings(estimation: Estimation) -> list[Warning]:
    """What a user should be told when the fit is made."""
    status, path = estimation.model.maximum.status, estimation.model.notes
    kind = ImproperSolutionWarning if status is Status.IMPROPER else ConvergenceWarning
    out: list[Warning] = []
    if not status.converged:
        out.append(ConvergenceWarning(f"{estimation.status.sentence} {estimation.status.advice}"))
    out += [ModelWarning(sentence) for sentence in design_notes(estimation)]
    # how the maximum was reached is no fault of the estimates
    return out + [ModelWarning(note) if note in path else kind(note) for note in estimation.notes]
