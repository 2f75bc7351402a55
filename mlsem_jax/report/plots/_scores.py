"""Factor scores of clusters in order, with intervals: the caterpillar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, TEXT, checked
from mlsem_jax._errors import ModelError
from mlsem_jax.inference import predict
from mlsem_jax.numerics import normal_quantile
from mlsem_jax.report._results import Results
from mlsem_jax.report.plots._base import AXES, BLUE, GREY, INK, new_axes, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# up to this many clusters each has its name on the axis
_NAMED = 60


@checked(factor=TEXT, confidence=CONFIDENCE, ax=AXES)
def caterpillar(results: Results, factor: str | None = None, confidence: float = 0.95, ax: Axes | None = None) -> Axes:
    """Scores of a level-2 factor by cluster, lowest first, with intervals of the given probability.

    factor: its name (default: the first of level 2). The interval is the posterior's, at the estimates.
    """
    latent = results.specification.between.latent
    if results.specification.single:
        raise ModelError("This picture is of clusters' factor scores, which a model of one level does not have.")
    if not latent:
        raise ModelError("The model has no latent variable at level 2, so clusters have no factor scores.")
    factor = latent[0] if factor is None else factor
    if factor not in latent:
        raise ModelError(f"{factor!r} is no latent variable of level 2; there are {', '.join(latent)}.")
    scores, errors = _scores(results, factor)
    order = np.argsort(scores, kind="stable")
    values, half = scores[order], normal_quantile(0.5 + confidence / 2) * errors[order]
    ids = [str(results.estimation.data.cluster_ids[i]) for i in order]
    count = len(values)
    ax = new_axes(ax, 6.5 if count <= _NAMED else 8.0, 3.6)
    place = np.arange(count)
    ax.axhline(float(values.mean()), color=GREY, linewidth=0.8, zorder=0)
    ax.vlines(place, values - half, values + half, colors=BLUE, linewidth=max(0.4, min(1.4, 160 / count)), alpha=0.75)
    ax.scatter(place, values, color=INK, s=max(2, min(14, 1200 / count)), zorder=3)
    ax.set_xlim(-1, count)
    if count <= _NAMED:
        ax.set_xticks(place, ids, rotation=90)
    else:
        ax.set_xticks([0, count - 1], [ids[0], ids[-1]])
        ax.get_xticklabels()[0].set_horizontalalignment("left")
        ax.get_xticklabels()[1].set_horizontalalignment("right")
    quiet(ax)
    ax.tick_params(axis="x", length=0, labelsize=8 if count <= 40 or count > _NAMED else 6)
    ax.set_xlabel(f"{results.estimation.data.cluster_name}, in the order of their scores", fontsize=9)
    ax.set_ylabel(f"{factor}, with {confidence:.0%} interval", fontsize=9)
    return ax


def _scores(results: Results, factor: str) -> tuple[np.ndarray, np.ndarray]:
    found = predict(results.estimation, 2)
    at = found.names.index(factor)
    return np.asarray(found.values)[:, at], np.asarray(found.se)[:, at]
