"""All pictures of a fit by name: what `Fit.plot` offers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlsem_jax._arguments import shown
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._estimates import estimates_plot, trace_plot
from mlsem_jax.report.plots._moments import cluster_sizes_plot, icc_plot, residual_map
from mlsem_jax.report.plots._ordinal import categories_plot, thresholds_plot
from mlsem_jax.report.plots._path import path_diagram
from mlsem_jax.report.plots._profile import profile_plot
from mlsem_jax.report.plots._reliability import reliability_plot
from mlsem_jax.report.plots._scores import caterpillar
from mlsem_jax.report.plots._weights import weights_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS: dict[str, Callable[..., Any]] = {
    "path": path_diagram,
    "estimates": estimates_plot,
    "residuals": residual_map,
    "icc": icc_plot,
    "cluster_sizes": cluster_sizes_plot,
    "scores": caterpillar,
    "trace": trace_plot,
    "profile": profile_plot,
    "weights": weights_plot,
    "reliability": reliability_plot,
    "categories": categories_plot,
    "thresholds": thresholds_plot,
}


def plot(results: Results, kind: str = "path", ax: Axes | None = None, **options: Any) -> Axes:
    """Draw one of KINDS; options go to its function."""
    if not isinstance(kind, str) or kind not in KINDS:
        network = " Networks are drawn by fit.plot_network()." if str(kind).startswith("network") else ""
        raise ModelError(
            f"There is no picture {shown(kind)}; there are {', '.join(KINDS)}.{nearest(kind, KINDS)}{network}"
        )
    known = [name for name in inspect.signature(KINDS[kind]).parameters if name not in ("results", "ax")]
    for name in options:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise ModelError(f"The picture {kind!r} has no option {name!r}.{nearest(name, known)} It {takes}.")
    if kind == "profile" and "parameter" not in options:
        raise ModelError("The picture 'profile' needs parameter=, the name of a parameter or := quantity.")
    return KINDS[kind](results, ax=ax, **options)
