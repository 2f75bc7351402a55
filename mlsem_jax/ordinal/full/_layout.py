"""What the integral over latent variables is of: which variables are ordered, continuous and covariates, and its dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._errors import ModelError

# points a dimension at level 1, by their number, beside `integration_points`: a fixed rule, in which rows share their nodes
WIDEST = 7.0
# dimensions that are integrated over at level 1
MOST_WITHIN = 3
# nodes that a cluster is given at level 2; and at both levels, where a Hessian holds some 100 numbers a row and node: 15 points in
# each of 2 + 2 dimensions are the most, with more dimensions at level 2 fewer
MOST_NODES, MOST_TOGETHER, MOST_OF_MANY = 1300, 220_000, 60_000
# points from which nodes may be held fixed while the integral is differentiated (relative error of a gradient below 1e-4)
HELD = 11


@dataclass(frozen=True)
class Layout:
    """Places among a model's variables: of the ordered outcomes, the continuous ones, the covariates of each level and, behind the
    variables, the random slopes. unit_levels, categories: of the ordered outcomes. unit_scale: sd of the link's standard residual.
    within_pivots (m1,), between_pivots (m2,): see `root_at`; their numbers are the dimensions of the two integrals. points: for
    each dimension of level 2, and of level 1. aligned: rows differ in more than their answers.

    above: continuous outcomes of level 2 alone. seen: of each pattern of missing values which continuous outcomes (numbers among
    these) it has, none where all rows have all; pattern_pivots: what within_pivots is in each pattern.
    """

    ordered: tuple[int, ...]
    continuous: tuple[int, ...]
    within_x: tuple[int, ...]
    between_x: tuple[int, ...]
    slopes: tuple[int, ...]
    slope_x: tuple[int, ...]
    unit_levels: tuple[int, ...]
    categories: tuple[int, ...]
    link: str
    within_pivots: tuple[int, ...] = ()
    between_pivots: tuple[int, ...] = ()
    points: tuple[int, int] = (15, 41)
    above: tuple[int, ...] = ()
    seen: tuple[tuple[int, ...], ...] = ()
    pattern_pivots: tuple[tuple[int, ...], ...] = ()

    @property
    def patterns(self) -> tuple[tuple[int, ...], ...]:
        """Continuous outcomes that a row may have, pattern by pattern: one pattern at least."""
        return self.seen or (tuple(range(len(self.continuous))),)

    @property
    def between_given(self) -> tuple[int, ...]:
        """What the random effects of a cluster are given: covariates, then the outcomes of level 2 alone."""
        return self.between_x + self.above

    @property
    def outcomes(self) -> tuple[int, ...]:
        return self.ordered + self.continuous

    @property
    def aligned(self) -> bool:
        return bool(self.within_x or self.slope_x or self.continuous)

    @property
    def unit_scale(self) -> float:
        return float(np.pi / np.sqrt(3)) if self.link == "logit" else 1.0

    @property
    def dimensions(self) -> tuple[int, int]:
        """Of the integral at level 2 and at level 1."""
        return len(self.between_pivots), len(self.within_pivots)

    @property
    def moving(self) -> bool:
        """Whether the derivative follows the nodes of level 2: with few points it is wrong otherwise."""
        return self.points[0] < HELD

    @property
    def follows(self) -> bool:
        """Whether there are nodes of level 2 that move."""
        return self.moving and bool(self.between_pivots)


def hermite(points: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (Q, m) and log-weights (Q,) for the standard normal density in m dimensions; one point is Laplace's approximation."""
    x, w = np.polynomial.hermite_e.hermegauss(points)
    return _product(x, np.log(w / np.sqrt(2 * np.pi)), dimensions)


def trapezoid(points: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Equally spaced nodes (R, m) over +-7 and log-weights (R,): exact to rounding where the step is below 0.7 sd of the
    integrand.
    """
    x = np.linspace(-WIDEST, WIDEST, points)
    density = np.exp(-0.5 * x**2)
    return _product(x, np.log(density / density.sum()), dimensions)


def _product(x: np.ndarray, logw: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    if not dimensions:
        return np.zeros((1, 0)), np.zeros(1)
    grid = np.meshgrid(*[np.arange(len(x))] * dimensions, indexing="ij")
    at = np.stack([g.ravel() for g in grid], axis=1)
    return x[at], logw[at].sum(axis=1)


def points_for(layout: Layout, integration: str, points: int) -> tuple[Layout, tuple[str, ...]]:
    """The layout with its points a dimension, and sentences where they are fewer than asked for. Raises ModelError where the
    integral is too large.
    """
    between, within = layout.dimensions
    if within > MOST_WITHIN:
        raise ModelError(
            f"The likelihood of ordered variables is an integral over {within} dimensions for every row here (factors and "
            f"covariances within clusters; {(2 * points + 1) ** within:.1g} points): at most {MOST_WITHIN} are integrated. Use "
            "estimator='WLSMV', whose integrals have one and two dimensions whatever the model."
        )
    inner = max((2 * points + 11) if within <= 1 else (2 * points + 1 if within == 2 else points), 15)
    if inner**within > MOST_TOGETHER:
        raise ModelError(
            f"integration_points={points} makes {inner}**{within} points of the integral over {within} dimensions within clusters:"
            f" at most {MOST_TOGETHER} are taken. 15 are usually enough."
        )
    most = (
        min(max(MOST_NODES, points**2), MOST_TOGETHER // inner**within)
        if between <= 2
        else min(MOST_NODES, MOST_OF_MANY // inner**within)
    )
    outer = 1 if integration == "laplace" else points
    while outer > 1 and outer**between > most:
        outer -= 1
    told: tuple[str, ...] = ()
    if between and outer < points and integration != "laplace":
        how = "Laplace's approximation" if outer < 3 else f"{outer} points a dimension"
        outer = 1 if outer < 3 else outer
        told = (
            f"The integral at level 2 has {between} dimensions (factors and free residual variances of level 2): {how} in place of "
            f"{points} points a dimension. Residual variances fixed at 0 at level 2 (u ~~ 0*u) take one dimension each away"
            + (
                "; with two dimensions and more within clusters as well, estimator='WLSMV' takes seconds where this takes minutes."
                if within > 1
                else "."
            ),
        )
    return replace(layout, points=(outer, inner)), told
