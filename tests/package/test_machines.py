"""The scripts of the page *Studies on many machines* run, and give the numbers of one process."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
SCRIPTS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.S | re.M))


@pytest.fixture
def folder(tmp_path):
    for name, code in SCRIPTS.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def start(folder: Path, *command: str, **variables: str) -> subprocess.Popen:
    paths = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "DATASETS": "24", "CHUNK": "8", "JAX_PLATFORMS": "cpu"} | variables
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> str:
    try:
        out, err = process.communicate(timeout=500)
    finally:
        process.kill()
    assert process.returncode == 0, err[-3000:]
    return out


def run(folder: Path, name: str, *before: str, **variables: str) -> str:
    return finish(start(folder, *before, sys.executable, name, **variables))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What one process prints."""
    alone = tmp_path_factory.mktemp("alone")
    for name, code in SCRIPTS.items():
        (alone / name).write_text(code)
    return run(alone, "collect.py")


def test_no_script_is_longer_than_25_lines():
    assert len(SCRIPTS) == 8
    assert {name: code.count("\n") for name, code in SCRIPTS.items() if code.count("\n") > 25} == {}


def test_slurm_with_a_job_that_is_lost(folder, expected):
    for task in ("0", "2"):
        run(folder, "one_part.py", SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_TASK_COUNT="3")
    assert sorted(file.name for file in (folder / "study").glob("*.npz")) == ["000000000000.npz", "000000000016.npz"]
    assert run(folder, "collect.py") == expected


@pytest.mark.parametrize(
    ("script", "needs"), [("with_processes.py", "jax"), ("with_dask.py", "distributed"), ("with_ray.py", "ray")]
)
def test_executors(folder, expected, script, needs):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    assert expected.strip() in run(folder, script)


def test_mpi(folder, expected):
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("MPI or mpi4py is not installed")
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", "with_mpi.py"]
    assert expected.strip() in finish(start(folder, *command))


def test_jax_distributed(folder):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [start(folder, sys.executable, "with_jax.py", address, "2", index) for index in "01"]
    shown = [finish(process) for process in processes]
    assert "24 data sets on 2 processes" in shown[0]
    assert "data sets" not in shown[1]
