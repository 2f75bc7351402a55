"""The summary of a fit: what lavaan prints, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsem_jax._version import __version__
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import Block, Estimates, Heading, Prose, Row, number
from mlsem_jax.report.summary._estimates import estimate_blocks, value_columns
from mlsem_jax.report.summary._html import html
from mlsem_jax.report.summary._markup import latex, markdown
from mlsem_jax.report.summary._model_and_fit import fit_blocks, header, model_test, standard_errors_used
from mlsem_jax.report.summary._provenance import provenance_blocks
from mlsem_jax.report.summary._text import text

if TYPE_CHECKING:
    import pandas as pd

_INDICES = 10


@dataclass(frozen=True)
class Summary:
    """A fit in words and numbers: print it, or show it in a notebook.

    `str(summary)` has lavaan's layout; `to_markdown()`, `to_latex()`, `to_html()` are for papers and pages, `to_dataframe()`
    is the table of estimates behind it.
    """

    blocks: tuple[Block, ...] = field(repr=False)
    table: pd.DataFrame = field(repr=False)

    def __str__(self) -> str:
        return text(self.blocks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self.blocks)

    def to_html(self) -> str:
        """The summary as one <div> with its style sheet."""
        return html(self.blocks)

    def to_markdown(self) -> str:
        """The summary as Markdown with pipe tables."""
        return markdown(self.blocks)

    def to_latex(self) -> str:
        """Tables for LaTeX with \\usepackage{booktabs}: model fit, then one table per group and level."""
        return latex(self.blocks)

    def to_dataframe(self) -> pd.DataFrame:
        """The estimates as numbers: lavaan's parameter table."""
        return self.table.copy()


def summarise(
    results: Results,
    fit_measures: bool = False,
    standardized: bool = False,
    ci: bool = False,
    rsquare: bool = False,
    indices: pd.DataFrame | None = None,
    digits: int = 3,
) -> Summary:
    """Put the summary of a fit together; the arguments say which optional parts it has. indices: modification indices, the
    largest first. digits: decimals of estimates, tests and fit measures.
    """
    table = results.table(("std.lv", "std.all") if standardized else ())
    blocks = header(results, __version__)
    if not results.converged:
        blocks.append(
            Prose(
                "", ("Model test, fit measures and standard errors are left out: they are defined at a maximum only.",)
            )
        )
    else:
        if results.estimation.h1 is None and results.estimation.limited is None:
            blocks.append(Prose("", (_without_h1(results),)))
        measures = results.measures()
        blocks += model_test(measures, results.test, digits)
        blocks += fit_blocks(measures, digits) if fit_measures else []
    blocks.append(standard_errors_used(results))
    blocks += estimate_blocks(results, table, value_columns(ci, standardized), rsquare, digits)
    blocks += [] if indices is None else _indices(indices, digits)
    return Summary((*blocks, *provenance_blocks(results)), table)


def _without_h1(results: Results) -> str:
    """Why there is no chi-square."""
    if any(row.random for row in results.specification.parameters):
        return "With random slopes there is no unrestricted model, and so no chi-square test and no fit index."
    if results.specification.ordered and not results.estimation.statistics.saturated:
        return (
            "The likelihood of ordered variables has no unrestricted model of moments, and so no chi-square test and no fit index; "
            "models are compared by likelihood-ratio tests."
        )
    if not results.estimation.options.h1:
        return "The unrestricted model was left out (h1=False), and with it the chi-square test and the fit indices."
    return "There is no unrestricted model, and so no chi-square test and no fit index; see the warnings below."


def _indices(indices: pd.DataFrame, digits: int) -> list[Block]:
    """The largest modification indices."""
    heads = tuple(name for name in ("mi", "epc", "sepc.lv", "sepc.all") if name in indices)
    rows = tuple(_index_rows(indices.head(_INDICES).to_dict("records"), heads, digits))
    title = f"Modification Indices (the {len(rows)} largest)"
    return [Heading("Model modification"), Estimates(title, heads, rows)] if rows else []


def _index_rows(records: Iterable[dict], columns: tuple[str, ...], digits: int) -> Iterable[Row]:
    for r in records:
        group = f" in group {r['group']}" if r.get("group", 1) not in (0, 1) else ""
        name = f"  {r['lhs']} {r['op']} {r['rhs']}, level {r['level']}{group}"
        yield Row(name, tuple(number(float(r[c]), digits) for c in columns))
