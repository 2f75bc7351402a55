"""The summary of a pooled fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._version import __version__
from mlsem_jax.estimation import Estimation
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import Block, Estimates, Facts, Heading, Prose, Row, number
from mlsem_jax.report.summary._design import columns_of_design
from mlsem_jax.report.summary._estimates import estimate_blocks
from mlsem_jax.report.summary._model_and_fit import standard_errors_used
from mlsem_jax.report.summary._summary import Summary

if TYPE_CHECKING:
    import pandas as pd

# degrees of freedom above which t is normal to all the digits shown
_MOST = 9999
_INDICES = (
    ("Comparative Fit Index (CFI)", "cfi"),
    ("Tucker-Lewis Index (TLI)", "tli"),
    ("RMSEA", "rmsea"),
    ("90 Percent confidence interval - lower", "rmsea.ci.lower"),
    ("90 Percent confidence interval - upper", "rmsea.ci.upper"),
    ("SRMR", "srmr"),
    ("SRMR (within covariance matrix)", "srmr_within"),
    ("SRMR (between covariance matrix)", "srmr_between"),
)


def summarise_pooled(
    estimations: Sequence[Estimation],
    average: Results,
    table: pd.DataFrame,
    measures: pd.Series,
    *,
    fit_measures: bool,
    standardized: bool,
    ci: bool,
    rsquare: pd.DataFrame | None,
    df: str,
    notes: Sequence[str],
    digits: int = 3,
) -> Summary:
    """average: the model at the averaged estimates. table: pooled parameter table. df: how degrees of freedom were found."""
    blocks: list[Block] = [
        Heading(f"mlsem_jax {__version__} pooled {len(estimations)} imputations", 1),
        _counts(estimations, average),
        *_tests(measures, digits),
        *(_indices(measures, digits) if fit_measures else []),
        _errors(average, df),
    ]
    columns = ["est", "se", "t", "df", "pvalue.t", *["ci.lower", "ci.upper"] * ci, "riv", "fmi"]
    columns += ["std.lv", "std.all"] * standardized
    shown = table.rename(columns={"pvalue": "pvalue.t"})
    shown["df"] = shown["df"].where(~(shown["df"] > _MOST), np.inf)
    blocks += estimate_blocks(average, shown, columns, False, digits)
    if rsquare is not None and len(rsquare):
        lines = tuple(
            Row(f"  {name}", (number(r["est"], digits) or "NA", number(r["se"], digits)))
            for name, r in rsquare.iterrows()
        )
        blocks.append(Estimates("R-Square", ("Estimate", "Std.Err"), lines))
    blocks += [Prose("Warnings", tuple(notes))] if notes else []
    return Summary(tuple(blocks), table)


def _counts(estimations: Sequence[Estimation], average: Results) -> Facts:
    def span(values: Sequence[int]) -> str:
        return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"

    rows: list[tuple[str, ...]] = [
        ("Estimator", average.estimation.options.estimator),
        ("Number of model parameters", str(int(np.sum(average.estimation.model.build.index >= 0)))),
        ("Number of imputations", str(len(estimations))),
        ("Number of observations in each", span([e.data.nrows for e in estimations])),
    ]
    if average.estimation.data.clustered:
        name = average.estimation.data.cluster_name
        rows.append((f"Number of clusters [{name}]", span([e.data.nclusters for e in estimations])))
    rows += columns_of_design(average.estimation.data)
    return Facts("", tuple(rows))


def _tests(m: pd.Series, digits: int) -> list[Block]:
    """F statistics of the model against the unrestricted one, scaled ones where the fits are robust."""
    if "D4.F" not in m.index:
        return [
            Prose(
                "",
                ("There is no test of the model and no fit index: no unrestricted model, or test='none'.",),
            )
        ]
    suffixes = ("", ".scaled") if "D4.F.scaled" in m.index else ("",)
    rows: list[tuple[str, ...]] = []
    for name, title in (("D2", "of chi-squares"), ("D3", "at averaged estimates"), ("D4", "of stacked data")):
        for suffix in suffixes:
            rows.append((f"{name} {title}{', scaled' * bool(suffix)}: F", number(m[f"{name}.F{suffix}"], digits)))
            df = f"{int(m[f'{name}.df1'])}, {number(m[f'{name}.df2'], 1) or 'NA'}"
            rows.append(("  Degrees of freedom", df))
            rows.append(("  P-value", number(m[f"{name}.pvalue{suffix}"], digits) or "NA"))
    rows.append(("Mean of the chi-squares (no test)", number(m["chisq.mean"], digits)))
    return [Facts("Model Test User Model", tuple(rows))]


def _indices(m: pd.Series, digits: int) -> list[Block]:
    rows: list[tuple[str, ...]] = []
    for label, name in _INDICES:
        rows += [
            (label + ", scaled" * bool(suffix), number(m[name + suffix], digits))
            for suffix in ("", ".scaled")
            if name + suffix in m.index
        ]
    return [Facts("Fit indices of the pooled test", tuple(rows))] if rows else []


def _errors(average: Results, df: str) -> Facts:
    facts = standard_errors_used(average)
    rows = (
        *facts.rows,
        ("Pooled", "Rubin's rules"),
        ("Degrees of freedom of t", f"{df}"),
        (f"  shown as inf above {_MOST}",),
    )
    return Facts(facts.title, rows)
