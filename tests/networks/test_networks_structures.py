"""The mathematics of network models: five ways to write a covariance matrix, and what must be the same whichever is chosen."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsem_jax as ml
from mlsem_jax.estimation import Problem, make_statistics
from mlsem_jax.models import KINDS, Choice, Covariance, Filled, build, kind_named
from mlsem_jax.networks._adjust import METHODS, adjust_pvalues
from mlsem_jax.networks._dense import covariance, decompose, derived
from mlsem_jax.networks._starts import first_values
from mlsem_jax.numerics import float64

pytestmark = pytest.mark.timeout(600)

VARS = [f"y{i}" for i in range(1, 7)]
L = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])


def simulate(seed: int, clusters: int = 60, size: int = 8) -> pd.DataFrame:
    """Two correlated factors at both levels, six indicators; a within-only x and a between-only z."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    chol = np.linalg.cholesky([[1, 0.4], [0.4, 1]])
    between, within = rng.normal(size=(clusters, 2)) @ chol.T * 0.8, rng.normal(size=(len(cluster), 2)) @ chol.T
    y = (between[cluster] + within) @ L.T + 0.6 * rng.normal(size=(len(cluster), 6))
    y += 0.4 * rng.normal(size=(clusters, 6))[cluster]
    x = 0.5 * within[:, 0] + rng.normal(size=len(cluster))
    z = 0.5 * between[:, 0] + rng.normal(size=clusters)
    return pd.DataFrame(y, columns=VARS).assign(x=x, z=z[cluster], c=cluster)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulate(1)


def random_covariance(seed: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(d, d + 2)) * rng.uniform(0.1, 10, size=(d, 1))
    return a @ a.T


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from(KINDS))
def test_matrix_to_parameters_and_back(seed, d, kind):
    cov = random_covariance(seed, d)
    core, scale = decompose(kind_named(kind), cov)
    np.testing.assert_allclose(
        covariance(kind_named(kind), core, scale),
        cov,
        rtol=1e-8,
        atol=1e-8 * np.abs(cov).max(),
    )
    assert kind_named(kind).definite(core)


@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from(KINDS))
def test_the_differentiable_matrix_is_the_same(seed, d, kind):
    cov = random_covariance(seed, d)
    core, scale = decompose(kind_named(kind), cov)

    @float64
    def moments():
        fixed = np.full((d, d), -1)
        block = Covariance(Filled(fixed, core), Filled(fixed[0], np.diag(scale)))
        return np.asarray(block.matrix(jnp.zeros(1), Choice.of(kind)))

    np.testing.assert_allclose(moments(), cov, rtol=1e-7, atol=1e-8 * np.abs(cov).max())


def test_absent_variables_have_no_variance():
    cov = np.zeros((3, 3))
    cov[np.ix_([0, 2], [0, 2])] = [[2.0, 0.5], [0.5, 1.0]]
    for kind in KINDS:
        core, scale = decompose(kind_named(kind), cov)
        np.testing.assert_allclose(covariance(kind_named(kind), core, scale), cov, atol=1e-12)
    assert not np.isnan(derived(cov)["omega"]).any()
    assert derived(np.zeros((3, 3))) == {}


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_partial_correlations_are_regressions(seed, d):
    """omega_ij = -kappa_ij / sqrt(kappa_ii kappa_jj): the correlation of what is left of i and j given the others."""
    cov = random_covariance(seed, d)
    omega = derived(cov)["omega"]
    others = list(range(2, d))
    rest = cov[:2, :2] - (
        cov[:2, others] @ np.linalg.solve(cov[np.ix_(others, others)], cov[others, :2]) if others else 0.0
    )
    assert omega[0, 1] == pytest.approx(rest[0, 1] / np.sqrt(rest[0, 0] * rest[1, 1]), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_starting_matrices_are_made_definite(kind):
    core = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    if kind in ("ggm", "cor"):
        np.fill_diagonal(core, 0.0)
    if kind == "chol":
        core = np.tril(core)
    assert kind_named(kind).definite(kind_named(kind).made_definite(core))


FOUR = ("within_latent", "within_residual", "between_latent", "between_residual")


@pytest.mark.parametrize("shift", range(5))
def test_gradients_are_finite_differences(data, shift):
    """Each kind in each place once: 5 of the 625 combinations, at a point that is no maximum."""
    kinds = {place: KINDS[(i + shift) % 5] for i, place in enumerate(FOUR)}
    model = ml.ml_lvm(data, L, clusters="c", vars=VARS, **kinds)

    @float64
    def both():
        made = build(model.specification)
        problem = Problem(made, make_statistics(model.specification, model.data).statistics)
        sample = make_statistics(model.specification, model.data).sample
        theta = first_values(model, made, sample)[made.kept] * 1.05
        gradient = problem.evaluate(theta).gradient
        step = 1e-5 * np.maximum(np.abs(theta), 0.1)
        numeric = [
            (problem.value(theta + h * e) - problem.value(theta - h * e)) / (2 * h)
            for h, e in zip(step, np.eye(len(theta)), strict=True)
        ]
        hessian = problem.observed(theta)
        columns = [
            (problem.evaluate(theta + h * e).gradient - problem.evaluate(theta - h * e).gradient) / (2 * h)
            for h, e in zip(step[:6], np.eye(len(theta))[:6], strict=True)
        ]
        return gradient, np.array(numeric), -hessian[:6], np.array(columns)

    gradient, numeric, hessian, columns = both()
    # central differences of a log-likelihood of 1e4 with steps of 1e-5: rounding leaves 1e-6 of the largest
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.abs(gradient).max())
    np.testing.assert_allclose(hessian, columns, atol=2e-6 * np.abs(hessian).max())


@given(st.integers(0, 10**6))
def test_chol_is_positive_semidefinite_whatever_the_parameters(seed):
    rng = np.random.default_rng(seed)
    sigma = covariance(kind_named("chol"), np.tril(rng.normal(scale=10.0, size=(5, 5))))
    assert np.linalg.eigvalsh(sigma)[0] > -1e-10 * np.abs(sigma).max()


PUBLISHED = [
    dict(zip(FOUR, kinds, strict=True))
    for kinds in (
        ("cov", "cov", "cov", "cov"),
        ("chol", "chol", "chol", "chol"),
        ("prec", "prec", "prec", "prec"),
        ("ggm", "ggm", "ggm", "ggm"),
        ("cor", "cor", "cor", "cor"),
        ("ggm", "cov", "prec", "chol"),
        ("cor", "ggm", "chol", "prec"),
    )
]


@pytest.mark.parametrize("rule", ["loadings", "variance"])
def test_the_parametrisation_does_not_change_the_likelihood(data, rule):
    fits = [ml.ml_lvm(data, L, clusters="c", vars=VARS, identification=rule, **kinds).fit() for kinds in PUBLISHED]
    assert all(fit.converged for fit in fits)
    np.testing.assert_allclose([fit.loglik for fit in fits], fits[0].loglik, atol=1e-8, rtol=0)
    for name in ("sigma_within", "sigma_between", "kappa_zeta_between", "omega_zeta_within", "rho_epsilon_between"):
        if name.startswith(("kappa", "omega")) and rule == "variance":
            continue  # the scale of a latent variable is fixed in another metric in every kind
        first = fits[0].getmatrix(name).to_numpy()
        for fit in fits[1:]:
            other = fit.getmatrix(name).to_numpy()
            if name.startswith("rho"):
                other = other - np.diag(np.diag(other)) + np.eye(6)  # a modelled rho has a zero diagonal
            np.testing.assert_allclose(other, first, atol=2e-6)


def test_all_edges_is_the_saturated_model(data):
    fit = ml.ml_ggm(data, clusters="c", vars=VARS).fit()
    assert fit.fit_measures(convention="psychonetrics")["df"] == 0
    assert fit.loglik == pytest.approx(fit.estimation.h1.value, abs=1e-8)
    without = ml.ml_lvm(data, clusters="c", vars=VARS, between_latent="ggm").fit()
    assert without.loglik == pytest.approx(fit.loglik, abs=1e-8)
    np.testing.assert_allclose(
        without.getmatrix("omega_zeta_between"), fit.getmatrix("omega_between"), atol=1e-6, rtol=0
    )


def test_level_specific_loadings_are_those_of_sem(data):
    between = [[1], [1], [1], [1], [1], [1]]
    network = ml.ml_lvm(data, lambda_within=L, lambda_between=between, clusters="c", vars=VARS).fit()
    text = "level: 1\na =~ y1+y2+y3\nb =~ y4+y5+y6\nlevel: 2\nf =~ y1+y2+y3+y4+y5+y6"
    lavaan = ml.sem(text, data, cluster="c")
    assert network.npar == lavaan.npar
    assert network.loglik == pytest.approx(lavaan.loglik, abs=1e-8)
    loadings = network.getmatrix("lambda_between")["Eta_1"].to_numpy()
    want = lavaan.parameter_estimates().query("op == '=~' and level == 2")["est"].to_numpy()
    np.testing.assert_allclose(loadings, want, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_variables_of_one_level(data, kind):
    options = {"clusters": "c", "vars": ["y1", "y2", "y4", "x", "z"], "within_only": ["x"], "between_only": ["z"]}
    fit = ml.ml_varcov(data, within=kind, between=kind, **options).fit()
    assert fit.loglik == pytest.approx(fit.estimation.h1.value, abs=1e-8)
    assert fit.npar == 10 + 10 + 5
    sigma = fit.getmatrix("sigma_between")
    assert (sigma.loc["x"] == 0).all()
    assert sigma.loc["z", "z"] > 0
    assert fit.getmatrix("mu").loc["x", "value"] == pytest.approx(data["x"].mean(), abs=0.1)


def test_transmod_keeps_the_fit(data):
    fit = ml.ml_lnm(data, L, clusters="c", vars=VARS).fit()
    other = fit.transmod(within_latent="chol", between_residual="prec")
    assert other.loglik == pytest.approx(fit.loglik, abs=1e-8)
    assert "lowertri_zeta_within" in set(other.parameters()["matrix"])
    # a network of two without its edge is diagonal, and a diagonal matrix is one in every kind
    sparse = fit.fixpar("omega_zeta_within", 2, 1)
    assert sparse.transmod(within_latent="prec").loglik == pytest.approx(sparse.loglik, abs=1e-8)


def test_edges_at_zero_have_no_counterpart_elsewhere(data):
    pattern = np.ones((4, 4)) - np.eye(4)
    pattern[3, 0] = pattern[0, 3] = 0
    model = ml.ml_ggm(data, clusters="c", vars=VARS[:4], omega_within=pattern)
    with pytest.raises(ml.ModelError, match=r"omega_within\[y4, y1\].*no counterpart"):
        model.transmod(within="cov")


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_pvalues(method):
    rng = np.random.default_rng(5)
    p = rng.uniform(size=5) ** 2
    adjusted = adjust_pvalues(p, method)
    n, order = len(p), np.argsort(p)
    subsets = [s for r in range(1, n + 1) for s in itertools.combinations(range(n), r)]
    # closed testing: the largest p-value over the subsets that hold i, by the test that the method closes
    tests = {
        "bonferroni": None,
        "holm": lambda q: min(1.0, len(q) * min(q)),
        "hommel": lambda q: min(1.0, min(len(q) * x / (k + 1) for k, x in enumerate(sorted(q)))),
    }
    if method in ("holm", "hommel"):
        want = [max(tests[method]([p[j] for j in s]) for s in subsets if i in s) for i in range(n)]
    elif method == "bonferroni":
        want = np.minimum(n * p, 1)
    elif method == "hochberg":
        want = [min(1.0, min((n - k) * p[order[k]] for k in range(n) if p[order[k]] >= p[i])) for i in range(n)]
    elif method in ("BH", "fdr", "BY"):
        factor = sum(1 / k for k in range(1, n + 1)) if method == "BY" else 1.0
        want = [
            min(1.0, min(factor * n / (k + 1) * p[order[k]] for k in range(n) if p[order[k]] >= p[i])) for i in range(n)
        ]
    else:
        want = p
    np.testing.assert_allclose(adjusted, want, rtol=1e-12)
    with_hole = adjust_pvalues(np.insert(p, 2, np.nan), method)
    np.testing.assert_allclose(np.delete(with_hole, 2), adjusted, rtol=1e-12)
    assert np.isnan(with_hole[2])


_traces: list[str] = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: _traces.append(event))


def traced() -> int:
    return sum("jaxpr_trace" in event for event in _traces)


def search(frame: pd.DataFrame):
    fit = ml.ml_ggm(frame, clusters="c", vars=VARS[:5]).fit()
    pruned = fit.prune(alpha=0.01)
    return pruned.stepup(alpha=0.05), pruned.modelsearch(addalpha=0.05)


def test_a_search_compiles_nothing_that_a_search_before_it_has():
    search(simulate(7))
    before = traced()
    assert before > 0  # the listener works
    up, best = search(simulate(8))
    assert len(up.log) > 1
    assert len(best.log) > 1
    assert traced() == before


def test_a_network_without_a_maximum_is_told_in_words():
    """One factor without residuals at level 2: its partial correlations run off to a singular matrix."""
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(60), 8)
    y = 0.7 * rng.normal(size=(60, 1))[cluster] + rng.normal(size=(480, 4))
    frame = pd.DataFrame(y, columns=VARS[:4]).assign(c=cluster)
    with pytest.warns(ml.ImproperSolutionWarning, match="between level is .*singular.*in the direction of y"):
        fit = ml.ml_ggm(frame, clusters="c").fit()
    assert not fit.converged
    assert fit.status is ml.Status.NO_MAXIMUM
    with pytest.raises(ml.ModelError, match="empty network"):
        fit.prune()
    sparse = ml.ml_ggm(frame, clusters="c", omega_between="zero").fit()
    assert sparse.converged
