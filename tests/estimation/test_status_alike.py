"""One rule decides statuses: `ml.sem`, `ml.estimate` and `ml.estimate_batch` say the same of the same maximum, and what is improper
is said in words exactly where the rule finds it.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from test_status import SATURATED, WITHIN, by_moments, fit, told

import mlsem_jax as ml
from mlsem_jax.estimation.layer import _search_again
from mlsem_jax.estimation.search._traced_state import settings, start
from mlsem_jax.estimation.status._diagnosis import improper_parameters
from mlsem_jax.estimation.status._status import MATRICES, at_end, improper
from mlsem_jax.likelihood import log_likelihood
from mlsem_jax.numerics import float64

pytestmark = pytest.mark.timeout(300)

FACTORS = "level: 1\n a =~ y1 + y2 + y3\n b =~ y4 + y5 + y6\nlevel: 2\n c =~ y1 + y2 + y3\n d =~ y4 + y5 + y6\n"


def lane(kind: str, seed: int) -> pd.DataFrame:
    """Two factors a level, 40 clusters of 8; at level 2 correlated .94, or little of them and an indicator without residual."""
    rng, clusters, size = np.random.default_rng(seed), 40, 8
    cluster, loading = np.repeat(np.arange(clusters), size), 0.8 * np.repeat(np.eye(2), 3, axis=0)
    correlation = {"correlated": 0.94, "heywood": 0.3, "weak": 0.6}[kind]
    scale = {"correlated": 0.5, "heywood": 0.5, "weak": 0.25}[kind]
    residual = np.full(6, 0.3)
    if kind == "heywood":
        residual[[0, 4]] = 0.02
    root = np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]])
    between = scale * rng.normal(size=(clusters, 2)) @ root.T @ loading.T + residual * rng.normal(size=(clusters, 6))
    within = rng.normal(size=(len(cluster), 2)) @ loading.T + 0.6 * rng.normal(size=(len(cluster), 6))
    return pd.DataFrame(between[cluster] + within, columns=[f"y{i}" for i in range(1, 7)]).assign(g=cluster)


# MLSEM_LANES=100 compares 300 lanes; of the first ones of each kind the traced search leaves some that a single fit settles
SEEDS = int(os.environ.get("MLSEM_LANES", "6"))


@pytest.fixture(scope="module")
def lanes():
    """The model, the data sets, their statistics, one batch of them and the single fits."""
    frames = [lane(kind, seed) for kind in ("correlated", "heywood", "weak") for seed in range(SEEDS)]
    with jax.enable_x64(True):
        model = ml.model(FACTORS, frames[0], cluster="g")
        stats = [jax.tree.map(np.asarray, ml.statistics(model, frame).reduced) for frame in frames]
        batch = ml.estimate_batch(model, stacked(stats))
    return model, stats, batch, [fit(FACTORS, frame) for frame in frames]


def stacked(stats):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *stats)


@pytest.mark.timeout(3600 if SEEDS > 6 else 900)
def test_every_route_says_what_a_single_fit_says(lanes):
    model, stats, batch, singles = lanes
    with jax.enable_x64(True):
        limited = ml.estimate_batch(model, stacked(stats), iterations=299)
        alone = [ml.estimate(model, one) for one in stats]
    told_by_fit = [single.status for single in singles]
    assert [ml.Status(int(code)) for code in batch.status] == told_by_fit
    assert [ml.Status(int(one.status)) for one in alone] == told_by_fit
    # where the traced search fails, and nowhere else, it is the single fit's result, with its standard errors
    assert limited.again is None
    np.testing.assert_array_equal(batch.again, limited.status == int(ml.Status.ITERATION_LIMIT))
    assert 2 <= batch.again.sum() < len(stats) / 2
    # a lane may be at its maximum and still take the last step that the limit leaves it
    alike = ~batch.again & (limited.iterations < 299)
    np.testing.assert_array_equal(batch.theta[alike], limited.theta[alike])
    for i in np.flatnonzero(batch.again):
        for end in (batch_lane(batch, i), alone[i]):
            np.testing.assert_allclose(end.theta, singles[i].coef(), rtol=1e-6, atol=1e-8)
            assert float(end.value) == pytest.approx(singles[i].loglik, abs=1e-7)
            if singles[i].status.converged:
                np.testing.assert_allclose(end.se, np.sqrt(np.diag(singles[i].vcov())), rtol=1e-5)
    assert any(singles[i].status.converged for i in np.flatnonzero(batch.again))
    # one form of the result, whatever it took
    assert all(jax.tree.structure(one) == jax.tree.structure(alone[0]) for one in alone)


def test_a_traced_search_that_reaches_the_same_point_says_the_same(lanes):
    model, stats, batch, singles = lanes
    with jax.enable_x64(True):
        pure = jax.jit(lambda one: ml.estimate(model, one))
        traced = [pure(one) for one in stats]
    told_by = Counter()
    for i, single in enumerate(singles):
        ends = [(single.status, single.coef().to_numpy())]
        ends += [(ml.Status(int(end.status)), np.asarray(end.theta)) for end in (traced[i], batch_lane(batch, i))]
        # one search may fail, or end at another of several maxima
        same = [s for s, theta in ends if s.converged and np.abs(theta - ends[0][1]).max() < 1e-4]
        assert len(set(same)) <= 1, (i, ends)
        told_by[len(same), same[0] if same else None] += 1
    assert told_by[3, ml.Status.CONVERGED] >= 2
    assert told_by[3, ml.Status.IMPROPER] >= 6
    # what negative variances alone do not tell
    assert any("correlation of c and d" in told(single) and "variance" not in told(single) for single in singles)


def settled_again(lanes) -> int:
    """A lane that the traced search fails in and others settle."""
    _, _, batch, singles = lanes
    return next(int(i) for i in np.flatnonzero(batch.again) if singles[i].status.converged)


def test_a_traced_estimate_is_one_search_and_differentiates_from_the_maximum_found(lanes):
    model, stats, batch, _ = lanes
    i = settled_again(lanes)
    with jax.enable_x64(True):
        traced = jax.jit(ml.estimate)(model, stats[i])
        found = ml.estimate(model, stats[i], solver=settings(np.float64))
        assert int(traced.status) == int(found.status) == int(ml.Status.ITERATION_LIMIT)
        # constants of a program are not traced, and yet nothing in it may look at numbers
        assert int(jax.jit(lambda: ml.estimate(model, stats[i]).status)()) == int(ml.Status.ITERATION_LIMIT)
        start = batch.theta[i]
        slope = jax.grad(lambda one: ml.estimate(model, one, theta0=start).value)(stats[i])
        at_fixed = jax.grad(lambda one: log_likelihood(model.structure, jnp.asarray(start), one))(stats[i])
    # at a maximum the likelihood changes with the data as at a fixed theta
    for mine, known in zip(jax.tree.leaves(slope), jax.tree.leaves(at_fixed), strict=True):
        np.testing.assert_allclose(mine, known, rtol=1e-5, atol=1e-6)


def test_a_study_counts_what_single_fits_say(lanes):
    """A study starts its searches from the true values; where they fail its lanes are searched again like all others."""
    model, _, batch, _ = lanes
    truth = np.asarray(batch.theta[0])
    drawn = ml.simulate(model, truth, 1, [8] * 14, 8)
    one_search = ml.estimate_batch(model, drawn, theta0=truth, iterations=299)
    study = ml.montecarlo(model, truth, [8] * 14, 8, 1, chisq=False)
    alone = [ml.estimate(model, batch_lane(drawn, k)) for k in range(8)]
    assert study.status.tolist() == [int(one.status) for one in alone]
    assert (one_search.status == int(ml.Status.ITERATION_LIMIT)).any()


def test_too_many_failed_lanes_are_told(monkeypatch, lanes):
    model, stats, batch, _ = lanes
    monkeypatch.setattr(_search_again, "AT_MOST", 1)
    words = f"1 lanes without a maximum were searched again one at a time; {int(batch.again.sum()) - 1} more"
    with jax.enable_x64(True), pytest.warns(ml.ModelWarning, match=words):
        end = ml.estimate_batch(model, stacked(stats))
    assert end.again.sum() == 1
    assert end.again.argmax() == batch.again.argmax()


def batch_lane(batch, i):
    return jax.tree.map(lambda x: x[i], batch)


def rule_by_elements(model) -> bool:
    """The dense twin: eigenvalues, element by element, from the parameter table of a model with plain covariance matrices."""
    spec, found = model.build.specification, False
    values = [model.natural[i] if i >= 0 else v for i, v in zip(model.build.index, model.build.values, strict=True)]
    for level, matrix in ((1, "psi"), (1, "theta"), (2, "psi"), (2, "theta")):
        for group in range(1, spec.ngroups + 1):
            cov, estimated = {}, False
            for row, value, index in zip(spec.parameters, values, model.build.index, strict=True):
                if (row.level, row.group, row.cell.matrix) == (level, group, matrix):
                    cov[row.lhs, row.rhs] = cov[row.rhs, row.lhs] = value
                    found |= bool(row.lhs == row.rhs and index >= 0 and value < -1e-6)
                    estimated |= bool(row.lhs != row.rhs and index >= 0)
            kept = [a for a, b in cov if a == b and cov[a, a] > 0]
            block = np.array([[cov.get((a, b), 0.0) for b in kept] for a in kept])
            if estimated and len(kept):
                sd = np.sqrt(np.diag(block))
                found |= bool(np.linalg.eigvalsh(block / np.outer(sd, sd))[0] < -1e-6)
    return found


@pytest.fixture(scope="module")
def two_groups():
    data = by_moments(WITHIN, 0.3 * WITHIN)
    both = pd.concat([data.assign(h="a"), data.assign(h="b", g=data["g"] + 100, y1=data["y1"] * 1.1)])
    text = "level: 1\n f =~ y1 + y2 + y3\nlevel: 2\n y1 ~~ y2 + c(k, k)*y3\n y2 ~~ y3\n"
    return fit(text, both, group="h").estimation.model


@float64
def test_the_rule_traced_in_numpy_and_by_elements(two_groups):
    structure, rng = two_groups.build.structure, np.random.default_rng(0)
    thetas = two_groups.theta * (1 + rng.normal(size=(300, 1)) * rng.normal(size=(300, len(two_groups.theta))) * 0.7)

    @jax.jit
    @jax.vmap
    def traced(theta):
        return improper(jnp, structure, structure.natural(theta), structure(theta))

    lanes, said = jax.tree.map(np.asarray, traced(thetas)), Counter()
    for i, theta in enumerate(thetas):
        moments = two_groups.problem.moments(theta)
        there = replace(two_groups, maximum=replace(two_groups.maximum, theta=theta), moments=moments)
        found = improper(np, structure, there.natural, moments)
        np.testing.assert_array_equal(found.negative, lanes.negative[i])
        np.testing.assert_array_equal(found.indefinite, lanes.indefinite[i])
        sentences = improper_parameters(there, found)
        assert bool(sentences) == bool(found.any()) == rule_by_elements(there)
        said.update(kind for kind in ("variance of", "correlation of", "semidefinite") for s in sentences if kind in s)
        said["proper"] += not sentences
    assert min(said.values()) > 5
    assert len(said) == 4


@pytest.mark.parametrize("kind", ["cov", "cor"])
def test_correlations_beyond_one_are_improper_however_they_are_written(kind):
    between = np.array([[0.2, 0.25, 0.0], [0.25, 0.2, 0.0], [0.0, 0.0, 0.3]])
    data = by_moments(WITHIN, between)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = ml.ml_varcov(data, within="cov", between=kind, clusters="g", vars=["y1", "y2", "y3"]).fit()
    assert result.getmatrix("sigma_between").loc["y1", "y2"] == pytest.approx(0.25, abs=1e-6)
    assert result.status is ml.Status.IMPROPER
    assert "the correlation of y1 and y2 at the between level is estimated at 1.25" in told(result)


@pytest.mark.parametrize("kind", ["chol", "prec", "ggm"])
@float64
def test_kinds_that_are_always_proper_stay_so(kind):
    data = by_moments(WITHIN, 0.3 * WITHIN)
    result = ml.ml_varcov(data, within=kind, between=kind, clusters="g", vars=["y1", "y2", "y3"]).fit()
    model = result.estimation.model
    structure = model.build.structure
    found = jax.jit(lambda theta: improper(jnp, structure, structure.natural(theta), structure(theta)))(model.theta)
    assert result.status is ml.Status.CONVERGED
    assert not found.any()
    assert found.indefinite.shape == (len(MATRICES), 1)


@float64
def test_random_slopes_are_judged_in_lanes_too():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 6), "w": rng.normal(size=60), "y1": rng.normal(size=60)})
    model = ml.model("level: 1\n y1 ~ rv('s')*w\nlevel: 2\n y1 ~~ y1\n s ~~ s + y1\n", data, cluster="g")
    values = {"y1~~y1": 1.0, "y1~~y1.l2": 0.3, "s~~s.l2": 0.5}
    for changed, status in (
        ({}, ml.Status.CONVERGED),
        ({"s~~s.l2": -0.1}, ml.Status.IMPROPER),
        ({"y1~~y1.l2": -0.1}, ml.Status.IMPROPER),
        ({"s~~y1.l2": 0.4, "y1~~s.l2": 0.4}, ml.Status.IMPROPER),
    ):
        there = values | changed
        theta = jnp.zeros(model.structure.basis.shape[1])
        theta = theta.at[: len(model.names)].set(np.array([there.get(name, 0.0) for name in model.names]))
        end = replace(start(theta), status=jnp.asarray(int(ml.Status.CONVERGED)))
        assert ml.Status(int(at_end(model.structure, end))) is status, changed
        unfinished = replace(start(theta), status=jnp.asarray(int(ml.Status.STALLED)))
        assert ml.Status(int(at_end(model.structure, unfinished))) is ml.Status.STALLED


def test_what_the_data_say_of_covariates_is_not_improper():
    # covariates whose between covariances no variables have are fixed at them; nothing that is estimated is improper
    between = np.array([[0.2, 0.01, 0.01], [0.01, 0.2, 0.25], [0.01, 0.25, 0.2]])
    data = by_moments(WITHIN, between)
    result = fit("level: 1\n y1 ~ y2 + y3\nlevel: 2\n y1 ~ y2 + y3\n", data)
    model = result.estimation.model
    assert not improper(np, model.build.structure, model.natural, model.moments).any()
    assert result.status is ml.Status.CONVERGED
    assert fit(SATURATED, data).status is ml.Status.IMPROPER
