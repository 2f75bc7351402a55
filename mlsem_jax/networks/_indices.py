"""Modification indices of the elements of network models (Sorbom 1989): what freeing one fixed element would bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.estimation import Problem
from mlsem_jax.models import build
from mlsem_jax.networks._fitting import estimates, padded
from mlsem_jax.networks._search import candidates
from mlsem_jax.networks._specify import lavaan_names, names_of, specify
from mlsem_jax.networks._starts import natural_values
from mlsem_jax.networks._table import Element, at_places, count_free
from mlsem_jax.numerics import chi_square_tail, float64
from mlsem_jax.report import as_table

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax.networks._fit import Model, NetworkFit


# an element whose information, given the others, is less than this part of it alone, is not identified beside them
DETERMINED = 1e-8


def indices(fit: NetworkFit, elements: Sequence[Element]) -> tuple[np.ndarray, np.ndarray]:
    """Modification index and expected parameter change of each fixed element, freed alone.

    mi = s^2 / V and epc = s / V, with s the derivative of the log-likelihood and V the expected information of the element given
    the free ones (the observed information with missing values). NaN where V is zero: the element would not be identified.
    """
    if not elements:
        return np.zeros(0), np.zeros(0)
    wider, built = enlarged(fit, elements)
    values = estimates(fit)
    score, information = _score(fit, built, natural_values(wider, built, values))
    places = {e.place: i for i, e in enumerate(wider.table)}
    extra = np.array([built.index[wider.rows[places[e.place]]] for e in elements])
    rest = np.array([k for k in range(built.free) if k not in set(extra)], int)
    cross = information[np.ix_(rest, extra)]
    scale = 1 / np.sqrt(np.diag(information))
    known = information[np.ix_(rest, rest)] * np.outer(scale[rest], scale[rest])
    solved = scale[rest][:, None] * np.linalg.lstsq(known, scale[rest][:, None] * cross, rcond=1e-12)[0]
    alone = np.diag(information)[extra]
    v = alone - np.sum(cross * solved, axis=0)
    v = np.where(v > DETERMINED * alone, v, np.nan)
    # the score of the free parameters is zero at the maximum up to its tolerance; what is left of it is projected out
    s = score[extra] - solved.T @ score[rest]
    return s**2 / v, s / v


def enlarged(fit: NetworkFit, elements: Sequence[Element]):
    """The model with these elements free as well, and its build."""
    model = fit.network
    wider = _Wider(model, at_places(model.table, [e.place for e in elements], lambda e: e.freed()))
    return wider, build(wider.specification, fit.estimation.exogenous, padded(count_free(wider.table)))


class _Wider:
    """A table that identification does not touch again, with its specification."""

    def __init__(self, model: Model, table):
        self.layout, self.table = model.layout, table
        self.specification, self.rows = specify(model.layout, table)


@float64
def _score(fit: NetworkFit, built, natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (q,) and information (q, q) of the enlarged model at the estimates."""
    problem = Problem(built, fit.estimation.statistics)
    theta = natural[built.kept]
    here = problem.evaluate(theta)
    # with few distinct sizes the metric is the expected information itself
    return here.gradient, problem.expected(theta) if fit.estimation.statistics.pooling else here.metric


def _all_indices(fit: NetworkFit, names: Sequence[str]) -> tuple[list[Element], np.ndarray, np.ndarray]:
    """The fixed elements of these matrices with their indices, largest first, without those that would not be identified."""
    found = [e for e in candidates(fit.network, names) if not e.free]
    mi, epc = indices(fit, found)
    order = [i for i in np.argsort(-mi, kind="stable") if not np.isnan(mi[i])]
    return [found[i] for i in order], mi[order], epc[order]


def MIs(fit: NetworkFit, matrices: Sequence[str] | str | None = None, top: int | None = 10) -> pd.DataFrame:
    """Modification indices of all fixed elements, largest first; top=None for all of them."""
    import pandas as pd

    layout = fit.network.layout
    names = (
        tuple(layout.matrices) if matrices is None else (matrices,) if isinstance(matrices, str) else tuple(matrices)
    )
    for name in names:
        layout.matrix(name)
    found, mi, epc = _all_indices(fit, names)
    rows = [
        (*names_of(layout.matrices[e.matrix], e), e.matrix, e.row + 1, e.col + 1, layout.group_names[e.group - 1])
        for e in found
    ]
    table = pd.DataFrame(rows, columns=["var1", "op", "var2", "matrix", "row", "col", "group"])
    table["mi"], table["pmi"], table["epc"] = mi, chi_square_tail(mi, 1), epc
    return as_table(table.iloc[:top])


def modification_indices(
    fit: NetworkFit,
    sort: bool = True,
    minimum_value: float = 0.0,
    maximum_number: int | None = None,
    op: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """The indices of `MIs` in the form of lavaan's table; level is 0 for loadings that both levels share."""
    import pandas as pd

    layout = fit.network.layout
    found, mi, epc = _all_indices(fit, tuple(layout.matrices))
    rows = []
    for e in found:
        matrix = layout.matrices[e.matrix]
        level = 0 if len(matrix.levels) > 1 else matrix.levels[0]
        rows.append((*lavaan_names(matrix, e), level, e.group, e.matrix, e.row + 1, e.col + 1))
    table = pd.DataFrame(rows, columns=["lhs", "op", "rhs", "level", "group", "matrix", "row", "col"])
    table.insert(5, "mi", mi)
    table.insert(6, "epc", epc)
    wanted = [op] if isinstance(op, str) else op
    table = table[(table["mi"] >= minimum_value) & (True if wanted is None else table["op"].isin(wanted))]
    if not sort:
        table = table.sort_values(["group", "matrix", "col", "row"])
    return as_table(table.iloc[:maximum_number].reset_index(drop=True))
