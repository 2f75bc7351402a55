"""Structural after measurement: step 1 fits each measurement model, step 2 the structural one with the measurement parameters held.

Local: with S the unrestricted covariances of a level and M = (Lambda' Theta^-1 Lambda)^-1 Lambda' Theta^-1, the latent
variables have the covariances V = M (S - Theta) M', to which the structural model is fitted (Rosseel & Loh 2022). Global: the whole
model is fitted to the data with the measurement parameters held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax._status import Status
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation, FitOptions, Fitted, Maximum, Problem, estimate_model
from mlsem_jax.inference import Vcov, information, invert, meat, vcov_natural
from mlsem_jax.measurement._sam_parts import (
    Parts,
    measurement_model,
    parts_of,
    structural_model,
    structural_variables,
    tied_structures,
)
from mlsem_jax.models import Parameter, Specification, build, level_matrices, members, residuals_with_jacobian
from mlsem_jax.numerics import float64, positive_definite

Key = tuple[str, str, str, int, int]
ROBUST = ("robust.huber.white", "robust.cluster")


@dataclass(frozen=True, eq=False)
class TwoSteps:
    """estimation: the whole model at the estimates of both steps, its sampling covariance known. measurement: the fits of step 1.
    second: those of step 2, by level (local), or that of the whole model; structural: the first kind alone.
    """

    estimation: Estimation
    parts: Parts
    measurement: tuple[Estimation, ...]
    second: tuple[Estimation, ...]
    structural: tuple[Estimation, ...]


@float64
def two_steps(specification: Specification, data: TwoLevelData, options: FitOptions, local: bool) -> TwoSteps:
    """Both steps. Raises ModelError where the parts cannot be fitted one after the other."""
    parts = parts_of(specification)
    if options.se not in ("standard", *ROBUST):
        raise ModelError(
            f"se={options.se!r} is not available for sam(): standard errors are two-step ones, model-based or robust."
        )
    alone = replace(options, h1=False, baseline=False, bounds="none", start="default", test="standard")
    first = []
    for which, items in enumerate(parts.items):
        model = measurement_model(specification, parts, which)
        one = estimate_model(model, _columns(data, model), alone)
        if not one.model.maximum.status.converged:
            raise ModelError(
                f"The measurement model of {listing(items)} has no maximum to go on from: {one.model.maximum.status.sentence} "
                f"{one.model.maximum.status.advice}"
            )
        first.append(one)
    measured = {key_of(specification.parameters[i]) for own in parts.measurement for i in own}
    found = {key: value for one in first for key, value in _values(one).items() if key in measured}
    held = _held(specification, parts, found)
    whole = estimate_model(held, data, replace(options, h1=True, bounds="none", start="default"))
    second: tuple[Estimation, ...] = ()
    if local:
        second = _local(specification, parts, whole, found, alone)
        for level, one in enumerate(second, 1):
            found |= {(k[0], k[1], k[2], level, k[4]): v for k, v in _values(one).items()}
    else:
        found |= {key: value for key, value in _values(whole).items() if key not in found}
    status = max(one.model.maximum.status for one in (*first, *(second if local else (whole,))))
    end = combined(specification, whole, found, options, status)
    end.derived["vcov"] = Vcov(two_step_vcov(end, tuple(first)))
    return TwoSteps(end, parts, tuple(first), second or (whole,), second)


def key_of(row: Parameter) -> Key:
    pair = sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)
    return (pair[0], row.op, pair[1], row.level, row.group)


def _values(estimation: Estimation) -> dict[Key, float]:
    """Values of the free rows of a fit."""
    built, natural = estimation.model.build, estimation.model.natural
    rows = zip(built.specification.parameters, built.index, strict=True)
    return {key_of(row): float(natural[i]) for row, i in rows if i >= 0}


def _columns(data: TwoLevelData, model: Specification) -> TwoLevelData:
    """The columns of a measurement model, rows and clusters without any of its items left out."""
    at = [data.variables.index(v) for v in model.variables]
    absent = None if data.absent is None else data.absent[:, at]
    part = replace(
        data, values=data.values[:, at], variables=model.variables, between_only=data.between_only[at], absent=absent
    )
    known = np.any(part.known, axis=1)
    return part if known.all() else part.some_rows(known, part.survey)


def _held(specification: Specification, parts: Parts, found: dict[Key, float]) -> Specification:
    """The whole model with the measurement parameters fixed at the estimates of step 1."""
    measured = {i for own in parts.measurement for i in own}
    rows = tuple(
        row.but(free=False, value=found[key_of(row)], label="") if i in measured and row.free else row
        for i, row in enumerate(specification.parameters)
    )
    return specification.but(parameters=rows, constraints=parts.constraints[-1], definitions=(), warnings=())


def _local(
    specification: Specification, parts: Parts, whole: Estimation, found: dict[Key, float], options: FitOptions
) -> tuple[Estimation, ...]:
    """The structural model of each level, fitted to the covariances of its variables."""
    if tie := tied_structures(specification, parts):
        raise ModelError(
            f"sam_method='local' fits the structural model of each level by itself, and {tie} ties the levels: take "
            "sam_method='global'."
        )
    if whole.h1 is None:
        raise ModelError(" ".join(("sam_method='local' needs the unrestricted moments of the items.", *whole.notes)))
    # expected: the scaled test weighs moments at a model that they may be far from
    plain = replace(options, h1=True, baseline=True, missing="listwise", se="standard", information="expected")
    out = []
    for level in specification.numbers:
        model = structural_model(specification, parts, level)
        if not model.within.observed:
            continue
        rows = _rows_with_moments(specification, parts, whole, found, level, model)
        out.append(estimate_model(model, rows, plain))
    return tuple(out)


def _rows_with_moments(
    specification: Specification,
    parts: Parts,
    whole: Estimation,
    found: dict[Key, float],
    level: int,
    model: Specification,
) -> TwoLevelData:
    """Rows whose moments are those of the structural variables of a level: as many as there are rows (level 1) or clusters."""
    reduction, names = whole.reduction, model.within.observed
    values, groups = [], []
    for group in range(specification.ngroups):
        own, cov, mean = _latent_moments(specification, parts, whole, found, level, group)
        n = round(float((reduction.rows if level == 1 else reduction.counts)[group]))
        if n <= len(cov) or not positive_definite(cov):
            raise ModelError(
                f"The covariance matrix of {listing(names)} at level {level}, net of measurement error, is not positive definite: "
                "sam_method='local' has nothing to fit the structural model to. Two of the variables may be one there, or one may "
                "have no variance; take sam_method='global', or a simpler structural model at this level."
            )
        rows = np.zeros((n, len(names)))
        rows[:, [names.index(name) for name in own]] = _exact_rows(cov, mean, n)
        values.append(rows)
        groups.append(np.full(n, group))
    data, count = whole.data, sum(map(len, values))
    return replace(
        data,
        values=np.concatenate(values),
        variables=names,
        cluster=np.arange(count),
        cluster_ids=np.arange(count),
        group=np.concatenate(groups),
        between_only=np.zeros(len(names), bool),
        row_index=np.arange(count),
        rows_dropped=(),
        clusters_dropped=0,
        cluster_name="",
        warnings=(),
        single=True,
        survey=None,
        absent=model.absent if model.absent.any() else None,
    )


def _exact_rows(cov: np.ndarray, mean: np.ndarray, n: int) -> np.ndarray:
    """n rows with exactly this mean and this covariance, divisor n."""
    draws = np.random.default_rng(0).normal(size=(n, len(cov)))
    for _ in range(2):  # the second time takes away what rounding left
        draws = draws - draws.mean(0)
        draws = np.linalg.solve(np.linalg.cholesky(draws.T @ draws / n), draws.T).T
    return draws @ np.linalg.cholesky(cov).T + mean


def _latent_moments(
    specification: Specification, parts: Parts, whole: Estimation, found: dict[Key, float], level: int, group: int
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The structural variables of a level and group, and V = M (S - Theta) M' and M (mean - nu) of them."""
    assert whole.h1 is not None
    items = {name for part in parts.items for name in part}
    one, variables = specification.group(group + 1), specification.variables
    names, block = structural_variables(one, level, items), one.level(level)
    at = [variables.index(v) for v in block.observed]
    s = np.asarray(whole.h1.moments.levels[level - 1].cov[group])[np.ix_(at, at)]
    mean = np.asarray(whole.h1.moments.levels[level - 1].mean[group])[at]
    # of the held model: its measurement matrices are those of step 1
    x = level_matrices(whole.model.build.structure, whole.model.natural, level, group)
    inside = members(whole.model.build.specification, level)
    loadings, theta, nu = np.zeros((len(at), len(names))), np.zeros((len(at), len(at))), np.zeros(len(at))
    for i, v in enumerate(block.observed):
        if v not in items:
            loadings[i, names.index(v)] = 1.0
            continue
        nu[i] = x.nu[variables.index(v)]
        for j, f in enumerate(names):
            if f in inside and f not in block.observed:
                loadings[i, j] = x.lambda_[variables.index(v), inside.index(f)]
        for k, w in enumerate(block.observed):
            if w in items:
                theta[i, k] = x.theta[variables.index(v), variables.index(w)]
    mapping = _mapping(loadings, theta)
    return names, mapping @ (s - theta) @ mapping.T, mapping @ (mean - nu)


def _mapping(loadings: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """M (m, p): the weights of least error variance among those with M Lambda = I, which are (Lambda' Theta^-1 Lambda)^-1 Lambda'
    Theta^-1 where Theta can be inverted, and exist where variables without error make it singular.
    """
    p, m = loadings.shape
    border = np.block([[theta, loadings], [loadings.T, np.zeros((m, m))]])
    right = np.concatenate([np.zeros((p, m)), np.eye(m)])
    return np.linalg.lstsq(border, right, rcond=None)[0][:p].T


def combined(
    specification: Specification, whole: Estimation, found: dict[Key, float], options: FitOptions, status: Status
) -> Estimation:
    """The whole model at the estimates of both steps."""
    built = build(specification, whole.exogenous)
    natural = np.zeros(len(built.names))
    for row, i in zip(built.specification.parameters, built.index, strict=True):
        if i >= 0:
            natural[i] = found[key_of(row)]
    problem = Problem(built, whole.statistics, whole.model.problem.sample)
    point = problem.with_hessian(problem.evaluate(natural[built.kept]))
    more: dict[str, np.ndarray] = {}
    if equal := [c for c in built.nonlinear if c.op == "=="]:
        jacobian = residuals_with_jacobian(natural, equal, built.labels)[1] @ built.basis
        more = {"jacobian": jacobian, "multipliers": np.zeros(len(jacobian))}
    maximum = Maximum.at(point, status, whole.model.maximum.trace, 0.0, **more)
    model = Fitted(problem, maximum, problem.moments(point.theta))
    return replace(whole, model=model, options=options, notes=())


def two_step_vcov(end: Estimation, first: tuple[Estimation, ...]) -> np.ndarray:
    """Sampling covariance (q, q) of theta = (theta_1, theta_2).

    With I the information of the whole model, d theta_2 = I_22^-1 (s_2 - I_21 d theta_1), s_2 the score. Model-based: step 1 has
    its own covariance V_11, a matrix for each measurement model, and theta_2 has I_22^-1 + I_22^-1 I_21 V_11 I_12 I_22^-1 (Rosseel
    & Loh 2022). Robust: outer products of the sums over clusters of d theta_1 and d theta_2.
    """
    if end.options.se in ROBUST:
        moves = two_step_moves(end, first)
        return moves.T @ moves
    built = end.model.build
    one, two, bread, across = _second_step(end, first)
    out, v = np.zeros((len(built.kept),) * 2), np.zeros((len(built.names),) * 2)
    for fit in first:
        at = _places(end, fit)
        known = at >= 0
        v[np.ix_(at[known], at[known])] = vcov_natural(fit)[np.ix_(known, known)]
    v = v[np.ix_(built.kept[one], built.kept[one])]
    out[np.ix_(one, one)], out[np.ix_(two, one)], out[np.ix_(one, two)] = v, -across @ v, -v @ across.T
    out[np.ix_(two, two)] = bread + across @ v @ across.T
    return out


def two_step_moves(end: Estimation, first: tuple[Estimation, ...]) -> np.ndarray:
    """d theta (units, q) in the weight of each unit of the design, both steps."""
    built = end.model.build
    one, two, bread, across = _second_step(end, first)
    score = meat(end.model, end)
    moves = np.zeros((len(score), len(built.names)))
    for fit in first:
        at = _places(end, fit)
        moves[:, at[at >= 0]] = _influence(fit, end)[:, at >= 0]
    moves = moves[:, built.kept]
    moves[:, two] = score[:, two] @ bread - moves[:, one] @ across.T
    return moves


def _second_step(
    end: Estimation, first: tuple[Estimation, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places in theta of both steps' parameters, I_22^-1, and I_22^-1 I_21."""
    built, jacobian = end.model.build, end.model.maximum.jacobian
    measured = np.isin(built.kept, np.concatenate([_places(end, one) for one in first]))
    one, two = np.flatnonzero(measured), np.flatnonzero(~measured)
    inside = information(end.model, end, "expected" if end.options.information == "expected" else "observed")
    bread = invert(inside[np.ix_(two, two)], None if jacobian is None else jacobian[:, two])
    return one, two, bread, bread @ inside[np.ix_(two, one)]


def _places(end: Estimation, fit: Estimation) -> np.ndarray:
    """The natural parameter of the whole model that each one of a measurement model is (k_1,); -1 for moments of its factors."""
    built, alone = end.model.build, fit.model.build
    whole = {key_of(r): i for r, i in zip(built.specification.parameters, built.index, strict=True) if i >= 0}
    latent = {name for level in alone.specification.levels for name in level.latent}
    out = np.full(len(alone.names), -1)
    for row, i in zip(alone.specification.parameters, alone.index, strict=True):
        if i >= 0 and not (row.op in ("~~", "~1") and row.lhs in latent):
            out[i] = whole[key_of(row)]
    return out


def _influence(fit: Estimation, end: Estimation) -> np.ndarray:
    """Derivatives (units, k_1) of the natural parameters of a measurement model in the weight of each unit of the design."""
    if not np.array_equal(fit.data.cluster_ids, end.data.cluster_ids):
        raise ModelError(
            "Robust standard errors of sam() need a value of each measurement model in each cluster (with one level in each row); "
            "take se='standard', or leave these clusters out."
        )
    model = fit.model
    kind = "expected" if fit.options.information == "expected" else "observed"
    bread = invert(information(model, fit, kind), model.maximum.jacobian)
    return meat(model, fit) @ bread @ model.build.basis.T
