"""Starting values that follow the sample moments where they are improper: negative variances and all.

A factor with a marker cannot cross a variance of zero on its way to a maximum, because its loadings are undefined there: a start
on the wrong side of zero runs along a valley where loadings grow without limit. So where a search fails, the next one starts on
the side that the covariances of its indicators are on.
"""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation.problem import Problem, Sample
from mlsem_jax.estimation.starts._factor_start import StartLimits, factor_start
from mlsem_jax.likelihood import CompleteTerm, Statistics, only_data
from mlsem_jax.models import Build, Parameter

# loadings relative to the marker are kept within this many times the ratio of standard deviations
WIDEST = 20.0
# on the side that the covariances are on: variances of any size and either sign, loadings of zero too
IMPROPER = StartLimits(ratio=(0.0, WIDEST), common=None, instruments=None)


def moment_start(problem: Problem, theta: np.ndarray, sample: Sample | None = None) -> np.ndarray:
    """theta (q,) with factors and residual variances as the covariances (G, p, p) of each level suggest, unrestricted.

    sample: in place of the problem's own.

    As far from the given theta towards that point as the likelihood stays finite; means are the best ones there, since a small
    variance of cluster means in some direction makes the likelihood sensitive to them.
    """
    build, sample = problem.build, problem.sample if sample is None else sample
    natural = problem.natural(theta)
    for group in range(1, build.specification.ngroups + 1):
        for level, cov in ((1, sample[0]), (2, sample[1])):
            rows = [
                (row, int(index))
                for row, index in zip(build.specification.parameters, build.index, strict=True)
                if (row.level, row.group) == (level, group)
            ]
            size = np.diag(sample[0][group - 1]) + np.abs(np.diag(sample[1][group - 1]))
            _level(build, level, rows, cov[group - 1], np.sqrt(np.maximum(size, 1e-300)), natural)
    target = natural[build.kept]
    for share in (1.0, 0.8, 0.6, 0.4, 0.2):
        trial = theta + share * (target - theta)
        if np.isfinite(problem.evaluate(trial).value):  # the program that is compiled already
            return best_means(problem, trial)
    return theta


def best_means(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """theta (q,) with means and intercepts where the log-likelihood, which is quadratic in them, is highest; theta itself where it
    is not finite.
    """
    here, build = problem.evaluate(theta), problem.build
    rows, index = build.specification.parameters, build.index
    means = [
        i for row, i in zip(rows, index, strict=True) if i >= 0 and row.cell and row.cell.matrix in ("nu", "alpha")
    ]
    others = np.ones(len(build.basis), bool)
    others[means] = False
    in_means = ~build.basis[others].any(axis=0)
    if not np.isfinite(here.value) or not in_means.any():
        return theta
    out = theta.copy()
    block = here.metric[np.ix_(in_means, in_means)]
    out[in_means] += np.linalg.lstsq(block, here.gradient[in_means], rcond=1e-10)[0]
    return out


def toward_maximum(statistics: Statistics, sample: Sample) -> Sample:
    """Moments by analysis of variance with J in place of J - 1 as the divisor of the cluster means.

    For clusters of one size these are the unrestricted maximum-likelihood moments, so that signs of small covariances agree.
    """
    within, between, mean = sample
    complete = only_data(statistics, CompleteTerm)
    if complete is None:
        return sample
    rows, clusters = np.asarray(complete.rows), np.asarray(complete.clusters)
    squares = np.sum(np.asarray(complete.count) * np.asarray(complete.size) ** 2, axis=1)
    n0 = (rows - squares / rows) / np.maximum(clusters - 1.0, 1.0)
    both = np.diagonal(within, axis1=1, axis2=2) * np.diagonal(between, axis1=1, axis2=2) != 0
    size = (clusters * np.maximum(n0, 1.0))[:, None, None]
    change = between / clusters[:, None, None] + within / size
    return within, between - np.where(both[:, :, None] & both[:, None, :], change, 0.0), mean


def _level(
    build: Build, level: int, rows: list[tuple[Parameter, int]], cov: np.ndarray, sd: np.ndarray, natural: np.ndarray
) -> None:
    """Write the parameters of one level and group into natural (k,), in place. sd (p,): total standard deviations."""
    column_of = {name: i for i, name in enumerate(build.specification.variables)}

    def value(row: Parameter, index: int) -> float:
        return float(natural[index]) if index >= 0 else float(row.value or 0.0)

    loads: dict[str, np.ndarray] = {}
    variance: dict[str, float] = {}
    for factor in build.specification.level(level).latent:
        own = [(row, i) for row, i in rows if row.op == "=~" and row.lhs == factor and row.rhs in column_of]
        spread = next(((row, i) for row, i in rows if row.op == "~~" and row.lhs == row.rhs == factor), None)
        if spread is None:
            continue
        guess = _factor(cov, sd, [column_of[row.rhs] for row, _ in own], own) if spread[1] >= 0 else None
        if guess is not None:
            ratio, common = guess
            natural[spread[1]] = common
            for (row, i), loading in zip(own, ratio, strict=True):
                if i >= 0 and row.start is None:
                    natural[i] = loading
        loads[factor] = np.zeros(len(column_of))
        for row, i in own:
            loads[factor][column_of[row.rhs]] = value(row, i)
        variance[factor] = value(*spread)
    for row, i in rows:
        if i < 0 or row.op != "~~" or row.start is not None:
            continue
        if row.lhs == row.rhs and row.lhs in column_of:
            at = column_of[row.lhs]
            common = sum(load[at] ** 2 * variance[f] for f, load in loads.items())
            if common != 0.0:
                natural[i] = cov[at, at] - common
        elif row.lhs in loads and row.rhs in loads and row.lhs != row.rhs:
            products = np.outer(loads[row.lhs], loads[row.rhs])
            products[(loads[row.lhs] != 0) & (loads[row.rhs] != 0)] = 0.0
            weight = float(np.sum(products**2))
            if weight > 0:
                natural[i] = float(np.sum(cov * products)) / weight


def _factor(
    cov: np.ndarray, sd: np.ndarray, at: list[int], own: list[tuple[Parameter, int]]
) -> tuple[np.ndarray, float] | None:
    """Loadings in units of the fixed marker and the variance of a factor, of either sign; None without marker or with fewer
    than three indicators.
    """
    marker = next((j for j, (row, i) in enumerate(own) if i < 0 and row.value), None)
    if marker is None or len(own) < 3:
        return None
    unit = float(own[marker][0].value or 1.0)
    sd = sd[at]
    r = cov[np.ix_(at, at)] / np.outer(sd, sd)
    ratio, common = factor_start(np, r, np.ones(len(own), bool), marker, np.ones(len(own)), IMPROPER)
    return unit * ratio * sd / sd[marker], float(common) * sd[marker] ** 2 / unit**2
