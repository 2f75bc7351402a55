"""Settings of the test session: one compilation cache for all workers, reproducible property tests, data of the references."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pandas as pd
import pytest

# Nearly all of the suite's time is compiling: programs that are not optimised, and not lowered through MLIR's fusion emitters,
# compile in a third of it, and the numbers must agree all the same. XLA reads the variable when JAX starts; subprocesses
# inherit it.
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
# On a flag it does not know XLA ends the process without a word, so this one is asked for where it is known to exist. Later
# versions have the fusion emitters alone: there every kernel costs, and these passes over loops make more of them (425 against
# 336 for an estimate with missing values) and take time of their own. The names of passes that a version lacks are ignored.
if version("jaxlib").startswith("0.10."):
    if "--xla_cpu_use_fusion_emitters" not in os.environ["XLA_FLAGS"]:
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
elif "--xla_disable_hlo_passes" not in os.environ["XLA_FLAGS"]:
    _LOOP_PASSES = (
        "while-loop-invariant-code-motion",
        "simplify-while-loops",
        "while-loop-constant-sinking",
        "tree_reduction_rewriter",
    )
    os.environ["XLA_FLAGS"] += " --xla_disable_hlo_passes=" + ",".join(_LOOP_PASSES)

import jax

# An empty cache of compiled programs for this session. The first process makes it; workers and subprocesses inherit the
# variable and share it. Where the variable is set already, that cache is used and kept.
_CACHE = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.mkdtemp(prefix="mlsem_jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    jax.config.update("jax_compilation_cache_dir", _CACHE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# the same examples in every run, so that the gate does not fail by chance; HYPOTHESIS_PROFILE=search looks for new ones
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True, max_examples=20, database=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=300)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_unconfigure() -> None:
    """The process that made the cache clears it away."""
    if _CACHE is not None:
        shutil.rmtree(_CACHE, ignore_errors=True)


# Every compiled kernel holds mappings of memory, of which Linux gives a process 65,530; one module takes up to 20,000.
MAPPINGS = 30_000


def _mappings() -> int:
    """Mappings of memory of this process; where the system does not say, more than any limit."""
    try:
        with open("/proc/self/maps", "rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return MAPPINGS + 1


@pytest.fixture(scope="module", autouse=True)
def _free_compiled_programs():
    """Drop compiled programs after a module when there are many: thousands in one process exhaust its mappings, and it aborts.

    Until then later modules find what earlier ones traced. What is dropped and needed again comes from the cache on disk.
    """
    yield
    if _mappings() > MAPPINGS:
        jax.clear_caches()


@pytest.fixture
def own_programs():
    """For tests that replace what is traced: they find no program of an earlier test, and later tests find none of theirs."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def reference_root() -> Path:
    """Reference results that may not be copied: MLSEM_REFERENCE, by default ../shared/reference beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "reference"
    return Path(os.environ.get("MLSEM_REFERENCE", default))


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """Folder of the reference case on lavaan's Demo.twolevel; the test is skipped where it is absent."""
    folder = reference_root() / "lavaan" / "demo-twolevel"
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    return folder


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> pd.DataFrame:
    """Demo.twolevel as a data frame; tests must not change it in place."""
    path = demo_folder / "data.csv"
    return pd.read_csv(path if path.exists() else demo_folder / "data.csv.gz")
