"""The program that measures a GPU works: the same code with a handful of lanes on a CPU, every part of it."""

import importlib
import json
import sys
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("gpu")
    finally:
        sys.path.remove(str(FOLDER))


def test_a_dry_run_checks_and_measures_everything(gpu, tmp_path, monkeypatch):
    target = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run", "--minutes", "9", "--out", str(target)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gpu.main() == 0
    found = json.loads(target.read_text())
    parts = found["parts"]
    wrong = {name: part for name, part in parts.items() if part.keys() & {"error", "skipped"}}
    assert wrong == {}
    assert [name for name, part in parts.items() if part.get("passed")] == [
        "kernels agree",
        "lanes agree",
        "derivatives agree",
    ]
    assert parts["lanes agree"]["statuses"]["NON_FINITE"] == 1
    assert parts["throughput, 8 lanes"]["converged"] == 1
    assert parts["slowest kernels"]["slowest"]
    assert found["versions"]["jax"]


def test_the_count_by_hand_is_that_of_the_compiler_within_a_factor_of_two(gpu):
    """For the tutorial's dimensions, where the leading terms lead: FLOPs that XLA counted on a CPU, 2026-11-29."""
    hand = gpu.by_hand(p=8, m=4, q=20, sizes=4, pools=2)
    for name, flops in {"gradient": 29_900, "scoring step": 231_000, "Hessian": 499_000}.items():
        assert 0.5 < hand[name]["FLOPs"] / flops < 2


def test_without_a_gpu_it_says_so(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path / "gpu.json")])
    assert gpu.main() == 2
    assert "--dry-run" in capsys.readouterr().err
