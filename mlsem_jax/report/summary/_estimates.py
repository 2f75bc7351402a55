"""The lower half of a summary: the parameter table, by group and level, in lavaan's sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax import inference
from mlsem_jax.models import CovarianceKind, Parameter, Slopes, Specification, registered
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import Block, Estimates, Heading, Row, number

if TYPE_CHECKING:
    import pandas as pd

# the numbers of a row as they are shown
Cells = tuple[str, ...]
_HEADS = {
    "est": "Estimate",
    "se": "Std.Err",
    "z": "z-value",
    "pvalue": "P(>|z|)",
    "ci.lower": "ci.lower",
    "ci.upper": "ci.upper",
    "t": "t-value",
    "df": "df",
    "pvalue.t": "P(>|t|)",
    "riv": "riv",
    "fmi": "fmi",
    "std.lv": "Std.lv",
    "std.all": "Std.all",
}


def value_columns(ci: bool, standardized: bool) -> list[str]:
    """The columns of the parameter table that a summary shows, in order."""
    return ["est", "se", "z", "pvalue", *["ci.lower", "ci.upper"] * ci, *["std.lv", "std.all"] * standardized]


def hidden(row: Parameter) -> bool:
    """Rows that say nothing: moments of fixed covariates, means fixed at zero by default, edges that a network lacks."""
    if row.exo or row.free or row.value:
        return row.exo
    written = {op for kind in registered() if not kind.plain for op in (kind.row_operator, kind.scale_operator)}
    return row.op in written or (row.op == "~1" and row.user == 0)


def estimate_blocks(
    results: Results, table: pd.DataFrame, columns: list[str], rsquare: bool, digits: int = 3
) -> list[Block]:
    """Every section of every group and level, then defined parameters and constraints."""
    specification = results.specification
    heads = tuple(_HEADS[c] for c in columns)
    values = np.array(table[columns], float)
    random = [i for i, row in enumerate(specification.parameters) if row.random]
    values[random] = np.nan  # the mean of a random slope stands at level 2
    values[:, columns.index("se")][values[:, columns.index("se")] == 0] = np.nan  # fixed by a constraint
    cells = [tuple(number(value, digits) for value in row) for row in values]
    explained = inference.rsquare(results.estimation) if rsquare else []
    numbered = list(enumerate(specification.parameters))
    blocks: list[Block] = []
    for g in range(1, specification.ngroups + 1):
        if specification.groups:
            blocks.append(Heading(f"Group {g} [{specification.groups[g - 1]}]"))
        for level in specification.numbers:
            rows = [(i, row) for i, row in numbered if (row.group, row.level) == (g, level)]
            sections = _sections(specification, [(i, row) for i, row in rows if not hidden(row)], cells, heads)
            if sections:
                named = [] if specification.single else [Heading(f"Level {level} [{_level_name(results, level)}]")]
                blocks += [*named, *sections]
                blocks += _rsquare(explained[g - 1][level - 1], digits) if rsquare else []
    return [*blocks, *_defined(specification, cells, heads), *_constraints(results, digits)]


def _level_name(results: Results, level: int) -> str:
    label = results.specification.level(level).label
    return label if label and label != str(level) else "within" if level == 1 else results.estimation.data.cluster_name


def _sections(
    specification: Specification, rows: list[tuple[int, Parameter]], cells: Sequence[Cells], heads: tuple[str, ...]
) -> list[Block]:
    def part(test) -> list[tuple[int, Parameter]]:
        return [(i, row) for i, row in rows if test(row)]

    explained = {row.lhs for _, row in rows if row.op == "~"} | {row.rhs for _, row in rows if row.op == "=~"}

    def dotted(name: str) -> str:
        return f".{name}" if name in explained else name

    headed: tuple = (
        ("Latent Variables", part(lambda r: r.op == "=~"), "=~", str),
        ("Regressions", part(lambda r: r.op == "~" and not r.random), "~", str),
        ("Random Slopes", part(lambda r: r.op == "~" and bool(r.random)), "~", str),
        ("Covariances", part(lambda r: r.op == "~~" and r.lhs != r.rhs), "~~", dotted),
    )
    # networks first, partial correlations before precisions
    order = sorted(registered(), key=lambda kind: int(kind.scale is None) if kind.network else 2)
    written = [kind for kind in order if not kind.plain]
    headed += tuple((k.heading, part(_is(k.row_operator, k, specification)), k.row_operator, str) for k in written)
    blocks: list[Block] = []
    for title, chosen, op, name in headed:
        if chosen:
            lines = list(_headed(chosen, cells, op, name))
            blocks.append(Estimates(title, heads, tuple(lines)))
    ordered = {v.name for v in specification.ordered}
    listed = [
        ("Intercepts", part(lambda r: r.op == "~1" and not (r.lhs in ordered and not r.free and not r.value))),
        ("Thresholds", part(lambda r: r.op == "|")),
        ("Variances", part(lambda r: r.op == "~~" and r.lhs == r.rhs)),
        ("Scales y*", part(lambda r: r.op == "~*~")),
    ]
    listed += [(k.scale_heading, part(_is(k.scale_operator, k, specification))) for k in written if k.scale is not None]
    for title, chosen in listed:
        if chosen:
            lines = [Row(_listed_name(r, dotted, explained), cells[i], _label(r)) for i, r in chosen]
            blocks.append(Estimates(title, heads, tuple(lines)))
    return blocks


def _listed_name(row: Parameter, dotted: Callable[[str], str], explained: Iterable[str]) -> str:
    """The name of a row that stands alone in its line; a leading dot takes the place of one space."""
    if row.op == "|":
        return f"  {row.lhs}|{row.rhs}"
    return f" {dotted(row.lhs)}" if row.lhs in explained else f"  {row.lhs}"


def _is(op: str, kind: CovarianceKind, specification: Specification) -> Callable[[Parameter], bool]:
    """Whether a row is an element of a covariance matrix that is written in the way `kind`."""

    def test(row: Parameter) -> bool:
        if row.op != op or row.cell is None:
            return False
        level = specification.level(row.level)
        return kind.name == (level.psi_kind if row.cell.matrix.startswith("psi") else level.theta_kind)

    return test


def _headed(chosen: list[tuple[int, Parameter]], cells: Sequence[Cells], op: str, name) -> Iterable[Row]:
    """Rows under a line with their common left-hand side; a leading dot takes the place of one space."""
    for left, members in groupby(chosen, key=lambda pair: pair[1].lhs):
        yield Row(_indent(name(left), 0) + f" {op}")
        for i, row in members:
            yield Row(_indent(name(row.rhs), 2), cells[i], _label(row))


def _indent(name: str, spaces: int) -> str:
    return " " * (spaces - 1) + name if name.startswith(".") and spaces else " " * spaces + name


def _label(row: Parameter) -> str:
    return row.random or row.shown_label


def _rsquare(shares: dict[str, float], digits: int) -> list[Block]:
    """Share of explained variance; NA where a residual variance is negative."""
    lines = tuple(Row(f"  {name}", (number(share, digits) or "NA",)) for name, share in shares.items())
    return [Estimates("R-Square", ("Estimate",), lines)] if lines else []


def _defined(specification: Specification, cells: Sequence[Cells], heads: tuple[str, ...]) -> list[Block]:
    first = len(specification.parameters)
    rows = tuple(Row(f"  {d.name}", cells[first + i]) for i, d in enumerate(specification.definitions))
    return [Estimates("Defined Parameters", heads, rows)] if rows else []


def _constraints(results: Results, digits: int) -> list[Block]:
    """Distance of every constraint from equality at the estimates."""
    specification, build = results.specification, results.estimation.model.build
    if not specification.constraints:
        return []
    values = Slopes(results.estimation.model.natural, build.labels, specification.definitions)
    rows = []
    for c in specification.constraints:
        slack = abs(float(values.of(c.left)[0]) - float(values.of(c.right)[0]))
        rows.append(Row(f"  {c.text or f'{c.left} {c.op} {c.right}'}", (number(slack, digits),)))
    return [Estimates("Constraints", ("|Slack|",), tuple(rows))]
