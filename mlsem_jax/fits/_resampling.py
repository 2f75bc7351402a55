"""The part of Fit that draws: simulation, bootstrap, influence, and the model for the JAX layer."""

from __future__ import annotations

import inspect
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax import estimation as layer
from mlsem_jax import inference, report
from mlsem_jax._arguments import CONFIDENCE, FLAG, KEY, SIZES, checked, choice, optional, whole
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._spread import check_executor
from mlsem_jax.estimation import Estimation
from mlsem_jax.measurement import through_unrotated

if TYPE_CHECKING:
    from mlsem_jax.estimation import Model


class ResamplingMethods:
    """Methods of Fit that need its estimation only."""

    estimation: Estimation

    @cached_property
    def model(self) -> Model:
        """The fitted model for the JAX layer: `fit.model(theta)`, `ml.estimate(fit.model, ...)`. ModelError for estimators of
        limited information, which maximise no likelihood.
        """
        inference.refuse_limited(
            self.estimation,
            "There is no model of the JAX layer",
            "fit with estimator='ML', or make it with ml.model(text, data, cluster=..., ordered=...).",
        )
        return layer.model_of(self.estimation)

    @checked(key=KEY, n_datasets=whole(1), cluster_sizes=SIZES)
    def simulate(self, key: Any, n_datasets: int = 1, cluster_sizes: Any = None, **options: Any) -> Any:
        """Data sets of the fitted model, by default of the fit's own cluster sizes, with one level of its rows; options as for
        `mlsem_jax.simulate`.
        """
        if self.estimation.limited is not None and options.get("rows") is not True:
            name = self.estimation.options.estimator
            raise ModelError(
                f"estimator={name!r} fits thresholds and polychoric covariances, which are no statistics that can be drawn: pass "
                "rows=True, and fit each data set, rows.frame(i), with ml.sem."
            )
        known = [name for name in inspect.signature(layer.simulate).parameters if name not in ("model", "theta", "key")]
        for name in options:
            if name not in known:
                raise ModelError(
                    f"simulate() has no option {name!r}.{nearest(name, known)} It takes {', '.join(known)}."
                )
        data = self.estimation.data
        if cluster_sizes is None:
            cluster_sizes, group = data.design
            options = {"group": group if data.group_labels else None} | options
        return layer.simulate(
            layer.model_of(self.estimation), self.estimation.model.theta, key, cluster_sizes, n_datasets, **options
        )

    @checked(
        n=whole(1),
        key=KEY,
        type=choice("nonparametric", "parametric", "bollen.stine"),
        ci=choice("perc", "basic", "bca", "bca.simple", "student", "norm"),
        level=CONFIDENCE,
        chisq=optional(FLAG),
        chunk=optional(whole(1)),
    )
    def bootstrap(
        self,
        n: int = 1000,
        key: Any = 0,
        type: str = "nonparametric",
        ci: inference.Interval = "perc",
        level: float = 0.95,
        chisq: bool | None = None,
        executor: Executor | None = None,
        path: str | Path | None = None,
        chunk: int | None = None,
    ) -> report.BootstrapReport:
        """Bootstrap of clusters: n draws at once, without reading the rows again.

        type: "nonparametric" (clusters with replacement), "parametric" (from the model) or "bollen.stine" (test of the model).
        Draws of a model with efa() blocks are rotated as the estimate is, each to the minimum of the criterion that lies next to
        it and with its order and signs of factors, so that they differ by sampling alone; they have no ci="student".

        ci: "perc", "basic", "bca", "bca.simple" (not accelerated), "student" or "norm".
        chisq: also the chi-square of every draw. `:=` quantities are included.

        executor: a `concurrent.futures.Executor` whose workers make the draws in blocks of `chunk` (default 2048), as those of
        `mlsem_jax.montecarlo`; draw i depends on the key and i alone, whoever makes it. path: a folder that keeps the blocks, from
        which the bootstrap goes on.
        """
        check_executor(executor)
        with report.notice_if_slow():
            found = inference.bootstrap(
                self.estimation,
                n,
                key,
                type,
                chisq,
                executor=executor,
                path=path,
                chunk=chunk,
                through=through_unrotated(self.estimation),
            )
        return report.BootstrapReport(found, ci, level)

    @checked(exact=FLAG, rows=FLAG)
    def influence(self, exact: bool = False, rows: bool = False) -> report.InfluenceReport:
        """Influence of every cluster on every estimate: derivatives in its weight, one-step deletion, Cook-like distances.

        exact: also refit without each cluster. rows: also the derivatives in the weight of every row.
        """
        return report.InfluenceReport(inference.influence(self.estimation, exact, rows))
