"""The summary of a fit: blocks of what is to be said, and how text, HTML, Markdown and LaTeX show them."""

from mlsem_jax.report.summary._blocks import Estimates, Facts, Heading, number
from mlsem_jax.report.summary._design import design_rows
from mlsem_jax.report.summary._html import STYLE, html, paragraph
from mlsem_jax.report.summary._markup import escape_latex, escape_markdown
from mlsem_jax.report.summary._model_and_fit import fit_blocks, model_test, standard_errors_used
from mlsem_jax.report.summary._pooled import summarise_pooled
from mlsem_jax.report.summary._provenance import provenance
from mlsem_jax.report.summary._summary import Summary, summarise

__all__ = [
    "Estimates",
    "Facts",
    "Heading",
    "STYLE",
    "Summary",
    "design_rows",
    "escape_latex",
    "escape_markdown",
    "fit_blocks",
    "html",
    "model_test",
    "number",
    "paragraph",
    "provenance",
    "standard_errors_used",
    "summarise",
    "summarise_pooled",
]
