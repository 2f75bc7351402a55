"""Is the point where the search stopped a maximum, and a proper one? Statuses are decided here and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import null_space

from mlsem_jax._errors import ConvergenceWarning, ImproperSolutionWarning, listing
from mlsem_jax._status import Status
from mlsem_jax.estimation._records import Estimation, Fitted

# eigenvalue of the information, scaled to unit diagonal, below which a direction counts as flat: rounding of the Hessian is
# about 1e-13 there, and parameters that are identified by a real data set stay above 1e-8
FLAT = 1e-9
# a variance this far below zero, relative to the largest variance of its variable, is more than rounding
NEGATIVE = 1e-8


def verified(model: Fitted) -> tuple[Status, tuple[str, ...]]:
    """The status of a search after checks on its end point, and sentences that name what is wrong."""
    maximum = model.maximum
    if not maximum.status.converged:
        return maximum.status, ()
    flat, negative = _directions(model)
    if flat:
        names = listing(flat)
        return Status.NOT_IDENTIFIED, (f"Not identified, or only together: {names}. {Status.NOT_IDENTIFIED.advice}",)
    if negative:
        return Status.STALLED, ("The point found is a saddle of the likelihood, not a maximum.",)
    improper = improper_parameters(model)
    if improper:
        return Status.IMPROPER, tuple(improper)
    return (Status.BOUNDARY if maximum.jacobian is not None and _active(maximum) else Status.CONVERGED), ()


def _active(maximum) -> bool:
    return maximum.status is Status.BOUNDARY


def _directions(model: Fitted) -> tuple[list[str], bool]:
    """Names of the parameters in flat directions of the information, and whether a direction curves upwards."""
    information = model.maximum.information
    if not len(information):
        return [], False
    jacobian = model.maximum.jacobian
    z = np.eye(len(information)) if jacobian is None or not len(jacobian) else null_space(jacobian)
    reduced = z.T @ information @ z
    diagonal = np.diag(reduced)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, np.maximum(np.abs(diagonal), 1e-300)))
    values, vectors = np.linalg.eigh(reduced * np.outer(scale, scale))
    if values[0] < -1e-6:
        return [], True
    flat = z @ (scale[:, None] * vectors[:, values < FLAT])
    if not flat.shape[1]:
        return [], False
    size = np.abs(flat / np.maximum(np.abs(flat).max(0), 1e-300)).max(1)
    names = [model.build.names[k] for k in model.build.kept]
    return [name for name, weight in zip(names, size, strict=True) if weight > 0.05], False


def improper_parameters(model: Fitted) -> list[str]:
    """Sentences for negative variances and for latent covariance matrices that are not positive semidefinite."""
    specification, moments = model.build.specification, model.moments
    place = {name: i for i, name in enumerate(specification.variables)}
    words = {1: "within", 2: "between"}
    out, natural = [], model.natural
    for row, index in zip(specification.parameters, model.build.index, strict=True):
        if index < 0 or row.op != "~~" or row.lhs != row.rhs or natural[index] >= 0:
            continue
        i = place.get(row.lhs)
        size = (
            1.0
            if i is None
            else max(moments.within_cov[row.group - 1, i, i], abs(moments.between_cov[row.group - 1, i, i]))
        )
        if natural[index] < -NEGATIVE * size:
            group = f", group {specification.groups[row.group - 1]}" if specification.groups else ""
            what = "residual variance" if row.lhs in place else "variance"
            out.append(
                f"Improper solution: the {what} of {row.lhs} at the {words[row.level]} level{group} is estimated at "
                f"{natural[index]:.4g}. If this is a variance near zero, fix it ({row.lhs} ~~ 0*{row.lhs}) or use "
                f"bounds='pos.var'; a likelihood-ratio test of a variance at zero has a mixture of chi-squares as its reference."
            )
    return out


def with_status(estimation: Estimation) -> Estimation:
    """The estimation with its verified status and the sentences about it."""
    status, notes = verified(estimation.model)
    maximum = replace(estimation.model.maximum, status=status)
    model = replace(estimation.model, maximum=maximum)
    return replace(estimation, model=model, notes=(*estimation.notes, *notes))


def fit_warnings(estimation: Estimation) -> list[Warning]:
    """What a user should be told when the fit is made."""
    status = estimation.model.maximum.status
    kind = ImproperSolutionWarning if status is Status.IMPROPER else ConvergenceWarning
    out: list[Warning] = []
    if not status.converged:
        out.append(ConvergenceWarning(f"{status.sentence} {status.advice}"))
    return out + [kind(note) for note in estimation.notes]
