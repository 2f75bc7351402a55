"""Where the nodes of a path diagram go: predictors left, factors in the middle, indicators right. Pure geometry, no drawing.

One unit is the distance between neighbours in a column. Factors lie at the height of their own indicators, so that loadings
of different factors do not cross; columns follow the direction of the paths.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlsem_jax.models import Parameter, registered

# of the text, in units: a character of a node name, a line of text, a character of a label
NAME, LINE, LABEL = 0.34, 0.62, 0.26
HEIGHT, GAP, BESIDE = 0.86, 4.2, 1.15
# covariances drawn as arcs beside one another; covariances listed below a circle
FEW, MANY = 3, 66
# covariances, edges of a network, correlations


@dataclass
class Node:
    """A variable: centre, width and height in units. column counts from the left."""

    name: str
    latent: bool
    column: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = HEIGHT


@dataclass(frozen=True)
class Edge:
    """A path or covariance with the row of the parameter table behind it."""

    source: str
    target: str
    index: int
    row: Parameter


@dataclass
class Layout:
    """Nodes by name, directed edges, covariances, the table index of each node's (residual) variance.

    listed: covariances that are too many to draw and stand in a list below.
    """

    nodes: dict[str, Node]
    paths: list[Edge]
    covariances: list[Edge]
    variances: dict[str, int]
    circular: bool = False
    listed: list[Edge] = field(default_factory=list)
    indicators: set[str] = field(default_factory=set)

    def list_height(self, width: float) -> float:
        """Room below the nodes for the covariances that are listed."""
        return LINE * 1.15 * (math.ceil(len(self.listed) / self.list_columns(width)) + 1.5) if self.listed else 0.0

    def list_columns(self, width: float) -> int:
        """How many listed covariances stand side by side."""
        return max(1, int(max(width, 14.0) / self.list_cell()))

    def list_cell(self) -> float:
        """Width of one listed covariance."""
        return max(LABEL * (len(e.source) + len(e.target) + 10) for e in self.listed)

    def side(self, edge: Edge) -> int:
        """Where the arc of a covariance goes: 1 right of a column of indicators, -1 left of a column, 0 between columns."""
        if self.circular:
            return 0
        if {edge.source, edge.target} <= self.indicators:
            return 1
        return -1 if self.nodes[edge.source].column == self.nodes[edge.target].column else 0


def bulge(distance: float) -> float:
    """How far an arc over `distance` units stands out."""
    return 0.55 + 0.16 * distance


def arrange(rows: Sequence[tuple[int, Parameter]], observed: Sequence[str], latent: Sequence[str]) -> Layout:
    """Lay out one level of one group. rows: (index in the table, row) of that level; exogenous moments are left out."""
    shown = [(i, r) for i, r in rows if not r.exo and (r.free or r.value or r.random)]
    paths = [Edge(*((r.lhs, r.rhs) if r.op == "=~" else (r.rhs, r.lhs)), i, r) for i, r in shown if r.op in ("=~", "~")]
    undirected = {kind.row_operator for kind in registered() if kind.symmetric}
    pairs = [Edge(r.lhs, r.rhs, i, r) for i, r in shown if r.op in undirected and r.lhs != r.rhs]
    variances = {r.lhs: i for i, r in shown if r.op == "~~" and r.lhs == r.rhs}
    names = [*latent, *(name for name in observed if name not in latent)]
    nodes = {name: Node(name, name in latent, width=max(1.6, NAME * len(name) + 0.7)) for name in names}
    for node in nodes.values():
        node.height = 1.5 if node.latent else HEIGHT
        node.width += 0.7 if node.latent else 0.0
    measured = {r.rhs for _, r in rows if r.op == "=~"} - set(latent)
    layout = Layout(nodes, paths, pairs, variances, indicators={n for n in nodes if n in measured})
    if paths:
        _columns(layout)
    else:
        _circle(layout)
    _list_surplus(layout)
    return layout


def _list_surplus(layout: Layout) -> None:
    """Arcs stay legible while they are few; more of them are listed, or in a circle shown by their colour alone."""
    if layout.circular:
        layout.listed = layout.covariances if FEW < len(layout.covariances) <= MANY else []
        return
    for side in (-1, 0, 1):
        those = [e for e in layout.covariances if layout.side(e) == side]
        if len(those) > (FEW if side < 1 else 2 * FEW):
            layout.listed += those
            layout.covariances = [e for e in layout.covariances if e not in those]


def _circle(layout: Layout) -> None:
    """Without directed paths: all nodes on an ellipse, first at the top, clockwise."""
    layout.circular, count = True, len(layout.nodes)
    widest = max(node.width for node in layout.nodes.values())
    tall = max(2.6, 0.42 * count)
    wide = max(2.6, 1.2 * widest, (widest + 1.2) * count / (2 * math.pi))
    for k, node in enumerate(layout.nodes.values()):
        angle = math.pi / 2 - 2 * math.pi * k / max(count, 1)
        node.height = max(node.height, 1.3)
        node.x, node.y = (wide * math.cos(angle), tall * math.sin(angle)) if count > 1 else (0.0, 0.0)


def _columns(layout: Layout) -> None:
    depth = _depths(layout)
    deepest = max((d for name, d in depth.items() if name not in layout.indicators), default=0)
    for name, node in layout.nodes.items():
        node.column = deepest + 1 if name in layout.indicators else depth[name]
    used = sorted({node.column for node in layout.nodes.values()})
    for node in layout.nodes.values():
        node.column = used.index(node.column)
    _horizontal(layout, len(used))
    _vertical(layout, len(used))


def _depths(layout: Layout) -> dict[str, int]:
    """Longest chain of paths that leads to each node; a cycle (a nonrecursive model) ends the chain."""
    parents: dict[str, list[str]] = {name: [] for name in layout.nodes}
    for edge in layout.paths:
        parents[edge.target].append(edge.source)
    known: dict[str, int] = {}

    def visit(name: str, above: tuple[str, ...]) -> int:
        if name not in known:
            before = [visit(p, (*above, name)) for p in parents[name] if p not in (*above, name)]
            value = 1 + max(before) if before else 0
            if above and any(p in above for p in parents[name]):
                return value  # inside a cycle the value depends on where the walk came from: do not keep it
            known[name] = value
        return known[name]

    return {name: visit(name, ()) for name in layout.nodes}


def _horizontal(layout: Layout, count: int) -> None:
    """Columns beside each other with room for arrows and their labels."""
    width = [max(n.width for n in layout.nodes.values() if n.column == c) for c in range(count)]
    between = [GAP + 0.12 * sum(n.column == c for n in layout.nodes.values()) for c in range(count)]
    x = 0.0
    for c in range(count):
        for node in layout.nodes.values():
            if node.column == c:
                node.x = x + width[c] / 2
        x += width[c] + min(between[c], 6.0) + 0.1 * min(len(layout.nodes), 40)


def _vertical(layout: Layout, count: int) -> None:
    """Indicators grouped by factor from the top; every other node at the mean height of what it points to."""
    last = [n for n in layout.nodes.values() if n.column == count - 1]
    owner: dict[str, str] = {}
    for edge in layout.paths:
        owner.setdefault(edge.target, edge.source)
    order = {name: i for i, name in enumerate(dict.fromkeys(owner.get(n.name, "") for n in last))}
    y = 0.0
    previous = None
    for node in sorted(last, key=lambda n: order[owner.get(n.name, "")]):
        mine = owner.get(node.name, "")
        y -= 0.0 if previous is None else BESIDE + (0.45 if mine != previous else 0.0)
        node.y, previous = y, mine
    for c in reversed(range(count - 1)):
        nodes = [n for n in layout.nodes.values() if n.column == c]
        for node in nodes:
            owned = [
                layout.nodes[e.target].y for e in layout.paths if e.source == node.name and owner[e.target] == node.name
            ]
            targets = owned or [layout.nodes[e.target].y for e in layout.paths if e.source == node.name]
            node.y = sum(targets) / len(targets) if targets else y / 2
        _spread(nodes)


def _spread(nodes: list[Node]) -> None:
    """Move nodes of one column apart, as little as needed, keeping their order and their mean height."""
    nodes.sort(key=lambda n: -n.y)
    middle = sum(n.y for n in nodes) / len(nodes)
    for above, below in itertools.pairwise(nodes):
        room = (above.height + below.height) / 2 + (1.1 if above.latent and below.latent else 0.6)
        below.y = min(below.y, above.y - room)
    shift = middle - sum(n.y for n in nodes) / len(nodes)
    for node in nodes:
        node.y += shift
