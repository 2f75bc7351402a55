"""A diagnosis of data before a fit, as text and as a table."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlsem_jax.inference import Diagnosis

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 78


class DiagnosisReport:
    """What `ml.diagnose` returns: print it, read `advice` (sentences), or take `to_dataframe()` (one row per variable)."""

    def __init__(self, diagnosis: Diagnosis):
        self.diagnosis = diagnosis

    @property
    def advice(self) -> tuple[str, ...]:
        """Sentences about what may go wrong and what to do; empty where nothing stands against a fit."""
        return self.diagnosis.advice

    def to_dataframe(self) -> pd.DataFrame:
        """One row per variable and group: levels, mean, variances, icc, p-value of no between variance, share missing."""
        import pandas as pd

        table = pd.DataFrame([asdict(v) for v in self.diagnosis.variables])
        table = table if table["categories"].any() else table.drop(columns="categories")
        return table if table["group"].any() else table.drop(columns="group")

    def __str__(self) -> str:
        d = self.diagnosis
        low, median, mean, high = d.sizes
        clusters = [
            f"{d.rows} rows in {d.clusters} clusters",
            f"cluster sizes: {low:.0f} to {high:.0f}, median {median:g}, mean {mean:.1f}; clusters of one row: {d.singles}",
        ]
        lines = [
            *(clusters if d.clusters else [f"{d.rows} rows, no clusters"]),
            *(
                f"design effect of the weights of {what}: {effect:.3g}"
                for what, effect in zip(("rows", "clusters"), d.effects, strict=True)
                if effect is not None
            ),
            "",
            self._table(),
            "",
        ]
        if not d.advice:
            lines.append("Nothing in the data stands against fitting the model.")
        for text in d.advice:
            lines += textwrap.wrap(text, WIDTH, initial_indent="* ", subsequent_indent="  ")
        return "\n".join(lines)

    __repr__ = __str__

    def _table(self) -> str:
        table = self.to_dataframe()
        if not self.diagnosis.clusters:
            table = table.drop(columns=["levels", "between", "icc", "pvalue"])
        table = table.rename(columns={"name": "variable", "pvalue": "p(ICC=0)"})
        return table.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep="")
