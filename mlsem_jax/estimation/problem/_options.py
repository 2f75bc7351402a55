"""The options of a fit, with lavaan's names and defaults, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation.problem._limited_options import IMPLIED, LIMITED, check_estimator
from mlsem_jax.options import read_options, unknown_option


@dataclass(frozen=True)
class FitOptions:
    """How to estimate and what to report. se, test and information follow from the estimator unless given.

    bootstrap, iseed: number of draws and seed of se="bootstrap", whose confidence intervals are normal ones around the
    estimates; `fit.bootstrap` gives the others. bounds: "none", "pos.var", "pos.ov.var", "pos.lv.var", or {name: (lower, upper)},
    None where there is no limit. link, integration, integration_points: of ordered variables, whose likelihood is an integral over
    latent variables: "probit" or "logit", by adaptive Gauss-Hermite quadrature with so many points a dimension at level 2 or by
    Laplace's approximation there. start: "default", "simple", or {name: value}, which front ends make of a fit or a table.
    """

    estimator: str = "ML"
    se: str = "standard"
    test: str = "standard"
    information: str = "observed"
    missing: str = "listwise"
    optim_method: Any = "scoring"
    iter_max: int = 300
    em_iter_max: int = 10000
    em_fx_tol: float = 1e-8
    em_dx_tol: float = 1e-4
    em_acceleration: str = "squarem"
    bootstrap: int = 1000
    iseed: int = 0
    bounds: Any = "none"
    start: Any = "default"
    link: str = "probit"
    integration: str = "adaptive"
    integration_points: int = 15
    h1: bool = True
    baseline: bool = True
    verbose: bool = False

    @classmethod
    def make(cls, **given: Any) -> FitOptions:
        """From a user's keywords; None means default. Raises ModelError for unknown names and values."""
        known = {f.name for f in fields(cls)}
        for name in given:
            if name not in known:
                raise unknown_option(name, known, {})
        given = read_options(given)
        estimator = given.get("estimator", "ML")
        if given.get("se") == "robust":
            given["se"] = "robust.sem" if estimator in LIMITED else "robust.huber.white"
        check_estimator(estimator, given)
        implied = {
            **IMPLIED,
            "ML": {},
            "MLR": {"se": "robust.huber.white", "test": "yuan.bentler.mplus"},
            "MLF": {"information": "first.order"},
        }[estimator]
        return cls(**(implied | given))

    @staticmethod
    def of_one_level(given: dict[str, Any], clustered: bool) -> dict[str, Any]:
        """A user's keywords with lavaan's defaults for models of one level: standard errors by the expected information where the
        data are complete and nothing is robust; with clusters robust ones that go by clusters, and the scaled test.
        """
        asked = read_options(
            {k: v for k, v in given.items() if k in ("estimator", "se", "test", "information", "missing")}
        )
        out = dict(given)
        if clustered and not {"estimator", "se", "test", "information"} & set(asked):
            asked["estimator"] = out["estimator"] = "MLR"
        if clustered and (
            asked.get("se") in ("robust", "robust.huber.white")
            or (asked.get("estimator") == "MLR" and "se" not in asked)
        ):
            asked["se"] = out["se"] = "robust.cluster"
        robust = asked.get("se", "standard").startswith("robust") or asked.get("test", "").startswith("yuan")
        if asked.get("estimator", "ML") == "ML" and not robust and asked.get("missing", "listwise") == "listwise":
            out["information"] = asked.get("information", "expected")
        return out

    @staticmethod
    def of_survey(given: dict[str, Any], replicates: bool) -> dict[str, Any]:
        """A user's keywords with the defaults of survey designs: robust standard errors and scaled test (estimator MLR), or with
        replicate weights standard errors from them and no test.
        """
        asked = read_options({k: v for k, v in given.items() if k in ("estimator", "se", "test")})
        out = dict(given)
        if asked.get("estimator", "ML") == "ML":
            out["estimator"] = "MLR"
        if replicates:
            out = out | {k: v for k, v in {"se": "replicates", "test": "none"}.items() if k not in asked}
        return out

    def check_clusters(self, single: bool, clustered: bool) -> None:
        """ModelError for standard errors by clusters where the model, or the data, do not have them in this sense."""
        if self.se == "robust.cluster" and not (single and clustered):
            raise ModelError(
                "se='robust.cluster' is for models of one level (without 'level:' blocks) with cluster=. In a two-level model "
                "se='robust.huber.white' goes by clusters; in one level without clusters it goes by rows."
            )

    @property
    def limited(self) -> bool:
        """Whether the model is fitted to statistics of limited information."""
        return self.estimator in LIMITED

    @property
    def unit(self) -> float:
        """The residual variance of the latent response behind an ordered variable: that of the standard normal or logistic."""
        return math.pi**2 / 3 if self.link == "logit" else 1.0

    @property
    def robust(self) -> bool:
        return self.test in ("yuan.bentler", "yuan.bentler.mplus")
