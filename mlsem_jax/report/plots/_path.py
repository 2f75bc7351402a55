"""Path diagrams: one level of one group, with estimates on the arrows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlsem_jax._arguments import FLAG, TEXT, checked, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.models import Specification
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, check_level, require_pyplot
from mlsem_jax.report.plots._path_geometry import along, arc_ends, border, covered, extent, route
from mlsem_jax.report.plots._path_layout import FEW, LABEL, LINE, Edge, Layout, Node, arrange, bulge

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

# inches per unit in a figure of our own
UNIT, TITLE = 0.27, 0.35


@checked(level=whole(1, 2), group=whole(1), standardized=FLAG, ax=AXES, title=TEXT)
def path_diagram(
    results: Results,
    level: int = 1,
    group: int = 1,
    standardized: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the paths, covariances and residual variances of one level with their estimates.

    Ellipses are latent, boxes observed. Blue is positive, orange negative; dashed grey lines are fixed; with
    standardized=True the width of a line follows its estimate. The grey number in or beside a node is its (residual) variance.
    A random slope is a black arrow with its name, which is a node of level 2.
    """
    check_level(results.specification, level)
    if level not in (1, 2) or not 1 <= group <= results.specification.ngroups:
        raise ModelError(
            f"level must be 1 or 2 and group 1 to {results.specification.ngroups}, not {level} and {group}."
        )
    table = results.table(("std.all",) if standardized else ())
    values = table["std.all" if standardized else "est"].to_numpy(float)
    return draw_paths(results.specification, values, level, group, standardized, ax, title)


def draw_paths(
    specification: Specification,
    values: np.ndarray,
    level: int = 1,
    group: int = 1,
    standardized: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """The same of a model with a value for every row of its table."""
    rows = [(i, r) for i, r in enumerate(specification.parameters) if (r.level, r.group) == (level, group)]
    block = specification.group(group).level(level)
    layout = arrange(rows, block.observed, block.latent)
    left, right, bottom, top = extent(layout)
    ax = ax if ax is not None else _own_axes((right - left) * UNIT, (top - bottom) * UNIT)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.axis("off")
    _Drawing(ax, layout, values, standardized).draw()
    name = "" if specification.single else {1: "Within", 2: "Between"}[level]
    where = [specification.groups[group - 1]] if specification.groups else []
    words = ", ".join([name, *where] if name else where)
    said = f"{words} (standardized)" if words else "Standardized estimates"
    ax.set_title(title if title is not None else said if standardized else words, fontsize=10)
    return ax


def _own_axes(width: float, height: float) -> Axes:
    """Axes that fill a figure of this size in inches up to a line for the title."""
    figure = require_pyplot().figure(figsize=(width, height + TITLE))
    return figure.add_axes((0.0, 0.0, 1.0, height / (height + TITLE)))


class _Drawing:
    """The state of one drawing: what is already placed, so that labels keep out of each other's way."""

    def __init__(self, ax: Axes, layout: Layout, values: Any, standardized: bool):
        self.ax, self.layout, self.values, self.standardized = ax, layout, values, standardized
        box = ax.get_window_extent()
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        inches = min(box.width / (x1 - x0), box.height / (y1 - y0)) / ax.figure.dpi
        self.point = 72 * inches  # points per unit
        self.taken = [(n.x, n.y, n.width, n.height) for n in layout.nodes.values()]

    def draw(self) -> None:
        for edge in self.layout.paths:
            self._path(edge)
        for edge in self.layout.covariances:
            self._covariance(edge)
        for node in self.layout.nodes.values():
            self._node(node)
        self._list()

    def _list(self) -> None:
        """The covariances that are too many for arcs, in columns below the nodes."""
        layout, (left, right) = self.layout, self.ax.get_xlim()
        if not layout.listed:
            return
        columns, cell = layout.list_columns(right - left), layout.list_cell()
        deep = -(-len(layout.listed) // columns)
        y0 = self.ax.get_ylim()[0] + LINE * 1.15 * (deep + 0.6)
        font = 0.46 * self.point
        what = "Correlations" if self.standardized else "Covariances"
        what = "Edges" if any(e.row.op == "--" for e in layout.listed) else what
        what += ", residual where variables are explained" * bool(layout.paths)
        self.ax.text(
            left + 0.6,
            y0,
            what,
            fontsize=font,
            color=GREY,
            va="center",
        )
        for k, edge in enumerate(layout.listed):
            x, y = left + 0.6 + (k // deep) * cell, y0 - LINE * 1.15 * (k % deep + 1)
            text = f"{edge.source} \N{LEFT RIGHT ARROW} {edge.target}  {self.values[edge.index]:.2f}"
            self.ax.text(x, y, text, fontsize=font, color=self._style(edge)["color"], va="center")

    def _style(self, edge: Edge) -> dict[str, Any]:
        value = self.values[edge.index]
        if edge.row.random:
            return {"color": INK, "linewidth": 1.2, "linestyle": "-"}
        width = 0.5 + 2.2 * min(abs(value), 1.0) if self.standardized else 1.0
        if not edge.row.free:
            return {"color": GREY, "linewidth": width if self.standardized else 0.8, "linestyle": (0, (4, 2))}
        return {"color": BLUE if value >= 0 else ORANGE, "linewidth": width, "linestyle": "-"}

    def _path(self, edge: Edge) -> None:
        a, b = self.layout.nodes[edge.source], self.layout.nodes[edge.target]
        start, end, bend = route(a, b, self.layout)
        self._arrow(edge, start, end, bend, "-|>")
        measured = edge.target in self.layout.indicators
        spots = (0.66, 0.58, 0.74, 0.5, 0.42, 0.34) if measured else self._staggered(edge)
        self._label(edge, [along(start, end, bend, t) for t in spots])

    def _staggered(self, edge: Edge) -> list[float]:
        """Places for the label of a path: those that lead to one node take different ones, so that each is seen on its line."""
        together = [e.index for e in self.layout.paths if e.target == edge.target]
        share = together.index(edge.index) / (len(together) - 1) if len(together) > 1 else 0.5
        first = 0.36 + 0.28 * share
        return [first, *(first + step for step in (0.07, -0.07, 0.14, -0.14, 0.2, -0.2))]

    def _covariance(self, edge: Edge) -> None:
        a, b = self.layout.nodes[edge.source], self.layout.nodes[edge.target]
        distance = abs(a.y - b.y)
        if self.layout.circular:
            start, end = border(a, b.x, b.y, self.layout), border(b, a.x, a.y, self.layout)
            self._arrow(edge, start, end, 0.0, "<|-|>")
            if len(self.layout.covariances) <= FEW:
                self._label(edge, [along(start, end, 0.0, t) for t in (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75)])
            return
        side = self.layout.side(edge)
        if side == 0:
            start, end, bend = border(a, b.x, b.y, self.layout), border(b, a.x, a.y, self.layout), 0.2
        else:
            high, low = (a, b) if a.y > b.y else (b, a)
            start, end = arc_ends(high, low, side, edge.source in self.layout.variances)
            bend = side * 2 * bulge(distance) / max(math.dist(start, end), 1e-9)
        self._arrow(edge, start, end, bend, "<|-|>")
        outside = side * LABEL * 2.6
        spots = [along(start, end, bend, t) for t in (0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72)]
        self._label(edge, [(x + outside, y) for x, y in spots])

    def _arrow(self, edge: Edge, start: tuple, end: tuple, bend: float, style: str) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        control = along(start, end, bend, None)
        style = "-" if edge.row.op == "--" else style  # an edge of a network has no direction
        path = Path([start, control, end], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        head = max(3.0, 0.28 * self.point)
        self.ax.add_patch(
            FancyArrowPatch(
                path=path, arrowstyle=style, mutation_scale=head, shrinkA=0, shrinkB=0, zorder=1, **self._style(edge)
            )
        )

    def _label(self, edge: Edge, spots: list[tuple[float, float]]) -> None:
        """Write the estimate at the first spot that is free, or else at the one that is covered least."""
        text = edge.row.random or f"{self.values[edge.index]:.2f}"
        width, height = LABEL * len(text) + 0.12, LINE * 0.78
        x, y = min(spots, key=lambda s: (covered((*s, width, height), self.taken), spots.index(s)))
        self.taken.append((x, y, width, height))
        self.ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            color=INK,
            fontsize=0.46 * self.point,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.06 * self.point},
        )

    def _node(self, node: Node) -> None:
        from matplotlib.patches import Ellipse, FancyBboxPatch

        face: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 1.0, "zorder": 3}
        if node.latent:
            self.ax.add_patch(Ellipse((node.x, node.y), node.width, node.height, **face))
        else:
            corner = (node.x - node.width / 2, node.y - node.height / 2)
            self.ax.add_patch(FancyBboxPatch(corner, node.width, node.height, boxstyle="square,pad=0", **face))
        index = self.layout.variances.get(node.name)
        inside = (node.latent or self.layout.circular) and index is not None
        self.ax.text(
            node.x,
            node.y + 0.26 * inside,
            node.name,
            ha="center",
            va="center",
            fontsize=0.56 * self.point,
            zorder=5,
            color=INK,
        )
        if index is None:
            return
        text = f"{self.values[index]:.2f}"
        at = (node.x, node.y - 0.36) if inside else (node.x + node.width / 2 + 0.12, node.y)
        if not inside and not node.latent and node.name not in self.layout.indicators:
            at = (node.x, node.y - node.height / 2 - 0.26)
        self.ax.text(
            *at,
            text,
            ha="left" if at[1] == node.y else "center",
            va="center",
            fontsize=0.42 * self.point,
            zorder=5,
            color=GREY if self.values[index] >= 0 else ORANGE,
        )
