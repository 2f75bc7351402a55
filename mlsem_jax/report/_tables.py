"""Results as pandas tables under lavaan's column and row names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Estimates, Standardized, rsquare
from mlsem_jax.models import Specification, remembered
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

    build = estimation.model.build
    columns = {name: column.copy() for name, column in _described(build.specification).items()}
    columns["free"] = np.concatenate([build.index + 1, np.zeros(len(build.specification.definitions), int)])
    columns["exo"] = columns.pop("exo")
    est = np.concatenate([estimates.values, estimates.defined])
    se = np.concatenate([estimates.se, estimates.defined_se])
    # all columns at once: each one that is added to a table costs as much as the table
    columns |= {"est": est, "se": se} | tests_of(est, se, level)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(est)), copy=False)


@remembered
def _described(specification: Specification) -> dict[str, Any]:
    """The columns of the table, as pandas has them, that the text decides: the rows, then the `:=` quantities."""
    import pandas as pd

    levels = len(specification.levels)
    rows: list[tuple[Any, ...]] = [
        (r.lhs, r.op, r.rhs, levels * (r.group - 1) + r.level, r.level, r.group, r.shown_label, int(r.exo))
        for r in specification.parameters
    ]
    for d in specification.definitions:
        rhs = d.text.split(":=", 1)[-1].replace(" ", "") or str(d.expression)
        rows.append((d.name, ":=", rhs, 0, 0, 0, d.name, 0))
    table = pd.DataFrame(rows, columns=["lhs", "op", "rhs", "block", "level", "group", "label", "exo"])
    return {name: table[name].array for name in table}


def standardized_table(table: pd.DataFrame, standardized: Standardized, level: float = 0.95) -> pd.DataFrame:
    """The rows of a parameter table with their standardized estimates and tests of these.

    z and pvalue are NaN for rows without sampling variation, such as a factor's own standardized variance.
    """
    import pandas as pd

    told = {name: table[name].array for name in ("lhs", "op", "rhs", "block", "level", "group", "label")}
    columns = told | {"est.std": standardized.values, "se": standardized.se}
    return pd.DataFrame(columns | tests_of(standardized.values, standardized.se, level), index=table.index)


def tests_of(est: np.ndarray, se: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """The columns z, two-sided normal p-value and confidence limits of estimates and their standard errors (rows,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(se > 0, est / se, np.nan)
    half = normal_quantile(0.5 + level / 2) * np.where(np.isnan(se), 0.0, se)
    limits = {"ci.lower": est - half, "ci.upper": est + half}
    return {"z": z, "pvalue": 2 * normal_tail(np.abs(z)), **limits}


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
