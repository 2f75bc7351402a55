"""A result of a study over its conditions: panels, lines and an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import number_of
from mlsem_jax.report.plots._base import BLUE, GREEN, GREY, INK, ORANGE, quiet, require_pyplot

if TYPE_CHECKING:
    import pandas as pd

# Okabe & Ito's palette goes on
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", INK)
_MARKERS = "osD^vPX"
# columns whose panels have one scale, whatever the parameter
_SHARES = ("coverage", "coverage.profile", "power")


def grid_plot(
    table: pd.DataFrame,
    what: str,
    names: list[str],
    x: str,
    lines: str | None,
    rows: str | None,
    target: float | None = None,
) -> np.ndarray:
    """Axes (rows, columns): a column of panels a parameter, a row for every value of `rows`, a line for every value of `lines`."""
    down, across = _values(table, rows), len(names)
    figure, axes = require_pyplot().subplots(
        len(down),
        across,
        figsize=(1.2 + 2.5 * across, 0.9 + 2.0 * len(down)),
        sharex=True,
        sharey=True if what in _SHARES else "col",
        squeeze=False,
        layout="constrained",
    )
    ticks = _values(table, x)
    for i, row in enumerate(down):
        for j, name in enumerate(names):
            part = table[table["parameter"] == name]
            part = part if rows is None else part[_same(part[rows], row)]
            _panel(axes[i, j], part, what, x, ticks, lines, _values(table, lines), target)
            if i == 0:
                axes[i, j].set_title(name, fontsize=9)
            if j == across - 1 and rows is not None:
                axes[i, j].text(
                    1.02, 0.5, f"{rows} {row}", transform=axes[i, j].transAxes, fontsize=8, rotation=270, va="center"
                )
    for ax in axes[-1]:
        ax.set_xlabel(x, fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel(what, fontsize=9)
    if lines is not None:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, title=lines, loc="outside right upper", frameon=False, fontsize=8, title_fontsize=8
        )
    return axes


def _panel(
    ax: Any, part: pd.DataFrame, what: str, x: str, ticks: list, lines: str | None, values: list, target: Any
) -> None:
    places = _places(ticks)
    for number, value in enumerate(values):
        own = part if lines is None else part[_same(part[lines], value)]
        at = np.array([places[str(one)] for one in own[x]])
        order = np.argsort(at)
        y, error = own[what].to_numpy(float)[order], own[f"{what}.mcse"].to_numpy(float)[order]
        ax.errorbar(
            at[order],
            y,
            2 * error,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            linewidth=1.2,
            elinewidth=1,
            capsize=2,
            label=str(value),
        )
    if target is not None:
        ax.axhline(target, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xticks(list(places.values()), [str(one) for one in ticks])
    quiet(ax)


def _places(ticks: list) -> dict[str, float]:
    """Where values stand on the axis: numbers by their logarithm where all are positive, others one after the other."""
    numbers = [number_of(one) for one in ticks]
    if all(one is not None and one > 0 for one in numbers):
        return {str(tick): float(np.log(one or 1.0)) for tick, one in zip(ticks, numbers, strict=True)}
    return {str(tick): float(place) for place, tick in enumerate(ticks)}


def _values(table: pd.DataFrame, column: str | None) -> list:
    return [None] if column is None else list({str(value): value for value in table[column]}.values())


def _same(column: pd.Series, value: Any) -> np.ndarray:
    return np.array([str(one) == str(value) for one in column])
