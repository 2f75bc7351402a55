"""The likelihood by missing-value pattern, and with random slopes, equals the dense one; so do its derivatives."""

from __future__ import annotations

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_cases
from hypothesis import given
from hypothesis import strategies as st
from random_cases import BETWEEN, BOTH, WITHIN, G, J, P

from mlsem_jax import likelihood
from mlsem_jax.likelihood import PatternTerm, Statistics
from mlsem_jax.likelihood import _patterns as by_pattern
from mlsem_jax.likelihood._pattern_curvature import missing_curvature
from mlsem_jax.models import Moments, build
from mlsem_jax.numerics import float64
from mlsem_jax.observed import _patterns, cluster_statistics, pattern_statistics, reduce
from mlsem_jax.syntax import SyntaxOptions, parse, specify

implied_moments = jax.jit(lambda structure, theta: structure(theta))

evaluate = jax.jit(likelihood.evaluate)
observed_information = jax.jit(likelihood.observed_information)
pattern_log_likelihood = jax.jit(by_pattern.pattern_log_likelihood)
pattern_cluster_scores = jax.jit(by_pattern.pattern_cluster_scores)
complete_log_likelihood = jax.jit(likelihood.complete_log_likelihood)

# one padded length for everything that the data decide, so that one program serves all examples
LENGTH = 64
# all clusters in one chunk, or three clusters to a chunk: 3 + 3 + 2
CHUNKS = (4096, 3)


def statistics_of(values, cluster, group, between_only, chunk=CHUNKS[0], reference=None, slope_columns=None):
    """Pattern statistics with cross-products by pair, padded to LENGTH, in chunks of `chunk` clusters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_patterns, "CHUNK", chunk)
        patch.setattr(_patterns, "bucket", lambda count: LENGTH if count <= LENGTH else 2 * LENGTH)
        return pattern_statistics(
            values,
            cluster,
            group,
            between_only,
            reference=np.zeros(values.shape[1]) if reference is None else reference,
            slope_columns=slope_columns,
            by_pair=True,
        )


def inner(gradient: Moments, step: Moments) -> float:
    return sum(float(jnp.sum(g * d)) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(step), strict=True))


def check_by_cluster(moments, step, s, each, slope) -> None:
    """Values by cluster are the dense ones; scores along a step sum to the slope; padding has neither."""
    values, scores = pattern_cluster_scores(moments, jax.tree.map(lambda d: np.asarray(d)[..., None], step), s)
    values, scores = np.ravel(values), np.ravel(scores)
    kept = np.ravel(s.clusters.weight) > 0
    np.testing.assert_allclose(values[kept], each, rtol=1e-9, atol=1e-9)
    assert not values[~kept].any()
    assert not scores[~kept].any()
    # rounding of sums of terms as large as the largest score
    assert scores.sum() == pytest.approx(slope, rel=1e-9, abs=1e-9 * max(1.0, np.abs(scores).max()))


def check_curvature(moments, step, s) -> None:
    """The curvature in closed form is the derivative of the gradient by automatic differentiation, through every cluster."""
    closed, automatic, size = curvatures(moments, step, s)
    # rounding of terms that partly cancel, relative to the size of the parts
    assert float(closed) == pytest.approx(float(automatic), rel=1e-8, abs=1e-9 * float(size))


@jax.jit
def curvatures(moments, step, s):
    """Second derivative along a step, in closed form and by differentiating the gradient; and the size of its two parts."""
    sums = by_pattern.pattern_sums(moments, s)[1]
    missing = missing_curvature(moments, jax.tree.map(lambda d: jnp.asarray(d)[..., None], step), s)[0, 0]

    def along(gradient):
        change = jax.jvp(gradient, (moments,), (step,))[1]
        return sum(jnp.sum(g * d) for g, d in zip(jax.tree.leaves(change), jax.tree.leaves(step), strict=True))

    complete = along(lambda m: by_pattern.pattern_gradient(m, sums, s))
    automatic = along(lambda m: by_pattern.pattern_log_likelihood(m, s)[1])
    return missing + complete, automatic, jnp.abs(missing) + jnp.abs(complete)


def dense_clusters(case, moments) -> np.ndarray:
    each = dense.populations(moments)
    return dense.cluster_log_likelihoods(each, case.values, case.cluster, case.group, case.between_only)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("chunk", CHUNKS)
@given(case=random_cases.cases(missing=True), shift=st.sampled_from((0.0, 1.0)))
@float64
def test_value_and_gradient_equal_the_dense_likelihood(chunk, case, shift):
    """Random patterns with up to 80 % missing, rows and clusters without any value, any kind of Sigma_B, two groups."""
    reference = shift * np.arange(P)
    s = statistics_of(case.values, case.cluster, case.group, case.between_only, chunk, reference)
    assert s.clusters.weight.shape[0] == -(-J // chunk)
    value, gradient = pattern_log_likelihood(case.moments, s)
    each = dense_clusters(case, case.moments)
    assert float(value) == pytest.approx(each.sum(), rel=1e-9)
    step = random_cases.direction(case)
    slope = inner(gradient, step)
    check_by_cluster(case.moments, step, s, each, slope)
    check_curvature(case.moments, step, s)

    def along(t):
        return dense_clusters(case, jax.tree.map(lambda m, d: m + t[0] * d, case.moments, step)).sum()

    want = dense.gradient_by_differences(along, np.zeros(1), 1e-4)[0]
    # differences of values of size |log L| with steps of 1e-4
    assert slope == pytest.approx(want, rel=1e-6, abs=1e-6 * max(1.0, abs(each.sum())))


@pytest.mark.timeout(120)
@given(random_cases.cases())
@float64
def test_complete_data_have_the_same_likelihood_by_either_route(case):
    complete = reduce(cluster_statistics(case.values, case.cluster, case.group), G)
    by_size = complete_log_likelihood(case.moments, jnp.asarray(case.between_only, float), complete)[0]
    s = statistics_of(case.values, case.cluster, case.group, case.between_only)
    assert float(pattern_log_likelihood(case.moments, s)[0]) == pytest.approx(float(jnp.sum(by_size)), rel=1e-11)


@given(random_cases.cases(missing=True), st.integers(0, 10**6))
@float64
def test_order_of_rows_does_not_matter(case, seed):
    order = np.random.default_rng(seed).permutation(len(case.cluster))
    one = statistics_of(case.values, case.cluster, case.group, case.between_only)
    other = statistics_of(case.values[order], case.cluster[order], case.group, case.between_only)
    value = float(pattern_log_likelihood(case.moments, one)[0])
    assert float(pattern_log_likelihood(case.moments, other)[0]) == pytest.approx(value, rel=1e-12)


@float64
def test_outside_the_domain_the_value_is_minus_infinity():
    """Sigma_B so negative that the covariance of a cluster is not positive definite."""
    case = random_cases.make(3, (BOTH, BOTH, WITHIN, BETWEEN, BETWEEN), "definite", 0.2)
    moments = case.moments
    bad = np.array(moments.between_cov)
    bad[:, 0, 0] -= 100.0
    s = statistics_of(case.values, case.cluster, case.group, case.between_only)
    broken = Moments.two_level(moments.within_cov, bad, moments.within_mean, moments.between_mean)
    assert float(pattern_log_likelihood(broken, s)[0]) == -np.inf


# ---------------------------------------------------------------- random slopes
def slopes_case(seed: int, missing: float, roles=(BOTH, BOTH, WITHIN, WITHIN, BETWEEN)):
    """A case with two random slopes, of variable 0 on 2 and of variable 1 on 3, complete in the covariates."""
    case = random_cases.make(seed, roles, "definite", missing)
    rng, r = case.rng, 2
    between = np.zeros((G, P + r, P + r))
    level2 = np.flatnonzero(np.array(roles) != WITHIN)
    at = np.concatenate([level2, [P, P + 1]])
    for g in range(G):
        between[g][np.ix_(at, at)] = random_cases.spd(rng, len(at))
    directions = np.zeros((G, r, P))
    directions[:, 0, 0] = 1.0
    directions[:, 0, 1] = 0.4  # a path from the outcome of the slope carries it on
    directions[:, 1, 1] = 1.0
    mean = np.concatenate([case.moments.between_mean, rng.normal(size=(G, r))], axis=1)
    moments = Moments.two_level(case.moments.within_cov, between, case.moments.within_mean, mean, directions)
    values = case.values.copy()
    covariates = rng.normal(size=(len(values), 2))
    values[:, 2:4] = covariates
    return case, values, moments


@pytest.mark.timeout(240)
@pytest.mark.parametrize("chunk", CHUNKS)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from((0.0, 0.3, 0.7)))
@float64
def test_random_slopes_equal_the_dense_likelihood(chunk, seed, missing):
    case, values, moments = slopes_case(seed, missing)
    columns = np.array([2, 3])
    reference = 0.5 * np.arange(P)
    s = statistics_of(values, case.cluster, case.group, case.between_only, chunk, reference, columns)
    populations = dense.populations(moments)
    each = dense.cluster_log_likelihoods(populations, values, case.cluster, case.group, case.between_only, columns)
    value, gradient = pattern_log_likelihood(moments, s)
    assert float(value) == pytest.approx(each.sum(), rel=1e-9)
    step = jax.tree.map(lambda m: case.rng.normal(size=m.shape) * (np.asarray(m) != 0) * 0.1, moments)
    step = Moments.two_level(
        step.within_cov + np.swapaxes(step.within_cov, 1, 2),
        step.between_cov + np.swapaxes(step.between_cov, 1, 2),
        step.within_mean,
        step.between_mean,
        step.directions,
    )
    slope = inner(gradient, step)
    check_by_cluster(moments, step, s, each, slope)
    check_curvature(moments, step, s)

    def along(t):
        there = dense.populations(jax.tree.map(lambda m, d: m + t[0] * d, moments, step))
        return dense.cluster_log_likelihoods(there, values, case.cluster, case.group, case.between_only, columns).sum()

    want = dense.gradient_by_differences(along, np.zeros(1), 1e-4)[0]
    assert slope == pytest.approx(want, rel=1e-6, abs=1e-6 * max(1.0, abs(each.sum())))


@float64
def test_dense_random_slopes_equal_an_integral_over_the_cluster_effects():
    """The dense reference itself: rows are independent given intercept and slope, which Gauss-Hermite quadrature sums out.

    One outcome, one covariate with a random slope; 60 nodes a dimension integrate the smooth density to 1e-9.
    """
    rng = np.random.default_rng(2)
    x, residual = rng.normal(size=4), 0.7
    between = np.array([[0.8, 0.0, 0.3], [0.0, 0.0, 0.0], [0.3, 0.0, 0.5]])
    within = np.array([[residual + 0.09 * 1.2, 0.3 * 1.2], [0.3 * 1.2, 1.2]])
    mean, slope_mean = np.array([1.0 + 0.3 * 0.2, 0.2]), np.array([0.6])
    y = 1.0 + 0.9 * x + rng.normal(size=4)
    rows = np.stack([y, x], axis=1)
    population = dense.Population.of(within, between, mean, slope_mean, np.array([[1.0, 0.0]]))
    got = dense.normal_log_density(*dense.cluster_normal(population, rows, np.array([False, False]), x[:, None]))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    root = np.linalg.cholesky(between[np.ix_([0, 2], [0, 2])])
    a, b = np.meshgrid(nodes, nodes, indexing="ij")
    u = np.einsum("ij,jkl->ikl", root, np.stack([a, b]))
    total = np.zeros_like(a)
    for xi, yi in zip(x, y, strict=True):
        # x has its own density; y given x has the fixed slope 0.3 and the cluster's own intercept and slope
        predicted = 1.0 + 0.3 * xi + u[0] + (slope_mean[0] + u[1]) * xi
        total += -0.5 * (np.log(2 * np.pi * residual) + (yi - predicted) ** 2 / residual)
        total += -0.5 * (np.log(2 * np.pi * 1.2) + (xi - 0.2) ** 2 / 1.2)
    want = np.log(np.sum(weights[:, None] * weights[None, :] * np.exp(total)) / (2 * np.pi))
    assert got == pytest.approx(want, abs=1e-8)


@float64
def test_slope_of_a_covariate_that_is_constant_in_a_cluster():
    """Such a cluster, of whatever size, says nothing about its slope beyond the intercept: A is singular, L_j is not."""
    case, values, moments = slopes_case(8, 0.0)
    values[case.cluster == np.bincount(case.cluster).argmax(), 2] = 1.7
    columns = np.array([2, 3])
    s = statistics_of(values, case.cluster, case.group, case.between_only, slope_columns=columns)
    each = dense.cluster_log_likelihoods(
        dense.populations(moments), values, case.cluster, case.group, case.between_only, columns
    )
    assert float(pattern_log_likelihood(moments, s)[0]) == pytest.approx(each.sum(), rel=1e-11)


# ---------------------------------------------------------------- theta space
SLOPES = """
level: 1
  y1 ~ rv("s")*x
  y2 ~ b*y1 + x
level: 2
  s ~ w
  y1 ~~ s
  y2 ~ w + y1
"""


@pytest.fixture(scope="module")
def slopes_problem():
    """A random slope whose effect is carried on to a second outcome, so that its direction depends on theta; missing values."""
    rng = np.random.default_rng(4)
    spec = specify(
        parse(SLOPES), options=SyntaxOptions.for_function("sem"), data_variables=["y1", "y2", "x", "w"], group_labels=()
    )
    assert spec.variables == ("y1", "y2", "x", "w")
    sizes = np.array([1, 2, 2, 3, 4, 6])
    cluster, group = np.repeat(np.arange(6), sizes), np.zeros(6, int)
    values = rng.normal(size=(len(cluster), 4)) + rng.normal(size=(6, 4))[cluster]
    values[:, 3] = rng.normal(size=6)[cluster]
    values[cluster == 4, 2] = 0.5
    values[:, :2] = np.where(rng.uniform(size=(len(cluster), 2)) < 0.2, np.nan, values[:, :2])
    between_only = np.array([False, False, False, True])
    statistics = statistics_of(values, cluster, group, between_only, slope_columns=np.array([2]))
    exogenous = Moments.two_level(np.eye(4)[None], np.eye(4)[None], np.zeros((1, 4)), np.zeros((1, 4)))
    made = build(spec, exogenous)
    natural = np.zeros(len(made.names))
    for row, i in zip(spec.parameters, made.index, strict=True):
        if i >= 0:
            natural[i] = rng.uniform(0.8, 1.5) if row.op == "~~" and row.lhs == row.rhs else rng.uniform(0.2, 0.4)
    return made, natural[made.kept], values, cluster, group, between_only, Statistics((PatternTerm(statistics),))


@pytest.mark.timeout(240)
@float64
def test_gradient_scores_and_hessian_with_random_slopes_and_missing_values(slopes_problem):
    made, theta, values, cluster, group, between_only, statistics = slopes_problem

    def each(t):
        moments = implied_moments(made.structure, jnp.asarray(t))
        return dense.cluster_log_likelihoods(
            dense.populations(moments), values, cluster, group, between_only, np.array([2])
        )

    def at(t):
        return evaluate(made.structure, jnp.asarray(t), statistics)

    want = dense.gradient_by_differences(each, theta, 1e-3)
    out = at(theta)
    assert float(out.value) == pytest.approx(each(theta).sum(), rel=1e-11)
    np.testing.assert_allclose(out.gradient, want.sum(0), atol=1e-7)
    by_cluster, scores = jax.jit(likelihood.term_scores)(made.structure, jnp.asarray(theta), statistics.terms[0])
    np.testing.assert_allclose(np.asarray(by_cluster)[: len(group)], each(theta), rtol=1e-10)
    np.testing.assert_allclose(np.asarray(scores)[: len(group)], want, atol=1e-7)
    assert not np.asarray(scores)[len(group) :].any()
    hessian = dense.gradient_by_differences(lambda t: np.asarray(at(t).gradient), theta, 1e-3)
    information = np.asarray(observed_information(made.structure, jnp.asarray(theta), statistics))
    np.testing.assert_allclose(information, -hessian, atol=1e-7 * abs(hessian).max())
