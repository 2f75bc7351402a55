"""Where the lines of a path diagram run, and how much room all of it needs."""

from __future__ import annotations

import math

from mlsem_jax.report.plots._path_layout import Layout, Node, bulge

Point = tuple[float, float]


def extent(layout: Layout) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of all nodes with room for what is drawn around them."""
    nodes = layout.nodes.values()
    left = min(n.x - n.width / 2 for n in nodes) - 0.8
    right = max(n.x + n.width / 2 for n in nodes) + (1.6 if layout.indicators else 0.8)
    spans = [abs(layout.nodes[e.source].y - layout.nodes[e.target].y) for e in layout.covariances]
    aside = [span for e, span in zip(layout.covariances, spans, strict=True) if layout.side(e) == 1]
    leftmost = [span for e, span in zip(layout.covariances, spans, strict=True) if layout.side(e) == -1]
    if aside:
        right += bulge(max(aside)) + 1.1
    if leftmost and all(n.column == 0 for n in nodes if n.name not in layout.indicators):
        left -= bulge(max(leftmost)) + 0.9
    bottom, top = min(n.y - n.height / 2 for n in nodes) - 0.8, max(n.y + n.height / 2 for n in nodes) + 0.5
    drawn = [along(*route(layout.nodes[e.source], layout.nodes[e.target], layout), 0.5)[1] for e in layout.paths]
    bottom, top = min([bottom, *(y - 0.6 for y in drawn)]), max([top, *(y + 0.5 for y in drawn)])
    return left, max(right, left + 14.0 if layout.listed else right), bottom - layout.list_height(right - left), top


def route(a: Node, b: Node, layout: Layout) -> tuple[Point, Point, float]:
    """Start, end and bend of a directed path; one that would run through a node is bent round it."""
    start, end = border(a, b.x, b.y, layout), border(b, a.x, a.y, layout)
    if a.column == b.column and not layout.circular:
        start, end = (a.x - a.width / 2, a.y), (b.x - b.width / 2, b.y)
        side = 1.0 if start[1] > end[1] else -1.0
        return start, end, -side * 2 * bulge(abs(a.y - b.y)) / max(abs(a.y - b.y), 1e-9)
    if a.column > b.column:
        return start, end, 0.25
    if b.column - a.column < 2:
        return start, end, 0.0
    others = [n for n in layout.nodes.values() if n is not a and n is not b]
    options = (0.0, 0.1, -0.1, 0.16, -0.16, 0.22, -0.22, 0.3, -0.3, 0.4, -0.4)
    return start, end, min(options, key=lambda bend: (_hits(start, end, bend, others), options.index(bend)))


def _hits(start: Point, end: Point, bend: float, nodes: list[Node]) -> int:
    """How many points of a curve lie in or close to one of the nodes or the number below it."""
    points = [along(start, end, bend, k / 24) for k in range(1, 24)]
    return sum(
        abs(x - n.x) < n.width / 2 + 0.2 and -0.7 < y - n.y + n.height / 2 < n.height + 0.3
        for x, y in points
        for n in nodes
    )


def arc_ends(high: Node, low: Node, side: int, beyond: bool) -> tuple[Point, Point]:
    """Where an arc beside a column starts and ends; right of indicators it joins their residual variances."""
    if side > 0:
        x = max(n.x + n.width / 2 for n in (high, low)) + (1.3 if beyond else 0.1)
        return (x, high.y - 0.1), (x, low.y + 0.1)
    if high.latent and low.latent:  # the lower left of one ellipse, the upper left of the other
        return (high.x - 0.35 * high.width, high.y - 0.36 * high.height), (
            low.x - 0.35 * low.width,
            low.y + 0.36 * low.height,
        )
    return (high.x - high.width / 2, high.y - 0.15), (low.x - low.width / 2, low.y + 0.15)


def border(node: Node, x: float, y: float, layout: Layout) -> Point:
    """Where the line from the middle of a node to (x, y) leaves it; in columns, lines end at the side they come from."""
    dx, dy = x - node.x, y - node.y
    if node.latent:
        scale = 1 / max(math.hypot(dx / (node.width / 2), dy / (node.height / 2)), 1e-9)
        return node.x + dx * scale, node.y + dy * scale
    if not layout.circular and abs(dx) > node.width / 2:
        return node.x + math.copysign(node.width / 2, dx), node.y
    scale = min(node.width / 2 / max(abs(dx), 1e-9), node.height / 2 / max(abs(dy), 1e-9))
    return node.x + dx * scale, node.y + dy * scale


def along(start: Point, end: Point, bend: float, t: float | None) -> Point:
    """The point at t of the quadratic curve whose control point stands `bend` of its length off; that point itself for None."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    control = ((start[0] + end[0]) / 2 - bend * dy, (start[1] + end[1]) / 2 + bend * dx)
    if t is None:
        return control
    weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
    return tuple(sum(w * p[i] for w, p in zip(weights, (start, control, end), strict=True)) for i in (0, 1))  # type: ignore[return-value]


def covered(box: tuple[float, float, float, float], others: list[tuple[float, float, float, float]]) -> float:
    """Area of a box (centre, width, height) that others cover."""
    x, y, w, h = box
    area = 0.0
    for ox, oy, ow, oh in others:
        across = min(x + w / 2, ox + ow / 2) - max(x - w / 2, ox - ow / 2)
        down = min(y + h / 2, oy + oh / 2) - max(y - h / 2, oy - oh / 2)
        area += max(across, 0.0) * max(down, 0.0)
    return area
