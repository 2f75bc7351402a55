"""What inspect() says about the model: matrices of estimates, moments of latent variables, parts of the implied moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import implied, joint_moments, latent_covariances
from mlsem_jax.report._inspect_information import gradient
from mlsem_jax.report._moments import by_group, by_level
from mlsem_jax.report._results import Results
from mlsem_jax.report._shown import Tables

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
            levels.append(_level_matrices(rows, specification.group(group).level(level)))
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
    return Tables({"lambda": loadings, "beta": regressions, "theta": theta, "psi": psi, "nu": nu, "alpha": alpha})


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
    if part == "var":
        return pd.Series(np.diag(cov), names, name="var")
    if part == "cor":
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(np.diag(cov))
            cov = cov / np.outer(sd, sd)
    return pd.DataFrame(cov, names, names)


def one_matrix(name: str) -> Callable[[Results], Any]:
    """One of the model matrices of every level at the estimates."""

    def answer(results: Results) -> Any:
        estimation = results.estimation
        every = matrices(estimation, results.table()["est"].to_numpy(float))
        return _each(estimation, every, lambda level: level[name])

    return answer


def residual_correlations(results: Results) -> Any:
    """(Residual) covariances of the observed variables as correlations; NaN where a variance is not positive."""
    import pandas as pd

    def correlations(level: dict[str, Any]) -> pd.DataFrame:
        theta = level["theta"]
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(np.diag(theta))
            return pd.DataFrame(theta.to_numpy() / np.outer(sd, sd), theta.index, theta.columns)

    every = matrices(results.estimation, results.table()["est"].to_numpy(float))
    return _each(results.estimation, every, correlations)


def _each(estimation: Estimation, every: Any, pick: Callable[[Any], Any]) -> Any:
    """`pick` of the matrices of every group and level, in the same nesting."""
    specification = estimation.model.build.specification
    depth = (not specification.single) + bool(specification.groups)

    def walk(part: Any, below: int) -> Any:
        return Tables({key: walk(value, below - 1) for key, value in part.items()}) if below else pick(part)

    return walk(every, depth)


def _as_whole_numbers(level: dict[str, Any]) -> Tables:
    return Tables({name: matrix.astype(int) for name, matrix in level.items()})


def numbered(column: str) -> Callable[[Results], Any]:
    """The model matrices filled with numbers: of the free parameters ("free"), or of the rows of the table ("row"), from 1."""

    def answer(results: Results) -> Any:
        table = results.table()
        values = table["free"] if column == "free" else np.arange(1, len(table) + 1)
        every = matrices(results.estimation, np.asarray(values, float))
        return _each(results.estimation, every, _as_whole_numbers)

    return answer


def gradients(results: Results) -> Any:
    """The model matrices filled with derivatives of the discrepancy by row in the free parameters after equality constraints."""
    build = results.estimation.model.build
    by_name = gradient(results, True).to_dict()
    of_rows = [by_name.get(build.names[i], 0.0) if i >= 0 else 0.0 for i in build.index]
    return matrices(results.estimation, np.array(of_rows))


def standardized_errors(results: Results) -> Any:
    """The model matrices filled with standard errors of standardized estimates."""
    return matrices(results.estimation, results.standardized("std.all")["se"].to_numpy(float))


def unrotated(results: Results) -> Any:
    """The model matrices of estimates before a rotation, which are not kept."""
    if results.specification.blocks:
        raise ModelError("Estimates before the rotation are not kept: fit.rotation() says how they were rotated.")
    return matrices(results.estimation, results.table()["est"].to_numpy(float))


def all_moments(part: str) -> Callable[[Results], Any]:
    """Implied "cov" or "cor" of the observed and the latent variables of each level together."""

    def answer(results: Results) -> Any:
        return _parts(results.estimation, joint_moments(results.estimation), part)

    return answer


def thresholds(results: Results) -> Any:
    """Series of the thresholds at the estimates, indexed u1|t1; by group label where there are several groups."""
    import pandas as pd

    estimation = results.estimation
    rows = list(zip(estimation.model.build.specification.parameters, results.table()["est"], strict=False))
    groups = range(1, estimation.model.build.specification.ngroups + 1)
    found = [{f"{row.lhs}|{row.rhs}": value for row, value in rows if row.op == "|" and row.group == g} for g in groups]
    if not any(found):
        raise ModelError("The model has no thresholds: no variable is declared ordered.")
    return by_group(estimation, [pd.Series(one, name="th", dtype=float) for one in found])


def response_scales(results: Results) -> Any:
    """Series of the scales of latent responses, by variable; by group label where there are several groups."""
    import pandas as pd

    estimation = results.estimation
    rows = list(zip(estimation.model.build.specification.parameters, results.table()["est"], strict=False))
    groups = range(1, estimation.model.build.specification.ngroups + 1)
    found = [{row.lhs: value for row, value in rows if row.op == "~*~" and row.group == g} for g in groups]
    if not any(found):
        raise ModelError(
            "There are no scales of latent responses: no variable is declared ordered, or slopes are random, with which variances "
            "change from row to row."
        )
    return by_group(estimation, [pd.Series(one, name="delta", dtype=float) for one in found])


def h1_part(part: str) -> Callable[[Results], Any]:
    """Of the unrestricted covariances of each level: "cor", "var", or with one level "icov" and "logdet"."""

    def answer(results: Results) -> Any:
        import pandas as pd

        if part in ("icov", "logdet") and not results.specification.single:
            raise ModelError("This is of models of one level: with two there is no one covariance matrix of the data.")

        def one(level: dict[str, Any]) -> Any:
            cov = level["cov"]
            if part == "var":
                return pd.Series(np.diag(cov), cov.index, name="var")
            if part == "icov":
                return pd.DataFrame(np.linalg.inv(cov), cov.index, cov.columns)
            if part == "logdet":
                return float(np.linalg.slogdet(cov)[1])
            with np.errstate(invalid="ignore", divide="ignore"):
                sd = np.sqrt(np.diag(cov))
                cor = pd.DataFrame(cov.to_numpy() / np.outer(sd, sd), cov.index, cov.columns)
            return Tables(level | {"cov": cor})

        return _each(results.estimation, results.h1(), one)

    return answer


def each_group(results: Results, values: Any, convert: Callable[[Any], Any]) -> Any:
    """convert(value), of several groups of each."""
    if not results.specification.groups:
        return convert(values)
    return Tables({label: convert(value) for label, value in values.items()})
