"""lavInspect's words: a table of what can be asked of a fit, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._status import Status
from mlsem_jax.inference import Standardization, refuse_limited
from mlsem_jax.report._inspect_data import (
    cluster_ids,
    cluster_sizes,
    coverage,
    group_counts,
    patterns,
    rows_used,
)
from mlsem_jax.report._inspect_matrices import implied_part, latent_moments, matrices
from mlsem_jax.report._results import Results


def inspect(results: Results, what: str) -> Any:
    """The answer to one of lavInspect's words; upper and lower case, '.', '_' and '-' are alike."""
    word = str(what).lower().replace("_", ".").replace("-", ".")
    if word not in WORDS:
        raise ModelError(f"inspect() does not know {what!r}.{nearest(word, WORDS)} It knows {', '.join(WORDS)}.")
    return WORDS[word](results)


def _loglik(results: Results) -> float:
    refuse_limited(results.estimation, "There is no log-likelihood")
    return results.estimation.loglik


def _options(results: Results) -> dict[str, Any]:
    return asdict(results.estimation.options)


def _optim(results: Results) -> dict[str, Any]:
    maximum = results.estimation.model.maximum
    return {
        "converged": results.converged,
        "status": str(results.status),
        "iterations": maximum.iterations,
        "fx" if results.estimation.limited is not None else "logl": results.estimation.loglik,
        "gradient": float(np.abs(maximum.gradient).max(initial=0.0)),
        "decrement": maximum.decrement,
    }


def _values(column: str) -> Callable[[Results], Any]:
    """The model matrices filled with estimates or standard errors."""

    def answer(results: Results) -> Any:
        return matrices(results.estimation, results.table()[column].to_numpy(float))

    return answer


def _standardized(kind: Standardization) -> Callable[[Results], Any]:
    """The model matrices filled with standardized estimates."""

    def answer(results: Results) -> Any:
        return matrices(results.estimation, results.standardized(kind)["est.std"].to_numpy(float))

    return answer


WORDS: dict[str, Callable[[Results], Any]] = {
    "converged": lambda results: results.converged,
    "status": lambda results: results.status,
    "optim": _optim,
    "iterations": lambda results: results.iterations,
    "options": _options,
    "warnings": lambda results: results.warnings,
    "post.check": lambda results: results.status in (Status.CONVERGED, Status.BOUNDARY),
    "list": lambda results: results.table(),
    "est": _values("est"),
    "se": _values("se"),
    "std": _standardized("std.all"),
    "std.all": _standardized("std.all"),
    "std.lv": _standardized("std.lv"),
    "std.nox": _standardized("std.nox"),
    "coef": lambda results: results.coef(),
    "vcov": lambda results: results.vcov(),
    "npar": lambda results: results.estimation.npar,
    "logl": _loglik,
    "loglik": _loglik,
    "fit": lambda results: results.measures(),
    "trace": lambda results: results.trace(),
    "implied": lambda results: results.implied(),
    "fitted": lambda results: results.implied(),
    "h1": lambda results: results.h1(),
    "sampstat": lambda results: results.h1(),
    "icc": lambda results: results.icc(),
    "residuals": lambda results: results.residuals(),
    "resid": lambda results: results.residuals(),
    "rsquare": lambda results: results.rsquare(),
    "r2": lambda results: results.rsquare(),
    "cov.ov": lambda results: implied_part(results.estimation, "cov"),
    "cor.ov": lambda results: implied_part(results.estimation, "cor"),
    "mean.ov": lambda results: implied_part(results.estimation, "mean"),
    "cov.lv": lambda results: latent_moments(results.estimation, "cov"),
    "cor.lv": lambda results: latent_moments(results.estimation, "cor"),
    "mean.lv": lambda results: latent_moments(results.estimation, "mean"),
    "nobs": lambda results: group_counts(results.estimation, "nobs"),
    "ntotal": lambda results: results.estimation.data.nrows,
    "norig": lambda results: (
        results.estimation.data.nrows + sum(count for _, count in results.estimation.data.rows_dropped)
    ),
    "ngroups": lambda results: results.estimation.data.ngroups,
    "group": lambda results: results.estimation.data.group_name,
    "group.label": lambda results: list(results.specification.groups),
    "nclusters": lambda results: group_counts(results.estimation, "nclusters"),
    "cluster": lambda results: results.estimation.data.cluster_name,
    "cluster.id": lambda results: cluster_ids(results.estimation),
    "cluster.label": lambda results: cluster_ids(results.estimation),
    "cluster.size": lambda results: cluster_sizes(results.estimation),
    "data": lambda results: rows_used(results.estimation),
    "coverage": lambda results: coverage(results.estimation),
    "patterns": lambda results: patterns(results.estimation),
    "ov.names": lambda results: list(results.specification.variables),
    "lv.names": lambda results: list(
        dict.fromkeys((*results.specification.within.latent, *results.specification.between.latent))
    ),
}
