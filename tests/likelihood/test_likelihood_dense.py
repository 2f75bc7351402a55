"""The closed-form likelihood of complete data equals the dense one, and its derivatives are the dense one's derivatives."""

from __future__ import annotations

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_cases
from hypothesis import given
from hypothesis import strategies as st

from mlsem_jax import likelihood
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import build
from mlsem_jax.numerics import float64
from mlsem_jax.observed import cluster_statistics, merge, mergeable, pool_sizes, reduce, row_means
from mlsem_jax.syntax import SyntaxOptions, parse, specify

implied_moments = jax.jit(lambda structure, theta: structure(theta))

evaluate = jax.jit(likelihood.evaluate)
observed_information = jax.jit(likelihood.observed_information)
expected_information = jax.jit(likelihood.expected_information)
complete_log_likelihood = jax.jit(likelihood.complete_log_likelihood)


def reduced(case):
    clusters = cluster_statistics(case.values, case.cluster, case.group)
    return clusters, reduce(clusters, random_cases.G)


def dense_value(case, moments) -> float:
    each = dense.cluster_log_likelihoods(
        dense.populations(moments), case.values, case.cluster, case.group, case.between_only
    )
    return float(each.sum())


@pytest.mark.timeout(120)
@given(random_cases.cases())
@float64
def test_value_and_gradient_equal_the_dense_likelihood(case):
    value, gradient = complete_log_likelihood(case.moments, jnp.asarray(case.between_only, float), reduced(case)[1])
    want = dense_value(case, case.moments)
    assert float(jnp.sum(value)) == pytest.approx(want, rel=1e-9)
    # along a random direction; symmetric matrices, so the sum over all elements is the derivative
    step = random_cases.direction(case)
    slope = sum(float(jnp.sum(g * d)) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(step), strict=True))

    def along(t):
        return dense_value(case, jax.tree.map(lambda m, d: m + t[0] * d, case.moments, step))

    # steps of 1e-4 of the direction: the likelihood of indefinite Sigma_B has poles nearby
    want_slope = dense.gradient_by_differences(along, np.zeros(1), 1e-4)[0]
    assert slope == pytest.approx(want_slope, rel=1e-6, abs=1e-6 * max(1.0, abs(want)))


@pytest.mark.timeout(120)
@given(random_cases.cases(), st.integers(0, 10**6))
@float64
def test_statistics_of_parts_merge_to_those_of_the_whole(case, seed):
    """Rows dealt at random to two sets: clusters are split, and some live in one set only."""
    whole = mergeable(cluster_statistics(case.values, case.cluster, case.group), random_cases.G)
    first = np.random.default_rng(seed).uniform(size=len(case.cluster)) < 0.5
    first[[0, -1]] = True, False
    parts = []
    for chosen in (first, ~first):
        codes, again = np.unique(case.cluster[chosen], return_inverse=True)
        parts.append((codes, row_means(case.values[chosen], again, case.group[codes], random_cases.G)))
    (codes_a, a), (codes_b, b) = parts
    new = [code for code in codes_b if code not in codes_a]
    place = {code: i for i, code in enumerate([*codes_a, *new])}
    merged = merge(a, b, np.array([place[code] for code in codes_b]), case.between_only.astype(bool))
    order = np.array([place[code] for code in range(random_cases.J)])
    # centred sums of values of size about 3: 1e-12 is rounding
    for name in ("group", "size", "mean"):
        got = getattr(merged, name)[order]
        np.testing.assert_allclose(got, getattr(whole, name), rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(merged.within, whole.within, rtol=1e-10, atol=1e-11)


@given(random_cases.cases(), st.integers(0, 10**6))
def test_weights_count_clusters(case, seed):
    """Weight 2 is the cluster twice, weight 0 is the data without it: what the bootstrap relies on."""
    weights = np.random.default_rng(seed).integers(0, 3, random_cases.J).astype(float)
    clusters = cluster_statistics(case.values, case.cluster, case.group)
    weighted = reduce(clusters, random_cases.G, weights)
    moments = dense.populations(case.moments)
    each = dense.cluster_log_likelihoods(moments, case.values, case.cluster, case.group, case.between_only)
    with jax.enable_x64(True):
        value = complete_log_likelihood(case.moments, jnp.asarray(case.between_only, float), weighted)[0]
        assert float(jnp.sum(value)) == pytest.approx(weights @ each, rel=1e-9, abs=1e-9)


def test_mean_far_from_zero_loses_no_digits():
    """A variable with mean 1e8 and standard deviation 1: cross-products are centred before they are summed."""
    rng = np.random.default_rng(5)
    cluster, small = np.repeat(np.arange(40), 25), rng.normal(size=(1000, 2))
    near = cluster_statistics(small, cluster, np.zeros(40, int))
    far = cluster_statistics(small + np.array([1e8, 0.0]), cluster, np.zeros(40, int))
    # values of 1e8 are stored to 1e-8: 25 of them give cross-products good to about 1e-7
    np.testing.assert_allclose(far.cross, near.cross, atol=2e-6)


# ---------------------------------------------------------------- theta space
MODEL = """
level: 1
  fw =~ y1 + y2 + y3
  fw ~ x + c
level: 2
  fb =~ y1 + y2 + y3
  fb ~ c + w
"""


@pytest.fixture(scope="module")
def problem():
    """A model with within-only, between-only and split covariates in two groups, its data, and a point near its start."""
    rng = np.random.default_rng(11)
    columns = ["y1", "y2", "y3", "x", "c", "w"]
    spec = specify(
        parse(MODEL),
        options=SyntaxOptions.for_function("sem", fixed_x=False),
        data_variables=columns,
        group_labels=("a", "b"),
    )
    assert spec.variables == ("y1", "y2", "y3", "x", "c", "w")
    sizes = np.concatenate([rng.permutation(random_cases.SIZES) for _ in range(2)])
    cluster, group = np.repeat(np.arange(8), sizes), np.repeat([0, 1], 4)
    values = rng.normal(size=(len(cluster), 6)) + rng.normal(size=(8, 6))[cluster]
    values[:, 5] = rng.normal(size=8)[cluster]
    made = build(spec)
    natural = np.zeros(len(made.names))
    for row, i in zip(spec.parameters, made.index, strict=True):
        if i >= 0:
            variance = row.op == "~~" and row.lhs == row.rhs
            natural[i] = rng.uniform(0.8, 1.5) if variance or row.op == "=~" else rng.uniform(-0.3, 0.3)
    clusters = cluster_statistics(values, cluster, group)
    complete = reduce(clusters, 2)
    between_only = np.array([False] * 5 + [True])
    return made, natural[made.kept], values, cluster, group, between_only, clusters, complete


def dense_clusters(problem, theta):
    made, _, values, cluster, group, between_only, *_ = problem
    moments = implied_moments(made.structure, jnp.asarray(theta))
    return dense.cluster_log_likelihoods(dense.populations(moments), values, cluster, group, between_only)


@pytest.mark.timeout(180)
@float64
def test_gradient_scores_and_hessian_in_theta_are_exact(problem):
    made, theta, *_, clusters, complete = problem
    statistics = Statistics((CompleteTerm(complete),), pool_sizes(complete))
    out = evaluate(made.structure, jnp.asarray(theta), statistics)
    each = dense_clusters(problem, theta)
    assert float(out.value) == pytest.approx(each.sum(), rel=1e-11)
    values, scores = jax.jit(likelihood.cluster_scores)(made.structure, jnp.asarray(theta), clusters)
    np.testing.assert_allclose(values, each, rtol=1e-11)
    # the casewise dense likelihood, differentiated numerically to the fourth order: good to about 1e-9
    want = dense.gradient_by_differences(lambda t: dense_clusters(problem, t), theta, 1e-3)
    np.testing.assert_allclose(scores, want, atol=2e-7)
    np.testing.assert_allclose(out.gradient, want.sum(0), atol=1e-6)
    np.testing.assert_allclose(np.asarray(scores).sum(0), out.gradient, atol=1e-11 * abs(np.asarray(scores)).sum())

    def gradient(t):
        return np.asarray(evaluate(made.structure, jnp.asarray(t), statistics).gradient)

    hessian = dense.gradient_by_differences(gradient, theta, 1e-3)
    information = np.asarray(observed_information(made.structure, jnp.asarray(theta), statistics))
    np.testing.assert_allclose(information, -hessian, atol=1e-7 * abs(hessian).max())


@pytest.mark.timeout(180)
@float64
def test_expected_information_is_the_sum_over_clusters_of_its_definition(problem):
    """1/2 tr(V^-1 dV V^-1 dV) + dm' V^-1 dm with the dense covariance V and mean m of every cluster."""
    made, theta, values, cluster, group, between_only, _, complete = problem
    want = np.zeros((len(theta),) * 2)
    for j, g in enumerate(group):
        rows = values[cluster == j]

        def normal(t, g=g, rows=rows):
            moments = implied_moments(made.structure, jnp.asarray(t))
            _, mean, cov = dense.cluster_normal(dense.populations(moments)[g], rows, between_only)
            return np.concatenate([mean, cov.ravel()])

        derivative = dense.gradient_by_differences(normal, theta, 1e-3)
        n = int((np.sqrt(1 + 4 * len(derivative)) - 1) / 2)
        precision = np.linalg.inv(normal(theta)[n:].reshape(n, n))
        d_mean, d_cov = derivative[:n], derivative[n:].reshape(n, n, -1)
        x = np.einsum("ij,jkq->qik", precision, d_cov)
        want += 0.5 * np.einsum("qij,rji->qr", x, x) + d_mean.T @ precision @ d_mean
    got = expected_information(
        made.structure, jnp.asarray(theta), Statistics((CompleteTerm(complete),), pool_sizes(complete))
    )
    np.testing.assert_allclose(got, want, atol=1e-8 * abs(want).max())
