"""One fit as one self-contained HTML file: what it is, how well it fits, what it says, and how far to trust it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from mlsem_jax._errors import ModelError
from mlsem_jax._version import __version__
from mlsem_jax.report._inspect_data import number_of_clusters
from mlsem_jax.report._page_style import PAGE_STYLE
from mlsem_jax.report._results import Results
from mlsem_jax.report.exchange import write
from mlsem_jax.report.plots import plot, require_pyplot
from mlsem_jax.report.summary import (
    STYLE,
    Estimates,
    Facts,
    Heading,
    design_rows,
    fit_blocks,
    html,
    model_test,
    number,
    paragraph,
    provenance,
    standard_errors_used,
    summarise,
)

Section = tuple[str, str]

CITATION = f"""@software{{mlsem_jax,
  title   = {{mlsem_jax: two-level structural equation and network models on JAX}},
  author  = {{{{The mlsem_jax developers}}}},
  version = {{{__version__}}}
}}"""


def write_page(results: Results, path: str | Path, title: str | None = None) -> Path:
    """Write the report to `path` and return the path. The file needs nothing beside it and nothing from the network."""
    return write(path, lambda: page(results, title).encode(), "the report")


def page(results: Results, title: str | None = None) -> str:
    """The whole HTML document."""
    data = results.estimation.data
    clusters = f" in {number_of_clusters(data)} clusters" if data.clustered else ""
    levels = "Model of one level," if results.specification.single else "Two-level model of"
    title = title or f"{levels} {data.nrows} rows{clusters}"
    sections = [section for make in _SECTIONS for section in make(results) if section[1]]
    anchors = [(re.sub(r"\W+", "-", name.lower()), name, body) for name, body in sections]
    nav = "".join(f"<a href='#{key}'>{escape(name)}</a>" for key, name, _ in anchors)
    body = "".join(f"<section><h2 id='{key}'>{escape(name)}</h2>{inside}</section>" for key, name, inside in anchors)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}{STYLE}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1>{_status(results)}{_key_numbers(results)}<nav>{nav}</nav></header>"
        f"{body}</main></body></html>\n"
    )


def _status(results: Results) -> str:
    colour = "ok" if results.converged else "bad"
    advice = f" {results.status.advice}" if results.status.advice else ""
    steps = f"{results.iterations} iteration{'s' * (results.iterations != 1)}"
    how = f"mlsem_jax {__version__}, {results.estimation.options.estimator}, {steps}"
    return f"<p class='{colour}'>{escape(results.status.sentence + advice)}</p><p>{escape(how)}</p>"


def _key_numbers(results: Results) -> str:
    """The numbers that a reader looks for first."""
    estimation = results.estimation
    counts = {
        "rows": estimation.data.nrows,
        "clusters": number_of_clusters(estimation.data),
        "parameters": estimation.npar,
    }
    cells = [(name, str(count)) for name, count in counts.items() if count or name != "clusters"]
    if results.converged:
        measures = results.measures()
        robust = "chisq.scaled" in measures.index
        names = (("chisq", "chi-square"), ("df", "df"), ("pvalue", "p-value"), ("cfi", "CFI"), ("rmsea", "RMSEA"))
        srmr = (("srmr_within", "SRMR within"), ("srmr_between", "SRMR between"))
        for name, label in (*names, *((("srmr", "SRMR"),) if results.specification.single else srmr)):
            key = f"{name}.scaled" if robust and f"{name}.scaled" in measures.index else name
            if key in measures.index:
                value = float(measures[key])
                cells.append((label, str(int(value)) if name == "df" and value == int(value) else number(value)))
    return "<div class='big'>" + "".join(f"<div><b>{v}</b><span>{n}</span></div>" for n, v in cells) + "</div>"


def _warnings(results: Results) -> list[Section]:
    return [("Warnings", "".join(f"<p class='warning'>{paragraph(s)}</p>" for s in results.notes))]


_SLOPES = " A black arrow is a random slope, with its name; its mean and variance are at the between level."


def _model(results: Results) -> list[Section]:
    text = f"<pre>{escape(_dedent(results.text))}</pre>" if results.text.strip() else ""
    groups = range(1, results.specification.ngroups + 1)
    pictures = [
        _figure(partial(plot, results, "path", level=lv, group=g, standardized=results.converged), f"path{g}{lv}")
        for g in groups
        for lv in results.specification.numbers
    ]
    caption = (
        "<p class='quiet'>Ellipses are latent, boxes observed. Blue is positive, orange negative, dashed grey fixed; grey "
        f"numbers are (residual) variances.{_SLOPES if results.specification.slopes else ''}</p>"
    )
    return [("Model", text + "".join(pictures) + caption)]


def _dedent(text: str) -> str:
    import textwrap

    return textwrap.dedent(text).strip("\n")


def _fit(results: Results) -> list[Section]:
    if not results.converged:
        return []
    measures = results.measures()
    blocks = [*model_test(measures, results.test), *fit_blocks(measures)]
    tables = "".join(f"<div>{html([block], style=False)}</div>" for block in blocks)
    by_level = "" if results.specification.single else _optional(partial(_by_level, results))
    return [("Model fit", f"<div class='side'>{tables}</div>"), ("Fit by level", by_level)]


_BY_LEVEL = (
    "chisq",
    "df",
    "pvalue",
    "cfi",
    "tli",
    "rmsea",
    "rmsea.ci.lower",
    "rmsea.ci.upper",
    "srmr_within",
    "srmr_between",
)


def _by_level(results: Results) -> str:
    """The main measures of partially saturated models, or why there are none; the robust ones where the test is robust."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame, reason = results.measures_by_level()
    if frame["chisq"].isna().all():
        sentences = [reason] * bool(reason) + [str(w.message) for w in said]
        return "".join(f"<p class='quiet'>{paragraph(sentence)}</p>" for sentence in sentences)
    rows = []
    for name in _BY_LEVEL:
        key = f"{name}.scaled" if f"{name}.scaled" in frame.columns else name
        if key in frame.columns:
            rows.append((key, *(number(float(v), 0 if name == "df" else 3) for v in frame[key])))
    note = "<p class='quiet'>Each level with the other level saturated (Ryu &amp; West, 2009).</p>"
    return note + html([Facts("", tuple(rows), tuple(frame.index))], style=False)


def _estimates(results: Results) -> list[Section]:
    good = results.converged
    blocks = summarise(results, standardized=good, ci=True, rsquare=good).blocks
    kept = [b for b in blocks if isinstance(b, Estimates) or (isinstance(b, Heading) and b.depth == 2)]
    return [("Estimates", f"<div class='tables'>{html(kept, style=False)}</div>")]


def _clusters(results: Results) -> list[Section]:
    if not results.estimation.data.clustered:
        return []
    groups = () if results.specification.single else results.specification.groups or (1,)
    icc = "".join(_figure(partial(plot, results, "icc", group=g), f"icc{g}") for g in groups)
    sizes = _figure(partial(plot, results, "cluster_sizes"), "sizes")
    return [("Clusters", f"<div class='side'>{icc}{sizes}</div>")]


def _design(results: Results) -> list[Section]:
    rows = design_rows(results)
    if not rows:
        return []
    data, picture = results.estimation.data, ""
    if data.weighted and data.has_rows and results.converged:
        picture = _figure(partial(plot, results, "weights"), "weights")
    return [("Sampling design", f"<div class='side'>{html([Facts('', tuple(rows))], style=False)}{picture}</div>")]


def _residuals(results: Results) -> list[Section]:
    groups = results.specification.groups or (1,)
    maps = [
        _figure(partial(plot, results, "residuals", level=lv, group=g), f"residuals{g}{lv}")
        for g in groups
        for lv in results.specification.numbers
    ]
    return [("Residual correlations", f"<div class='side'>{''.join(maps)}</div>" if results.converged else "")]


def _scores(results: Results) -> list[Section]:
    if not results.estimation.data.has_rows or not results.converged:
        return []
    pictures = [
        _figure(partial(plot, results, "scores", factor=f), f"scores{f}") for f in results.specification.between.latent
    ]
    return [("Factor scores of clusters", "".join(pictures))]


def _how(results: Results) -> list[Section]:
    table = html([Facts("", (*standard_errors_used(results).rows, *provenance(results)))], style=False)
    trace = _figure(partial(plot, results, "trace"), "trace")
    return [("How this was estimated", f"<div class='side'>{table}{trace}</div>")]


def _cite(results: Results) -> list[Section]:
    return [("How to cite", f"<pre>{escape(CITATION)}</pre>")]


_SECTIONS: tuple[Callable[[Results], list[Section]], ...] = (
    _warnings,
    _model,
    _fit,
    _estimates,
    _design,
    _clusters,
    _residuals,
    _scores,
    _how,
    _cite,
)


def _optional(make: Callable[[], str]) -> str:
    """What `make` returns, or the sentence that says why it is not there."""
    try:
        return make()
    except (ModelError, ImportError) as problem:
        return f"<p class='quiet'>{escape(str(problem))}</p>"


def _figure(draw: Callable[[], Any], name: str) -> str:
    return _optional(lambda: f"<figure>{_svg(draw, name)}</figure>")


def _svg(draw: Callable[[], Any], name: str) -> str:
    """A picture as an <svg> element, the same for the same fit; ids do not clash with those of other pictures."""
    pyplot = require_pyplot()
    with pyplot.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure = draw().figure
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return _own_ids(stream.getvalue()[stream.getvalue().index("<svg") :], re.sub(r"\W", "", name))


def _own_ids(svg: str, prefix: str) -> str:
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg ", "<svg role='img' ", 1)
