"""The stress suite: it runs, and data sets that once ended at a lower maximum or none reach the best one known."""

import importlib.util
import json
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

import mlsem_jax as ml

PATH = Path(__file__).parents[2] / "benchmarks" / "stress.py"


@pytest.fixture(scope="module")
def stress():
    spec = importlib.util.spec_from_file_location("stress", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["stress"] = module
    spec.loader.exec_module(module)
    return module


def test_a_small_run_passes(stress, tmp_path, monkeypatch):
    target = tmp_path / "stress.json"
    only = "plain icc=0.25 clusters=50 size=5 p=3"
    monkeypatch.setattr(sys, "argv", ["stress.py", "--only", only, "--replications", "2", "--json", str(target)])
    assert stress.main() == 0
    result = json.loads(target.read_text())
    assert (result["datasets"], result["reached"], result["false_converged"]) == (2, 2, 0)


@pytest.mark.parametrize(
    ("cell", "replication", "best"),
    [
        # the within factor is what the two indicators share
        ("collinear icc=0.05 clusters=20 size=5 p=6", 1, -423.304366),
        # units 10^9 apart, and a marker that hardly loads
        ("scaled icc=0.25 clusters=20 size=5 p=6", 6, -1321.245065),
        # a negative variance of the between factor
        ("plain icc=0.25 clusters=20 size=2 p=6", 1, -266.146529),
        # a factor of all but one indicator
        ("plain icc=0.05 clusters=50 size=2 p=6", 0, -685.025517),
        # one factor of three indicators fits any moments, so its maximum is that of the unrestricted model; every valley leads
        # elsewhere, since a covariance has to change its sign
        ("plain icc=0.0 clusters=200 size=mixed p=3", 4, -6377.906196),
        ("plain icc=0.01 clusters=20 size=mixed p=3", 0, -589.855970),
        ("plain icc=0.0 clusters=20 size=mixed p=3", 9, -603.866507),
        ("collinear icc=0.25 clusters=20 size=mixed p=3", 8, -26.146333),
        # a second maximum on the same side of zero, near the moments
        ("plain icc=0.25 clusters=8 size=5 p=6", 3, -269.671565),
        # fewer clusters than variables: the likelihood is unbounded, and yet has a maximum
        ("plain icc=0.01 clusters=8 size=20 p=10", 0, -1720.678408),
        # along a narrow curved valley, thousands of scoring steps away
        ("plain icc=0.0 clusters=8 size=5 p=6", 2, -248.022570),
        # a few scoring steps from where the searches stop
        ("plain icc=0.05 clusters=50 size=5 p=6", 6, -1676.240719),
        # lower than the ends of all runs to nowhere, and the only maximum
        ("plain icc=0.0 clusters=8 size=2 p=6", 5, -91.497059),
        # higher than all that searches find within their first iterations
        ("plain icc=0.25 clusters=20 size=mixed p=10", 1, -1673.433675),
        # along a valley that rises above the maximum on the other side of zero
        ("plain icc=0.01 clusters=200 size=20 p=10", 0, -44061.949250),
    ],
    ids=[
        "collinear",
        "scaled",
        "negative",
        "dominated",
        "one sign",
        "other sign",
        "all negative",
        "both levels",
        "two",
        "few",
        "valley",
        "nearly",
        "only one",
        "unfinished",
        "crawling",
    ],
)
def test_the_best_maximum_known_is_reached(stress, cell, replication, best):
    one = next(c for c in stress.cells() if c.name == cell)
    random = np.random.default_rng(zlib.crc32(cell.encode()))
    for _ in range(replication + 1):
        frame = stress.simulate(one, random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.sem(stress.model_text(one.p), frame, cluster="cluster", h1=False, baseline=False)
    assert fit.converged
    assert fit.loglik > best - 1e-5
