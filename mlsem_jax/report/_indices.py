"""Modification indices and score tests as tables."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.inference import Added, Modification, ScoreTest
from mlsem_jax.numerics import chi_square_tail
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd


def chosen_measures(measures: pd.Series, wanted: Sequence[str]) -> pd.Series:
    """Some fit measures by name, in the order asked for; '_' may stand for '.'."""
    known = {name.lower().replace("_", "."): name for name in measures.index}
    found = []
    for name in wanted:
        key = name.lower().replace("_", ".")
        if key not in known:
            near = nearest(name, measures.index) or f" It has {listing(measures.index, 60)}."
            raise ModelError(f"This fit has no measure {name!r}.{near}")
        found.append(known[key])
    return measures[found]


def modification_table(
    modification: Modification,
    sort: bool = True,
    minimum_value: float = 0.0,
    maximum_number: int | None = None,
    op: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per candidate, the largest index first if sorted; only indices of at least minimum_value, only the operators op."""
    import pandas as pd

    # in numbers first: every step of a table costs as much as all indices
    at = np.flatnonzero(modification.mi >= minimum_value)
    if op is not None:
        wanted = (op,) if isinstance(op, str) else tuple(op)
        at = np.array([i for i in at if modification.rows[i].op in wanted], int)
    if sort:
        at = at[np.argsort(-modification.mi[at], kind="stable")]
    at = at[:maximum_number] if maximum_number else at
    # where none is left, types of columns as with all
    shown = at if len(at) else np.arange(len(modification.rows))
    rows = [modification.rows[i] for i in shown]
    columns = {
        "lhs": _texts(tuple(row.lhs for row in rows)).copy(),
        "op": _texts(tuple(row.op for row in rows)).copy(),
        "rhs": _texts(tuple(row.rhs for row in rows)).copy(),
        "level": np.array([row.level for row in rows], int),
        "group": np.array([row.group for row in rows], int),
        "mi": modification.mi[shown],
        "epc": modification.epc[shown],
        "sepc.lv": modification.epc_lv[shown],
        "sepc.all": modification.epc_all[shown],
    }
    table = pd.DataFrame(columns, copy=False)
    return as_table(table if len(at) else table.head(0))


@functools.lru_cache(64)
def _texts(values: tuple[str, ...]) -> Any:
    """A column of texts as pandas has it, to be copied: to find their type takes longer than to compute the indices."""
    import pandas as pd

    return pd.DataFrame({"": list(values)})[""].array


def score_table(tests: Sequence[ScoreTest]) -> pd.DataFrame:
    """lavaan's columns; the first row releases everything at once."""
    import pandas as pd

    rows = [(t.lhs, "==" if t.rhs else "", t.rhs, t.statistic, t.df, t.pvalue) for t in tests]
    return as_table(pd.DataFrame(rows, columns=["lhs", "op", "rhs", "X2", "df", "p.value"]))


def added_table(added: Added) -> pd.DataFrame:
    """The columns of `score_table`, with a row for all added parameters together and one for each alone."""
    import pandas as pd

    each = [
        (f"{row.lhs}{row.op}{row.rhs}", row.level, row.group, x, 1)
        for row, x in zip(added.rows, added.alone, strict=True)
    ]
    rows = [("total", 0, 0, added.statistic, added.df), *each]
    table = pd.DataFrame(rows, columns=["lhs", "level", "group", "X2", "df"])
    table["p.value"] = [float(chi_square_tail(x, df)) for x, df in zip(table["X2"], table["df"], strict=True)]
    table.insert(1, "op", ["", *["=="] * len(each)])
    table.insert(2, "rhs", ["", *["0"] * len(each)])
    return as_table(table)
