"""Invariance studies as a table, a text and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlsem_jax._errors import listing
from mlsem_jax.inference import Comparison
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = ("npar", "df", "chisq", "pvalue")
_SCALED = ("chisq.scaled", "pvalue.scaled", "chisq.scaling.factor")
_INDICES = ("cfi", "rmsea", "srmr")
_CRITERIA = ("aic", "bic", "logl")
# measure: the change beyond which a step is customarily said to worsen the fit, and whether a fall is for the worse
CUSTOMARY = {"cfi": 0.010, "rmsea": 0.015, "srmr": 0.010}
SRMR_OF_LOADINGS = 0.030


def invariance_table(measures: Mapping[str, pd.Series | None], differences: Mapping[str, Comparison]) -> pd.DataFrame:
    """One row a step; the changes of robust indices where the fits have them. NaN for fits that did not converge."""
    import pandas as pd

    known = [m for m in measures.values() if m is not None]
    robust = any("chisq.scaling.factor" in m for m in known)
    names = [*_PLAIN, *(_SCALED if robust else ()), *_INDICES]
    names += [f"{name}.robust" for name in ("cfi", "rmsea") if any(f"{name}.robust" in m for m in known)]
    names += _CRITERIA
    rows = {}
    for step, found in measures.items():
        row = {name: math.nan if found is None else float(found.get(name, math.nan)) for name in names}
        against = differences.get(step)
        row["chisq.diff"] = math.nan if against is None else against.difference
        row["df.diff"] = math.nan if against is None else against.df_difference
        row["pvalue.diff"] = math.nan if against is None else against.pvalue
        rows[step] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")
    for name in _INDICES:
        shown = f"{name}.robust" if f"{name}.robust" in table else name
        table[f"{name}.diff"] = table[shown].diff()
    return as_table(table)


def beyond_customary(table: pd.DataFrame) -> dict[str, list[str]]:
    """By step, the indices that change by more than is customary."""
    out = {}
    for step, row in table.iterrows():
        limits = CUSTOMARY | ({"srmr": SRMR_OF_LOADINGS} if step == "metric" else {})
        worse = {"cfi": -row["cfi.diff"], "rmsea": row["rmsea.diff"], "srmr": row["srmr.diff"]}
        out[str(step)] = [name for name, limit in limits.items() if worse[name] > limit]
    return {step: names for step, names in out.items() if names}


def invariance_text(
    table: pd.DataFrame, over: str, failed: str | None, beyond: Mapping[str, list[str]], partial: tuple[str, ...]
) -> str:
    """The table with what it says in words."""
    shown = table.drop(columns=["aic", "logl"]).round(3).to_string(na_rep="")
    lines = [f"Invariance {'over groups' if over == 'groups' else 'across levels'}", shown]
    if partial:
        lines.append(f"Free at every step: {listing(partial, 20)}.")
    lines.append(
        f"The chi-square rises significantly at {failed!r}; .score_tests says which of its constraints costs most."
        if failed
        else "No step raises the chi-square significantly."
    )
    if beyond:
        said = "; ".join(f"{step}: {', '.join(names)}" for step, names in beyond.items())
        lines.append(f"Changes beyond convention (Cheung & Rensvold 2002; Chen 2007): {said}.")
    return "\n".join(lines)
