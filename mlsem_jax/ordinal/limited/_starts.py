"""Where the searches start: moments of the codes and numbers, taken as if all were continuous."""

from __future__ import annotations

import numpy as np

from mlsem_jax.numerics import normal_quantile
from mlsem_jax.ordinal.limited._kernels import FAR
from mlsem_jax.ordinal.limited._layout import depends
from mlsem_jax.ordinal.limited._prepared import Prepared
from mlsem_jax.ordinal.limited._records import BOTH

CATEGORICAL = 1.2  # by what correlations of latent responses exceed those of codes, about


class Moments:
    """Residuals of all variables (rows, p) on their covariates, NaN where missing, and their variances within and between."""

    def __init__(self, prepared: Prepared):
        self.prepared = prepared
        p = len(prepared.data.names)
        self.fits = [_regression(prepared, j) for j in range(p)]

    def components(self, first: int, second: int) -> tuple[float, float]:
        """Covariances of two variables within and between clusters, by analysis of variance. With one level, or where the
        variables have one part in common, all of it is the first.
        """
        prepared = self.prepared
        a, c = (self._at_rows(j) for j in (first, second))
        seen = np.isfinite(a) & np.isfinite(c)
        if not prepared.two_level or {prepared.level(first), prepared.level(second)} != {BOTH}:
            return float(np.mean(a[seen] * c[seen])), float(np.mean(a[seen] * c[seen]))
        cluster = prepared.cluster[seen]
        size = np.bincount(cluster, minlength=prepared.units)
        means = [np.bincount(cluster, v[seen], prepared.units) / np.maximum(size, 1) for v in (a, c)]
        there = size > 0
        within = np.sum((a[seen] - means[0][cluster]) * (c[seen] - means[1][cluster]))
        total, units = int(seen.sum()), int(there.sum())
        within = within / max(total - units, 1)
        typical = max((total - float((size**2).sum()) / total) / max(units - 1, 1), 1.0)
        between = np.sum(size * means[0] * means[1]) / max(units - 1, 1)
        return float(within), float((between - within) / typical)

    def _at_rows(self, variable: int) -> np.ndarray:
        residual = self.fits[variable][1]
        return residual[self.prepared.cluster] if self.prepared.between(variable) else residual


def _regression(prepared: Prepared, variable: int) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slopes by least squares; residuals."""
    y = prepared.column(variable)
    x = prepared.cluster_x if prepared.between(variable) else prepared.x
    use = depends(prepared.data, variable)
    design = np.column_stack([np.ones(y.size), x[:, use]])
    seen = np.isfinite(y)
    found = np.linalg.lstsq(design[seen], y[seen], rcond=None)[0]
    coefficients = np.zeros(1 + x.shape[1])
    coefficients[np.concatenate([[True], use])] = found
    return coefficients, y - design @ found


def of_variable(moments: Moments, variable: int) -> np.ndarray:
    """A block: thresholds, mean, within and between variance, slopes."""
    prepared = moments.prepared
    size = prepared.size
    theta = np.zeros(size.block)
    theta[: size.thresholds] = FAR
    within, between = moments.components(variable, variable)
    both = prepared.two_level and prepared.level(variable) == BOTH
    coefficients = moments.fits[variable][0]
    tail = slice(size.thresholds, size.thresholds + 3)
    if not prepared.ordered(variable):
        theta[tail] = coefficients[0], max(within, 1e-3), max(between, 0.02 * within) if both else 0.0
        theta[size.thresholds + 3 :] = coefficients[1:]
        return theta
    ratio = CATEGORICAL * max(between, 0.02 * within) / max(within, 1e-3) if both else 0.0
    theta[tail] = 0.0, 1.0, min(ratio, 5.0)
    theta[: int(prepared.data.categories[variable]) - 1] = _thresholds(prepared, variable) * np.sqrt(1 + theta[tail][2])
    theta[size.thresholds + 3 :] = coefficients[1:] / max(np.sqrt(within), 1e-2)
    return theta


def _thresholds(prepared: Prepared, variable: int) -> np.ndarray:
    """Normal quantiles of cumulative proportions."""
    column = prepared.column(variable)
    seen = np.isfinite(column)
    if prepared.between(variable):
        weight = prepared.unit_weight[seen]
    else:
        weight = prepared.weight[seen] * (prepared.unit_weight[prepared.cluster[seen]])
    counts = np.bincount(column[seen].astype(int), weight, int(prepared.data.categories[variable]))
    return normal_quantile(np.cumsum(counts)[:-1] / counts.sum())


def of_pair(moments: Moments, pair: tuple[int, ...], sd: np.ndarray) -> np.ndarray:
    """Within and between covariance; `sd`: (2, 2) standard deviations (part, variable) at which correlations are turned into
    covariances.
    """
    found = []
    covariance = moments.components(pair[0], pair[1])
    variances = [moments.components(j, j) for j in pair]
    steps = CATEGORICAL ** (sum(moments.prepared.ordered(j) for j in pair) / 2)
    for part in (0, 1):
        product = variances[0][part] * variances[1][part]
        correlation = covariance[part] / np.sqrt(product) * (steps if part == 0 else 1.0) if product > 0 else 0.0
        found.append(np.clip(correlation, -0.8, 0.8) * sd[part].prod())
    return np.array(found)
