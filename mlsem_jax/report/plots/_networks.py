"""Networks as graphs, and elements of matrices with intervals: pictures of weights and estimates that know nothing of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import check
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet, require_pyplot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LAYOUTS = ("spring", "circle")
# nodes at least this far apart, as a multiple of their radius
APART = 3.4
# width of a panel in inches: for up to this many nodes, beyond them growing with the root of their number
PANEL, ROOMY = 3.6, 12
# the smallest name that can be read in print, in points, and the width of its letters in parts of that
SMALLEST, LETTER = 5.5, 0.68
KEY = 7.0  # points, the letters of a key
# dashes of negative edges and their gaps, in points: whatever the width, several fit between neighbours
DASH, GAP = 4.5, 2.2


def circle(count: int) -> np.ndarray:
    """Points (count, 2) on the unit circle, clockwise from the top."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / max(count, 1)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def spring(weights: np.ndarray, iterations: int = 400) -> np.ndarray:
    """Positions (d, 2) in the unit square by the forces of Fruchterman & Reingold (1991): strong edges pull, all nodes push.

    weights (d, d): sizes of the edges, symmetric. Starts from a circle, so the same weights always give the same picture.
    """
    d = len(weights)
    place = circle(d)
    if d < 3:
        return place
    # off the symmetry of the circle, which forces alone would never leave
    place = place * (1 + 0.1 * np.sin(2.4 * np.arange(d))[:, None])
    pull = np.sqrt(np.abs(weights) / max(np.abs(weights).max(), 1e-12))
    length = np.sqrt(4.0 / d)
    for heat in np.geomspace(0.2, 0.002, iterations):
        gap = place[:, None] - place[None, :]
        distance = np.maximum(np.sqrt((gap**2).sum(-1)), 1e-6)
        force = length**2 / distance - 0.6 * pull * distance**2 / length
        np.fill_diagonal(force, 0.0)
        # a weak pull to the middle keeps nodes without edges in sight
        move = (gap / distance[..., None] * force[..., None]).sum(1) - 0.3 * place
        size = np.maximum(np.sqrt((move**2).sum(-1, keepdims=True)), 1e-12)
        place = place + move / size * np.minimum(size, heat)
    return fill(place)


def fill(place: np.ndarray) -> np.ndarray:
    """Shift and stretch to the square from -1 to 1, the shorter side by no more than half as much again as the longer."""
    place = place - (place.max(0) + place.min(0)) / 2
    reach = np.maximum(np.abs(place).max(0), 1e-12)
    return place / np.maximum(reach, reach.max() / 1.5)


def separate(place: np.ndarray, apart: float) -> np.ndarray:
    """Push nodes that are closer than `apart` away from each other."""
    place = place.copy()
    for _ in range(200):
        gap = place[:, None] - place[None, :]
        distance = np.sqrt((gap**2).sum(-1)) + 1e-9
        short = np.where(distance < apart, apart - distance, 0.0)
        np.fill_diagonal(short, 0.0)
        if not short.any():
            break
        place += 0.25 * (gap / distance[..., None] * short[..., None]).sum(1)
    return fill(place)


def positions(weights: np.ndarray, layout: str | np.ndarray) -> np.ndarray:
    """Places (d, 2) of the nodes: by name of a layout, or the user's own."""
    d = len(weights)
    if not isinstance(layout, str):
        place = np.asarray(layout, float)
        if place.shape != (d, 2):
            raise ModelError(f"layout has shape {place.shape}; {d} nodes need {(d, 2)}, a row of x and y for each.")
        return place
    if layout not in LAYOUTS:
        raise ModelError(f"layout={layout!r} is not available.{nearest(layout, LAYOUTS)} Use {' or '.join(LAYOUTS)}.")
    return circle(d) if layout == "circle" else separate(spring(weights), APART * radius(d))


def radius(count: int) -> float:
    """Radius of a node among so many in a square of side 2."""
    return float(np.clip(0.42 / np.sqrt(max(count, 1)), 0.075, 0.2))


def draw_networks(
    networks: Mapping[str, pd.DataFrame],
    ax: Axes | Sequence[Axes] | None = None,
    layout: str | np.ndarray = "spring",
    maximum: float | None = None,
    labels: bool = False,
) -> Axes | np.ndarray:
    """Square matrices of weights as graphs side by side, titles by key; matrices of the same nodes share their places.

    Blue solid edges are positive, orange dashed ones negative, width in proportion to size; the widest is `maximum` (default:
    the largest weight of all). labels: write the weights on the edges. Names too long for their nodes are replaced by numbers,
    with a key below. Returns the Axes, an array of them for several graphs.
    """
    axes = _axes(ax, len(networks), max(map(len, networks.values()), default=1))
    sizes = [np.abs(frame.to_numpy(float) - np.diag(np.diag(frame.to_numpy(float)))) for frame in networks.values()]
    widest = maximum or max((size.max(initial=0.0) for size in sizes), default=0.0) or 1.0
    common: dict[tuple, np.ndarray] = {}
    for frame, size in zip(networks.values(), sizes, strict=True):
        key = tuple(frame.index)
        common[key] = common.get(key, 0.0) + np.nan_to_num(size)
    places = {key: positions(size, layout) for key, size in common.items()}
    numbered: dict[tuple, Axes] = {}
    for one, (title, frame) in zip(axes, networks.items(), strict=True):
        key = tuple(frame.index)
        if _draw(one, frame, places[key], widest, labels):
            numbered.setdefault(key, one)
        one.set_title(title, fontsize=10)
    if len(numbered) == 1 and ax is None:
        _key_of_figure(axes[0].figure, list(map(str, *numbered)))
    else:
        for key, one in numbered.items():
            _key_of_axes(one, list(map(str, key)))
    return axes[0] if len(axes) == 1 else axes


def _axes(ax: Axes | Sequence[Axes] | None, count: int, nodes: int) -> np.ndarray:
    if ax is not None:
        axes = np.array(ax, dtype=object).ravel()
        for one in axes:
            check("ax", one, AXES)
        if len(axes) != count:
            raise ModelError(f"{count} networks need {count} axes; {len(axes)} were given.")
        return axes
    pyplot = require_pyplot()
    columns = count if count < 4 else 2
    rows = -(-count // columns)
    side = PANEL * max(1.0, np.sqrt(nodes / ROOMY))
    figsize = (side * columns, side * rows)
    figure, grid = pyplot.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)
    grid = grid.ravel()
    for one in grid:
        one.axis("off")
        one.set_title(" ", fontsize=10)
    figure.draw_without_rendering()  # so that the panels have the size by which names are fitted into nodes
    return grid[:count]


def _draw(ax: Axes, frame: pd.DataFrame, place: np.ndarray, widest: float, labels: bool) -> bool:
    """One graph; whether its nodes have numbers instead of names."""
    weights, names, size = frame.to_numpy(float), [str(name) for name in frame.index], radius(len(frame))
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if weights[i, j] != 0 and np.isfinite(weights[i, j])]
    for i, j in sorted(pairs, key=lambda pair: abs(weights[pair])):
        weight = weights[i, j]
        share = min(abs(weight) / widest, 1.0)
        width = 0.6 + 5.4 * share
        line = course(place, i, j, size)
        ax.plot(
            *line.T,
            color=BLUE if weight > 0 else ORANGE,
            linestyle="-" if weight > 0 else (0, (DASH / width, GAP / width)),
            linewidth=width,
            alpha=0.35 + 0.6 * share,
            solid_capstyle="round",
            zorder=1,
        )
        if labels:
            _weight(ax, line[int(0.42 * len(line))], weight)
    numbered = _nodes(ax, place, names, size)
    reach = np.abs(place).max(initial=0.0) + size + 0.05
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    ax.axis("off")
    return numbered


def course(place: np.ndarray, i: int, j: int, size: float) -> np.ndarray:
    """Points (40, 2) of an edge: straight, or bent around a node that it would run under."""
    a, b = place[i], place[j]
    t = np.linspace(0, 1, 40)[:, None]
    line = (1 - t) * a + t * b
    others = np.delete(place, [i, j], axis=0)
    if not len(others):
        return line
    gap = others[:, None] - line[None, :]
    distance = np.sqrt((gap**2).sum(-1))
    node, at = np.unravel_index(distance.argmin(), distance.shape)
    if distance[node, at] > 1.2 * size:
        return line
    across = np.array([a[1] - b[1], b[0] - a[0]]) / max(float(np.hypot(*(b - a))), 1e-9)
    side = -1.0 if gap[node, at] @ across > 0 else 1.0
    # a parabola through both ends that clears the node by its radius and a half where it passes it
    height = 4 * max(t[at, 0] * (1 - t[at, 0]), 0.1)
    bend = (1.9 * size - distance[node, at]) / height
    return line + 4 * t * (1 - t) * side * bend * across


def _weight(ax: Axes, at: np.ndarray, weight: float) -> None:
    """The weight on its edge, off the middle, where edges cross."""
    x, y = at
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    text = f"{weight:.2f}".replace("0.", ".", 1).replace("-", "−")
    ax.text(x, y, text, fontsize=7, ha="center", va="center", color=INK, bbox=box, zorder=2)


def _nodes(ax: Axes, place: np.ndarray, names: Sequence[str], size: float) -> bool:
    from matplotlib.patches import Circle

    reach = np.abs(place).max(initial=0.0) + size + 0.05
    # points per data unit in the panel as it is drawn
    points = 72 * ax.get_window_extent().width / ax.figure.dpi / (2 * reach)

    def fitting(texts: Sequence[str]) -> float:
        """Size of the letters, in points, with which the longest fits into its node."""
        return 2 * size * points / (LETTER * max(max(map(len, texts), default=1), 2.2))

    numbered = fitting(names) < SMALLEST
    shown = [str(i + 1) for i in range(len(names))] if numbered else list(names)
    font = float(np.clip(fitting(shown), 4.5, 12))
    for (x, y), name in zip(place, shown, strict=True):
        ax.add_patch(Circle((x, y), size, facecolor="white", edgecolor=INK, linewidth=1.1, zorder=3))
        ax.text(x, y, name, ha="center", va="center", fontsize=font, color=INK, zorder=4)
    return numbered


def _key_columns(names: Sequence[str], width: float) -> list[list[str]]:
    """Lines 'number  name' in as many columns as a width (in points) holds."""
    lines = [f"{i + 1}  {name}" for i, name in enumerate(names)]
    fit = int(width / (0.6 * KEY * (max(map(len, lines)) + 3)))
    rows = -(-len(lines) // max(1, min(fit, len(lines))))
    return [lines[first : first + rows] for first in range(0, len(lines), rows)]


def _key_of_figure(figure: Any, names: Sequence[str]) -> None:
    """Number and name of every node below all graphs; the figure grows by the height of the key."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    columns = _key_columns(names, 72 * width)
    figure.set_size_inches(width, height + (len(columns[0]) + 1.5) * 1.3 * KEY / 72)
    lines = [line for column in columns for line in column]
    figure.legend(
        [Line2D([], [], linestyle="none") for _ in lines],
        lines,
        loc="outside lower center",
        ncols=len(columns),
        fontsize=KEY,
        labelcolor=INK,
        frameon=False,
        handlelength=0,
        handletextpad=0,
        labelspacing=0.25,
    )


def _key_of_axes(ax: Axes, names: Sequence[str]) -> None:
    """Number and name of every node below one graph."""
    columns = _key_columns(names, 72 * ax.get_window_extent().width / ax.figure.dpi)
    for c, lines in enumerate(columns):
        text = "\n".join(lines)
        ax.text(c / len(columns), -0.02, text, transform=ax.transAxes, fontsize=KEY, va="top", color=INK)


def draw_intervals(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Estimates with intervals, one line each: columns name, est, lower, upper, matrix, level (1 within, 2 between).

    Blue is within, orange between; a line and its name stand over the elements of each matrix.
    """
    starts = (table["matrix"] != table["matrix"].shift()).to_numpy()
    place = -(np.arange(len(table)) + np.cumsum(starts) * 1.3)
    ax = new_axes(ax, 6.0, 0.8 + 0.2 * abs(place[-1]))
    colours = [{1: BLUE, 2: ORANGE}.get(int(level), INK) for level in table["level"]]
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.hlines(place, table["lower"], table["upper"], colors=colours, linewidth=1.4)
    ax.scatter(table["est"], place, c=colours, s=14, zorder=3)
    for y, name in zip(place[starts], table["matrix"][starts], strict=True):
        ax.text(
            0.0, y + 0.85, name, transform=ax.get_yaxis_transform(), fontsize=8, weight="bold", va="center", color=INK
        )
    ax.set_yticks(place, list(table["name"]))
    ax.set_ylim(place[-1] - 0.8, 0.4)
    quiet(ax, keep=("bottom",))
    ax.tick_params(axis="y", length=0)
    return ax
