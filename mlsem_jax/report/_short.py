"""A fit in a few lines: what `repr` and the last line of a notebook's cell show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.likelihood import PatternTerm
from mlsem_jax.report._inspect_data import number_of_clusters
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary import Facts, html, number

if TYPE_CHECKING:
    import pandas as pd

_INDICES = (("CFI", "cfi"), ("TLI", "tli"), ("RMSEA", "rmsea"))


def short_text(results: Results, function: str) -> str:
    """What was fitted to how much and how it ended; the test and indices of fit, where they cost nothing more; what to ask next."""
    lines = [f"<mlsem_jax.Fit: {', '.join(_facts(results, function))}", *(f" {line}" for line in _fit(results))]
    return "\n".join([*lines, " estimates: print(fit.summary())>"])


def short_html(results: Results, function: str) -> str:
    """The same as a small table."""
    rows = [*_facts(results, function), *(part for line in _fit(results) for part in line.split("; "))]
    return html([Facts("mlsem_jax.Fit", tuple((row,) for row in rows))])


def _facts(results: Results, function: str) -> list[str]:
    estimation = results.estimation
    data = estimation.data
    of = f" in {number_of_clusters(data)} clusters" if data.clustered else ""
    name = estimation.options.estimator if estimation.limited is not None else f"loglik {estimation.loglik:.3f}"
    made = [] if function == "sem" else [f"by {function}()"]
    return [f"{estimation.npar} parameters", f"{data.nrows} rows{of}", name, results.status.name.lower(), *made]


def _fit(results: Results) -> list[str]:
    measures = _at_hand(results)
    return [] if measures is None else [line for line in (_test(measures), _indices(measures)) if line]


def _at_hand(results: Results) -> pd.Series | None:
    """Fit measures where they are known already or follow from what is: with missing values scaled tests take a while."""
    if not results.converged or (results.estimation.h1 is None and results.estimation.limited is None):
        return None
    known = "_measures" in vars(results)
    return results.measures() if known or results.estimation.statistics.first(PatternTerm) is None else None


def _test(m: pd.Series) -> str:
    scaled = ".scaled" if "chisq.scaled" in m.index else ""
    if f"chisq{scaled}" not in m.index:
        return ""
    p = m[f"pvalue{scaled}"]
    shown = "" if np.isnan(p) else f", p = {number(p)}"
    return f"chi-square{' (scaled)' * bool(scaled)} {number(m[f'chisq{scaled}'])} on {m[f'df{scaled}']:g} df{shown}"


def _indices(m: pd.Series) -> str:
    found = []
    for word, name in _INDICES:
        best = next(
            (key for key in (f"{name}.robust", f"{name}.scaled", name) if key in m and not np.isnan(m[key])), ""
        )
        if best:
            found.append(f"{word} {number(m[best])}")
    if "srmr_within" in m:
        levels = [(level, m[f"srmr_{level}"]) for level in ("within", "between")]
        shown = [f"{number(value)} {level}" for level, value in levels if not np.isnan(value)]
        found += [f"SRMR {', '.join(shown)}"] if shown else []
    elif "srmr" in m and not np.isnan(m["srmr"]):
        found.append(f"SRMR {number(m['srmr'])}")
    return "; ".join(found)
