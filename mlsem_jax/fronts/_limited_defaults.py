"""Which estimator a front end takes for ordered variables, and what to say where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import FitOptions
from mlsem_jax.models import Specification
from mlsem_jax.options import read_options

# distinct values up to which a variable looks as if it were seen in categories
FEW = 12


def with_estimator(options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A user's keywords with lavaan's default for ordered variables, estimator WLSMV, and whether that was put in."""
    asked = read_options({k: v for k, v in options.items() if k in ("estimator", "ordered")})
    if not asked.get("ordered"):
        return options, False
    options = options | {"ordered": asked["ordered"]}
    if "estimator" in asked:
        return options, False
    return options | {"estimator": "WLSMV"}, True


def check_ordered(specification: Specification, data: TwoLevelData, options: FitOptions) -> None:
    """**Raises:** ModelError for an estimator of ordered variables where there are none; it names those that look so."""
    if not options.limited or specification.ordered:
        return
    covariates = {*specification.within.covariates, *specification.between.covariates}
    found = []
    for j, name in enumerate(data.variables):
        count = len(np.unique(data.values[~np.isnan(data.values[:, j]), j]))
        if name not in covariates and count <= FEW:
            found.append((name, count))
    if not found:
        raise ModelError(
            f"estimator={options.estimator!r} is for ordered variables, and no variable is declared ordered: name them with "
            "ordered=, or "
            "use estimator='ML'."
        )
    shown = listing([f"{name} ({count} values)" for name, count in found], 8)
    raise ModelError(
        f"estimator={options.estimator!r} but no variable is declared ordered; {shown} look{'s' * (len(found) == 1)} categorical: "
        f"ordered=[{listing([repr(name) for name, _ in found], 8)}], or estimator='ML'."
    )


def row_treatment(missing: str) -> str:
    """Which rows are kept: pairwise estimation keeps those that full information keeps."""
    return "ml" if missing == "pairwise" else missing
