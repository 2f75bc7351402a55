"""Tables, summaries and pictures of results.

Pictures, pages and files are imported when they are asked for: most fits need none of the forty modules.
"""

from typing import TYPE_CHECKING

from mlsem_jax._later import found_later
from mlsem_jax.report._diagnosis import DiagnosisReport
from mlsem_jax.report._indices import added_table, chosen_measures, modification_table, score_table
from mlsem_jax.report._inspect import inspect
from mlsem_jax.report._inspect_data import number_of_clusters
from mlsem_jax.report._inspect_words import BY_NAME as INSPECT_NAMES
from mlsem_jax.report._inspect_words import REFUSED as INSPECT_REFUSED
from mlsem_jax.report._inspect_words import SECTIONS as INSPECT_SECTIONS
from mlsem_jax.report._invariance import beyond_customary, invariance_table, invariance_text
from mlsem_jax.report._moments import by_group, icc_series, moments_frames
from mlsem_jax.report._pooled_tables import pooled_comparison_table, pooled_series, pooled_table, pooled_wald_table
from mlsem_jax.report._profiles import profile_table, with_limits, with_profile_limits
from mlsem_jax.report._progress import bar, notice_if_slow, progress
from mlsem_jax.report._reliability import ReliabilityInterval, reliability_tables
from mlsem_jax.report._resampling import BootstrapReport, InfluenceReport
from mlsem_jax.report._results import Results
from mlsem_jax.report._rotation import rotation_table
from mlsem_jax.report._scores import (
    beside_data,
    cluster_scores_table,
    cluster_series,
    probabilities_table,
    rsquare_series,
    scores_table,
)
from mlsem_jax.report._short import short_html, short_text
from mlsem_jax.report._shown import Tables, as_column, as_table
from mlsem_jax.report._side_by_side import FitTable, side_by_side
from mlsem_jax.report._tables import parameter_table, standardized_table, with_rsquare
from mlsem_jax.report._test_tables import comparison_table, wald_table
from mlsem_jax.report._tidy import coefficient_table, glance, statistic, tidy
from mlsem_jax.report.summary import Summary, summarise, summarise_pooled

if TYPE_CHECKING:
    from mlsem_jax.report._page import write_page
    from mlsem_jax.report.exchange import StorageError, load, register, save, to_lavaan, to_mplus
    from mlsem_jax.report.plots import (
        AXES,
        draw_intervals,
        draw_networks,
        grid_plot,
        imputations_plot,
        invariance_plot,
        plot,
        scree_plot,
        study_plot,
    )

_LATER = {
    "_page": ("write_page",),
    "exchange": ("StorageError", "load", "register", "save", "to_lavaan", "to_mplus"),
    "plots": (
        "AXES",
        "draw_intervals",
        "draw_networks",
        "grid_plot",
        "imputations_plot",
        "invariance_plot",
        "plot",
        "scree_plot",
        "study_plot",
    ),
}
_HOME = {name: f"{__name__}.{home}" for home, names in _LATER.items() for name in names}

__all__ = [
    "AXES",
    "BootstrapReport",
    "DiagnosisReport",
    "ReliabilityInterval",
    "FitTable",
    "InfluenceReport",
    "Results",
    "StorageError",
    "Summary",
    "INSPECT_NAMES",
    "INSPECT_REFUSED",
    "INSPECT_SECTIONS",
    "Tables",
    "added_table",
    "as_column",
    "as_table",
    "bar",
    "beside_data",
    "beyond_customary",
    "chosen_measures",
    "by_group",
    "coefficient_table",
    "comparison_table",
    "glance",
    "side_by_side",
    "statistic",
    "tidy",
    "cluster_scores_table",
    "cluster_series",
    "draw_intervals",
    "draw_networks",
    "icc_series",
    "inspect",
    "invariance_plot",
    "invariance_table",
    "invariance_text",
    "load",
    "modification_table",
    "moments_frames",
    "notice_if_slow",
    "number_of_clusters",
    "parameter_table",
    "imputations_plot",
    "pooled_comparison_table",
    "pooled_series",
    "pooled_table",
    "pooled_wald_table",
    "plot",
    "profile_table",
    "progress",
    "register",
    "reliability_tables",
    "rotation_table",
    "rsquare_series",
    "save",
    "score_table",
    "short_html",
    "short_text",
    "probabilities_table",
    "scores_table",
    "scree_plot",
    "standardized_table",
    "study_plot",
    "grid_plot",
    "summarise",
    "summarise_pooled",
    "to_lavaan",
    "to_mplus",
    "wald_table",
    "with_limits",
    "with_profile_limits",
    "with_rsquare",
    "write_page",
]

__getattr__ = found_later(__name__, _HOME, globals())
