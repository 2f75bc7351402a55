"""What the likelihood of ordered outcomes in a stored fit must be: places that there are, answers that are categories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mlsem_jax.likelihood import Statistics
from mlsem_jax.ordinal import OrdinalTerm
from mlsem_jax.report.exchange._conform import require

# nodes a dimension, and the dimensions of the integrals, beyond which a file is no fit that was made here
POINTS, DIMENSIONS = 1000, 50


def check_ordinal(term: OrdinalTerm, groups: int, p: int, where: str) -> None:
    """Raise StorageError where the parts of the term do not fit each other, or a model of p variables."""
    _check_layout(term, p, where)
    layout = term.layout
    require(len(term.blocks) > 0, where, "it holds no clusters")
    wide = {
        "answers": len(layout.ordered),
        "within_x": len(layout.within_x),
        "slope_x": len(layout.slope_x),
        "continuous": len(layout.continuous),
        "between_x": len(layout.between_given),
    }
    most = np.array(layout.categories)
    for i, block in enumerate(term.blocks):
        at, clusters = f"{where}.blocks[{i}]", block.clusters
        require(0 <= block.group < groups, at, f"groups below {groups} were expected")
        require(len(block.count) == len(clusters.often), at, "a count of each cluster was expected")
        for name, width in wide.items():
            value = getattr(clusters, name)
            require(value.shape[-1] == width, f"{at}.{name}", f"{width} variables were expected")
            gaps = np.isnan(value) if name == "continuous" and layout.seen else False
            require(np.all(np.isfinite(value) | gaps), f"{at}.{name}", "a number is not finite")
        require(np.all(clusters.often >= 0) and np.all(block.count >= 0), at, "a count is negative")
        inside = (clusters.answers >= -1) & (clusters.answers < most)
        require(np.all(inside), f"{at}.answers", "an answer is no category")
    total = sum(len(block.count) for block in term.blocks)
    require(np.all((term.member >= 0) & (term.member < total)), f"{where}.member", f"codes below {total} were expected")
    sizes = term.clusters
    alike = len(sizes.group) == len(sizes.size) == len(sizes.count) == len(term.member)
    require(alike, f"{where}.clusters", "a size of each cluster was expected")
    require(
        np.all((sizes.group >= 0) & (sizes.group < groups)), f"{where}.clusters", f"groups below {groups} were expected"
    )


def without_gaps(statistics: Statistics) -> tuple[Any, ...]:
    """The terms, NaN of continuous outcomes that are missing beside ordered ones (checked above) replaced by zeros."""

    def filled(block: Any) -> Any:
        continuous = block.clusters.continuous
        return replace(
            block, clusters=replace(block.clusters, continuous=np.where(np.isnan(continuous), 0, continuous))
        )

    return tuple(
        replace(term, blocks=tuple(map(filled, term.blocks))) if isinstance(term, OrdinalTerm) else term
        for term in statistics.terms
    )


def _check_layout(term: OrdinalTerm, p: int, where: str) -> None:
    layout = term.layout
    own = (*layout.ordered, *layout.continuous, *layout.within_x, *layout.between_given, *layout.slope_x)
    require(all(0 <= place < p for place in own), where, f"{p} variables were expected")
    count = len(layout.ordered)
    require(
        count > 0 and len(layout.categories) == count, where, "the categories of each ordered variable were expected"
    )
    require(all(k >= 2 for k in layout.categories), where, "a variable has one category")
    require(len(layout.unit_levels) == count and set(layout.unit_levels) <= {1, 2}, where, "there are levels 1 and 2")
    require(len(layout.slopes) == len(layout.slope_x), where, "a covariate of each random slope was expected")
    require(layout.slopes == tuple(range(p, p + len(layout.slopes))), where, "slopes come behind the variables")
    require(layout.link in ("probit", "logit"), where, f"there is no link {layout.link!r}")
    outer = len(layout.outcomes) + len(layout.slopes)
    columns = set(range(len(layout.continuous)))
    require(all(set(seen) <= columns for seen in layout.seen), where, "a pattern is of no variable")
    patterns = len(layout.pattern_pivots) == (len(layout.seen) if len(layout.seen) > 1 else 0)
    require(patterns, where, "dimensions of the integral of each pattern were expected")
    within = [(pivots, count) for pivots in (layout.within_pivots, *layout.pattern_pivots)]
    for pivots, limit in (*within, (layout.between_pivots, outer)):
        fine = all(0 <= place < limit for place in pivots) and len(set(pivots)) == len(pivots) <= DIMENSIONS
        require(fine, where, "a dimension of the integral is of no variable")
    require(len(layout.points) == 2 and all(1 <= n <= POINTS for n in layout.points), where, "numbers of points")
