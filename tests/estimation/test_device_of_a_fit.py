"""On a machine with a GPU the programs of one fit run on the CPU, unless the user says where."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.estimation.problem import _compiled
from mlsem_jax.estimation.problem._evaluators import Compiled


@pytest.fixture
def as_with_a_gpu(own_programs, monkeypatch):
    monkeypatch.setattr(_compiled.jax, "default_backend", lambda: "gpu")


def test_without_a_gpu_jax_chooses():
    assert _compiled.device_of_single_fits() is None


def test_a_default_device_is_what_the_user_wants(as_with_a_gpu):
    assert _compiled.device_of_single_fits().platform == "cpu"
    with jax.default_device(jax.devices()[0]):
        assert _compiled.device_of_single_fits() is None


def test_without_cpus_jax_chooses(as_with_a_gpu, monkeypatch):
    def none(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(_compiled.jax, "local_devices", none)
    assert _compiled.device_of_single_fits() is None


@pytest.mark.timeout(240)
def test_what_is_compiled_is_sent_there(as_with_a_gpu):
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(30), 4)
    frame = pd.DataFrame(rng.normal(size=(120, 2)) + rng.normal(size=(30, 2))[cluster], columns=["y1", "y2"])
    fit = ml.ml_varcov(frame.assign(c=cluster), within="ggm", between="cov", clusters="c", vars=["y1", "y2"]).fit()
    problem = fit.estimation.model.problem
    assert isinstance(problem.evaluator, Compiled)
    arrays = problem.compiled.packed[0]
    assert all(array.committed and array.devices() == {jax.local_devices(backend="cpu")[0]} for array in arrays)
    assert fit.converged
