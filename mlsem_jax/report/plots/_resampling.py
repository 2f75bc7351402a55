"""Pictures of a bootstrap, of the influence of clusters and of a simulation study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, TEXT, checked, whole
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.inference import Interval
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mlsem_jax.report._resampling import BootstrapReport, InfluenceReport

# clusters whose distance is this many times the median of all have their name beside the bar
STRIKING = 8.0


@checked(name=TEXT, level=CONFIDENCE, ax=AXES)
def bootstrap_plot(
    boot: BootstrapReport, name: str, ci: Interval | None = None, level: float | None = None, ax: Axes | None = None
) -> Axes:
    """The draws of one quantity as a histogram, with the estimate, the interval, and the normal curve of the standard error."""
    known = list(boot.bootstrap.names)
    if name not in known:
        raise ModelError(
            f"The bootstrap has no quantity {name!r}.{nearest(name, known) or ' It has ' + ', '.join(known)}"
        )
    row = boot.table(ci, level).loc[name]
    draws = boot.draws[name].dropna().to_numpy()
    ax = new_axes(ax, 5.5, 3.2)
    ax.hist(draws, bins="auto", density=True, color=BLUE, alpha=0.35, edgecolor="white", linewidth=0.4)
    grid = np.linspace(min(draws.min(), row.est - 4 * row.se), max(draws.max(), row.est + 4 * row.se), 300)
    density = np.exp(-(((grid - row.est) / row.se) ** 2) / 2) / (row.se * np.sqrt(2 * np.pi))
    ax.plot(grid, density, color=GREY, linewidth=1.2, label="normal, model-based SE")
    ax.axvline(row.est, color=INK, linewidth=1.4, label="estimate")
    share = boot.level if level is None else level
    ax.axvspan(
        row["ci.lower"], row["ci.upper"], color=ORANGE, alpha=0.12, label=f"{share:.0%} interval ({ci or boot.ci})"
    )
    ax.set_yticks([])
    ax.set_xlabel(f"{name}, {len(draws)} draws", fontsize=9)
    quiet(ax, ("bottom",))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return ax


@checked(top=whole(0), ax=AXES)
def influence_plot(report: InfluenceReport, top: int = 5, ax: Axes | None = None) -> Axes:
    """The Cook-like distance of every cluster, in the order of the data; the largest by name, where they stand out."""
    cook = report.cook
    ax = new_axes(ax, 6.5, 3.0)
    ax.vlines(np.arange(len(cook)), 0, cook.to_numpy(), color=BLUE, linewidth=max(0.6, min(3.0, 250 / len(cook))))
    largest = cook.sort_values(ascending=False).head(top)
    places = {cluster: place for place, cluster in enumerate(cook.index)}
    height = 1.12 * float(cook.max())
    for rank, (cluster, value) in enumerate(largest.items()):
        if value > STRIKING * cook.median():
            ax.plot(places[cluster], value, "o", color=ORANGE, markersize=4)
            text = f"{rank + 1}: {cluster}"
            ax.text(1.01, 1 - 0.09 * rank, text, transform=ax.transAxes, fontsize=8, va="top")
            ax.text(places[cluster], value + 0.02 * height, str(rank + 1), ha="center", va="bottom", fontsize=8)
    ax.set_ylim(0, height)
    ax.set_xlim(-1, len(cook))
    ax.set_xlabel("clusters in the order of the data", fontsize=9)
    ax.set_ylabel("distance of the estimates", fontsize=9)
    quiet(ax)
    return ax


def study_plot(
    value: pd.Series, error: pd.Series, what: str, target: float | None = None, ax: Axes | None = None
) -> Axes:
    """A result of a simulation study by parameter, with two Monte-Carlo errors either side; orange where the target is outside."""
    ax = new_axes(ax, 6.0, 0.9 + 0.21 * len(value))
    place = -np.arange(len(value), dtype=float)
    off = np.zeros(len(value), bool) if target is None else np.abs(value.to_numpy() - target) > 2 * error.to_numpy()
    colours = np.where(off, ORANGE, BLUE)
    ax.hlines(place, value - 2 * error, value + 2 * error, colors=colours, linewidth=1.4)
    ax.scatter(value, place, c=colours, s=16, zorder=3)
    if target is not None:
        ax.axvline(target, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(place, [str(name) for name in value.index])
    ax.set_ylim(place[-1] - 0.7, 0.7)
    ax.set_xlabel(f"{what}, with two Monte-Carlo errors either side", fontsize=9)
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    return ax
