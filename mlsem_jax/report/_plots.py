"""All pictures of a fit by name: what `Fit.plot` offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.report._plot_estimates import estimates_plot, trace_plot
from mlsem_jax.report._plot_moments import cluster_sizes_plot, icc_plot, residual_map
from mlsem_jax.report._plot_path import path_diagram
from mlsem_jax.report._plot_scores import caterpillar
from mlsem_jax.report._profiles import profile_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsem_jax._fit import Fit

KINDS: dict[str, Callable[..., Any]] = {
    "path": path_diagram,
    "estimates": estimates_plot,
    "residuals": residual_map,
    "icc": icc_plot,
    "cluster_sizes": cluster_sizes_plot,
    "scores": caterpillar,
    "trace": trace_plot,
    "profile": profile_plot,
}


def plot(fit: Fit, kind: str = "path", ax: Axes | None = None, **options: Any) -> Axes:
    """Draw one of KINDS; options go to its function."""
    if kind not in KINDS:
        network = " Networks are drawn by fit.plot_network()." if str(kind).startswith("network") else ""
        raise ModelError(f"There is no picture {kind!r}; there are {', '.join(KINDS)}.{nearest(kind, KINDS)}{network}")
    return KINDS[kind](fit, ax=ax, **options)
