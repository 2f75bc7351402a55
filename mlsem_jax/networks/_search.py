"""What the searches share: which elements they try, criteria, and entries of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.inference import criteria_measures
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._log import Step
from mlsem_jax.networks._table import Element

if TYPE_CHECKING:
    from mlsem_jax.estimation import Estimation
    from mlsem_jax.networks._fit import Model, NetworkFit

CRITERIA = ("bic", "aic", "bic2", "ebic.25", "ebic.5", "ebic.75", "ebic1", "none")


def search_matrices(layout: Layout, given: Sequence[str] | str | None) -> tuple[str, ...]:
    """The matrices that a search works on: those named, or the networks; in models of observed variables all covariances."""
    if given is not None:
        names = (given,) if isinstance(given, str) else tuple(given)
        return tuple(layout.matrix(name).name for name in names)
    every = layout.family == "varcov"
    return tuple(block.core for block in layout.blocks if every or block.record.network)


def candidates(model: Model, matrices: Sequence[str]) -> list[Element]:
    """The elements of these matrices that may be free or not: no variances, no scales, nothing that identifies the model."""
    found = []
    for e in model.table:
        matrix = model.layout.matrices[e.matrix]
        on_diagonal = e.row == e.col and (matrix.block is not None or matrix.cell == "beta")
        if e.matrix in matrices and not e.identified and not on_diagonal:
            found.append(e)
    return found


def check_criterion(name: str) -> None:
    if name not in CRITERIA:
        raise ModelError(
            f"criterion={name!r} is not available.{nearest(name, CRITERIA)} Use one of {', '.join(CRITERIA)}."
        )


def check_maximum(fit: NetworkFit, name: str) -> None:
    """Raise ModelError for a fit that is no maximum: its standard errors and indices mean nothing."""
    if not fit.converged:
        raise ModelError(
            f"{name}() goes by standard errors and likelihoods at a maximum, and this fit is none. {fit.status.sentence} Start "
            "from a model with fewer edges, for example an empty network (omega_...='zero') and stepup()."
        )


def check_alpha(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ModelError(f"{name}={value!r} is no significance level: it lies between 0 and 1.")


def evaluate_criterion(name: str, loglik: float, npar: int, fit: NetworkFit) -> float:
    """An information criterion with clusters as units, as psychonetrics counts."""
    measures = criteria_measures(loglik, npar, fit.nclusters, len(fit.network.layout.variables))
    return measures["aic.ll" if name == "aic" else name]


def chi_square(estimation: Estimation) -> float | None:
    """Likelihood ratio against the unrestricted model, where there is one."""
    return None if estimation.h1 is None else max(0.0, 2 * (estimation.h1.value - estimation.model.value))


def step(action: str, estimation: Estimation, fit: NetworkFit) -> Step:
    """A log entry with the fit of the model reached."""
    bic = evaluate_criterion("bic", estimation.loglik, estimation.npar, fit)
    return Step(action, estimation.npar, estimation.degrees_of_freedom, chi_square(estimation), bic)


def named(model: Model, found: Sequence[Element]) -> str:
    """Elements in words, all of them, by matrix: 'omega_within: y2-y1, y3-y1; omega_between: y3-y2'."""
    layout = model.layout
    by_matrix: dict[str, list[str]] = {}
    for e in sorted(found, key=lambda e: list(layout.matrices).index(e.matrix)):
        matrix = layout.matrices[e.matrix]
        where = f" [{layout.groups[e.group - 1]}]" if layout.groups else ""
        text = f"{matrix.rows[e.row]}-{matrix.cols[e.col]}" if matrix.cols else matrix.rows[e.row]
        by_matrix.setdefault(e.matrix, []).append(text + where)
    return "; ".join(f"{name}: {', '.join(texts)}" for name, texts in by_matrix.items())
