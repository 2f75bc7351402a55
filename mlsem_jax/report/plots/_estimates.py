"""Estimates with intervals, and the way that the estimation took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, FLAG, checked, names, optional, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_KINDS = {
    "=~": "loadings",
    "~": "regressions",
    "~~": "(co)variances",
    "~1": "intercepts",
    "|": "thresholds",
    "~*~": "scales",
    ":=": "defined",
}


@checked(
    ops=names("an operator"),
    level=optional(whole(1, 2)),
    group=optional(whole(1)),
    standardized=FLAG,
    confidence=CONFIDENCE,
    ax=AXES,
)
def estimates_plot(
    results: Results,
    ops: str | Sequence[str] = ("=~", "~", ":="),
    level: int | None = None,
    group: int | None = None,
    standardized: bool = False,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Free parameters as points with confidence intervals, one line each; blue within, orange between, black defined.

    ops: which operators of the parameter table; level, group: only that one; standardized: of the standardized solution.
    """
    if standardized:
        table = results.standardized(level=confidence).rename(columns={"est.std": "est"})
    else:
        table = results.table(level=confidence)
    wanted = [ops] if isinstance(ops, str) else list(ops)
    keep = table.op.isin(wanted) & (table.se > 0)
    keep &= True if level is None else table.level.isin([0, level])
    keep &= True if group is None else table.group.isin([0, group])
    table = table[keep]
    if table.empty:
        raise ModelError(
            f"No free parameter to show: ops={wanted}, level={level}, group={group}. Operators: {list(_KINDS)}."
        )
    ax = new_axes(ax, 6.5, 0.9 + 0.21 * len(table))
    place = -np.arange(len(table), dtype=float)
    colours = [{1: BLUE, 2: ORANGE}.get(int(lv), INK) for lv in table.level]
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.hlines(place, table["ci.lower"], table["ci.upper"], colors=colours, linewidth=1.4)
    ax.scatter(table.est, place, c=colours, s=16, zorder=3)
    ax.set_yticks(place, row_names(results, table))
    ax.set_ylim(place[-1] - 0.7, 0.7)
    ax.set_xlabel(
        f"{'standardized estimate' if standardized else 'estimate'} with {confidence:.0%} interval", fontsize=9
    )
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    level_key(ax, table, results.specification.single)
    return ax


def row_names(results: Results, table: pd.DataFrame) -> list[str]:
    """'math =~ math2', with the group where there are several."""
    groups = results.specification.groups
    names = []
    for row in table.itertuples():
        group = f"  [{groups[row.group - 1]}]" if groups and row.group else ""
        names.append(row.lhs if row.op == ":=" else f"{row.lhs} {row.op} {row.rhs}".strip() + group)
    return names


def level_key(ax: Axes, table: pd.DataFrame, single: bool) -> None:
    """Say which colour is which level, above the axes, where no point can lie."""
    first = "parameters" if single else "within"
    shown = [
        (lv, c, n)
        for lv, c, n in ((1, BLUE, first), (2, ORANGE, "between"), (0, INK, "defined"))
        if (table.level == lv).any()
    ]
    if len(shown) > 1:
        handles = [ax.plot([], [], color=c, marker="o", markersize=4, linewidth=1.4, label=n)[0] for _, c, n in shown]
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(shown), frameon=False, fontsize=8)


@checked(ax=AXES)
def trace_plot(results: Results, ax: Axes | None = None) -> Axes:
    """The log-likelihood still to gain at every iteration, and what the algorithm expected of the next step (log scale)."""
    trace = results.trace()
    if not len(trace):
        raise ModelError("The fit has no trace: it made no iteration.")
    ax = new_axes(ax, 5.5, 3.4)
    least = results.estimation.limited is not None
    short = np.maximum(results.estimation.loglik - trace["fx" if least else "loglik"].to_numpy(float), 0.0)
    # what is below rounding of the log-likelihood itself says nothing
    floor = np.finfo(float).eps * max(abs(results.estimation.model.value), 1.0)
    steps = trace["iteration"].to_numpy(int)
    ax.semilogy(
        steps, np.where(short > floor, short, np.nan), color=BLUE, marker="o", markersize=4, label="still to gain"
    )
    if "decrement" in trace:
        expected = trace["decrement"].to_numpy(float)
        shown = np.where(expected > 0, expected, np.nan)
        ax.semilogy(
            steps, shown, color=ORANGE, marker="s", markersize=4, linestyle="--", label="expected of the next step"
        )
    ax.set_xlabel("iteration", fontsize=9)
    ax.set_ylabel("half the chi-square" if least else "log-likelihood units", fontsize=9)
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize=8)
    quiet(ax)
    return ax
