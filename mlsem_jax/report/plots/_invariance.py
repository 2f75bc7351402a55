"""Loadings and intercepts side by side, by group or level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import check, choice, optional
from mlsem_jax._errors import ModelError
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREEN, GREY, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", GREY)
_OPERATORS = {"loadings": "=~", "intercepts": "~1"}


def invariance_plot(results: Results, over: str, what: str = "loadings", ax: Axes | None = None) -> Axes:
    """Estimates with 95% intervals, one line a parameter, the groups (or levels) beside one another."""
    what, ax = check("what", what, choice(*_OPERATORS)), check("ax", ax, optional(AXES))
    if over == "levels" and what == "intercepts":
        raise ModelError("Across levels there are no intercepts to compare: those of level 2 are the only ones.")
    table = results.table()
    table = table[table["op"] == _OPERATORS[what]]
    if what == "intercepts":
        observed = {v for lv in results.specification.levels for v in lv.observed}
        table = table[table["lhs"].isin(observed) & (table["free"] > 0)]
    if over == "levels":
        names, keys = table["rhs"], table["level"].map({1: "within", 2: "between"})
    else:
        at = table["level"].map({1: "", 2: " (level 2)"}) if not results.specification.single else ""
        names = table["lhs"] + (" =~ " + table["rhs"] if what == "loadings" else " ~ 1") + at
        keys = table["group"].map(dict(enumerate(results.specification.groups, 1)))
    rows, columns = list(dict.fromkeys(names)), list(dict.fromkeys(keys))
    ax = new_axes(ax, 6.0, 0.9 + 0.16 * len(rows) * max(len(columns), 2))
    step = 0.7 / max(len(columns), 2)
    for j, column in enumerate(columns):
        here = table[(keys == column).to_numpy()]
        y = np.array([-rows.index(name) for name in names[here.index]]) - (j - (len(columns) - 1) / 2) * step
        colour = _COLOURS[j % len(_COLOURS)]
        ax.hlines(y, here["ci.lower"], here["ci.upper"], colors=colour, linewidth=1.4)
        ax.scatter(here["est"], y, c=colour, s=16, zorder=3, label=str(column))
    ax.set_yticks(-np.arange(len(rows), dtype=float), rows)
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.set_xlabel(f"{what[:-1]} with 95% interval", fontsize=9)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(len(columns), 5), frameon=False, fontsize=8)
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    return ax
