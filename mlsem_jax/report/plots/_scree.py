"""Eigenvalues of each level beside those of items that share nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsem_jax._arguments import check, optional
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def scree_plot(table: pd.DataFrame, quantile: float, ax: Axes | None = None) -> Axes:
    """Observed eigenvalues as points, the quantile of the draws as dashed lines; blue within, orange between."""
    ax = new_axes(check("ax", ax, optional(AXES)), 5.5, 3.4)
    for level, colour in (("within", BLUE), ("between", ORANGE)):
        here = table[table["level"] == level]
        if len(here):
            many = table["level"].nunique() > 1
            ax.plot(
                here["number"],
                here["observed"],
                color=colour,
                marker="o",
                markersize=4,
                label=level if many else "data",
            )
            label = f"{quantile:.0%} of draws" + (f", {level}" if many else "")
            ax.plot(here["number"], here["limit"], color=colour, linestyle="--", linewidth=1, label=label)
    ax.axhline(1, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel("eigenvalue", fontsize=9)
    ax.set_ylabel("size", fontsize=9)
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize=8)
    quiet(ax)
    return ax
