"""What inspect() says about the model: matrices of estimates, moments of latent variables, parts of the implied moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import implied, latent_covariances
from mlsem_jax.report._moments import by_level

if TYPE_CHECKING:
    import pandas as pd


def matrices(estimation: Estimation, values: np.ndarray) -> Any:
    """{"within": {"lambda", "beta", "theta", "psi", "nu", "alpha"}, "between": {...}} filled with one value per table row; with one
    level its matrices alone.

    lambda: observed by latent variables; beta: explained by explaining variables of the regressions; theta and psi:
    (residual) covariances of the observed and of the latent variables; nu and alpha: their intercepts. Covariances between an
    observed and a latent variable stand in psi, which then has both. Elements that are no parameters are 0.
    """
    specification = estimation.model.build.specification
    out = []
    for group in range(1, specification.ngroups + 1):
        levels = []
        for level in specification.numbers:
            rows = [
                (row, value)
                for row, value in zip(specification.parameters, values, strict=False)
                if (row.level, row.group) == (level, group)
            ]
            levels.append(_level_matrices(rows, specification.level(level)))
        out.append(levels)
    return by_level(estimation, out, lambda matrices: matrices)


def _level_matrices(rows: list, block: Any) -> dict[str, pd.DataFrame | pd.Series]:
    import pandas as pd

    observed, latent = list(block.observed), list(block.latent)
    mixed = any(row.op == "~~" and (row.lhs in latent) != (row.rhs in latent) for row, _ in rows)
    corner = [*observed, *latent] if mixed else latent
    effects = list(dict.fromkeys(row.lhs for row, _ in rows if row.op == "~"))
    causes = list(dict.fromkeys(row.rhs for row, _ in rows if row.op == "~"))

    def zeros(left: list[str], right: list[str]) -> pd.DataFrame:
        return pd.DataFrame(np.zeros((len(left), len(right))), left, right)

    loadings, regressions = zeros(observed, latent), zeros(effects, causes)
    higher = [row.rhs for row, _ in rows if row.op == "=~" and row.rhs in latent]
    if higher:  # factors of factors
        loadings = zeros([*observed, *dict.fromkeys(higher)], latent)
    theta, psi = zeros(observed, observed), zeros(corner, corner)
    nu, alpha = pd.Series(0.0, observed, name="nu"), pd.Series(0.0, latent, name="alpha")
    for row, value in rows:
        if row.op == "=~":
            loadings.loc[row.rhs, row.lhs] = value
        elif row.op == "~":
            regressions.loc[row.lhs, row.rhs] = value
        elif row.op == "~1":
            (alpha if row.lhs in latent else nu)[row.lhs] = value
        elif row.op == "~~":
            target = theta if row.lhs in observed and row.rhs in observed else psi
            target.loc[row.lhs, row.rhs] = target.loc[row.rhs, row.lhs] = value
    return {"lambda": loadings, "beta": regressions, "theta": theta, "psi": psi, "nu": nu, "alpha": alpha}


def implied_part(estimation: Estimation, part: str) -> Any:
    """Implied "cov", "cor" or "mean" of the observed variables: {"within": ..., "between": ...}."""
    return _parts(estimation, implied(estimation), part)


def latent_moments(estimation: Estimation, part: str) -> Any:
    """Implied "cov", "cor" or "mean" of the latent variables: {"within": ..., "between": ...}."""
    return _parts(estimation, latent_covariances(estimation), part)


def _parts(estimation: Estimation, values: list, part: str) -> Any:
    return by_level(estimation, values, lambda moments: _part(moments, part))


def _part(moments: Any, part: str) -> pd.DataFrame | pd.Series:
    import pandas as pd

    names = list(moments.names)
    if part == "mean":
        return pd.Series(moments.mean, names, name="mean")
    cov = moments.cov
    if part == "cor":
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(np.diag(cov))
            cov = cov / np.outer(sd, sd)
    return pd.DataFrame(cov, names, names)
