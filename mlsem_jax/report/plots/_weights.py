"""How far sampling weights move the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import checked, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.inference import Move, move
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@checked(most=whole(1), ax=AXES)
def weights_plot(results: Results, most: int = 15, ax: Axes | None = None) -> Axes:
    """Estimates with weights less those without, in standard errors of the former: the `most` that move farthest, these first.

    The grey band is one standard error to either side.
    """
    found = _known(results)
    order = np.argsort(-np.nan_to_num(np.abs(found.in_errors)), kind="stable")[:most]
    order = order[np.isfinite(found.in_errors[order])]
    rows = _rows(results)
    ax = new_axes(ax, 6.0, 1.2 + 0.26 * len(order))
    place = -np.arange(len(order), dtype=float)
    values = found.in_errors[order]
    levels = [rows[i][1] for i in order]
    colours = [{1: BLUE, 2: ORANGE}.get(level, INK) for level in levels]
    ax.axvspan(-1, 1, color=GREY, alpha=0.15, linewidth=0)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.hlines(place, 0, values, colors=colours, linewidth=1.4)
    ax.scatter(values, place, c=colours, s=18, zorder=3)
    ax.set_yticks(place, [rows[i][0] for i in order])
    ax.set_ylim(place[-1] - 0.7, 0.8)
    ax.set_xlabel("change of the estimate by the weights, in standard errors", fontsize=8)
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    if len(set(levels)) > 1:
        for level, colour, name in ((1, BLUE, "within"), (2, ORANGE, "between")):
            if level in levels:
                ax.plot([], [], color=colour, marker="o", markersize=4, linewidth=1.4, label=name)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    return ax


def _known(results: Results) -> Move:
    """The move; ModelError that says why there is none."""
    data = results.estimation.data
    if not data.weighted:
        raise ModelError("The fit has no sampling weights, so that they move nothing.")
    if not data.has_rows:
        raise ModelError(
            "How far weights move the estimates needs the rows, which a fit read from a file does not hold."
        )
    found = move(results.estimation)
    if found is None:
        raise ModelError("There is no maximum with the weights, or without them, so that no move is known.")
    if found.largest is None:
        raise ModelError("The move is shown in standard errors, and the fit has none (se='none').")
    return found


def _rows(results: Results) -> dict[int, tuple[str, int]]:
    """Of each natural parameter its name, as in 'math =~ math2', and its level."""
    specification, build = results.specification, results.estimation.model.build
    out: dict[int, tuple[str, int]] = {}
    for row, i in zip(specification.parameters, build.index, strict=True):
        if i >= 0:
            group = f"  [{specification.groups[row.group - 1]}]" if specification.groups else ""
            out.setdefault(int(i), (f"{row.lhs} {row.op} {row.rhs}".strip() + group, row.level))
    return out
