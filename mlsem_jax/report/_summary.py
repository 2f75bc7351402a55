"""The summary of a fit: what lavaan prints, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsem_jax._version import __version__
from mlsem_jax.report._blocks import Block, Estimates, Heading, Prose, Row, number
from mlsem_jax.report._render_html import html
from mlsem_jax.report._render_markup import latex, markdown
from mlsem_jax.report._render_text import text
from mlsem_jax.report._summary_estimates import estimate_blocks, value_columns
from mlsem_jax.report._summary_facts import fit_blocks, header, model_test, standard_errors_used
from mlsem_jax.report._summary_honesty import honesty_blocks

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax._fit import Fit

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
    fit: Fit,
    fit_measures: bool = False,
    standardized: bool = False,
    ci: bool = False,
    rsquare: bool = False,
    modindices: bool = False,
) -> Summary:
    """Put the summary of a fit together; the arguments say which optional parts it has."""
    table = fit.parameter_estimates(standardized=standardized)
    blocks = header(fit, __version__)
    if not fit.converged:
        blocks.append(Prose("", ("The model test and fit measures are left out: they are defined at a maximum only.",)))
    else:
        if fit.estimation.h1 is None:
            blocks.append(Prose("", (_without_h1(fit),)))
        measures = fit.fit_measures()
        blocks += model_test(measures, fit.estimation.options.test)
        blocks += fit_blocks(measures) if fit_measures else []
    blocks.append(standard_errors_used(fit))
    blocks += estimate_blocks(fit, table, value_columns(ci, standardized), rsquare)
    blocks += _indices(fit) if modindices else []
    return Summary((*blocks, *honesty_blocks(fit)), table)


def _without_h1(fit: Fit) -> str:
    """Why there is no chi-square."""
    if any(row.random for row in fit.specification.parameters):
        return "With random slopes there is no unrestricted model, and so no chi-square test and no fit index."
    if not fit.estimation.options.h1:
        return "The unrestricted model was left out (h1=False), and with it the chi-square test and the fit indices."
    return "There is no unrestricted model, and so no chi-square test and no fit index; see the warnings below."


def _indices(fit: Fit) -> list[Block]:
    """The largest modification indices."""
    found = fit.modification_indices(sort=True).head(_INDICES)
    rows = tuple(_index_rows(found.to_dict("records")))
    heads = ("mi", "epc", "sepc.lv", "sepc.all")
    title = f"Modification Indices (the {len(rows)} largest)"
    return [Heading("Model modification"), Estimates(title, heads, rows)] if rows else []


def _index_rows(records: Iterable[dict]) -> Iterable[Row]:
    for r in records:
        group = f" in group {r['group']}" if r.get("group", 1) not in (0, 1) else ""
        name = f"  {r['lhs']} {r['op']} {r['rhs']}, level {r['level']}{group}"
        yield Row(name, tuple(number(float(r[c])) for c in ("mi", "epc", "sepc.lv", "sepc.all")))
