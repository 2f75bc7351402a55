"""Reliability of scales as points with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, FLAG, checked, optional
from mlsem_jax._errors import ModelError
from mlsem_jax.report._reliability import reliability_tables
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREEN, GREY, INK, ORANGE, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# coefficient: what it is the reliability of
_SHOWN = {
    "omega_within": "omega, deviations from the cluster mean",
    "omega_2l": "omega, raw scores",
    "omega_between": "omega, observed cluster means",
    "omega_between_latent": "omega, latent cluster means",
    "alpha_within": "alpha, deviations from the cluster mean",
    "alpha_2l": "alpha, raw scores",
    "alpha_between": "alpha, observed cluster means",
    "alpha_between_latent": "alpha, latent cluster means",
    "irr": "agreement within clusters (IRR)",
}
_ONE_LEVEL = {"omega_within": "omega", "alpha_within": "alpha"}


@checked(obs_var=optional(FLAG), confidence=CONFIDENCE, ax=AXES)
def reliability_plot(
    results: Results, obs_var: bool | None = None, confidence: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Omega, alpha and agreement of every scale with intervals; blue within, orange between, green both levels.

    obs_var: as in `fit.reliability()`.
    """
    found = reliability_tables(results.estimation, obs_var, True, confidence)
    tables = found if isinstance(found, dict) else {"": found}
    words = _ONE_LEVEL if results.specification.single else _SHOWN
    rows = [
        (f"{name}{f' [{group}]' * bool(group)}", column, words[column], table.loc[name])
        for group, table in tables.items()
        for name in table.index
        for column in words
        if np.isfinite(table.loc[name, column])
    ]
    if not rows:
        raise ModelError(
            "No coefficient is defined for the factors of this model: see fit.reliability().attrs['undefined']."
        )
    ax = new_axes(ax, 6.8, 1.1 + 0.21 * (len(rows) + len({row[0] for row in rows})))
    y, last, names, places = 0.0, "", [], []
    for scale, column, word, values in rows:
        if scale != last:
            y -= 0.8
            names.append(scale)
            places.append(y)
            last = scale
        y -= 1
        colour = ORANGE if "between" in column or column == "irr" else GREEN if column.endswith("2l") else BLUE
        low, high = values[f"{column}.ci.lower"], values[f"{column}.ci.upper"]
        if np.isfinite(low):
            ax.hlines(y, low, high, colors=colour, linewidth=1.4)
        ax.scatter([values[column]], [y], c=colour, s=16, zorder=3)
        names.append(word)
        places.append(y)
    ax.set_yticks(places, names)
    for label, word in zip(ax.get_yticklabels(), names, strict=True):
        if word not in words.values():
            label.set_fontweight("bold")
            label.set_color(INK)
    ax.set_ylim(y - 0.7, -0.2)
    low, high = ax.get_xlim()
    ax.set_xlim(max(min(low, 0.0), -1.0), max(min(high, 2.0), 1.02))
    ax.axvline(1.0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel(f"reliability with {confidence:.0%} interval", fontsize=9)
    quiet(ax)
    ax.tick_params(axis="y", length=0)
    return ax
