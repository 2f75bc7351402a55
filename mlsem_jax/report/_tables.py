"""Results as pandas tables under lavaan's column and row names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Estimates, Standardized, rsquare
from mlsem_jax.numerics import normal_quantile, normal_tail

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax.report._results import Results


def parameter_table(estimation: Estimation, estimates: Estimates, level: float = 0.95) -> pd.DataFrame:
    """lavaan's parameter table: one row per parameter, free or fixed, then the `:=` quantities and the constraints.

    se, z and pvalue are NaN for fixed rows; confidence limits at `level`; `level` and `group` columns are 0 for rows that
    belong to none.
    """
    import pandas as pd

    specification = estimation.model.build.specification
    rows = [
        {
            "lhs": row.lhs,
            "op": row.op,
            "rhs": row.rhs,
            "block": len(specification.levels) * (row.group - 1) + row.level,
            "level": row.level,
            "group": row.group,
            "label": row.shown_label,
            "free": int(index) + 1,
            "exo": int(row.exo),
        }
        for row, index in zip(specification.parameters, estimation.model.build.index, strict=True)
    ]
    rows += [
        dict(
            lhs=d.name,
            op=":=",
            rhs=d.text.split(":=", 1)[-1].replace(" ", "") or str(d.expression),
            block=0,
            level=0,
            group=0,
            label=d.name,
            free=0,
            exo=0,
        )
        for d in specification.definitions
    ]
    table = pd.DataFrame(rows)
    table["est"] = np.concatenate([estimates.values, estimates.defined])
    table["se"] = np.concatenate([estimates.se, estimates.defined_se])
    return add_tests(table, level)


def standardized_table(table: pd.DataFrame, standardized: Standardized, level: float = 0.95) -> pd.DataFrame:
    """The rows of a parameter table with their standardized estimates and tests of these.

    z and pvalue are NaN for rows without sampling variation, such as a factor's own standardized variance.
    """
    out = table[["lhs", "op", "rhs", "block", "level", "group", "label"]].copy()
    out["est.std"], out["se"] = standardized.values, standardized.se
    return add_tests(out, level, "est.std")


def add_tests(table: pd.DataFrame, level: float, estimate: str = "est") -> pd.DataFrame:
    """Append z, two-sided normal p-value and confidence limits to a table with an estimate and a `se` column."""
    est, se = table[estimate].to_numpy(float), table["se"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(se > 0, est / se, np.nan)
    half = normal_quantile(0.5 + level / 2) * np.where(np.isnan(se), 0.0, se)
    table["z"], table["pvalue"] = z, 2 * normal_tail(np.abs(z))
    table["ci.lower"], table["ci.upper"] = est - half, est + half
    return table


def with_rsquare(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The table with a row for the explained variance of every endogenous variable: op "r2", both sides its name."""
    import pandas as pd

    levels = results.specification.numbers
    rows = [
        {
            "lhs": name,
            "op": "r2",
            "rhs": name,
            "block": len(levels) * group + level,
            "level": level,
            "group": group + 1,
            "label": "",
            "free": 0,
            "exo": 0,
            "est": share,
        }
        for group, parts in enumerate(rsquare(results.estimation))
        for level, shares in zip(levels, parts, strict=False)
        for name, share in shares.items()
    ]
    added = pd.DataFrame(rows, columns=list(table.columns)).astype(table.dtypes.to_dict())
    return pd.concat([table, added], ignore_index=True) if rows else table
