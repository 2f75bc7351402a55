"""Nonlinear equalities, inequalities and bounds as functions of theta; linear equalities are eliminated by a build."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import Build, Specification, is_linear, residual_function, residuals_with_jacobian


@dataclass(frozen=True)
class Constraints:
    """Residuals (c,) in theta (q,): zero for equalities, non-negative for inequalities; the written ones first, then the bounds.

    general: the build whose written constraints these are, None where there are only bounds; bounds (b, q), least (b,): a theta is
    within them where bounds @ theta >= least. texts: every constraint in words.
    """

    general: Build | None
    bounds: np.ndarray
    least: np.ndarray
    equality: np.ndarray
    texts: tuple[str, ...]

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Residuals (c,)."""
        return self.evaluate(theta)[0]

    def evaluate(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (c,) and their Jacobian (c, q)."""
        simple = self.bounds @ theta - self.least
        if self.general is None:
            return simple, self.bounds
        build = self.general
        residual, jacobian = residuals_with_jacobian(build.natural(theta), build.nonlinear, build.labels)
        return np.concatenate([residual, simple]), np.concatenate([jacobian @ build.basis, self.bounds])

    def nearest(self, theta: np.ndarray) -> np.ndarray:
        """The point nearest to theta (q,) that meets the bounds of single parameters."""
        out = np.array(theta, float)
        for row, least in zip(self.bounds, self.least, strict=True):
            at = np.flatnonzero(row)
            if len(at) == 1 and row[at[0]] * out[at[0]] < least:
                out[at[0]] = least / row[at[0]]
        return out

    def curvature(self, theta: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
        """Hessian (q, q) of multipliers' residual."""
        written = () if self.general is None else self.general.nonlinear
        pressed = [(c, w) for c, w in zip(written, multipliers, strict=False) if w != 0 and not is_linear(c)]
        if self.general is None or not pressed:
            return np.zeros((len(theta), len(theta)))
        function = residual_function([c for c, _ in pressed], self.general.labels)
        weights = jnp.asarray([w for _, w in pressed])
        natural = self.general.natural
        return np.asarray(jax.hessian(lambda x: weights @ function(natural(x)))(jnp.asarray(theta)))


def bounds_of(build: Build, bounds: str | dict) -> list[tuple[int, float, bool, str]]:
    """Simple bounds as (natural parameter, value, is lower, text), from the table and from the `bounds` option.

    "pos.var" keeps all variances at or above zero, "pos.ov.var" those of observed and "pos.lv.var" those of latent variables;
    a dictionary gives (lower, upper) by parameter name or label.
    """
    kinds = {"none": (), "pos.var": (True, False), "pos.ov.var": (True,), "pos.lv.var": (False,)}
    out = []
    if isinstance(bounds, str) and bounds not in kinds:
        raise ModelError(
            f"bounds={bounds!r} is not available. Allowed: {', '.join(map(repr, kinds))}, or a dictionary."
        )
    specification = build.specification
    if isinstance(bounds, str) and True in kinds[bounds]:
        _check_bounded(specification)
    for row, index in zip(specification.parameters, build.index, strict=True):
        if index < 0:
            continue
        for value, lower in ((row.lower, True), (row.upper, False)):
            if value is not None and np.isfinite(value):
                out.append((int(index), float(value), lower, f"{row.name} {'>' if lower else '<'} {value:g}"))
        is_variance = row.op == "~~" and row.lhs == row.rhs
        if isinstance(bounds, str) and is_variance and (row.lhs in specification.variables) in kinds[bounds]:
            out.append((int(index), 0.0, True, f"{row.name} > 0"))
    if isinstance(bounds, dict):
        for name, pair in bounds.items():
            if name not in build.labels:
                raise ModelError(f"bounds: {name!r} is no parameter of the model.{nearest(name, build.labels)}")
            for value, lower in zip(pair, (True, False), strict=True):
                if value is not None and np.isfinite(value):
                    out.append((build.labels[name], float(value), lower, f"{name} {'>' if lower else '<'} {value:g}"))
    return list(dict.fromkeys(out))


def _check_bounded(specification: Specification) -> None:
    """**Raises:** ModelError where residual variances that are to be bounded are no parameters."""
    left = [row.lhs for row in specification.parameters if row.follows and row.op == "~~"]
    if left:
        raise ModelError(
            f"The residual variances of {listing(dict.fromkeys(left))} follow from their scales (parameterization 'delta') and "
            "cannot be bounded: take parameterization='theta', where they are above zero, or bounds='pos.lv.var'."
        )


def constraints_of(build: Build, bounds: str | dict = "none") -> Constraints | None:
    """The constraints of a built model that its basis does not satisfy by itself; None if there are none."""
    simple = bounds_of(build, bounds)
    if not build.nonlinear and not simple:
        return None
    index = np.array([i for i, *_ in simple], int)
    sign = np.array([1.0 if lower else -1.0 for _, _, lower, _ in simple])
    value = np.array([v for _, v, _, _ in simple])
    return Constraints(
        general=build if build.nonlinear else None,
        bounds=sign[:, None] * build.basis[index],
        least=sign * (value - build.offset[index]),
        equality=np.array([c.op == "==" for c in build.nonlinear] + [False] * len(simple), bool),
        texts=tuple(c.text for c in build.nonlinear) + tuple(text for *_, text in simple),
    )
