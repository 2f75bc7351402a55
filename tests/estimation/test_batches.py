"""Batches against single fits, lane by lane; a lane that cannot be fitted harms no other; chunks, progress, models."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from tiny import MODEL, SIZES, THETA, VALUES, rows, tiny_batch, tiny_fit, tiny_model

import mlsem_jax as ml
from mlsem_jax.estimation import Problem, fit_batch, fit_unrestricted, moment_starts
from mlsem_jax.estimation.batch._batch import PACK, _chunk, chunk_size, memory_for_lanes, pack_width
from mlsem_jax.estimation.search._scoring import maximise
from mlsem_jax.observed import cluster_statistics, plan_sizes, pool_sizes, reduce

pytestmark = pytest.mark.timeout(300)

LANES = 60


@pytest.fixture(scope="module")
def batch():
    return ml.estimate_batch(tiny_model(), tiny_batch(LANES))


def lane(stats, i):
    return jax.tree.map(lambda x: x[i], stats)


def tiny_problem(i):
    return Problem(tiny_fit().estimation.model.build, lane(tiny_batch(LANES), i))


def single(i):
    """The search that `ml.sem` does: another loop, another step, another way to the Hessian."""
    with jax.enable_x64(True):
        return maximise(tiny_problem(i), np.asarray(tiny_model().start))


def test_lanes_are_single_fits(batch):
    for i in range(LANES):
        one = single(i)
        # relative to standard errors, as the criterion of both searches is
        assert np.abs((batch.theta[i] - one.theta) / batch.se[i]).max() < 1e-8
        np.testing.assert_allclose(batch.se[i], np.sqrt(np.diag(np.linalg.inv(one.information))), rtol=1e-8)
        assert batch.value[i] == pytest.approx(one.value, rel=1e-12)
        assert ml.Status(int(batch.status[i])).converged == one.status.converged


def test_a_lane_is_what_the_front_end_gives():
    """From rows to the end: `ml.sem` of simulated rows, and their statistics in a batch; improper solutions are told alike."""
    with jax.enable_x64(True):
        # a variance near zero, which comes out negative now and then
        edge = np.where([name == "y3~~y3.l2" for name in tiny_model().names], 0.02, THETA)
        drawn = ml.simulate(tiny_model(), edge, 8, SIZES, 10, rows=True)
    frames = [drawn.frame(i) for i in range(10)]
    stats = [ml.statistics(tiny_model(), frame).reduced for frame in frames]
    together = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *stats)
    end = ml.estimate_batch(tiny_model(), together)
    for i, frame in enumerate(frames):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.sem(MODEL, frame, cluster="g", h1=False, baseline=False)
        np.testing.assert_allclose(end.theta[i], fit.coef(), rtol=1e-7, atol=1e-7)
        assert ml.Status(int(end.status[i])) == fit.status
    assert len(set(end.status.tolist())) > 1


def broken(stats, i, how):
    """The batch with lane i spoiled."""
    complete = stats.complete
    within = np.array(complete.within)
    if how == "nan":
        within[i] = np.nan
    elif how == "negative":
        within[i] = -within[i]
    else:  # y2 is a copy of y1 in rows and clusters: no maximum
        mix = np.eye(3)
        mix[1] = [1.0, 0.0, 0.0]
        within[i] = mix @ within[i] @ mix.T
        mean, cov = np.array(complete.mean), np.array(complete.cov)
        mean[i], cov[i] = mean[i] @ mix.T, mix @ cov[i] @ mix.T
        complete = dataclasses.replace(complete, mean=mean, cov=cov)
    return eqx.tree_at(lambda s: s.complete, stats, dataclasses.replace(complete, within=within))


@pytest.mark.parametrize("how", ["nan", "negative", "degenerate"])
def test_an_unfittable_lane_harms_no_other(batch, how):
    end = ml.estimate_batch(tiny_model(), broken(tiny_batch(LANES), 7, how))
    others = np.delete(np.arange(LANES), 7)
    # the others take the same steps in the same pack: equal but for the order of sums
    for name in ("theta", "se", "value"):
        np.testing.assert_allclose(getattr(end, name)[others], getattr(batch, name)[others], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(end.status[others], batch.status[others])
    assert not ml.Status(int(end.status[7])).converged
    assert np.isnan(end.se[7]).all()


def test_chunks_and_progress(batch):
    seen = []
    end = ml.estimate_batch(tiny_model(), tiny_batch(LANES), chunk=64, progress=lambda *at: seen.append(at))
    assert seen == [(LANES, LANES)]
    pieces = []
    small = ml.estimate_batch(tiny_model(), tiny_batch(LANES), chunk=8, progress=lambda *at: pieces.append(at))
    assert pieces == [*((i, LANES) for i in range(8, LANES, 8)), (LANES, LANES)]
    for other in (end, small):
        np.testing.assert_allclose(other.theta, batch.theta, rtol=0, atol=1e-10)
        np.testing.assert_allclose(other.se, batch.se, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(other.status, batch.status)


def holes(i: int, share: float) -> pd.DataFrame:
    """Rows of a data set of its own size: complete, with holes in few clusters, or in all."""
    frame = rows(np.repeat([4, 9 + i], 25), seed=i)
    rng = np.random.default_rng(i)
    for name in ("y1", "y3"):
        frame.loc[rng.random(len(frame)) < share, name] = np.nan
    return frame


def test_data_sets_with_missing_values_are_a_batch():
    """Lanes differ in which clusters are complete, in patterns and in sizes; each is what `ml.sem` finds."""
    frames = [holes(0, 0.0), holes(1, 0.01), holes(2, 0.3), holes(3, 0.3)]
    model = ml.model(MODEL, frames[2], cluster="g", missing="ml")
    stats = [ml.statistics(model, frame) for frame in frames]
    assert {len(one.reduced.terms) for one in stats} == {1, 2}
    batch = ml.estimate_batch(model, stats, chisq=True)
    for i, frame in enumerate(frames):
        one = ml.sem(MODEL, frame, cluster="g", missing="ml")
        np.testing.assert_allclose(batch.theta[i], one.coef()[list(model.names)], atol=1e-6)
        np.testing.assert_allclose(batch.se[i], np.sqrt(np.diag(one.vcov().loc[model.names, model.names])), rtol=1e-5)
        assert batch.value[i] == pytest.approx(one.loglik, abs=1e-7)
        assert batch.chisq[i] == pytest.approx(one.fit_measures()["chisq"], abs=1e-6)


def test_a_list_of_complete_data_sets_of_other_sizes_is_a_batch():
    frames = [rows(np.repeat([5, 8], 20), 1), rows(np.repeat([3, 6, 11], 15), 2)]
    stats = [ml.statistics(tiny_model(), frame) for frame in frames]
    batch = ml.estimate_batch(tiny_model(), stats)
    for i, frame in enumerate(frames):
        assert batch.value[i] == pytest.approx(ml.sem(MODEL, frame, cluster="g").loglik, abs=1e-7)
    with pytest.raises(ml.DataError, match=r"of one data set, not a list of them: ml\.estimate_batch"):
        ml.log_likelihood(tiny_model(), THETA, stats)


def test_a_batch_of_models(batch):
    """One data set under models of the same dimensions: lanes differ in what they hold fixed."""
    model, stats = tiny_model(), lane(tiny_batch(LANES), 0)
    held = np.linspace(0.1, 0.3, LANES)

    def where(s):
        return s.between.theta.core.base

    copies = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], LANES, 0), model.structure)
    base = np.array(where(copies))
    base[base == 0.2] = held
    end = ml.estimate_batch(eqx.tree_at(where, copies, base), stats)
    assert (end.status == ml.Status.CONVERGED).all()
    changed = np.interp(0.2, held, end.theta[:, 0])
    # linear between two neighbours 0.003 apart
    assert changed == pytest.approx(batch.theta[0, 0], abs=1e-4)
    assert np.all(np.diff(end.theta[:, 0]) != 0)


def test_what_cannot_be_a_batch():
    with pytest.raises(ml.DataError, match="a list of the statistics"):
        ml.estimate_batch(tiny_model(), lane(tiny_batch(LANES), 0))
    with pytest.raises(ml.DataError, match="stats of 60, theta0 of 3"):
        ml.estimate_batch(tiny_model(), tiny_batch(LANES), theta0=np.tile(THETA, (3, 1)))
    with pytest.raises(ml.ModelError, match="unrestricted"):
        ml.estimate_batch(tiny_model().structure, tiny_batch(LANES), chisq=True)


def test_starts_of_a_batch_hold_its_regressions():
    text = """
    level: 1
      fw =~ y1 + y2 + y3
      fw ~ x1 + x2
      z ~ x1 + fw
    level: 2
      fb =~ y1 + y2 + y3
      fb ~ w
    """
    rng, sizes = np.random.default_rng(2), np.repeat([5, 10], 40)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame(rng.normal(size=(len(cluster), 7)), columns=["x1", "x2", "z", "y1", "y2", "y3", "g"])
    frame["g"], frame["w"] = cluster, rng.normal(size=len(sizes))[cluster]
    factor = 0.7 * frame.x1 - 0.4 * frame.x2 + rng.normal(size=len(frame))
    between = (0.5 * frame.w + 0.7 * rng.normal(size=len(sizes))[cluster]).to_numpy()
    for name, load in (("y1", 1.0), ("y2", 0.8), ("y3", 1.2)):
        frame[name] += load * (factor + between)
    frame["z"] += 0.3 * frame.x1 + 0.5 * factor
    model = ml.model(text, frame, cluster="g")
    stats = jax.tree.map(lambda x: np.asarray(x)[None], ml.statistics(model, frame).reduced)
    with jax.enable_x64(True):
        start = np.asarray(moment_starts(model.structure, jax.tree.map(lambda x: jnp.asarray(x[0]), stats)))
    end = ml.estimate_batch(model, stats)
    at = [model.names.index(name) for name in ("fw~x1", "fw~x2", "z~x1", "fb~w.l2")]
    # moment estimates are off where they are not efficient, and z's because the factor's effect on z is taken for a loading; zeros
    # would be 4 to 14 standard errors off
    assert (np.abs(start - end.theta[0])[at] < 3 * end.se[0][at]).all()
    assert (np.abs(end.theta[0])[at] > 3.5 * end.se[0][at]).all()


def test_sizes_are_pooled_with_those_alike():
    def pools(sizes):
        plan = plan_sizes(np.array(sizes), np.zeros(len(sizes), int), 1)
        return [plan.size[0][row > 0] for row in plan.pool[0] if row.any()]

    assert [list(p) for p in pools([5, 10, 15, 20])] == [[5, 10], [15, 20]]
    assert [set(p) for p in pools([1, 2, 100, 200])] == [{1, 2}, {100, 200}]
    many = pools(range(1, 401))
    assert len(many) <= 6
    assert max(p.max() / p.min() for p in many) < 400 ** (1 / 6) + 1e-9
    assert len(np.unique(np.concatenate(many))) == 400
    # of sizes far apart those that differ least, as long as they are more than six
    assert len(pools([1, 10, 100, 1000, 10000])) == 5


def test_a_single_fit_keeps_up_to_six_sizes_and_pools_more_by_the_same_rule():
    def pools(sizes):
        clusters = cluster_statistics(
            np.zeros((sum(sizes), 1)), np.repeat(np.arange(len(sizes)), sizes), 0 * np.array(sizes)
        )
        found = pool_sizes(reduce(clusters, 1))
        used = found.count[0] > 0
        assert found.count.sum() == len(sizes)
        assert (found.count * found.size).sum() == pytest.approx(sum(sizes))
        return found.size[0][used], found.count[0][used]

    assert list(pools([10, 11, 12, 13, 14, 50])[0]) == [10, 11, 12, 13, 14, 50]
    size, count = pools([10, 11, 12, 13, 14, 15, 16, 200, 200])
    assert size[-1] == 200
    assert count[-1] == 2
    size, count = pools(list(range(1, 101)))
    plan = plan_sizes(np.arange(1, 101), np.zeros(100, int), 1)
    # a factor of 100 is more than a batch has in one pool, and less than it has in six
    assert len(size) == 6 >= plan.pool.shape[1]
    assert (size[1:] / size[:-1]).max() < 100 ** (2 / 6)


def test_progress_is_told_by_packs_of_lanes():
    structure, stats, devices = tiny_model().structure, tiny_batch(LANES), jax.devices("cpu")[:1]
    silent = _chunk(structure, stats, devices, None, told=False)
    assert silent == chunk_size(structure, stats, devices) > PACK
    assert _chunk(structure, stats, devices, None, told=True) == PACK
    small = 8.0 * 10**4
    assert _chunk(structure, stats, devices, small, told=True) == chunk_size(structure, stats, devices, small) < PACK


def test_chunks_follow_the_memory_of_the_device():
    """A device that says what it has free gives half of it; no device takes more lanes than keep it busy."""
    structure, stats = tiny_model().structure, tiny_batch()

    def device(platform, memory):
        return SimpleNamespace(platform=platform, memory_stats=lambda: memory)

    small = device("gpu", {"bytes_limit": 2**30, "bytes_in_use": 2**29})
    assert memory_for_lanes(small) == 2**28
    assert memory_for_lanes(device("gpu", {"bytes_limit": 2**40})) == 2**39
    assert memory_for_lanes(device("gpu", None)) == 2**34
    assert memory_for_lanes(jax.devices("cpu")[0]) == 2**30
    few, many = (chunk_size(structure, stats, [d]) for d in (small, device("gpu", {"bytes_limit": 2**40})))
    assert few == chunk_size(structure, stats, [small], 2**28) < many == 8192
    assert chunk_size(structure, stats, [small, device("gpu", None)]) == few
    assert pack_width(structure, stats, small) is None
    assert pack_width(structure, stats, jax.devices("cpu")[0]) >= 4


def test_unrestricted_models_of_few_clusters_go_on_where_scoring_creeps():
    """With little variance between, scoring of 15 clusters ends its iterations next to some maxima: Newton steps arrive."""
    small = VALUES | {"fb~~fb.l2": 0.05, "y2~~y2.l2": 0.01, "y3~~y3.l2": 0.01}
    with jax.enable_x64(True):
        drawn = jax.tree.map(np.asarray, ml.simulate(tiny_model(), small, 3, [5, 6, 7, 8, 9] * 3, 64))
        scored = fit_batch(tiny_model().saturated, drawn, newton=False)
        found = fit_unrestricted(tiny_model().saturated, drawn)
    assert found.converged.sum() > scored.converged.sum() + 4
    assert (found.converged | ~scored.converged).all()
    np.testing.assert_array_equal(found.value[scored.converged], scored.value[scored.converged])
    crept = found.converged & ~scored.converged
    assert (found.value[crept] > scored.value[crept] - 1e-9).all()
    assert (found.decrement[crept] < 1e-11).all()
