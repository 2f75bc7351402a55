"""Pictures of a fitted network model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlsem_jax._arguments import FLAG, SIGNIFICANCE, checked, names, number
from mlsem_jax._errors import ModelError
from mlsem_jax.networks._edit import group_numbers
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._parameters import by_group, parameters
from mlsem_jax.networks._search import search_matrices
from mlsem_jax.numerics import normal_quantile
from mlsem_jax.report import draw_intervals, draw_networks

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from mlsem_jax.networks._fit import NetworkFit


@checked(
    matrix=names("a matrix"),
    threshold=number(0),
    alpha=SIGNIFICANCE,
    maximum=number(0, above=True),
    labels=FLAG,
)
def plot_network(
    fit: NetworkFit,
    matrix: str | Sequence[str] | None = None,
    group: Any = None,
    ax: Axes | Sequence[Axes] | None = None,
    layout: str | np.ndarray = "spring",
    threshold: float = 0.0,
    alpha: float | None = None,
    adjust: str = "none",
    maximum: float | None = None,
    labels: bool = False,
) -> Axes | np.ndarray:
    """Networks as graphs; see `NetworkFit.plot_network`. alpha: show only edges whose adjusted p-value is not larger."""
    model = fit.network
    wanted = matrix or default_networks(model.layout)
    networks = {}
    for which in group_numbers(model.layout, group):
        label = model.layout.group_names[which - 1]
        for name in wanted:
            frame = by_group(fit, name, label, threshold)[label]
            if frame.shape[0] != frame.shape[1]:
                raise ModelError(f"{name} is no network: it has {frame.shape[0]} rows and {frame.shape[1]} columns.")
            if alpha is not None:
                frame = frame.where(by_group(fit, name, label, True, alpha, adjust)[label] != 0, 0.0)
            networks[title(name, label if model.layout.groups else "")] = frame
    return draw_networks(networks, ax, layout, maximum, labels)


def default_networks(layout: Layout) -> tuple[str, ...]:
    """The partial correlations of both levels: of latent variables where there are several, else of residuals or variables."""
    if layout.family == "varcov":
        return "omega_within", "omega_between"
    part = "zeta" if min(map(len, layout.latents)) > 1 else "epsilon"
    return f"omega_{part}_within", f"omega_{part}_between"


def title(name: str, group: str) -> str:
    """'omega_zeta_within' as 'within' in a picture of both levels, with the name of the matrix and of the group."""
    level = name.rpartition("_")[2]
    words = f"{level}: {name.removesuffix('_' + level)}" if level in ("within", "between") else name
    return f"{words} [{group}]" if group else words


def CIplot(
    fit: NetworkFit, matrices: Sequence[str] | str | None = None, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Free elements with confidence intervals; default: the networks, or all covariances where there are none."""
    layout = fit.network.layout
    names = search_matrices(layout, matrices)
    if not names:
        names = tuple(name for name, known in layout.matrices.items() if known.is_core)
    table = parameters(fit)
    table = table[table["matrix"].isin(names) & (table["se"] > 0)].copy()
    if table.empty:
        raise ModelError(f"No element of {', '.join(names)} has a standard error to make an interval of.")
    half = normal_quantile(1 - alpha / 2) * table["se"]
    group = (" [" + table["group"] + "]") if layout.groups else ""
    chart = pd.DataFrame(
        {
            "name": (table["var1"] + " " + table["op"] + " " + table["var2"]).str.strip() + group,
            "est": table["est"],
            "lower": table["est"] - half,
            "upper": table["est"] + half,
            "matrix": table["matrix"],
            "level": [layout.matrices[name].levels[0] for name in table["matrix"]],
        }
    )
    ax = draw_intervals(chart, ax)
    ax.set_xlabel(f"estimate with {1 - alpha:.0%} interval", fontsize=9)
    return ax
