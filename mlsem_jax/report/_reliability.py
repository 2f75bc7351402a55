"""Reliability as tables: a row a construct, with standard errors and intervals where they are asked for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlsem_jax import inference
from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax.estimation import Estimation
from mlsem_jax.measurement import Coefficients, reliability, reliability_quantity, through_unrotated
from mlsem_jax.numerics import normal_quantile, outside_level
from mlsem_jax.report._moments import by_group
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd

_OF_RESPONSES = (
    "Of ordered items the coefficients are those of their latent responses, each with variance 1 (Zumbo, Gadermann & Zeisser "
    "2007), not of sums of the answers."
)
ReliabilityInterval = Literal["wald", "profile", "bootstrap"]


def reliability_tables(
    estimation: Estimation,
    obs_var: bool | None = None,
    se: bool = False,
    level: float = 0.95,
    ci: ReliabilityInterval = "wald",
    n: int = 1000,
    key: Any = 0,
) -> Any:
    """A table by construct, or {group label: table}; `.se`, `.ci.lower`, `.ci.upper` of each column with se=True.

    obs_var: None is True, and False with ordered variables, which have no covariances of their own.
    """
    ordered = bool(estimation.model.build.specification.ordered)
    if ordered and obs_var:
        raise ModelError(
            "obs_var=True takes covariances of the items from the saturated model, which ordered items have none of: leave it out, "
            "or pass obs_var=False, for the coefficients of their latent responses."
        )
    obs_var = not ordered if obs_var is None else obs_var
    if ci != "wald" and obs_var:
        raise ModelError(
            f"ci={ci!r} is about functions of the model's parameters; with obs_var=True the coefficients take the saturated "
            "model's variances as well. Pass obs_var=False with it, or ci='wald'."
        )
    se = se or ci != "wald"
    found = reliability(estimation, obs_var, se)
    for sentence in found.warnings:
        warnings.warn(sentence, ModelWarning, stacklevel=outside_level())
    limits = _limits(estimation, found, level, ci, n, key) if se else None
    groups = max(len(estimation.model.build.specification.groups), 1)
    tables = [_table(found, group, limits) for group in range(1, groups + 1)]
    for table in tables:
        if ordered:
            table.attrs["of"] = _OF_RESPONSES
    return by_group(estimation, tables)


def _limits(
    estimation: Estimation, found: Coefficients, level: float, ci: ReliabilityInterval, n: int, key: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits (r,)."""
    if ci == "wald":
        half = normal_quantile(0.5 + level / 2) * found.se
        return found.values - half, found.values + half
    known = np.flatnonzero(np.isfinite(found.values))
    quantity = reliability_quantity(estimation).chosen(known.tolist())
    lower, upper = np.full((2, len(found.values)), np.nan)
    if ci == "profile":
        profiled = inference.profile(estimation, None, [level], quantity=quantity)
        for note in profiled.notes:
            warnings.warn(note, ModelWarning, stacklevel=outside_level())
        lower[known], upper[known] = profiled.lower[:, 0], profiled.upper[:, 0]
        return lower, upper
    drawn = inference.bootstrap(estimation, n, key, quantity=quantity, through=through_unrotated(estimation))
    draws = drawn.draws[drawn.usable]
    half = 0.5 - level / 2
    lower[known], upper[known] = np.nanquantile(draws, [half, 1 - half], axis=0)
    return lower, upper


def _table(found: Coefficients, group: int, limits: tuple[np.ndarray, np.ndarray] | None) -> pd.DataFrame:
    import pandas as pd

    at = [i for i, where in enumerate(found.where) if where[0] == group]
    constructs = list(dict.fromkeys(found.where[i][1] for i in at))
    columns = list(dict.fromkeys(found.where[i][2] for i in at))
    shape = (len(constructs), len(columns))
    table = dict(zip(columns, found.values[at].reshape(shape).T, strict=True))
    if limits is not None:
        for suffix, values in ((".se", found.se), (".ci.lower", limits[0]), (".ci.upper", limits[1])):
            table |= {c + suffix: v for c, v in zip(columns, values[at].reshape(shape).T, strict=True)}
        table = {c + s: table[c + s] for c in columns for s in ("", ".se", ".ci.lower", ".ci.upper")}
    frame = pd.DataFrame(table, index=pd.Index(constructs, name="construct"))
    frame.attrs["undefined"] = {
        (name, column): f"{why}." for (g, name, column), why in found.undefined.items() if g == group
    }
    return as_table(frame)
