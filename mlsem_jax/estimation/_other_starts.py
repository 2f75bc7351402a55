"""Other starting values for when the first ones fail: simpler ones, and perturbed ones."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation._scoring import Problem
from mlsem_jax.models import Build

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
# size of a perturbation relative to standard deviations
SPREAD = 0.3


def simple_start(made: Build, theta: np.ndarray, sample: Sample) -> np.ndarray:
    """theta with covariances and regressions at zero and loadings at ratios of standard deviations; variances stay."""
    out = np.array(theta, float)
    units, sign = parameter_scales(made, sample)
    for at, k in enumerate(made.kept):
        row = next(r for r, i in zip(made.specification.parameters, made.index, strict=True) if i == k)
        if row.cell is None or row.cell.matrix in ("psi_scale", "theta_scale") or row.start is not None:
            continue
        if (row.op == "~~" and row.lhs != row.rhs) or row.op == "~":
            out[at] = 0.0
        elif row.op == "=~":
            out[at] = sign[at] * units[at]
    return out


def parameter_scales(made: Build, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """A natural unit of each element of theta (q,) and the sign of its start: products or ratios of standard deviations.

    Latent variables count with the standard deviation of their first indicator.
    """
    within, between, _ = sample
    specification = made.specification
    total = np.maximum(np.diagonal(within, axis1=1, axis2=2), 0) + np.maximum(np.diagonal(between, axis1=1, axis2=2), 0)
    sd = {name: float(np.sqrt(total[:, i].mean())) or 1.0 for i, name in enumerate(specification.variables)}
    for row in specification.parameters:
        if row.op == "=~" and row.lhs not in sd:
            sd[row.lhs] = sd.get(row.rhs, 1.0)
    unit, sign = np.ones(len(made.kept)), np.ones(len(made.kept))
    for at, k in enumerate(made.kept):
        row = next(r for r, i in zip(specification.parameters, made.index, strict=True) if i == k)
        left, right = sd.get(row.lhs, 1.0), sd.get(row.rhs, 1.0)
        unit[at] = {"~~": left * right, "=~": right / left, "~": left / right}.get(row.op, left)
        sign[at] = np.sign(row.start) if row.start else 1.0
    return unit, sign


def perturbed(problem: Problem, made: Build, theta: np.ndarray, sample: Sample, count: int) -> np.ndarray:
    """count starts (count, q) around theta where the likelihood is finite; always the same for the same data."""
    random = np.random.default_rng(20080)
    unit, _ = parameter_scales(made, sample)
    rows, index = made.specification.parameters, made.index
    variance = {i for row, i in zip(rows, index, strict=True) if row.op == "~~" and row.lhs == row.rhs}
    is_variance = np.array([k in variance for k in made.kept], bool)
    out = []
    for _ in range(count):
        draw = random.standard_normal(len(theta))
        trial = theta
        for spread in SPREAD * 0.5 ** np.arange(6):
            trial = np.where(is_variance, theta * np.exp(2 * spread * draw), theta + spread * unit * draw)
            if np.isfinite(problem.evaluate(trial)[0]):  # the program that is compiled already
                break
        out.append(trial)
    return np.stack(out)
