"""lavInspect's words: a table of what can be asked of a fit, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._status import Status
from mlsem_jax.inference import Standardization
from mlsem_jax.report._inspect_data import (
    cluster_ids,
    cluster_sizes,
    coverage,
    group_counts,
    patterns,
    rows_used,
)
from mlsem_jax.report._inspect_matrices import implied_part, latent_moments, matrices

if TYPE_CHECKING:
    from mlsem_jax._fit import Fit


def inspect(fit: Fit, what: str) -> Any:
    """The answer to one of lavInspect's words; upper and lower case, '.', '_' and '-' are alike."""
    word = str(what).lower().replace("_", ".").replace("-", ".")
    if word not in WORDS:
        raise ModelError(f"inspect() does not know {what!r}.{nearest(word, WORDS)} It knows {', '.join(WORDS)}.")
    return WORDS[word](fit)


def _rsquare(fit: Fit) -> Any:
    return fit.rsquare()


def _options(fit: Fit) -> dict[str, Any]:
    return asdict(fit.estimation.options)


def _optim(fit: Fit) -> dict[str, Any]:
    maximum = fit.estimation.model.maximum
    return {
        "converged": fit.converged,
        "status": str(fit.status),
        "iterations": maximum.iterations,
        "logl": fit.loglik,
        "gradient": float(np.abs(maximum.gradient).max(initial=0.0)),
        "decrement": maximum.decrement,
    }


def _by_group_of(fit: Fit, which: str) -> Any:
    return group_counts(fit.estimation, which)


def _values(column: str) -> Callable[[Fit], Any]:
    """The model matrices filled with estimates or standard errors."""

    def answer(fit: Fit) -> Any:
        return matrices(fit.estimation, fit.parameter_estimates()[column].to_numpy(float))

    return answer


def _standardized(kind: Standardization) -> Callable[[Fit], Any]:
    """The model matrices filled with standardized estimates."""

    def answer(fit: Fit) -> Any:
        return matrices(fit.estimation, fit.standardized_solution(kind)["est.std"].to_numpy(float))

    return answer


WORDS: dict[str, Callable[[Fit], Any]] = {
    "converged": lambda fit: fit.converged,
    "status": lambda fit: fit.status,
    "optim": _optim,
    "iterations": lambda fit: fit.iterations,
    "options": _options,
    "warnings": lambda fit: fit.warnings,
    "post.check": lambda fit: fit.status in (Status.CONVERGED, Status.BOUNDARY),
    "list": methodcaller("parameter_estimates"),
    "est": _values("est"),
    "se": _values("se"),
    "std": _standardized("std.all"),
    "std.all": _standardized("std.all"),
    "std.lv": _standardized("std.lv"),
    "std.nox": _standardized("std.nox"),
    "coef": lambda fit: fit.coef(),
    "vcov": lambda fit: fit.vcov(),
    "npar": lambda fit: fit.npar,
    "logl": lambda fit: fit.loglik,
    "loglik": lambda fit: fit.loglik,
    "fit": lambda fit: fit.fit_measures(),
    "trace": lambda fit: fit.trace,
    "implied": lambda fit: fit.implied(),
    "fitted": lambda fit: fit.implied(),
    "h1": lambda fit: fit.h1(),
    "sampstat": lambda fit: fit.h1(),
    "icc": lambda fit: fit.icc(),
    "residuals": methodcaller("residuals"),
    "resid": methodcaller("residuals"),
    "rsquare": _rsquare,
    "r2": _rsquare,
    "cov.ov": lambda fit: implied_part(fit.estimation, "cov"),
    "cor.ov": lambda fit: implied_part(fit.estimation, "cor"),
    "mean.ov": lambda fit: implied_part(fit.estimation, "mean"),
    "cov.lv": lambda fit: latent_moments(fit.estimation, "cov"),
    "cor.lv": lambda fit: latent_moments(fit.estimation, "cor"),
    "mean.lv": lambda fit: latent_moments(fit.estimation, "mean"),
    "nobs": lambda fit: _by_group_of(fit, "nobs"),
    "ntotal": lambda fit: fit.nobs,
    "norig": lambda fit: fit.nobs + sum(count for _, count in fit.estimation.data.rows_dropped),
    "ngroups": lambda fit: fit.estimation.data.ngroups,
    "group": lambda fit: fit.estimation.data.group_name,
    "group.label": lambda fit: list(fit.specification.groups),
    "nclusters": lambda fit: _by_group_of(fit, "nclusters"),
    "cluster": lambda fit: fit.estimation.data.cluster_name,
    "cluster.id": lambda fit: cluster_ids(fit.estimation),
    "cluster.label": lambda fit: cluster_ids(fit.estimation),
    "cluster.size": lambda fit: cluster_sizes(fit.estimation),
    "data": lambda fit: rows_used(fit.estimation),
    "coverage": lambda fit: coverage(fit.estimation),
    "patterns": lambda fit: patterns(fit.estimation),
    "ov.names": lambda fit: list(fit.specification.variables),
    "lv.names": lambda fit: list(dict.fromkeys((*fit.specification.within.latent, *fit.specification.between.latent))),
}
