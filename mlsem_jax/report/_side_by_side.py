"""Several fits side by side: estimates in columns, fit measures below, as text, Markdown, HTML, LaTeX and Word."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary import escape_latex, escape_markdown

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "=~": "Loadings",
    "~": "Regressions",
    "~~": "(Co)variances",
    "~1": "Intercepts",
    "|": "Thresholds",
    "~*~": "Scales y*",
    ":=": "Defined",
}
MEASURES = {
    "npar": "Parameters",
    "chisq": "Chi-square",
    "df": "df",
    "pvalue": "p",
    "chisq.scaled": "Chi-square, scaled",
    "pvalue.scaled": "p, scaled",
    "cfi": "CFI",
    "cfi.robust": "CFI, robust",
    "tli": "TLI",
    "tli.robust": "TLI, robust",
    "rmsea": "RMSEA",
    "rmsea.robust": "RMSEA, robust",
    "srmr": "SRMR",
    "aic": "AIC",
    "bic": "BIC",
    "logl": "Log-likelihood",
}
COUNTS = ("npar", "df")
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
Section = tuple[str, list[tuple[str, list[str]]]]


@dataclass(frozen=True, eq=False)
class FitTable:
    """Fits side by side. names: of the columns; sections: a title, and rows of a name and one cell a fit; note: what stands below.

    It prints as text and shows as HTML in notebooks; `frame` is a DataFrame of its cells.
    """

    names: tuple[str, ...]
    sections: tuple[Section, ...]
    note: str

    @property
    def frame(self) -> pd.DataFrame:
        """Cells as text, by section and row."""
        import pandas as pd

        rows = [(title, name, cells) for title, rows in self.sections for name, cells in rows]
        index = pd.MultiIndex.from_tuples([row[:2] for row in rows], names=["section", "row"])
        return pd.DataFrame([row[2] for row in rows], index, list(self.names))

    def to_text(self) -> str:
        """Columns aligned with blanks."""
        rows = [["", *self.names]]
        for title, inside in self.sections:
            rows += [[title, *[""] * len(self.names)], *([f"  {name}", *cells] for name, cells in inside)]
        width = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
        aligned = ([row[0].ljust(width[0]), *map(str.rjust, row[1:], width[1:])] for row in rows)
        lines = list(map("  ".join, aligned))
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:]), rule, self.note])

    def to_markdown(self) -> str:
        """A table in the pipe syntax that GitHub, Quarto and pandoc read."""
        lines = [
            "| " + " | ".join(["", *map(escape_markdown, self.names)]) + " |",
            "|:--" + "|--:" * len(self.names) + "|",
        ]
        for title, rows in self.sections:
            lines.append(f"| **{escape_markdown(title)}** |" + " |" * len(self.names))
            lines += ["| " + " | ".join(map(escape_markdown, [name, *cells])) + " |" for name, cells in rows]
        return "\n".join([*lines, "", escape_markdown(self.note)]) + "\n"

    def to_latex(self) -> str:
        """A booktabs table. Needs \\usepackage{booktabs}."""
        width = len(self.names) + 1
        lines = [r"\begin{tabular}{l" + "r" * (width - 1) + "}", r"\toprule"]
        lines.append(" & ".join(["", *map(escape_latex, self.names)]) + r" \\")
        for title, rows in self.sections:
            lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape_latex(title)}}}}} \\"]
            lines += [r"\quad " + " & ".join(map(escape_latex, [name, *cells])) + r" \\" for name, cells in rows]
        note = rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {escape_latex(self.note)}}} \\"
        return "\n".join([*lines, r"\bottomrule", note, r"\end{tabular}"]) + "\n"

    def to_html(self) -> str:
        """A table without styles of its own."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *self.names))
        out = [f'<table class="mlsem-fits"><thead><tr>{head}</tr></thead><tbody>']
        for title, rows in self.sections:
            out.append(
                f'<tr><th colspan="{len(self.names) + 1}" style="text-align:left">{html.escape(title)}</th></tr>'
            )
            for name, cells in rows:
                inside = "".join(f'<td style="text-align:right">{html.escape(cell)}</td>' for cell in cells)
                out.append(f'<tr><td style="text-align:left">{html.escape(name)}</td>{inside}</tr>')
        return "\n".join([*out, f"</tbody></table><p>{html.escape(self.note)}</p>"])

    def to_docx(self, path: str | Path) -> Path:
        """A Word document with the table (needs python-docx: pip install 'mlsem_jax[docx]')."""
        try:
            import docx
        except ImportError:
            raise ImportError("Word documents need python-docx: pip install 'mlsem_jax[docx]'.") from None
        document = docx.Document()
        table = document.add_table(rows=1, cols=len(self.names) + 1)
        rows = [["", *self.names]]
        for title, inside in self.sections:
            rows += [[title, *[""] * len(self.names)], *([f"   {name}", *cells] for name, cells in inside)]
        for i, row in enumerate(rows):
            cells = table.rows[0].cells if i == 0 else table.add_row().cells
            for cell, text in zip(cells, row, strict=True):
                cell.text = text
        document.add_paragraph(self.note)
        document.save(str(path))
        return Path(path)

    def to_excel(self, path: str | Path) -> Path:
        """A spreadsheet with the table (needs openpyxl: pip install 'mlsem_jax[xlsx]')."""
        try:
            import openpyxl  # noqa: F401
        except ImportError:
            raise ImportError(
                "Spreadsheets need openpyxl: pip install 'mlsem_jax[xlsx]'; .csv needs nothing."
            ) from None
        self.frame.to_excel(str(path))
        return Path(path)

    def save(self, path: str | Path) -> Path:
        """Write the table in the form that the name's ending says: .txt, .md, .html, .tex, .csv, .docx or .xlsx."""
        path = Path(path)
        if path.suffix == ".docx":
            return self.to_docx(path)
        if path.suffix == ".xlsx":
            return self.to_excel(path)
        ways = {".txt": self.to_text, ".md": self.to_markdown, ".html": self.to_html, ".tex": self.to_latex}
        ways[".csv"] = lambda: self.frame.to_csv()
        if path.suffix not in ways:
            raise ModelError(f"path={str(path)!r}: the ending must be one of {', '.join(ways)}, .docx, .xlsx.")
        path.write_text(ways[path.suffix](), encoding="utf-8")
        return path

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to_html()


def side_by_side(
    fits: Mapping[str, Results],
    ops: Sequence[str] | None,
    standardized: str | None,
    ci: bool,
    stars: bool,
    digits: int,
    level: float,
) -> FitTable:
    """Estimates of all fits by parameter, and their fit measures."""
    tables = [_cells(results, ops, standardized, ci, stars, digits, level) for results in fits.values()]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    if not keys:
        raise ModelError(f"No estimate to show: ops={list(ops or [])}. Operators are {', '.join(KINDS)}.")
    sections: dict[str, list[tuple[str, list[str]]]] = {}
    for key in sorted(keys, key=lambda k: (k[0], [*KINDS].index(k[1]) if k[1] in KINDS else 9)):
        sections.setdefault(key[2], []).append((key[3], [table.get(key, "") for table in tables]))
    measures = [results.measures() if results.converged else {} for results in fits.values()]
    rows = [("Rows", [f"{results.estimation.data.nrows}" for results in fits.values()])]
    if any(results.estimation.data.clustered for results in fits.values()):
        rows.append(("Clusters", [_clusters(results) for results in fits.values()]))
    for name, word in MEASURES.items():
        if any(name in m for m in measures):
            rows.append((word, [_number(m.get(name), 0 if name in COUNTS else digits) for m in measures]))
    spread = f"{level:.0%} intervals in brackets" if ci else "standard errors in parentheses"
    kind = f"standardized estimates ({standardized})" if standardized else "estimates"
    note = f"{kind.capitalize()} with {spread}."
    note += " * p < .05, ** p < .01, *** p < .001." if stars else ""
    return FitTable(tuple(fits), (*sections.items(), ("Fit", rows)), note)


Key = tuple[tuple[int, int], str, str, str]


def _cells(
    results: Results,
    ops: Sequence[str] | None,
    standardized: str | None,
    ci: bool,
    stars: bool,
    digits: int,
    level: float,
) -> dict[Key, str]:
    """One cell a row of the parameter table, by group and level, operator, section and name."""
    specification = results.specification
    table = results.table(level=level)
    exo = table["exo"].to_numpy() if "exo" in table else np.zeros(len(table))
    if standardized:
        shown = results.standardized(standardized, level).rename(columns={"est.std": "est"})  # type: ignore[arg-type]
        table = table.assign(**{name: shown[name] for name in ("est", "se", "pvalue", "ci.lower", "ci.upper")})
    out: dict[Key, str] = {}
    for row, moment in zip(table.to_dict("records"), exo, strict=True):
        wanted = row["op"] != "~1" if ops is None else row["op"] in ops
        if not wanted or moment or (row["op"] in ("~1", "~*~") and not row["free"]):
            continue
        where = []
        if specification.groups and row["group"]:
            where.append(specification.groups[row["group"] - 1])
        if not specification.single and row["level"]:
            where.append({1: "within", 2: "between"}[row["level"]])
        title = KINDS.get(row["op"], row["op"]) + (f" ({', '.join(where)})" if where else "")
        name = row["lhs"] if row["op"] in (":=", "~1") else f"{row['lhs']} {row['op']} {row['rhs']}"
        place = (row["group"] or 10**6, row["level"] or 10**6)
        out[place, row["op"], title, name] = _cell(row, ci, stars, digits)
    return out


def _cell(row: dict[str, Any], ci: bool, stars: bool, digits: int) -> str:
    text = _number(row["est"], digits)
    p = row["pvalue"]
    if stars and np.isfinite(p):
        text += next((mark for limit, mark in STARS if p < limit), "")
    if not row["se"] > 0:
        return text
    if ci:
        return f"{text} [{_number(row['ci.lower'], digits)}, {_number(row['ci.upper'], digits)}]"
    return f"{text} ({_number(row['se'], digits)})"


def _number(value: Any, digits: int) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _clusters(results: Results) -> str:
    data = results.estimation.data
    return f"{data.nclusters}" if data.clustered else ""
