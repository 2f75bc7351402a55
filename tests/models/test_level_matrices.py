"""Closed-form derivatives of the moments in every kind of matrix element, against automatic differentiation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlsem_jax.likelihood import moments_and_jacobian
from mlsem_jax.models import KINDS, Cell, Level, Parameter, Specification, build, directions, kind_named, level_matrices
from mlsem_jax.numerics import float64

by_jax = jax.jit(moments_and_jacobian)
OBSERVED, LATENT = ("y1", "y2", "y3", "y4"), ("f", "g")


def covariance_rows(matrix: str, kind: str, names: tuple[str, ...], level: int) -> list[tuple[Parameter, float]]:
    """Free elements of a covariance matrix of a kind, with values that make it positive definite."""
    out = []
    for i, a in enumerate(names):
        for j, b in enumerate(names[: i + 1]):
            if i == j and kind_named(kind).scale is not None:
                row, value = Parameter(a, "~~", a, level, cell=Cell(f"{matrix}_scale", i)), 0.8 + 0.1 * i
            else:
                row = Parameter(a, "~~", b, level, cell=Cell(matrix, i, j))
                value = 1.1 + 0.1 * i if i == j else 0.11 * (i + 1) - 0.07 * j
            out.append((row, value))
    return out


def model(psi_kind: str, theta_kind: str) -> tuple[Specification, np.ndarray]:
    rows = []
    for level in (1, 2):
        rows += [(Parameter(v, "~1", "", level, cell=Cell("nu", i)), 0.3 * i) for i, v in enumerate(OBSERVED)]
        rows += [(Parameter(v, "~1", "", level, cell=Cell("alpha", i)), 0.2 + i) for i, v in enumerate(LATENT)]
        # one label for two loadings: two elements, one parameter
        loadings = [("f", 0), ("f", 1), ("g", 2), ("g", 3), ("g", 0)]
        rows += [
            (
                Parameter(
                    f, "=~", OBSERVED[i], level, label="same" if n < 2 else "", cell=Cell("lambda", i, LATENT.index(f))
                ),
                0.9 - 0.1 * n,
            )
            for n, (f, i) in enumerate(loadings)
        ]
        rows.append((Parameter("g", "~", "f", level, cell=Cell("beta", 1, 0)), 0.4))
        rows += covariance_rows("psi", psi_kind, LATENT, level) + covariance_rows("theta", theta_kind, OBSERVED, level)
    levels = [Level(OBSERVED, LATENT, structural=LATENT, psi_kind=psi_kind, theta_kind=theta_kind) for _ in range(2)]
    specification = Specification(*levels, tuple(row for row, _ in rows))
    made = build(specification)
    natural = np.zeros(len(made.names))
    for i, (_, value) in zip(made.index, rows, strict=True):
        natural[i] = value
    return made.structure, natural


@pytest.mark.parametrize("psi_kind", KINDS)
@pytest.mark.parametrize("theta_kind", ["cov", "ggm", "chol"])
def test_directions_are_the_derivatives(psi_kind, theta_kind):
    check_directions(*model(psi_kind, theta_kind))


@float64
def check_directions(structure, natural):
    moments, jacobian = by_jax(jax.tree.map(jnp.asarray, structure), jnp.asarray(natural))
    for level, cov, mean, d_cov, d_mean in (
        (1, moments.within_cov, moments.within_mean, jacobian.within_cov, jacobian.within_mean),
        (2, moments.between_cov, moments.between_mean, jacobian.between_cov, jacobian.between_mean),
    ):
        x = level_matrices(structure, natural, level, 0)
        np.testing.assert_allclose(x.cov, cov[0], atol=1e-12)
        np.testing.assert_allclose(x.mean, mean[0], atol=1e-12)
        d = directions(structure, natural, level, 0)
        got, got_mean = np.zeros((4, 4, len(natural))), np.zeros((4, len(natural)))
        for t, k in enumerate(d.index):
            outer = np.outer(d.left[t], d.right[t])
            got[..., k] += outer + outer.T
            got_mean[:, k] += d.mean[t]
        np.testing.assert_allclose(got, d_cov[0], atol=1e-12)
        np.testing.assert_allclose(got_mean, d_mean[0], atol=1e-12)
