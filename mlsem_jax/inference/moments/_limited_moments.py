"""Statistics of limited information as moments by level: those of the data, and what the model leaves of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.moments._residuals import check_type
from mlsem_jax.inference.variance import invert, limited, pieces, residual_change
from mlsem_jax.numerics import float64


@dataclass(frozen=True, eq=False)
class LimitedMoments:
    """Of one level: cov (d, d) of the d responses; mean of the continuous ones and thresholds by name, where the level has them;
    slopes on the covariates, {(response, covariate): value}. Ordered variables have a within variance of 1.
    """

    names: tuple[str, ...]
    cov: np.ndarray
    mean: dict[str, float]
    thresholds: dict[str, float]
    slopes: dict[tuple[str, str], float]


LimitedByGroup = list[tuple[LimitedMoments, ...]]


def limited_h1(estimation: Estimation) -> LimitedByGroup:
    """What stages 1 and 2 found."""
    return _arranged(estimation, np.asarray(limited(estimation).target), 1.0)


def limited_implied(estimation: Estimation) -> LimitedByGroup:
    """What the model implies of them."""
    return _arranged(estimation, pieces(estimation.model, estimation).implied, 1.0)


@float64
def limited_residuals(estimation: Estimation, type: str = "raw") -> LimitedByGroup:
    """Statistics of the data less those of the model. cor: covariances as correlations at their level, means over their standard
    deviation. z: raw over the standard error, the root of the diagonal of (I - D H^-1 D'W) acov (I - D H^-1 D'W)'; 0 where the
    model reproduces the statistic.
    """
    check_type(type)
    term, found = limited(estimation), pieces(estimation.model, estimation)
    target = np.asarray(term.target)
    if type == "cor":
        target, implied = (_correlations(estimation, x) for x in (target, found.implied))
        return _arranged(estimation, target - implied, 0.0)
    left = target - found.implied
    return _arranged(estimation, left if type == "raw" else _over_errors(estimation, left), 0.0)


def _over_errors(estimation: Estimation, left: np.ndarray) -> np.ndarray:
    term, found, model = limited(estimation), pieces(estimation.model, estimation), estimation.model
    groups, count = left.shape
    inverse = found.divisor * invert(found.bread, model.maximum.jacobian)
    change = residual_change(found, inverse)
    variance, own = np.zeros(groups * count), np.concatenate([np.diag(a) for a in np.asarray(term.acov)])
    for g in range(groups):
        part = change[:, g * count : (g + 1) * count]
        variance += np.einsum("is,st,it->i", part, np.asarray(term.acov)[g], part)
    known = variance > 1e-4 * own
    return np.where(known, left.ravel() / np.sqrt(np.where(known, variance, 1.0)), 0.0).reshape(left.shape)


def _correlations(estimation: Estimation, values: np.ndarray) -> np.ndarray:
    """Covariances (G, S) over the standard deviations of their level, means over the total one; thresholds and slopes as they
    are.
    """
    layout, out = limited(estimation).layout, values.copy()
    for g, row in enumerate(values):
        variance = {
            (level, r): value
            for kind, r, c, level, value in zip(layout.kind, layout.row, layout.col, layout.level, row, strict=True)
            if kind == "covariance" and r == c
        }
        for s, (kind, r, c, level) in enumerate(zip(layout.kind, layout.row, layout.col, layout.level, strict=True)):
            first = _unit(layout, r)
            if kind == "covariance":
                product = variance.get((level, r), first) * variance.get((level, c), _unit(layout, c))
                out[g, s] = row[s] / np.sqrt(product) if product > 0 else np.nan
            elif kind == "mean":
                total = sum(v for (_, at), v in variance.items() if at == r)
                out[g, s] = row[s] / np.sqrt(total) if total > 0 else np.nan
    return out


def _unit(layout, place: int) -> float:
    return 1.0 if place in layout.ordered else np.nan


def _arranged(estimation: Estimation, values: np.ndarray, unit: float) -> LimitedByGroup:
    """Values (G, S) by group and level. unit: the within variance of ordered variables, which is no statistic."""
    specification, layout = estimation.model.build.specification, limited(estimation).layout
    variables = specification.variables
    covariates = [*specification.within.covariates, *specification.between.covariates]
    out = []
    for row in values:
        levels = []
        for number in specification.numbers:
            names = tuple(v for v in specification.level(number).observed if variables.index(v) in layout.responses)
            at = {variables.index(v): i for i, v in enumerate(names)}
            found = LimitedMoments(names, np.zeros((len(names), len(names))), {}, {}, {})
            for place, level in zip(layout.ordered, layout.scale_levels, strict=True):
                if level == number:
                    found.cov[at[place], at[place]] = unit
            for name, kind, r, c, level, value in zip(
                layout.names, layout.kind, layout.row, layout.col, layout.level, row, strict=True
            ):
                if level != number:
                    continue
                if kind == "covariance":
                    found.cov[at[r], at[c]] = found.cov[at[c], at[r]] = value
                elif kind == "mean":
                    found.mean[variables[r]] = float(value)
                elif kind == "threshold":
                    found.thresholds[name] = float(value)
                else:
                    found.slopes[variables[r], covariates[c]] = float(value)
            levels.append(found)
        out.append(tuple(levels))
    return out


def limited_icc(estimation: Estimation) -> list[dict[str, float]]:
    """Intraclass correlation by group of every response of level 1, of ordered ones on the scale of the latent response; 0 for
    within-only ones.
    """
    out = []
    for within, between in limited_h1(estimation):
        above = dict(zip(between.names, np.diag(between.cov), strict=True))
        below = dict(zip(within.names, np.diag(within.cov), strict=True))
        out.append({v: float(above.get(v, 0.0) / (above.get(v, 0.0) + below[v])) for v in within.names})
    return out
