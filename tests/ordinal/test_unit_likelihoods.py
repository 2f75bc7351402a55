"""Log-likelihoods of variables and pairs by unit against dense sums: random effects on a fine grid, rectangles by conditioning."""

from functools import lru_cache

import jax
import numpy as np
import pytest
from scipy.special import ndtr

from mlsem_jax.ordinal import OrdinalData
from mlsem_jax.ordinal.limited import _problems
from mlsem_jax.ordinal.limited._kernels import excess, interval, legendre, log_interval, log_rectangle
from mlsem_jax.ordinal.limited._prepared import prepare
from mlsem_jax.ordinal.limited._programs import scores

X, W = np.polynomial.legendre.leggauss(80)
# (categories, level) of variables: ordered and continuous, with both parts, within-only, between-only
VARIABLES = {"ob": (3, 0), "cb": (0, 0), "ow": (2, 1), "cw": (0, 1), "og": (3, 2), "cg": (0, 2)}
PAIRS = [
    ("ob", "ob"), ("ob", "cb"), ("cb", "cb"), ("ob", "ow"), ("cb", "ow"), ("ob", "cw"), ("cb", "cw"),
    ("ob", "og"), ("ob", "cg"), ("cb", "og"), ("cb", "cg"), ("ow", "ow"), ("cw", "ow"), ("og", "cg"),
]  # fmt: skip


def density(z):
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


def rectangle(low1, high1, low2, high2, r):
    """P(low1 < z1 <= high1, low2 < z2 <= high2): Gauss-Legendre over z1."""
    a, b = np.clip(low1, -9, 9), np.clip(high1, -9, 9)
    z = (a + b)[..., None] / 2 + (b - a)[..., None] / 2 * X
    ends = [(np.asarray(e)[..., None] - r * z) / np.sqrt(1 - r * r) for e in (low2, high2)]
    return (W * density(z) * (ndtr(ends[1]) - ndtr(ends[0]))).sum(-1) * (b - a) / 2


@lru_cache
def small(covariates: int, missing: bool = False):
    """Seven clusters of two to five rows, two variables of each sort."""
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(7), [2, 5, 3, 4, 2, 3, 4])
    n = cluster.size
    names, columns, categories, level = [], [], [], []
    for name, (k, part) in VARIABLES.items():
        for copy in "12":
            y = rng.normal(size=n) if part < 2 else rng.normal(size=7)[cluster]
            if k:
                y = np.argsort(np.argsort(y)) * k // n if part < 2 else rng.permutation(np.arange(7) % k)[cluster]
            columns.append(np.where(rng.random(n) < 0.2 * missing * (part < 2), np.nan, y))
            names, categories, level = [*names, name + copy], [*categories, k], [*level, part]
    x = np.column_stack([rng.normal(size=n), rng.normal(size=7)[cluster]])[:, :covariates]
    return OrdinalData(
        np.column_stack(columns).astype(float), np.array(categories), np.array(level), tuple(names), cluster,
        x if covariates else None, np.array([1, 2])[:covariates], ("x", "w")[:covariates],
    )  # fmt: skip


def theta_of(prepared, variable):
    size = prepared.size
    theta = np.zeros(size.block)
    theta[: size.thresholds] = 1e4
    k, both = prepared.data.categories[variable], prepared.level(variable) == 0
    theta[: max(k - 1, 0)] = [-0.3, 0.5][: max(k - 1, 0)]
    theta[size.thresholds : size.thresholds + 3] = [0.0, 1.0, 0.6 * both] if k else [0.2, 0.8, 0.5 * both]
    theta[size.thresholds + 3 :] = np.array([0.4, -0.3])[: size.slopes]
    return theta


class Dense:
    """Likelihood of one cluster from the definition."""

    def __init__(self, prepared, variables, theta):
        self.prepared, self.variables, size = prepared, variables, prepared.size
        self.blocks = [theta[i * size.block : (i + 1) * size.block] for i in range(len(variables))]
        self.within, self.between = theta[-2:] if len(variables) == 2 else (0.0, 0.0)
        if all(
            prepared.between(j) for j in variables
        ):  # what is independent by row or cluster has its covariance in the first place
            self.between = self.within

    def part(self, i, what):
        at = self.prepared.size.thresholds
        return {"tau": self.blocks[i][:at], "mean": self.blocks[i][at], "w": self.blocks[i][at + 1],
                "b": self.blocks[i][at + 2], "slopes": self.blocks[i][at + 3 :]}[what]  # fmt: skip

    def ends(self, i, code, x):
        tau = np.concatenate([[-40], self.part(i, "tau"), [40]]) - x @ self.part(i, "slopes")
        return tau[int(code)], tau[int(code) + 1]

    def effect(self, i, cluster):
        """Nodes and weights for the between part of variable i."""
        p, j = self.prepared, self.variables[i]
        if p.level(j) == 1:
            return np.zeros(1), np.ones(1)
        if p.level(j) == 0:
            sd = np.sqrt(self.part(i, "b"))
            nodes = np.linspace(-8, 8, 121) * sd
            return nodes, np.full(nodes.size, nodes[1] - nodes[0])
        y, x = p.cluster_values[cluster, j], p.cluster_x[cluster]
        if not p.ordered(j):
            return np.array([y - self.part(i, "mean") - x @ self.part(i, "slopes")]), np.ones(1)
        a, b = np.clip(self.ends(i, y, x), -8, 8)
        return (a + b) / 2 + (b - a) / 2 * X, W * (b - a) / 2

    def variance(self, i):
        level = self.prepared.level(self.variables[i])
        return {0: self.part(i, "b"), 1: 0.0, 2: self.part(i, "w")}[level]

    def log_likelihood(self, cluster):
        nodes = [self.effect(i, cluster) for i in range(len(self.variables))]
        b = np.meshgrid(*[n for n, _ in nodes], indexing="ij")
        weight = np.prod(np.meshgrid(*[w for _, w in nodes], indexing="ij"), axis=0)
        there = [i for i in range(len(b)) if self.variance(i)]
        if there:
            sigma = np.diag([self.variance(i) for i in there])
            if len(there) == 2:
                sigma[0, 1] = sigma[1, 0] = self.between
            stacked = np.stack([b[i] for i in there])
            square = np.einsum("i...,ij,j...->...", stacked, np.linalg.inv(sigma), stacked)
            weight = weight * np.exp(-0.5 * square) / np.sqrt(np.linalg.det(2 * np.pi * sigma))
        p = self.prepared
        inner = [i for i, j in enumerate(self.variables) if p.level(j) != 2]
        for row in np.flatnonzero(p.cluster == cluster):
            if np.isfinite(p.values[row, list(self.variables)]).all():
                weight = weight * self.row(row, inner, b)
        return np.log(weight.sum())

    def row(self, row, inner, b):
        p = self.prepared
        order = sorted(inner, key=lambda i: p.ordered(self.variables[i]))
        value, shift, rest = 1.0, 0.0, 1.0
        continuous = [i for i in order if not p.ordered(self.variables[i])]
        for i in continuous:
            y = p.values[row, self.variables[i]] - self.part(i, "mean") - p.x[row] @ self.part(i, "slopes") - b[i]
            v = self.part(i, "w") * (
                1.0 if i == continuous[0] else 1 - self.within**2 / np.prod([self.part(c, "w") for c in (0, 1)])
            )
            value = value * density((y - shift) / np.sqrt(v)) / np.sqrt(v)
            shift, rest = self.within / self.part(i, "w") * y, 1 - self.within**2 / self.part(i, "w")
        ends = [
            [e - b[i] for e in self.ends(i, p.values[row, self.variables[i]], p.x[row])]
            for i in order[len(continuous) :]
        ]
        if len(ends) == 2:
            return value * rectangle(*ends[0], *ends[1], self.within)
        for low, high in ends:
            scale = np.sqrt(rest) if continuous else 1.0
            value = value * (ndtr((high - shift) / scale) - ndtr((low - shift) / scale))
        return value


def compare(problem, theta, prepared, tolerance=3e-9):
    with jax.enable_x64(True):
        values, slopes = scores(problem.kind, prepared.size.slopes, theta, problem.rows)
    units = prepared.units
    by_unit = np.bincount(problem.unit, values[problem.pattern] * problem.factor, units)

    def dense(theta):
        return np.array([Dense(prepared, problem.variables, theta).log_likelihood(j) for j in range(units)])

    seen = np.bincount(problem.unit, minlength=units) > 0
    np.testing.assert_allclose(by_unit[seen], dense(theta)[seen], rtol=0, atol=tolerance)
    direction = np.where(np.abs(theta) < 1e3, np.random.default_rng(1).normal(size=theta.size), 0) * np.any(
        slopes != 0, axis=0
    )
    expected = (dense(theta + 1e-5 * direction) - dense(theta - 1e-5 * direction)) / 2e-5
    got = np.bincount(problem.unit, (slopes @ direction)[problem.pattern] * problem.factor, units)
    np.testing.assert_allclose(got[seen], expected[seen], rtol=0, atol=1e-7)


@pytest.mark.parametrize("covariates", [0, 2])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_pairs_agree_with_dense_sums(pair, covariates):
    prepared = prepare(small(covariates, missing=True))
    names = prepared.data.names
    first, second = names.index(pair[0] + "1"), names.index(pair[1] + "2")
    problem = _problems.of_pair(prepared, first, second)
    if "table" in problem.kind:
        problem = _problems.with_grid(problem, (48, 48))
    theta = np.concatenate([*(theta_of(prepared, j) for j in problem.variables), [0.3, 0.2]])
    if {prepared.level(first), prepared.level(second)} != {0}:
        rows = problem.kind.endswith("rows")
        theta[-2:] = [0.3, 0.3 if "g" in pair[1] else 0.0] if rows else [0.0, 0.2] if "g" in pair[1] else [0.3, 0.0]
    compare(problem, theta, prepared)


@pytest.mark.parametrize("covariates", [0, 2])
@pytest.mark.parametrize("sort", ["ob", "cb"])
def test_variables_agree_with_dense_sums(sort, covariates):
    prepared = prepare(small(covariates, missing=True))
    variable = prepared.data.names.index(sort + "1")
    compare(_problems.of_variable(prepared, variable), theta_of(prepared, variable), prepared)


def test_tails_keep_their_digits_and_empty_intervals_have_no_slope():
    with jax.enable_x64(True):
        np.testing.assert_allclose(interval(np.array([9.0]), np.array([10.0])), ndtr(-9.0) - ndtr(-10.0), rtol=1e-13)
        slopes = jax.jacfwd(log_interval, argnums=(0, 1))(np.array([1.0]), np.array([1.0]))
        assert all(np.all(np.asarray(s) == 0) for s in slopes)


@pytest.mark.parametrize(("correlation", "points"), [(0.0, 16), (0.5, 16), (-0.85, 16), (0.95, 96), (-0.9999, 96)])
def test_rectangles(correlation, points):
    z = np.array([-3.0, -1.0, 0.0, 0.4, 2.5])
    low1, low2 = (g.ravel() for g in np.meshgrid(z, z))
    high1, high2 = low1 + 0.7, low2 + 1.1
    with jax.enable_x64(True):
        rule = legendre(points)
        got = np.asarray(log_rectangle((low1, high1), (low2, high2), np.float64(correlation), rule))
        far = np.asarray(excess(np.array([1e4]), np.array([0.3]), np.float64(correlation), rule))
    assert far == 0
    fine = [rectangle(low1 + 0.7 * i / 50, low1 + 0.7 * (i + 1) / 50, low2, high2, correlation) for i in range(50)]
    np.testing.assert_allclose(np.exp(got), np.sum(fine, axis=0), rtol=0, atol=1e-13)
