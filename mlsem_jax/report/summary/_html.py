"""A summary as HTML for notebooks and reports, without scripts and without anything from the network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlsem_jax.report.summary._blocks import Block, Estimates, Facts, Heading, Prose

STYLE = """
.mlsem{font-size:14px;line-height:1.4}
.mlsem h3{margin:1.2em 0 .3em;font-size:1.15em}.mlsem h4{margin:1em 0 .2em;font-size:1em}
.mlsem table{border-collapse:collapse;margin:.2em 0 .8em;border:0}
.mlsem td,.mlsem th{padding:.12em .7em;text-align:right;border:0;font-variant-numeric:tabular-nums;background:none}
.mlsem th{border-bottom:1px solid currentColor;font-weight:600}
.mlsem td:first-child,.mlsem th:first-child{text-align:left;white-space:pre}
.mlsem .estimates td,.mlsem .estimates th{min-width:var(--cell);box-sizing:content-box}
.mlsem .estimates td:first-child,.mlsem .estimates th:first-child{min-width:var(--name)}
.mlsem .estimates td.label,.mlsem .estimates th.label{min-width:var(--label)}
.mlsem .facts td,.mlsem .facts th{min-width:var(--value);box-sizing:content-box}
.mlsem .facts td:first-child,.mlsem .facts th:first-child{min-width:var(--fact)}
.mlsem td.label{opacity:.7;text-align:left}.mlsem tr.head td{font-weight:600;padding-top:.4em}
.mlsem p{max-width:46em;margin:.3em 0}.mlsem .note{border-left:3px solid #d55e00;padding-left:.7em}
"""


def html(blocks: Sequence[Block], style: bool = True) -> str:
    """One <div>; style=False leaves the style sheet to the page that it goes into."""
    # one label column or none, so that the sections line up
    labels = any(row.label for block in blocks if isinstance(block, Estimates) for row in block.rows)
    inside = "".join(_block(block, labels) for block in blocks)
    widths = _widths(blocks)
    return f"<div class='mlsem' style='{widths}'>{f'<style>{STYLE}</style>' if style else ''}{inside}</div>"


def _widths(blocks: Sequence[Block]) -> str:
    """The widths that the tables of all sections share, as variables of the style sheet."""
    rows = [row for block in blocks if isinstance(block, Estimates) for row in block.rows]
    facts = [row for block in blocks if isinstance(block, Facts) for row in block.rows]
    longest = {
        "--name": max([12, *(len(row.name) for row in rows)]),
        "--label": max([4, *(2 + len(row.label) for row in rows)]),
        "--cell": max([8, *(len(value) for row in rows for value in row.values)]),
        "--fact": max([12, *(len(label) for label, *values in facts if values)]),
        "--value": max([9, *(len(value) for _, *values in facts for value in values)]),
    }
    return ";".join(f"{name}:{characters}ch" for name, characters in longest.items())


def _block(block: Block, labels: bool) -> str:
    if isinstance(block, Heading):
        return f"<h3>{escape(block.text)}</h3>"
    if isinstance(block, Prose):
        title = f"<h4>{escape(block.title)}</h4>" if block.title else ""
        return title + "".join(f"<p class='note'>{paragraph(s)}</p>" for s in block.sentences)
    if isinstance(block, Facts):
        return _facts(block)
    return _estimates(block, labels)


def paragraph(sentence: str) -> str:
    """Escaped text whose line breaks survive."""
    return escape(sentence).replace("\n", "<br>")


def _facts(block: Facts) -> str:
    title = f"<h4>{escape(block.title)}</h4>" if block.title else ""
    head = f"<tr><th></th>{''.join(f'<th>{escape(c)}</th>' for c in block.columns)}</tr>" if block.columns else ""
    rows = "".join(
        f"<tr><td>{escape(label)}</td>{''.join(f'<td>{escape(v)}</td>' for v in values)}</tr>"
        for label, *values in block.rows
        if label
    )
    return f"{title}<div class='facts'><table>{head}{rows}</table></div>"


def _estimates(block: Estimates, labels: bool) -> str:
    head = "<th></th>" + "<th class='label'></th>" * labels + "".join(f"<th>{escape(c)}</th>" for c in block.columns)
    rows = []
    for row in block.rows:
        if not row.values:
            rows.append(
                f"<tr class='head'><td colspan='{1 + labels + len(block.columns)}'>{escape(row.name)}</td></tr>"
            )
            continue
        label = f"<td class='label'>{f'({escape(row.label)})' if row.label else ''}</td>" if labels else ""
        cells = "".join(f"<td>{escape(value)}</td>" for value in row.values)
        rows.append(f"<tr><td>{escape(row.name)}</td>{label}{cells}</tr>")
    return f"<h4>{escape(block.title)}</h4><div class='estimates'><table><tr>{head}</tr>{''.join(rows)}</table></div>"
