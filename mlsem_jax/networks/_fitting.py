"""From a model to a Fit, and from a Fit to the fit of a changed model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._errors import ImproperSolutionWarning, ModelWarning
from mlsem_jax.estimation import Estimation, estimate_model, fit_warnings, refit
from mlsem_jax.models import Cell, Level, Parameter, Specification
from mlsem_jax.networks._diagnose import degenerate
from mlsem_jax.networks._starts import element_values, first_values, natural_values, repaired
from mlsem_jax.networks._table import Table, count_free
from mlsem_jax.report import notice_if_slow, progress

if TYPE_CHECKING:
    from mlsem_jax.networks._fit import Model, NetworkFit

# models whose numbers of parameters share a multiple of this share compiled programs
WIDTH = 8
# a search that adds parameters makes room for this many at a time, so that it compiles once
ROOM = 16


def estimate(model: Model) -> Estimation:
    """Estimate a model from scratch, with its unrestricted model and baseline."""
    with nullcontext() if model.options.verbose else notice_if_slow():
        return estimate_model(
            model.specification,
            model.data,
            model.options,
            start=lambda build, unrestricted: first_values(model, build, unrestricted),
            baseline=baseline(model),
            pad_to=padded(count_free(model.table)),
            report=progress() if model.options.verbose else None,
        )


def refit_model(fit: NetworkFit, model: Model, values: dict | None = None) -> Estimation:
    """Estimate a changed model of the same data from the estimates of a fit; values: others for some places of its table."""
    old = fit.network
    known = dict(zip((e.place for e in old.table), estimates(fit), strict=True)) | (values or {})
    start = np.array([_begin(e, known) for e in model.table])
    start = repaired(model.layout, model.table, start)
    return refit(
        fit.estimation,
        model.specification,
        lambda build, _: natural_values(model, build, start),
        width(fit, model.table),
    )


def _begin(element, known: dict) -> float:
    if not element.free:
        return element.value
    return known.get(element.place, 0.0) if element.start is None else element.start


def width(fit: NetworkFit, table: Table) -> int:
    """Columns of the basis for another model of this fit's data: as many as now, or with room where it needs more."""
    now, need = fit.estimation.model.build.width, count_free(table)
    return now if need <= now else padded(need + ROOM - 1)


def padded(count: int) -> int:
    """Width of the basis for so many parameters."""
    return -(-count // WIDTH) * WIDTH


def finish(fit: NetworkFit, more: Sequence[str] = ()) -> NetworkFit:
    """The fit with its warnings, which are issued; more: sentences that come first."""
    raised: list[Warning] = [ModelWarning(sentence) for sentence in more]
    raised += fit_warnings(fit.estimation)
    raised += [ImproperSolutionWarning(sentence) for sentence in degenerate(fit.network, fit)]
    for warning in raised:
        warnings.warn(warning, stacklevel=5)
    return replace(fit, warnings=tuple(map(str, raised)))


def refitted(fit: NetworkFit, model: Model, estimation: Estimation, sentences: Sequence[str] = ()) -> NetworkFit:
    """The fit of a changed model, without warnings of its own: a step of a search, or a fit that a search left as it was."""
    return replace(fit, network=model, estimation=estimation, warnings=tuple(sentences))


def estimates(fit: NetworkFit) -> np.ndarray:
    """The value of every element of the fit's table."""
    build = fit.estimation.model.build
    return element_values(fit.network, build, fit.estimation.model.natural)


def baseline(model: Model) -> Specification:
    """Means and variances of both levels. Of the equalities across groups that a user asks for by `equal`, those that it can
    express hold here too, as in psychonetrics, where it is a model of lower triangular matrices: mu, lowertri_*.
    """
    layout, rows = model.layout, []
    common = set(model.equal)
    for group in range(1, layout.ngroups + 1):
        for level in (1, 2):
            held = {
                f"lowertri_{where}" for where in (("within", "zeta_within"), ("between", "zeta_between"))[level - 1]
            }
            for i, name in enumerate(layout.variables):
                if name in layout.absent(level):
                    continue
                label = f".pvariance{i}.{level}" if held & common else ""
                rows.append(Parameter(name, "~~", name, level, group, label=label, cell=Cell("theta", i, i)))
                if level == 2 or name in layout.within_only:
                    label = f".pmean{i}" if "mu" in common else ""
                    rows.append(Parameter(name, "~1", "", level, group, label=label, cell=Cell("nu", i)))
    levels = [
        Level(tuple(v for v in layout.variables if v not in layout.absent(level)), (), (), "", (), "cov", "cov")
        for level in (1, 2)
    ]
    return Specification(levels[0], levels[1], tuple(rows), groups=layout.groups)
