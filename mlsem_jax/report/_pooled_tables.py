"""Tables of what several imputations say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Pooled, PooledComparison, PooledTest, estimates
from mlsem_jax.numerics import t_quantile, t_tail
from mlsem_jax.report._shown import as_table
from mlsem_jax.report._tables import parameter_table

if TYPE_CHECKING:
    import pandas as pd


def pooled_table(estimation: Estimation, pooled: Pooled, level: float = 0.95, name: str = "est") -> pd.DataFrame:
    """The parameter table of a fit of the model with pooled numbers of all its rows and `:=` quantities; name: of the estimates."""
    table = parameter_table(estimation, estimates(estimation))
    first = table.loc[:, :"exo"] if name == "est" else table.loc[:, :"label"]
    return _with_numbers(first.copy(), pooled, level, name)


def pooled_series(names: Sequence[str], pooled: Pooled, level: float = 0.95) -> pd.DataFrame:
    """Pooled numbers, one row a name."""
    import pandas as pd

    return _with_numbers(pd.DataFrame(index=list(names)), pooled, level, "est")


def _with_numbers(table: pd.DataFrame, pooled: Pooled, level: float, name: str) -> pd.DataFrame:
    """Append estimate, se, t with its degrees of freedom and two-sided p-value, riv, fmi and confidence limits by t."""
    est, se, df = pooled.estimate, pooled.se, pooled.df
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > 0, est / se, np.nan)
        half = np.where(se > 0, t_quantile(0.5 + level / 2, df) * se, 0.0)
    table[name], table["se"], table["t"], table["df"] = est, se, t, df
    table["pvalue"] = 2 * t_tail(np.abs(t), df)
    table["riv"], table["fmi"] = pooled.riv, pooled.fmi
    table["ci.lower"], table["ci.upper"] = est - half, est + half
    return as_table(table)


def pooled_comparison_table(comparisons: Sequence[PooledComparison]) -> pd.DataFrame:
    """One row per model, the largest first: degrees of freedom, and F, df2, p and riv of D2, D3 and D4."""
    import pandas as pd

    rows = []
    for c in comparisons:
        row = {"Df": c.df, "Df diff": c.df_difference}
        for name in ("D2", "D3", "D4"):
            test = PooledTest(*[np.nan] * 4) if c.tests is None else c.tests[name]
            row |= {
                f"{name}.F": test.statistic,
                f"{name}.df2": test.df2,
                f"{name}.pvalue": test.pvalue,
                f"{name}.riv": test.riv,
            }
        rows.append(row)
    return as_table(pd.DataFrame(rows, index=[c.name for c in comparisons]))


def pooled_wald_table(test: PooledTest) -> pd.DataFrame:
    """One row."""
    import pandas as pd

    found = {"F": test.statistic, "df1": test.df1, "df2": test.df2, "pvalue": test.pvalue, "riv": test.riv}
    return as_table(pd.DataFrame(found, index=["D1"]))
