"""Starting values from the moments of each level: factors by instrumental ratios of covariances, the rest at the moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mlsem_jax.estimation.starts._factor_start import PROPER, factor_start
from mlsem_jax.models import Build, Parameter, Specification
from mlsem_jax.observed import make_definite


def starting_values(build: Build, within: np.ndarray, between: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Natural parameters (k,) to start from, given sample moments by group: (G, p, p), (G, p, p) and (G, p).

    The user's start() values win; parameters shared by several rows start at the average over them.
    """
    specification = build.specification
    guesses: dict[int, list[float]] = {}
    for group in range(1, specification.ngroups + 1):
        for level, cov in ((1, within), (2, between)):
            rows = [
                (r, i)
                for r, i in zip(specification.parameters, build.index, strict=True)
                if (r.level, r.group) == (level, group)
            ]
            scale = np.sqrt(np.maximum(np.diag(within[group - 1]), np.diag(between[group - 1])))
            guess = _level(
                specification, level, [r for r, _ in rows], make_definite(cov[group - 1], scale), mean[group - 1]
            )
            for (row, index), value in zip(rows, guess, strict=True):
                if index >= 0:
                    guesses.setdefault(index, []).append(value if row.start is None else row.start)
    natural = np.zeros(build.basis.shape[0])
    for index, values in guesses.items():
        natural[index] = np.mean(values)
    return natural


def with_starts(build: Build, start: str | Mapping[str, float]) -> Build:
    """The build with the `start` option as starting values of its rows; those that the model text gives win.

    "simple": loadings, variances and scales at 1, everything else at 0, as in lavaan. A mapping gives values by name or label.
    """
    if isinstance(start, str) and start != "simple":
        return build
    rows = []
    for row, index in zip(build.specification.parameters, build.index, strict=True):
        value: float | None = float(row.op in ("=~", "~*~") or (row.op == "~~" and row.lhs == row.rhs))
        if not isinstance(start, str):
            value = next((start[name] for name in (row.name, build.names[index]) if index >= 0 and name in start), None)
        rows.append(row if index < 0 or row.start is not None or value is None else row.but(start=value))
    return replace(build, specification=build.specification.but(parameters=tuple(rows)))


def _level(
    specification: Specification, level: int, rows: list[Parameter], cov: np.ndarray, mean: np.ndarray
) -> list[float]:
    column_of = {name: i for i, name in enumerate(specification.variables)}
    latent = list(specification.level(level).latent)
    loading, variance = _factors(rows, column_of, latent, cov)
    common = dict.fromkeys(column_of, 0.0)
    for (factor, name), value in loading.items():
        if name in common:
            common[name] += value**2 * variance[factor]
    measured = {row.rhs for row in rows if row.op == "=~"}
    out = []
    for row in rows:
        left, right = column_of.get(row.lhs), column_of.get(row.rhs)
        if row.op == "=~":
            out.append(loading[row.lhs, row.rhs])
        elif row.op == "~~" and row.lhs == row.rhs:
            if left is None:
                out.append(variance.get(row.lhs, 0.05))
            else:
                out.append(max(cov[left, left] - common[row.lhs], 0.2 * cov[left, left]))
        elif row.op == "~~" and left is not None and right is not None and not measured & {row.lhs, row.rhs}:
            out.append(cov[left, right])
        elif row.op == "~1" and left is not None:
            out.append(mean[left])
        elif row.op == "~*~" and left is not None:
            out.append(1.0 / np.sqrt(cov[left, left]) if cov[left, left] > 0 else 1.0)
        else:
            out.append(0.0)
    return out


def _factors(rows, column_of, latent, cov):
    """Loadings by (factor, indicator) and variances by factor, each factor on its own from its observed indicators."""
    loading: dict[tuple[str, str], float] = {}
    variance: dict[str, float] = dict.fromkeys(latent, 0.05)
    fixed_variance = {
        r.lhs: r.value for r in rows if r.op == "~~" and r.lhs == r.rhs and not r.free and r.value is not None
    }
    for factor in latent:
        own = [row for row in rows if row.op == "=~" and row.lhs == factor]
        seen = [row for row in own if row.rhs in column_of and cov[column_of[row.rhs], column_of[row.rhs]] > 0]
        for row in own:
            loading[factor, row.rhs] = row.value if not row.free and row.value is not None else 1.0
        if not seen:
            continue
        marker = next((i for i, row in enumerate(seen) if not row.free and row.value), 0)
        s = cov[np.ix_([column_of[r.rhs] for r in seen], [column_of[r.rhs] for r in seen])]
        # in correlations, so that the units of the indicators have no part in it
        sd = np.sqrt(np.diag(s))
        s = s / np.outer(sd, sd)
        ratio, common = factor_start(np, s, np.ones(len(sd), bool), marker, np.ones(len(sd)), PROPER)
        common = float(common) * sd[marker] ** 2
        ratio = ratio * sd / sd[marker]
        anchor = seen[marker]
        if not anchor.free and anchor.value:
            unit = anchor.value
        elif fixed_variance.get(factor):
            unit = np.sqrt(common / abs(fixed_variance[factor]))
        else:
            unit = 1.0
        variance[factor] = fixed_variance.get(factor, common / unit**2)
        for row, r in zip(seen, ratio, strict=True):
            if row.free:
                loading[factor, row.rhs] = unit * r
    return loading, variance
