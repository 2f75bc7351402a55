"""Tables of tests of fitted models, with lavaan's column names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlsem_jax.inference import Comparison, WaldTest
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd


def comparison_table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per model, the largest first; `scaling.factor` where the differences are scaled."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "Df": [c.df for c in comparisons],
            "AIC": [c.aic for c in comparisons],
            "BIC": [c.bic for c in comparisons],
            "Chisq": [c.chisq for c in comparisons],
            "Chisq diff": [c.difference for c in comparisons],
            "RMSEA": [c.rmsea for c in comparisons],
            "Df diff": [c.df_difference for c in comparisons],
            "Pr(>Chisq)": [c.pvalue for c in comparisons],
        },
        index=[c.name for c in comparisons],
    )
    factors = [c.factor for c in comparisons]
    if any(factor == factor and factor != 1.0 for factor in factors):
        table["scaling.factor"] = factors
    return as_table(table)


def wald_table(test: WaldTest) -> pd.DataFrame:
    """One row under lavTestWald's names."""
    import pandas as pd

    found = {"stat": [test.statistic], "df": [test.df], "p.value": [test.pvalue], "se": [test.se]}
    return as_table(pd.DataFrame(found, index=["wald"]))
