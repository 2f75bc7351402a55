"""The estimates of every imputation beside the pooled ones, whose intervals hold what varies within and between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, checked, names, optional, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.inference import Pooled
from mlsem_jax.numerics import normal_quantile
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet
from mlsem_jax.report.plots._estimates import level_key, row_names

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@checked(
    ops=names("an operator"),
    level=optional(whole(1, 2)),
    group=optional(whole(1)),
    confidence=CONFIDENCE,
    ax=AXES,
)
def imputations_plot(
    results: Results,
    table: pd.DataFrame,
    pooled: Pooled,
    ops: str | Sequence[str] = ("=~", "~", ":="),
    level: int | None = None,
    group: int | None = None,
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """One line a parameter: the estimates of the imputations as grey ticks, the pooled one as a point; the thick part of its
    interval is what the variance within imputations alone gives, the thin rest comes of the variance between them.

    table: pooled parameter table with limits at `confidence`; pooled: its numbers, by imputation too.
    """
    wanted = [ops] if isinstance(ops, str) else list(ops)
    rows = table.op.isin(wanted) & (table.se > 0)
    rows &= True if level is None else table.level.isin([0, level])
    rows &= True if group is None else table.group.isin([0, group])
    keep = rows.to_numpy()
    if not keep.any():
        raise ModelError(f"No free parameter to show: ops={wanted}, level={level}, group={group}.")
    shown, values = table[keep], pooled.values[:, keep]
    half = normal_quantile(0.5 + confidence / 2) * np.sqrt(pooled.within[keep])
    ax = new_axes(ax, 6.5, 1.1 + 0.26 * len(shown))
    place = -np.arange(len(shown), dtype=float)
    colours = [{1: BLUE, 2: ORANGE}.get(int(lv), INK) for lv in shown.level]
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.hlines(place, shown["ci.lower"], shown["ci.upper"], colors=colours, linewidth=1.2)
    ax.hlines(place, shown.est - half, shown.est + half, colors=colours, linewidth=4, alpha=0.45)
    for one in values:
        ax.scatter(one, place + 0.24, marker="|", s=26, color=GREY, linewidth=0.9)
    ax.scatter(shown.est, place, c=colours, s=18, zorder=3)
    ax.set_yticks(place, row_names(results, shown))
    ax.set_ylim(place[-1] - 0.7, 0.8)
    ax.set_xlabel(
        f"pooled estimate with {confidence:.0%} interval (thick: within imputations alone); ticks: each imputation",
        fontsize=8,
    )
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    level_key(ax, shown, results.specification.single)
    return ax
