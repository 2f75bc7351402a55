"""The profile likelihood of one quantity beside the parabola of its standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, TEXT, checked
from mlsem_jax.inference import profile
from mlsem_jax.numerics import normal_cdf, normal_quantile
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# half-widths of the intervals, in standard errors, that the curve is drawn through
WIDTHS = np.linspace(0.25, 2.75, 11)


@checked(parameter=TEXT, level=CONFIDENCE, ax=AXES)
def profile_plot(results: Results, parameter: str, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """The drop of twice the log-likelihood as one quantity moves away from its estimate while all others follow; beside it the
    parabola of the standard error, and the interval that the drop allowed at `level` cuts out.
    """
    found = profile(results.estimation, [parameter], [level, *(2 * normal_cdf(width) - 1 for width in WIDTHS)])
    estimate, se = float(found.estimate[0]), float(found.se[0])
    (low, *left), (high, *right) = found.lower[0], found.upper[0]
    x = np.array([*left[::-1], estimate, *right])
    drop = np.array([*WIDTHS[::-1] ** 2, 0.0, *WIDTHS**2])
    known = np.isfinite(x)
    ax = new_axes(ax, 5.5, 3.4)
    ax.plot(x[known], drop[known], color=BLUE, marker="o", markersize=3, linewidth=1.4, label="profile likelihood")
    ax.plot(
        estimate + se * np.linspace(-3, 3, 121),
        np.linspace(-3, 3, 121) ** 2,
        color=GREY,
        linewidth=1.2,
        label="standard error",
    )
    ax.axhline(normal_quantile(0.5 + level / 2) ** 2, color=INK, linewidth=0.8, linestyle=":")
    left_end, right_end = ax.get_xlim()
    ax.axvspan(
        low if np.isfinite(low) else left_end,
        high if np.isfinite(high) else right_end,
        color=ORANGE,
        alpha=0.12,
        label=f"{level:.0%} profile interval",
    )
    ax.axvline(estimate, color=INK, linewidth=1.0)
    ax.set_ylim(0, max(drop) * 1.05)
    ax.set_xlabel(found.names[0], fontsize=9)
    ax.set_ylabel("fall of twice the log-likelihood", fontsize=9)
    quiet(ax)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return ax
