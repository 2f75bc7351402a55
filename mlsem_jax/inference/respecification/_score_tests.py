"""Score tests of releasing equality constraints: labels shared by several parameters, and written equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.moments import LimitedSpace, MomentSpace, padded
from mlsem_jax.inference.variance import invert
from mlsem_jax.models import Build, build, residuals_with_jacobian
from mlsem_jax.numerics import chi_square_tail, float64


@dataclass(frozen=True)
class ScoreTest:
    """Release of one equality, or of all together ("total"): chi-square statistic, degrees of freedom, p-value."""

    lhs: str
    rhs: str
    statistic: float
    df: int
    pvalue: float


@float64
def score_test(estimation: Estimation, release: Sequence[int] | None = None) -> list[ScoreTest]:
    """The total test of releasing the equalities at once, then one test for each alone while the others stay.

    The statistic is s' C s with s the score of the parameters without constraints and C the inverse of their expected
    information (observed with missing values) along the directions that the equalities still in force leave open (Silvey
    1959). release: which equalities, counted from 1 in the order of the univariate tests; all of them by default.
    """
    least = estimation.limited is not None
    if not (estimation.statistics.saturated or least):
        raise ModelError(f"Score tests need the saturated model; {estimation.why_unsaturated}.")
    apart = _apart(estimation.model.build)
    sides, jacobian = _equalities(estimation, apart)
    if not sides:
        raise ModelError("The model has no equality constraints: no shared labels, no equal() and no == to release.")
    chosen = list(range(1, len(sides) + 1)) if release is None else [int(i) for i in release]
    if wrong := [i for i in chosen if not 1 <= i <= len(sides)]:
        raise ModelError(f"release= counts equalities from 1 to {len(sides)}; there is none numbered {listing(wrong)}.")
    model = estimation.model
    space, between_only = (
        (LimitedSpace if least else MomentSpace).of(estimation),
        np.asarray(model.build.structure.between_only),
    )
    values = _values(estimation, apart)
    delta = space.jacobian(apart.structure, values)
    kind = "observed" if estimation.statistics.curved else "expected"
    information = delta.T @ space.information(model.moments, between_only, estimation.statistics, kind) @ delta
    gradient = space.gradient(model.moments, between_only, estimation.statistics)
    score = delta.T @ gradient
    if kind == "observed":
        information -= space.curvature(apart, values, gradient, model.moments)

    def test(released: list[int], lhs: str, rhs: str) -> ScoreTest:
        kept = np.delete(jacobian, [i - 1 for i in released], axis=0)
        df = np.linalg.matrix_rank(jacobian) - (np.linalg.matrix_rank(kept) if len(kept) else 0)
        statistic = float(score @ invert(information, kept) @ score)
        return ScoreTest(lhs, rhs, statistic, int(df), float(chi_square_tail(statistic, df)) if df else np.nan)

    return [test(chosen, "total", ""), *(test([i], *sides[i - 1]) for i in chosen)]


def _apart(built: Build) -> Build:
    """The model with a parameter of its own for every free row."""
    rows = tuple(row.but(label="") if row.free else row for row in built.specification.parameters)
    bare = built.specification.but(parameters=rows, constraints=(), definitions=())
    # fixed rows hold what the data or the user said, but for what follows from others
    rows = tuple(
        row if row.free or row.follows else row.but(value=float(v)) for row, v in zip(rows, built.values, strict=True)
    )
    return build(bare.but(parameters=rows), pad_to=padded(sum(row.free for row in rows)))


def _values(estimation: Estimation, apart: Build) -> np.ndarray:
    """The estimates of the separate parameters (k,)."""
    model = estimation.model
    return np.array([model.natural[i] for i in model.build.index if i >= 0])


def _equalities(estimation: Estimation, apart: Build) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Both sides of every equality in words, and the Jacobian (c, k) in the separate parameters."""
    built = estimation.model.build
    shared = built.index[built.index >= 0]
    sides, rows = [], []
    first: dict[int, int] = {}
    for i, natural in enumerate(shared):
        if natural in first:
            sides.append((apart.names[first[natural]], apart.names[i]))
            row = np.zeros(len(shared))
            row[first[natural]], row[i] = 1.0, -1.0
            rows.append(row)
        else:
            first[natural] = i
    written = [c for c in built.specification.constraints if c.op == "=="]
    if written:
        definitions, natural = built.specification.definitions, estimation.model.natural
        by_natural = residuals_with_jacobian(natural, written, built.labels, definitions)[1]
        # a label means the first parameter that has it; the others are tied to that one above
        spread = np.zeros((len(written), len(shared)))
        spread[:, [first[n] for n in sorted(first)]] = by_natural[:, sorted(first)]
        rows.extend(spread)
        sides += [(str(c.left), str(c.right)) for c in written]
    return sides, np.array(rows).reshape(len(rows), len(shared))
