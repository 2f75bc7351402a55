"""The table of elements as pandas shows it, and matrices of estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.networks._adjust import adjust_pvalues
from mlsem_jax.networks._dense import dense, derived_matrices
from mlsem_jax.networks._edit import group_numbers
from mlsem_jax.networks._fitting import estimates
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._specify import names_of
from mlsem_jax.numerics import normal_tail
from mlsem_jax.report import as_table

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax.networks._fit import Model, NetworkFit


def element_table(model: Model) -> pd.DataFrame:
    """One row for every element of the model's matrices; row and col count from 1. par numbers the parameters, 0 is fixed."""
    import pandas as pd

    numbers: dict[object, int] = {}
    rows = []
    for e in model.table:
        matrix = model.layout.matrices[e.matrix]
        var1, op, var2 = names_of(matrix, e)
        par = numbers.setdefault(e.parameter, len(numbers) + 1) if e.free else 0
        group = model.layout.group_names[e.group - 1]
        rows.append((var1, op, var2, e.matrix, e.row + 1, e.col + 1, group, par, not e.free, e.identified, e.value))
    columns = ["var1", "op", "var2", "matrix", "row", "col", "group", "par", "fixed", "identified", "value"]
    return as_table(pd.DataFrame(rows, columns=columns))


def parameters(fit: NetworkFit) -> pd.DataFrame:
    """The table of elements with estimates, standard errors and two-sided normal p-values (NaN where fixed)."""
    table = element_table(fit.network).drop(columns="value")
    est, se = estimates(fit), standard_errors(fit)
    table.insert(3, "est", est)
    table.insert(4, "se", se)
    table.insert(5, "p", pvalues(est, se))
    return table


def standard_errors(fit: NetworkFit) -> np.ndarray:
    """Of every element; NaN where it is fixed."""
    model = fit.network
    se = fit._results.estimates.se
    return np.array([se[row] if e.free else np.nan for e, row in zip(model.table, model.rows, strict=True)])


def pvalues(est: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Two-sided, normal; NaN without a standard error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(se > 0, 2 * normal_tail(np.abs(est / se)), np.nan)


def getmatrix(
    fit: NetworkFit,
    name: str,
    group: Any = None,
    threshold: bool | float = False,
    alpha: float = 0.01,
    adjust: str = "none",
) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """A matrix of estimates as in `by_group`, without its group where there is only one."""
    out = by_group(fit, name, group, threshold, alpha, adjust)
    return next(iter(out.values())) if len(out) == 1 else out


def by_group(
    fit: NetworkFit,
    name: str,
    group: Any = None,
    threshold: bool | float = False,
    alpha: float = 0.01,
    adjust: str = "none",
) -> dict[str, pd.DataFrame]:
    """A matrix of estimates, of the model or derived from it, by group label.

    threshold=True sets elements of a modelled matrix to zero whose p-value, adjusted over the matrix, exceeds alpha; a number
    sets all to zero that are smaller in size.
    """
    model = fit.network
    layout = model.layout
    values, wanted = estimates(fit), group_numbers(layout, group)
    if threshold is True:
        values = np.where(significant(fit, name, alpha, adjust), values, 0.0)
    out = {}
    for number in wanted:
        known = dense(layout, model.table, values, number)
        if name not in known:
            known |= derived_matrices(layout, model.table, known, number)
        if name not in known:
            others = [other for other in known if other not in layout.matrices]
            raise ModelError(
                f"There is no matrix {name!r} in this model.{nearest(name, known)} The model estimates "
                f"{listing(layout.matrices, 12)}; derived from them are {listing(others, 40)}."
            )
        matrix = known[name]
        if not isinstance(threshold, bool):
            matrix = np.where(np.abs(matrix) < threshold, 0.0, matrix)
        out[layout.group_names[number - 1]] = _labelled(layout, name, matrix)
    return out


def significant(fit: NetworkFit, name: str, alpha: float, adjust: str) -> np.ndarray:
    """Whether each element of a modelled matrix is significant, adjusted over its distinct parameters; True elsewhere and for
    fixed elements.
    """
    model = fit.network
    if name not in model.layout.matrices:
        modelled = listing(model.layout.matrices, 12)
        raise ModelError(
            f"{name} is derived, so its elements have no p-values and threshold=True cannot be used. The model estimates "
            f"{modelled}; give a number as threshold, or make the model with a parametrisation that has {name}."
        )
    p = pvalues(estimates(fit), standard_errors(fit))
    by_parameter = {e.parameter: p[i] for i, e in enumerate(model.table) if e.matrix == name and e.free}
    adjusted = dict(zip(by_parameter, adjust_pvalues(np.array(list(by_parameter.values())), adjust), strict=True))
    return np.array([not (e.matrix == name and e.free) or adjusted[e.parameter] <= alpha for e in model.table])


def _labelled(layout: Layout, name: str, matrix: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    if name in layout.matrices:
        known = layout.matrices[name]
        return pd.DataFrame(matrix, known.rows, known.cols or ["value"])
    names = {len(layout.variables): layout.variables}
    latent = "_zeta_" in name or "_eta" in name
    rows = layout.latents[1 if name.endswith("between") else 0] if latent else names[len(matrix)]
    return pd.DataFrame(matrix, rows, rows)
