"""The options of a fit, with lavaan's names and defaults, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from mlsem_jax._errors import ModelError, nearest

Estimator = Literal["ML", "MLR", "MLF"]
StandardErrors = Literal["standard", "robust.huber.white", "bootstrap", "none"]
Test = Literal["standard", "yuan.bentler", "yuan.bentler.mplus", "none"]
Information = Literal["observed", "expected", "first.order"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "estimator": get_args(Estimator),
    "se": get_args(StandardErrors),
    "test": get_args(Test),
    "information": get_args(Information),
    "missing": ("listwise", "ml", "fiml", "direct"),
    "em_acceleration": ("squarem", "none"),
}

_SOLVERS = ("scoring", "bfgs", "newton", "em")


@dataclass(frozen=True)
class FitOptions:
    """How to estimate and what to report. se, test and information follow from the estimator unless given.

    bootstrap, iseed: number of draws and seed of se="bootstrap", whose confidence intervals are normal ones around the
    estimates; `fit.bootstrap` gives the others.
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
                raise ModelError(f"Unknown option {name!r}.{nearest(name, known)}")
        given = {name: value for name, value in given.items() if value is not None}
        for name, choices in _CHOICES.items():
            if name in given:
                given[name] = _choose(name, given[name], choices)
        if isinstance(given.get("optim_method"), str):
            given["optim_method"] = _choose("optim_method", given["optim_method"], _SOLVERS)
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


def _choose(name: str, value: Any, choices: tuple[str, ...]) -> str:
    match = {choice.lower(): choice for choice in choices}.get(str(value).lower())
    if match is None:
        raise ModelError(
            f"{name}={value!r} is not available for two-level models. Allowed: {', '.join(map(repr, choices))}."
            f"{nearest(value, choices)}"
        )
    return match
