"""A summary as Markdown and as LaTeX (booktabs), for papers and web pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlsem_jax.report.summary._blocks import Block, Estimates, Facts, Heading, Prose

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
} | {c: f"\\{c}" for c in "&%$#_{}"}


def markdown(blocks: Sequence[Block]) -> str:
    """Tables in the pipe syntax that GitHub, Quarto and pandoc read."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * (block.depth + 1)} {escape_markdown(block.text)}"
    if isinstance(block, Prose):
        return "\n\n".join(
            [*([f"**{block.title}**"] if block.title else []), *(escape_markdown(s) for s in block.sentences)]
        )
    title = f"**{block.title}**\n\n" if block.title else ""
    if isinstance(block, Facts):
        width = max(len(row) for row in block.rows)
        heads = ["", *(block.columns or [""] * (width - 1))]
        rows = [[*row, *[""] * (width - len(row))] for row in block.rows if row[0]]
    else:
        heads = ["", *block.columns]
        rows = [
            [row.name.strip() + (f" ({row.label})" if row.label else ""), *(row.values or [""] * len(block.columns))]
            for row in block.rows
        ]
    lines = ["| " + " | ".join(escape_markdown(c) for c in heads) + " |", "|:--" + "|--:" * (len(heads) - 1) + "|"]
    return title + "\n".join([*lines, *("| " + " | ".join(escape_markdown(c) for c in row) + " |" for row in rows)])


def escape_markdown(text: str) -> str:
    return re.sub(r"([|*_~<>`\[\]])", r"\\\1", text)


def latex(blocks: Sequence[Block]) -> str:
    """One booktabs table per group and level, and one of fit measures where there are any. Needs \\usepackage{booktabs}."""
    out: list[str] = []
    title = ""
    sections: list[Estimates] = []
    facts: list[Facts] = []
    for block in [*blocks, Heading("")]:
        if isinstance(block, Heading):
            out += _latex_estimates(title, sections) if sections else []
            title, sections = block.text, []
        elif isinstance(block, Estimates):
            sections.append(block)
        elif isinstance(block, Facts) and block.title:
            facts.append(block)
    return "\n".join([*_latex_facts(facts), *out]) + "\n"


def escape_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(c, c) for c in text)
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def _table(columns: str, lines: list[str], caption: str) -> list[str]:
    return [
        r"\begin{table}[htbp]",
        r"\centering",
        *([rf"\caption{{{escape_latex(caption)}}}"] if caption else []),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]


def _latex_estimates(title: str, sections: list[Estimates]) -> list[str]:
    width = max(len(section.columns) for section in sections)
    lines = [" & ".join(["", *(escape_latex(c) for c in sections[0].columns)]) + r" \\"]
    for section in sections:
        lines += [r"\midrule", rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{escape_latex(section.title)}}}}} \\"]
        for row in section.rows:
            name = r"\quad " * ((len(row.name) - len(row.name.lstrip())) // 2) + escape_latex(row.name.strip())
            label = f" ({escape_latex(row.label)})" if row.label else ""
            cells = [*row.values, *[""] * (width - len(row.values))]
            lines.append(" & ".join([name + label, *(escape_latex(c) for c in cells)]) + r" \\")
    return _table("l" + "r" * width, lines, title)


def _latex_facts(facts: list[Facts]) -> list[str]:
    if not facts:
        return []
    width = max(len(row) for block in facts for row in block.rows)
    lines: list[str] = []
    for block in facts:
        lines += [r"\midrule"] * bool(lines)
        heads = [rf"\textit{{{escape_latex(block.title)}}}", *(escape_latex(c) for c in block.columns)]
        lines.append(" & ".join([*heads, *[""] * (width - len(heads))]) + r" \\")
        for row in block.rows:
            if row[0]:
                cells = [*(escape_latex(c) for c in row), *[""] * (width - len(row))]
                lines.append(" & ".join([r"\quad " + cells[0], *cells[1:]]) + r" \\")
    return _table("l" + "r" * (width - 1), lines, "Model fit and estimation")
