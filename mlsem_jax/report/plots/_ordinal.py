"""Ordered variables: curves of the categories of an item, and thresholds on the scale of the latent responses."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, TEXT, checked, optional
from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.inference import layout_of_fit
from mlsem_jax.models import level_matrices, members
from mlsem_jax.numerics import normal_cdf, normal_quantile
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREEN, GREY, INK, ORANGE, new_axes, quiet, require_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# how far the curves go, in standard deviations of the factor, or of the residual where there is none
REACH = 3.0


@checked(item=optional(TEXT), factor=optional(TEXT), ax=AXES)
def categories_plot(
    results: Results, item: str | None = None, factor: str | None = None, group: int | str = 1, ax: Axes | None = None
) -> Axes:
    """Probability of every category of an item along a factor: its category response curves.

    item: an ordered variable (default: the first). factor: one that it loads on (default: the first, of the lowest level); for an
    item without factors the curves go along the latent response without its residual. What else the item depends on is at its mean.
    """
    names = _ordered(results)
    item = names[0] if item is None else item
    if item not in names:
        raise ModelError(
            f"{item!r} is no ordered variable of the model: there are {listing(names)}.{nearest(item, names)}"
        )
    g = _group(results, group)
    place, label, slope, mean = _axis(results, item, factor, g)
    cuts, unit = _cuts(results, item, g)
    center = float(np.asarray(results.estimation.model.moments.mean)[g, results.specification.variables.index(item)])
    response = center + slope * (place - mean)
    ends = [-np.inf, *cuts, np.inf]
    curves = [
        _below(results, (b - response) / unit) - _below(results, (a - response) / unit)
        for a, b in itertools.pairwise(ends)
    ]
    ax = new_axes(ax, 5.5, 3.2)
    shades = require_pyplot().get_cmap("viridis")(np.linspace(0.0, 0.82, len(curves)))
    labels = [str(c) for c in dict(results.estimation.data.ordered)[item]]
    for curve, shade, name in zip(curves, shades, labels, strict=True):
        ax.plot(place, curve, color=shade, linewidth=1.8)
        at = int(np.argmax(curve))
        inside = min(max(at, len(place) // 25), len(place) - 1 - len(place) // 25)
        ax.annotate(
            name,
            (place[inside], curve[inside]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=shade,
        )
    ax.set_xlim(place[0], place[-1])
    ax.set_ylim(0, 1.09)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    ax.set_xlabel(label, fontsize=9)
    ax.set_ylabel("probability of the category", fontsize=9)
    ax.set_title(f"{item}{_named(results, g)}", fontsize=10)
    quiet(ax)
    return ax


@checked(confidence=CONFIDENCE, ax=AXES)
def thresholds_plot(results: Results, confidence: float = 0.95, ax: Axes | None = None) -> Axes:
    """Thresholds of every ordered variable on the scale of its latent response, by group, with intervals.

    The line behind them reaches two standard deviations about the mean of the latent response: categories whose thresholds lie
    outside of it are rare.
    """
    names, groups = _ordered(results), results.specification.groups or ("",)
    table, moments = results.table(), results.estimation.model.moments
    colours = [BLUE, ORANGE, GREEN, GREY, INK]
    width = normal_quantile(0.5 + confidence / 2)
    ax = new_axes(ax, 6.0, 0.9 + (0.3 + 0.16 * len(groups)) * len(names))
    step = 0.0 if len(groups) == 1 else 0.44 / (len(groups) - 1)
    for i, name in enumerate(names):
        column = results.specification.variables.index(name)
        for g in range(len(groups)):
            y, colour = -(i + (g * step - 0.22 if len(groups) > 1 else 0.0)), colours[g % len(colours)]
            parts = [np.asarray(level.cov)[g, column, column] for level in moments.levels]
            mean, sd = float(np.asarray(moments.mean)[g, column]), float(np.sqrt(sum(parts)))
            ax.plot(
                [mean - 2 * sd, mean + 2 * sd], [y, y], color=colour, linewidth=5, alpha=0.18, solid_capstyle="butt"
            )
            ax.plot([mean], [y], marker="|", color=colour, markersize=7, alpha=0.6)
            rows = table[(table.op == "|") & (table.lhs == name) & (table.group == g + 1)]
            est, half = rows["est"].to_numpy(float), width * np.nan_to_num(rows["se"].to_numpy(float))
            ax.errorbar(est, np.full(len(est), y), xerr=half, fmt="o", color=colour, markersize=4, linewidth=1)
            if g == 0:
                for value, threshold in zip(est, rows["rhs"], strict=True):
                    ax.annotate(
                        threshold,
                        (value, y),
                        xytext=(0, 5),
                        textcoords="offset points",
                        ha="center",
                        fontsize=7,
                        color=INK,
                    )
    ax.set_yticks([-i for i in range(len(names))], names)
    ax.set_ylim(-len(names) + 0.4, 0.6)
    ax.set_xlabel(f"latent response, thresholds with {confidence:.0%} intervals", fontsize=9)
    if len(groups) > 1:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], marker="o", linestyle="", color=colours[g % 5], label=name) for g, name in enumerate(groups)
        ]
        ax.legend(handles=handles, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    return ax


def _ordered(results: Results) -> list[str]:
    found = [v.name for v in results.specification.ordered]
    if not found:
        raise ModelError("This picture is of ordered variables, and the model has none: see ordered= of ml.sem.")
    return found


def _group(results: Results, group: int | str) -> int:
    """The number of a group, from 0, by number from 1 or label."""
    labels = results.specification.groups
    if isinstance(group, int) and 1 <= group <= max(len(labels), 1):
        return group - 1
    if str(group) not in labels:
        raise ModelError(f"There is no group {group!r}; there are {listing(labels) or 'no groups'}.")
    return labels.index(str(group))


def _named(results: Results, g: int) -> str:
    return f", {results.specification.groups[g]}" if results.specification.groups else ""


def _axis(results: Results, item: str, factor: str | None, g: int) -> tuple[np.ndarray, str, float, float]:
    """Places along the axis, its label, how much the latent response rises along it, and the place of the mean."""
    table, build = results.table(), results.estimation.model.build
    rows = table[(table.op == "=~") & (table.rhs == item) & (table.group == g + 1)].sort_values("level", kind="stable")
    if factor is not None:
        rows = rows[rows.lhs == factor]
        if not len(rows):
            raise ModelError(f"{item!r} does not load on {factor!r}: leave factor= out, or name a factor of the item.")
    if not len(rows):
        center = float(
            np.asarray(results.estimation.model.moments.mean)[g, results.specification.variables.index(item)]
        )
        cuts, unit = _cuts(results, item, g)
        low, high = min(center, *cuts) - REACH * unit, max(center, *cuts) + REACH * unit
        return np.linspace(low, high, 241), "latent response without its residual", 1.0, center
    name, level = str(rows.lhs.iloc[0]), int(rows.level.iloc[0])
    at = level_matrices(build.structure, results.estimation.model.natural, level, g)
    i = members(results.specification, level).index(name)
    mean, sd = float(np.asarray(at.eta_mean)[i]), float(np.sqrt(max(np.asarray(at.eta_cov)[i, i], 1e-12)))
    where = "" if results.specification.single else f" (level {level})"
    return np.linspace(mean - REACH * sd, mean + REACH * sd, 241), f"{name}{where}", float(rows.est.iloc[0]), mean


def _cuts(results: Results, item: str, g: int) -> tuple[np.ndarray, float]:
    """Thresholds of an item, and the standard deviation of the residual of its latent response."""
    table, ordered = results.table(), results.estimation.model.moments.ordered
    rows = table[(table.op == "|") & (table.lhs == item) & (table.group == g + 1)]
    unit = 1.0 if ordered is None else float(np.asarray(ordered.unit)[g, results.specification.variables.index(item)])
    return rows["est"].to_numpy(float), float(np.sqrt(unit))


def _below(results: Results, x: np.ndarray) -> np.ndarray:
    """The distribution function of the residual, in its standard deviations."""
    if layout_of_fit(results.estimation).link == "logit":
        return 1.0 / (1.0 + np.exp(-np.clip(x * np.pi / np.sqrt(3), -700, 700)))
    return np.asarray(normal_cdf(x))
