"""What inspect() says about the likelihood at the estimates: gradients, information matrices, constraints, tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax import inference
from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import refuse_limited, vcov_natural
from mlsem_jax.models import Slopes
from mlsem_jax.report._results import Results

if TYPE_CHECKING:
    import pandas as pd


def gradient(results: Results, per_row: bool) -> pd.Series:
    """Of the log-likelihood, or (per_row) of minus it by row, which is lavaan's discrepancy function but for a constant."""
    import pandas as pd

    estimation = results.estimation
    refuse_limited(estimation, "There is no gradient of a log-likelihood")
    names = estimation.model.build.theta_names
    values = np.asarray(estimation.model.maximum.gradient, float)[: len(names)]
    return pd.Series(-values / estimation.ntotal if per_row else values, names, name="gradient")


def information(kind: str = "", inverted: bool = False, unrestricted: bool = False) -> Callable[[Results], Any]:
    """An information matrix by row, or its inverse; kind: that of the fit's option where nothing is said."""

    def answer(results: Results) -> pd.DataFrame:
        estimation = results.estimation
        fitted = inference.unrestricted(estimation, "Information matrices of h1") if unrestricted else estimation.model
        kind_here = kind or estimation.options.information
        if kind_here == "expected" and estimation.limited is None and not estimation.statistics.expected:
            raise ModelError("There is no expected information here: use inspect('information.observed').")
        if unrestricted or kind:
            refuse_limited(estimation, f"There is no {kind_here} information")
        matrix = inference.information(fitted, estimation, kind_here) / estimation.ntotal
        if inverted:
            matrix = inference.invert(matrix, fitted.maximum.jacobian)
        return _square(matrix, fitted.build.theta_names)

    return answer


def hessian(results: Results) -> pd.DataFrame:
    """Second derivatives of minus the log-likelihood by row."""
    refuse_limited(results.estimation, "There is no log-likelihood, and no Hessian of it")
    return information("observed")(results)


def covariance_of(kind: str, rows: str) -> Callable[[Results], Any]:
    """Sampling covariance of standardized estimates or of `:=` quantities. kind: "" for estimates as they are; rows: "free",
    "defined" or "joint".
    """

    def answer(results: Results) -> pd.DataFrame:
        estimation = results.estimation
        build = estimation.model.build
        defined = len(build.specification.definitions)
        if kind:
            quantity = inference.standardized_quantity(estimation, kind)  # type: ignore[arg-type]
            free = [i for i, row in enumerate(build.specification.parameters) if row.free]
        else:
            quantity = inference.estimated(build)
            free = list(range(len(build.names)))
        last = list(range(len(quantity.names) - defined, len(quantity.names)))
        chosen = quantity.chosen({"free": free, "defined": last, "joint": [*free, *last]}[rows])
        matrix = chosen.vcov(estimation.model.natural, vcov_natural(estimation))
        return _square(matrix, chosen.names)

    return answer


def constraints(results: Results) -> pd.DataFrame:
    """Every constraint of the model text with the values of its sides; active: it holds with equality."""
    import pandas as pd

    build = results.estimation.model.build
    values = Slopes(results.estimation.model.natural, build.labels, build.specification.definitions)
    rows = []
    for c in build.specification.constraints:
        left, right = float(values.of(c.left)[0]), float(values.of(c.right)[0])
        rows.append((c.text or f"{c.left} {c.op} {c.right}", c.op, left, right, bool(abs(left - right) < 1e-6)))
    return pd.DataFrame(rows, columns=["constraint", "op", "left", "right", "active"])


def nullspace(results: Results) -> pd.DataFrame:
    """How the parameters (rows) follow from those left after linear equalities (columns)."""
    import pandas as pd

    build = results.estimation.model.build
    return pd.DataFrame(np.asarray(build.basis)[:, : build.free], list(build.names), build.theta_names)


def chi_squares(results: Results, of_baseline: bool = False) -> dict[str, dict[str, float]]:
    """The chi-square tests by name: "standard", and the scaled one where the fit has it."""
    prefix = "baseline." if of_baseline else ""
    m = results.measures()
    if f"{prefix}chisq" not in m.index:
        raise ModelError("This fit has no test: no unrestricted model, no baseline model, or test='none'.")
    found = {}
    for name, suffix in (("standard", ""), (results.test, ".scaled")):
        if f"{prefix}chisq{suffix}" in m.index:
            stat, df, p = (float(m[f"{prefix}{part}{suffix}"]) for part in ("chisq", "df", "pvalue"))
            found[name] = {"stat": stat, "df": df, "pvalue": p}
            if suffix and f"{prefix}chisq.scaling.factor" in m.index:
                found[name]["scaling.factor"] = float(m[f"{prefix}chisq.scaling.factor"])
    return found


def least_squares(part: str) -> Callable[[Results], Any]:
    """Statistics, weights and their covariance of limited information, by group."""

    def answer(results: Results) -> Any:
        term = results.estimation.limited
        if term is None:
            raise ModelError(
                "There are no statistics of limited information: the fit maximises a likelihood. fit.h1() has the unrestricted "
                "moments."
            )
        values = {
            "obs": term.target,
            "v": term.weight,
            "vd": np.diagonal(np.asarray(term.weight), axis1=-2, axis2=-1),
            "gamma": np.asarray(term.acov) * np.asarray(term.rows)[:, None, None],
        }[part]
        groups = results.specification.groups
        each = [np.asarray(value) for value in np.asarray(values)]
        return each[0] if not groups else dict(zip(groups, each, strict=True))

    return answer


def _square(matrix: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(matrix[: len(names), : len(names)], list(names), list(names))


def h1_loglik(results: Results) -> float:
    """The log-likelihood of the unrestricted model given the fixed covariates."""
    estimation: Estimation = results.estimation
    return inference.unrestricted(estimation).value - estimation.covariates_loglik
