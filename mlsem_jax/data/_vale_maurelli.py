"""Values with given covariances whose margins have given skewness and kurtosis: cubes of correlated normal values.

Each variable is a + b z + c z^2 + d z^3 of a standard normal z (Fleishman 1978, Psychometrika 43, 521-532), and the z of two
variables correlate so that the cubes correlate as asked (Vale & Maurelli 1983, Psychometrika 48, 465-471).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax._record import Record
from mlsem_jax._typing import Array, Float

# how near the moments of a cubic must come, and steps of the bisection for correlations
TOLERANCE, STEPS = 1e-9, 60


class Cubics(Record):
    """Values of d variables: mixing (d, d) makes normal values correlate, powers (d, 4) are a, b, c, d of each, sd (d,) its
    standard deviation.
    """

    mixing: Float[Array, "d d"]
    powers: Float[Array, "d 4"]
    sd: Float[Array, " d"]

    def draw(self, key: Array, count: int, dtype: Any) -> Float[Array, "n d"]:
        """So many independent rows, with means of 0."""
        z = jax.random.normal(key, (count, len(self.sd)), dtype) @ self.mixing.T
        a, b, c, d = self.powers.T
        return self.sd * (a + z * (b + z * (c + z * d)))


def margins_of(skewness: Any, kurtosis: Any, variables: Sequence[str]) -> Float[np.ndarray, "2 p"] | None:
    """Skewness and excess kurtosis by variable, None where all are 0. One number is that of all variables, a dictionary names some.

    **Raises:** DataError for unknown variables, and for what no cubic of a normal variable has.
    """
    both = [_by_variable(name, x, variables) for name, x in (("skewness", skewness), ("kurtosis", kurtosis))]
    margins = np.array(both)
    if not margins.any():
        return None
    for name, pair in zip(variables, margins.T, strict=True):
        fleishman(float(pair[0]), float(pair[1]), name)
    return margins


def _by_variable(what: str, given: Any, variables: Sequence[str]) -> list[float]:
    named = given if isinstance(given, Mapping) else dict.fromkeys(variables, given)
    for name, value in named.items():
        if name not in variables:
            raise DataError(f"{what} names {name!r}, which the model does not have.{nearest(str(name), variables)}")
        if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(float(value)):
            raise DataError(f"{what} must be a number, or numbers by variable, not {value!r}.")
    return [float(named.get(name, 0.0)) for name in variables]


def check_margins(margins: np.ndarray | None, distribution: Any, covariates: Any) -> None:
    """DataError where skewness and kurtosis do not go with what else is asked for."""
    if margins is None:
        return
    if distribution != "normal":
        raise DataError(
            f"skewness and kurtosis say how values are distributed, and so does distribution={distribution!r}: give one of them."
        )
    if covariates is not None:
        raise DataError(
            "skewness and kurtosis are of all variables, the covariates too: leave covariates= out, or use distribution=, whose "
            "shocks are those of what the covariates do not explain."
        )


def fleishman(skewness: float, kurtosis: float, name: str = "") -> np.ndarray:
    """a, b, c, d of a cubic with mean 0, variance 1, this skewness and excess kurtosis. DataError where there is none."""
    from scipy.optimize import root  # slow to import, and few need it

    def equations(x: np.ndarray) -> list[float]:
        b, c, d = x
        return [
            b * b + 6 * b * d + 2 * c * c + 15 * d * d - 1,
            2 * c * (b * b + 24 * b * d + 105 * d * d + 2) - skewness,
            24 * (b * d + c * c * (1 + b * b + 28 * b * d) + d * d * (12 + 48 * b * d + 141 * c * c + 225 * d * d))
            - kurtosis,
        ]

    for start in (
        (1.0, 0.0, 0.0),
        (0.9, 0.3, 0.02),
        (0.9, -0.3, 0.02),
        (0.6, 0.4, 0.1),
        (0.6, -0.4, 0.1),
        (1.2, 0, -0.1),
    ):
        found = root(equations, start, tol=1e-12)
        b, c, d = found.x
        if np.abs(equations(found.x)).max() < TOLERANCE and b > 0:
            return np.array([-c, b, c, d])
    of = f" of {name!r}" if name else ""
    raise DataError(
        f"No cubic of a normal variable has skewness {skewness:g} and excess kurtosis {kurtosis:g}{of}: kurtosis must be at least "
        f"about {1.641 * skewness**2 - 1.226:.2f} for this skewness (1.641 skewness^2 - 1.226), and not be huge."
    )


def cubics_of(within: Any, between: Any, margins: np.ndarray, names: Sequence[str]) -> tuple[Cubics, Cubics]:
    """Of both levels: covariances within (p, p) and between (p + slopes, p + slopes), margins (2, p); random slopes are normal."""
    within, between = np.asarray(within), np.asarray(between)
    slopes = len(between) - len(within)
    above = np.concatenate([margins, np.zeros((2, slopes))], axis=1)
    labels = (*names, *(f"slope {i + 1}" for i in range(slopes)))
    return cubics(within, margins, names, 1), cubics(between, above, labels, 2)


def cubics(cov: np.ndarray, margins: np.ndarray, names: Sequence[str], level: int) -> Cubics:
    """Cubics with covariance matrix cov (d, d) and margins (2, d). DataError where these do not go together."""
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    there = sd > 0
    powers = np.stack([fleishman(s, k, name) if here else np.array([0.0, 1, 0, 0])
                       for s, k, name, here in zip(*margins, names, there, strict=True)])  # fmt: skip
    asked = cov / np.outer(*(np.where(there, sd, 1.0),) * 2)
    correlation = _intermediate(asked, powers, names, level)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < -1e-8:
        raise DataError(
            f"At level {level} no normal variables correlate so that cubes with this skewness and kurtosis have the covariances of "
            "the model. Ask for less of either, or for fewer variables by name."
        )
    return Cubics(vectors * np.sqrt(np.maximum(values, 0.0)), powers, sd)


def _intermediate(asked: np.ndarray, powers: np.ndarray, names: Sequence[str], level: int) -> np.ndarray:
    """Correlations (d, d) of normal values whose cubes correlate as asked, by bisection between 0 and 1 or -1."""
    _, b, c, d = powers.T

    def cubed(r: np.ndarray) -> np.ndarray:
        linear = np.outer(b + 3 * d, b + 3 * d)
        return r * (linear + r * (2 * np.outer(c, c) + r * 6 * np.outer(d, d)))

    sign = np.where(asked < 0, -1.0, 1.0)
    short = sign * (asked - cubed(sign)) > 1e-9
    np.fill_diagonal(short, False)
    if short.any():
        i, j = (int(at[0]) for at in np.nonzero(short))
        raise DataError(
            f"At level {level} {listing([names[i], names[j]])} correlate {asked[i, j]:.2f} in the model, and variables with this "
            f"skewness and kurtosis {cubed(sign)[i, j]:.2f} at most. Ask for less of either, or of opposite sign."
        )
    low, high = np.zeros_like(asked), np.ones_like(asked)
    for _ in range(STEPS):
        middle = (low + high) / 2
        below = sign * cubed(sign * middle) < np.abs(asked)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return sign * (low + high) / 2
