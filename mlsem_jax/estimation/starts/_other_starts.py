"""Other starting values for when the first ones fail: simpler ones, and perturbed ones."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation.problem import Problem, Sample
from mlsem_jax.models import Build, Parameter

# size of a perturbation relative to standard deviations
SPREAD = 0.3


def simple_start(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """theta with covariances and regressions at zero and loadings at ratios of standard deviations; variances stay."""
    out = np.array(theta, float)
    units, sign = parameter_scales(problem.build, problem.sample)
    for at, row in enumerate(rows_of_theta(problem.build)):
        if row.cell is None or row.cell.matrix in ("psi_scale", "theta_scale") or row.start is not None:
            continue
        if (row.op == "~~" and row.lhs != row.rhs) or row.op == "~":
            out[at] = 0.0
        elif row.op == "=~":
            out[at] = sign[at] * units[at]
    return out


def rows_of_theta(build: Build) -> list[Parameter]:
    """The first row of the table for each element of theta (q,)."""
    first: dict[int, Parameter] = {}
    for row, i in zip(build.specification.parameters, build.index.tolist(), strict=True):
        first.setdefault(i, row)
    return [first[k] for k in build.kept.tolist()]


def shrunk_covariances(build: Build, theta: np.ndarray) -> list[np.ndarray]:
    """theta (q,) itself, with its covariances halved, and with them at zero."""
    covariance = np.array([row.op == "~~" and row.lhs != row.rhs for row in rows_of_theta(build)], bool)
    return [np.where(covariance, share * theta, theta) for share in (1.0, 0.5, 0.0)]


def parameter_scales(build: Build, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """A natural unit of each element of theta (q,) and the sign of its start: products or ratios of standard deviations.

    Latent variables count with the standard deviation of their first indicator.
    """
    within, between, _ = sample
    specification = build.specification
    total = np.maximum(np.diagonal(within, axis1=1, axis2=2), 0) + np.maximum(np.diagonal(between, axis1=1, axis2=2), 0)
    sd = {name: float(np.sqrt(total[:, i].mean())) or 1.0 for i, name in enumerate(specification.variables)}
    for row in specification.parameters:
        if row.op == "=~" and row.lhs not in sd:
            sd[row.lhs] = sd.get(row.rhs, 1.0)
    unit, sign = np.ones(build.free), np.ones(build.free)
    for at, row in enumerate(rows_of_theta(build)):
        left, right = sd.get(row.lhs, 1.0), sd.get(row.rhs, 1.0)
        unit[at] = {"~~": left * right, "=~": right / left, "~": left / right, "~*~": 1.0 / left}.get(row.op, left)
        sign[at] = np.sign(row.start) if row.start else 1.0
    return unit, sign


def perturbed(problem: Problem, theta: np.ndarray, count: int) -> np.ndarray:
    """count starts (count, q) around theta where the likelihood is finite; always the same for the same data."""
    random = np.random.default_rng(20080)
    unit, _ = parameter_scales(problem.build, problem.sample)
    is_variance = np.array([row.op == "~~" and row.lhs == row.rhs for row in rows_of_theta(problem.build)], bool)
    out = []
    for _ in range(count):
        draw = random.standard_normal(len(theta))
        trial = theta
        for spread in SPREAD * 0.5 ** np.arange(6):
            trial = np.where(is_variance, theta * np.exp(2 * spread * draw), theta + spread * unit * draw)
            if np.isfinite(problem.evaluate(trial).value):  # the program that is compiled already
                break
        out.append(trial)
    return np.stack(out)
