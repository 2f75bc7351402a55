"""The options of a fit, with lavaan's names and defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mlsem_jax._options import read_options, unknown_option


@dataclass(frozen=True)
class FitOptions:
    """How to estimate and what to report. se, test and information follow from the estimator unless given.

    bootstrap, iseed: number of draws and seed of se="bootstrap", whose confidence intervals are normal ones around the
    estimates; `fit.bootstrap` gives the others. bounds: "none", "pos.var", "pos.ov.var", "pos.lv.var", or {name: (lower, upper)},
    None where there is no limit. start: "default", "simple", or {name: value}, which front ends make of a fit or a table.
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
        implied = {
            "ML": {},
            "MLR": {"se": "robust.huber.white", "test": "yuan.bentler.mplus"},
            "MLF": {"information": "first.order"},
        }[estimator]
        return cls(**(implied | given))

    @property
    def robust(self) -> bool:
        return self.test in ("yuan.bentler", "yuan.bentler.mplus")
