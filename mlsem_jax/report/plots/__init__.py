"""Pictures of results. matplotlib is imported when one is drawn."""

from mlsem_jax.report.plots._base import AXES, require_pyplot
from mlsem_jax.report.plots._grid import grid_plot
from mlsem_jax.report.plots._invariance import invariance_plot
from mlsem_jax.report.plots._networks import draw_intervals, draw_networks
from mlsem_jax.report.plots._plots import plot
from mlsem_jax.report.plots._pooled import imputations_plot
from mlsem_jax.report.plots._resampling import bootstrap_plot, influence_plot, study_plot
from mlsem_jax.report.plots._scree import scree_plot

__all__ = [
    "AXES",
    "bootstrap_plot",
    "draw_intervals",
    "draw_networks",
    "imputations_plot",
    "influence_plot",
    "invariance_plot",
    "plot",
    "require_pyplot",
    "scree_plot",
    "study_plot",
    "grid_plot",
]
