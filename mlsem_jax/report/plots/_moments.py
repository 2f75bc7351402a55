"""Residual correlations as a map; intraclass correlations and cluster sizes as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import checked, number, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, DIVERGING, GREY, INK, check_level, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# up to this many variables the numbers stand in the cells
_NUMBERS = 14


def of_group(results: Results, values: Any, group: int | str) -> Any:
    """The part of a result that belongs to one group, by number or label; the result itself where there is one group."""
    labels = results.specification.groups
    if not labels:
        return values
    label = labels[group - 1] if isinstance(group, int) and 1 <= group <= len(labels) else str(group)
    if label not in labels:
        raise ModelError(f"There is no group {group!r}; there are {', '.join(labels)}.")
    return values[label]


def _group_name(results: Results, group: int | str) -> str:
    """', public' where there are several groups."""
    labels = results.specification.groups
    return f", {labels[group - 1] if isinstance(group, int) else group}" if labels else ""


@checked(level=whole(1, 2), limit=number(0, above=True), ax=AXES)
def residual_map(
    results: Results, level: int = 1, group: int | str = 1, limit: float | None = None, ax: Axes | None = None
) -> Axes:
    """Unrestricted less implied correlations of one level: orange where the model leaves too little, purple too much.

    limit: the value at the ends of the colour scale (default: the largest residual, at least 0.1).
    """
    if level not in (1, 2):
        raise ModelError(f"level must be 1 or 2, not {level!r}.")
    check_level(results.specification, level)
    name = {1: "within", 2: "between"}[level]
    found = of_group(results, results.residuals(type="cor"), group)
    frame = (found if results.specification.single else found[name])["cov"]
    values, names = frame.to_numpy(float), list(frame)
    count = len(names)
    shown = np.where(np.tri(count, k=-1, dtype=bool), values, np.nan)[1:, :-1]
    largest = np.nanmax(np.abs(shown), initial=0.0)
    limit = max(0.1, float(largest)) if limit is None else limit
    side = 1.6 + max(1.6, 0.27 * count if count > _NUMBERS else 0.42 * count)
    ax = new_axes(ax, side + 0.6, side)
    image = ax.imshow(shown, cmap=DIVERGING, vmin=-limit, vmax=limit)
    small = 7 if count <= 25 else 6
    ax.set_xticks(range(count - 1), names[:-1], rotation=90, fontsize=small)
    ax.set_yticks(range(count - 1), names[1:], fontsize=small)
    if count <= _NUMBERS:
        for (i, j), value in np.ndenumerate(shown):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 * limit else INK
                text = f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)
    quiet(ax, ())
    ax.tick_params(length=0, labelsize=small)
    ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02).ax.tick_params(labelsize=7)
    where = "" if results.specification.single else f", {name}"
    ax.set_title(f"Residual correlations{where}{_group_name(results, group)}", fontsize=10)
    return ax


@checked(ax=AXES)
def icc_plot(results: Results, group: int | str = 1, ax: Axes | None = None) -> Axes:
    """Share of each variable's variance that lies between clusters."""
    values = of_group(results, results.icc(), group)
    values = values[values > 0] if (values > 0).any() else values
    ax = new_axes(ax, 5.0, 0.9 + 0.24 * len(values))
    place = -np.arange(len(values))
    ax.barh(place, values, color=BLUE, height=0.65)
    for y, value in zip(place, values, strict=True):
        ax.text(value, float(y), f" {value:.3f}".replace("0.", "."), va="center", fontsize=8, color=INK)
    ax.set_yticks(place, list(values.index))
    ax.set_xlim(0, 1.15 * float(values.max()) + 1e-9)
    ax.set_ylim(place[-1] - 0.6, 0.6)
    ax.set_xlabel(f"intraclass correlation{_group_name(results, group)}", fontsize=9)
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    return ax


@checked(ax=AXES)
def cluster_sizes_plot(results: Results, ax: Axes | None = None) -> Axes:
    """How many clusters have how many rows."""
    data = results.estimation.data
    if not data.clustered:
        raise ModelError("This model of one level was fitted without cluster=: there are no cluster sizes to show.")
    sizes = np.bincount(data.cluster, minlength=data.nclusters)
    ax = new_axes(ax, 5.5, 3.0)
    low, high = int(sizes.min()), int(sizes.max())
    width = max(1, -(-(high - low + 1) // 40))
    edges = np.arange(low, high + 2 * width, width) - 0.5
    ax.hist(sizes, bins=edges.tolist(), color=BLUE, rwidth=0.85)
    ax.set_xlim(low - max(1, width), high + max(1, width))
    ax.axvline(float(sizes.mean()), color=GREY, linewidth=1, linestyle="--")
    ax.annotate(
        f"mean {sizes.mean():.1f}",
        (float(sizes.mean()), 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, 2),
        textcoords="offset points",
        fontsize=8,
        color=GREY,
        annotation_clip=False,
    )
    ax.set_xlabel(f"rows in a cluster ({data.cluster_name})", fontsize=9)
    ax.set_ylabel("clusters", fontsize=9)
    ax.locator_params(axis="both", integer=True)
    quiet(ax)
    return ax
