"""The same estimates on one device, on eight, and on two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = Path(__file__).with_name("batch_worker.py")


def start(out: Path, *args: str, devices: int = 1) -> subprocess.Popen:
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(
            [str(WORKER.parents[2]), str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(out), *args],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen) -> None:
    try:
        text = process.communicate(timeout=800)[0].decode(errors="replace")
    finally:
        process.kill()
    assert process.returncode == 0, text[-2000:]


def same(a: Path, b: Path) -> None:
    with np.load(a) as one, np.load(b) as other:
        np.testing.assert_array_equal(one["status"], other["status"])
        for name in ("theta", "se", "chisq"):
            # shards are the same programs on other lanes: what may differ is the order of sums
            np.testing.assert_allclose(other[name], one[name], rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_devices_give_what_one_gives(tmp_path):
    for devices in (1, 8):
        finish(start(tmp_path / f"on{devices}", devices=devices))
    with np.load(tmp_path / "on8.0.npz") as eight:
        assert eight["devices"] == 8
    same(tmp_path / "on1.0.npz", tmp_path / "on8.0.npz")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_give_both_what_one_gives(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [start(tmp_path / "two", address, "2", index) for index in ("0", "1")]
    finish(start(tmp_path / "one"))
    for process in processes:
        finish(process)
    with np.load(tmp_path / "two.0.npz") as two:
        assert two["processes"] == 2
        assert len(two["theta"]) == 20
    same(tmp_path / "one.0.npz", tmp_path / "two.0.npz")
    same(tmp_path / "one.0.npz", tmp_path / "two.1.npz")
